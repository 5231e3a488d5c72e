"""The rivals: what they cost beside the recurrent network, how they differ from it, and where they are tested."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from kaizen_mm.lab.counting import multiply_adds
from kaizen_mm.lab.rival_tables import RIVAL_TABLES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def loaded(table: str, row: str) -> Config:
    name, options = RIVAL_TABLES[table].variants[row]
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(options)
    init_default_scope(cfg.default_scope)
    return cfg


def cost(cfg: Config, shape: tuple = (1, 3, 32, 32)) -> tuple:
    """Parameters of the whole network, and multiply-adds of its backbone."""
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        counted = multiply_adds(lambda: model.backbone(torch.zeros(shape)))
    return sum(p.numel() for p in model.parameters()), counted


@pytest.fixture(scope='module')
def costs() -> dict:
    table = 'bagnet_cifar10_attention'
    return {row: cost(loaded(table, row)) for row in RIVAL_TABLES[table].rows}


@pytest.fixture(scope='module')
def costs_of_clips() -> dict:
    rows = ('attention_multiply_adds', 'recurrent_attention')
    return {row: cost(loaded('bagnet3d_attention', row), (1, 1, 16, 32, 32)) for row in rows}


@pytest.mark.parametrize('of', ['costs', 'costs_of_clips'])
def test_attention_of_as_many_multiply_adds_as_attention_with_a_second_pass(of, request):
    costs = request.getfixturevalue(of)
    one, two = costs['attention_multiply_adds'], costs['recurrent_attention']
    assert one[1] == pytest.approx(two[1], rel=0.01) and one[0] > two[0]


def test_attention_of_as_many_parameters_as_attention_with_a_second_pass(costs):
    assert costs['attention_parameters'][0] == costs['recurrent_attention'][0]


def test_a_second_pass_costs_what_it_costs_without_attention_and_attention_once_more(costs):
    static, attention, recurrent, both = (
        costs[row] for row in ('static', 'attention', 'recurrent', 'recurrent_attention')
    )
    assert both[0] - attention[0] == recurrent[0] - static[0]  # the parameters of h
    assert both[1] - recurrent[1] == 2 * (attention[1] - static[1])


@pytest.mark.parametrize(
    'plain, attending',
    [
        (('bagnet_cifar10_attention', 'static'), ('bagnet_cifar10_attention', 'attention')),
        (('bagnet_cifar10_attention', 'recurrent'), ('bagnet_cifar10_attention', 'recurrent_attention')),
        (('bagnet3d_attention', 'static'), ('bagnet3d_attention', 'attention')),
        (('bagnet3d_attention', 'recurrent'), ('bagnet3d_attention', 'recurrent_attention')),
    ],
)
def test_what_attention_is_added_to_is_the_same_network(plain, attending):
    one, two = loaded(*plain), loaded(*attending)
    assert two.model.backbone.backbone.pop('contexts')[-1].type == 'PositionAttention'
    for cfg in (one, two):
        cfg.model.backbone.pop('input_shape', None)
        cfg.optim_wrapper.optimizer.pop('lr')
    for key in ('model', 'train_dataloader', 'test_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        assert one[key] == two[key], key


@pytest.mark.parametrize('table', RIVAL_TABLES)
def test_results_and_choices_are_tested_where_they_belong(table):
    choices = 'held out for choices' in RIVAL_TABLES[table].title
    for row in RIVAL_TABLES[table].variants:
        test = loaded(table, row).test_dataloader.dataset
        if 'bagnet3d' in table:
            assert (test.split, test.seed) == ('val', 0 if choices else 1)
        else:
            assert test.split == ('val' if choices else 'test')
