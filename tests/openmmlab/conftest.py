"""Configs for runners in the process of the tests."""
import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS, init_default_scope

import kaizen_mm  # noqa: F401  registers the names that the tests build


@pytest.fixture
def config(tiny_configs, environment, monkeypatch, tmp_path):
    """The tiny recurrent config with one epoch in each phase."""
    for key in ('KAIZEN_LIST_ROOT', 'KAIZEN_LIST_CLASSES'):
        monkeypatch.setenv(key, environment[key])
    init_default_scope('mmaction')
    cfg = Config.fromfile(tiny_configs / 'kaizen.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_dataloader.num_workers = 0
    cfg.train_cfg.max_epochs = cfg.phase_one.train_cfg.max_epochs = 1
    return cfg


@pytest.fixture
def phase_two_config(config):
    """The same for phase two alone, from untrained weights, without validation."""
    config.custom_hooks = [dict(type='PhaseOneHook', allow_untrained=True)]
    config.phase_one = config.val_cfg = config.val_dataloader = config.val_evaluator = None
    return config


@pytest.fixture(scope='session')
def watched(tiny_configs, digits, tmp_path_factory):
    """Work directory of both phases of the tiny recurrent network, two epochs each, with TensorBoard beside the log."""
    cfg = Config.fromfile(tiny_configs / 'kaizen.py')
    folder = tmp_path_factory.mktemp('watched') / 'work'
    cfg.merge_from_dict({
        'work_dir': str(folder), 'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1, 'phase_one.train_cfg.max_epochs': 2,
        'phase_one.train_cfg.val_interval': 1, 'visualizer.vis_backends.1.type': 'IterateTensorboardVisBackend',
        'train_dataloader.num_workers': 0})
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        split = 'train' if loader is cfg.train_dataloader else 'val'
        loader.dataset.update(ann_file=str(digits / f'{split}.txt'), data_prefix=dict(video=str(digits / 'videos')), num_classes=8)
    cfg.model.cls_head.head.num_classes = 8
    RUNNERS.build(cfg).train()
    return folder
