"""Configs for runners in the process of the tests."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

import kaizen_mm  # noqa: F401  registers the names that the tests build

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture
def mnist_config(mnist_data, monkeypatch, tmp_path):
    """``mnist.py`` on 100 images, one epoch."""
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    cfg = Config.fromfile(CONFIGS / 'mnist.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_dataloader.batch_size = 50
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.max_images = 100
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    return cfg
