"""Configs for runners in the process of the tests."""

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

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
def phase_two_config(config, tmp_path):
    """The same for phase two alone, from untrained weights, without validation."""
    # two runners of one name in the same second of a process share a log file
    config.experiment_name = tmp_path.name
    config.custom_hooks = [dict(type='PhaseOneHook', allow_untrained=True)]
    config.phase_one = config.val_cfg = config.val_dataloader = config.val_evaluator = None
    return config
