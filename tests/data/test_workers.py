"""Where a config does not say how many processes load data, it is as many as the machine has cores for."""

import os
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from kaizen_mm.data.workers import MOST_WORKERS, default_workers
from kaizen_mm.openmmlab.runner import KaizenRunner

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    'cores, processes, expected',
    [(1, 1, 1), (2, 1, 2), (2, 2, 1), (2, 8, 1), (8, 1, 8), (64, 8, 8), (96, 8, 12), (128, 1, MOST_WORKERS)],
)
def test_processes_share_the_cores(monkeypatch, cores, processes, expected):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)), raising=False)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', str(processes))
    assert default_workers() == expected


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index


def loader(**settings):
    return dict(dataset=Numbers(), batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False), **settings)


def test_no_warning_where_the_config_leaves_it_out():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert KaizenRunner.build_dataloader(loader()).num_workers == default_workers()
        assert KaizenRunner.build_dataloader(loader(persistent_workers=False), seed=0).num_workers == default_workers()


def test_what_is_asked_for_is_done():
    assert KaizenRunner.build_dataloader(loader(num_workers=0)).num_workers == 0
    made = KaizenRunner.build_dataloader(loader(num_workers=1))
    assert made.num_workers == 1 and KaizenRunner.build_dataloader(made) is made


@pytest.mark.parametrize('path', sorted((CONFIGS / '_base_' / 'datasets').glob('*.py')), ids=lambda path: path.stem)
def test_no_config_asks_for_a_number_that_a_small_machine_has_not(path):
    config = Config.fromfile(path)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        settings = config.get(name, {})
        assert settings.get('num_workers', 0) == 0
        if settings:  # mmengine's own runner takes it as well
            made = Runner.build_dataloader(
                {
                    **loader(),
                    **{key: settings[key] for key in settings if key not in ('dataset', 'sampler', 'collate_fn')},
                }
            )
            assert made.num_workers == 0
