"""The study: static networks of as many parameters and multiply-adds, and pairs that differ by the recurrence."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from kaizen_mm.lab.counting import multiply_adds
from kaizen_mm.lab.study_tables import STUDY_TABLES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def loaded(table: str, row: str) -> Config:
    name, options = STUDY_TABLES[table].variants[row]
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(options)
    init_default_scope(cfg.default_scope)
    return cfg


def cost(table: str, row: str) -> tuple:
    """Parameters of the whole network, and multiply-adds of its backbone."""
    cfg = loaded(table, row)
    model = MODELS.build(cfg.model).eval()
    shape = (1, 1, 16, 32, 32) if 'bagnet3d' in table else (1, 3, 32, 32)
    with torch.no_grad():
        counted = multiply_adds(lambda: model.backbone(torch.zeros(shape)))
    return sum(p.numel() for p in model.parameters()), counted


@pytest.mark.parametrize('table', [name for name, table in STUDY_TABLES.items() if 'bagnet' in name and table.rival])
def test_rivals_have_as_many_parameters(table):
    limit = 1.11 if table == 'bagnet_cifar10_quarter' else 1.05  # a channel is more in a narrow network
    assert 1 <= cost(table, 'parameters')[0] / cost(table, 'recurrent')[0] < limit


@pytest.mark.parametrize('table', ['bagnet_cifar10', 'bagnet_cifar10_paper', 'bagnet3d_moving_camera'])
def test_static_networks_of_as_many_multiply_adds(table):
    assert 1 <= cost(table, 'multiply_adds')[1] / cost(table, 'recurrent')[1] < 1.05


def pairs():
    for name in (
        'bagnet_cifar10_networks',
        'bagnet_cifar10_quarter',
        'bagnet_tiny_imagenet',
        'bagnet3d_networks',
        'bagnet3d_clips_40000',
    ):
        table = STUDY_TABLES[name]
        yield name, table.control, 'recurrent'
        yield from ((name, static, row) for row, static in table.controls.items())


@pytest.mark.parametrize('table, static, row', list(pairs()))
def test_a_network_and_its_control_differ_by_the_recurrence_and_the_rate(table, static, row):
    one, two = loaded(table, static), loaded(table, row)
    assert (one.model.backbone.pop('num_iterations'), two.model.backbone.pop('num_iterations')) == (1, 2)
    for cfg in (one, two):
        cfg.optim_wrapper.optimizer.pop('lr')
    for key in ('model', 'train_dataloader', 'test_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        assert one[key] == two[key], key


SCANS = [name for name, table in STUDY_TABLES.items() if 'held out for choices' in table.title]


@pytest.mark.parametrize('scan', SCANS)
def test_choices_do_not_see_the_photos_and_clips_of_the_result(scan):
    for row in STUDY_TABLES[scan].variants:
        test = loaded(scan, row).test_dataloader.dataset
        assert test.split == 'val' and test.get('seed', 0) == 0


def test_clips_of_the_result_are_of_another_seed():
    table = STUDY_TABLES['bagnet3d_moving_camera']
    assert {loaded('bagnet3d_moving_camera', name).test_dataloader.dataset.seed for name in table.variants} == {1}
