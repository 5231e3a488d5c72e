"""Configs are tried before they are trained: their entries, and one step."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.trial import check_entries, check_lengths, check_optimizer, try_one_step


@pytest.fixture
def runner(config):
    """One that is about to train phase two."""
    runner = KaizenRunner.from_cfg(config)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    return runner


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_a_step_leaves_weights_and_random_states_alone(runner, recwarn):
    before, random_states = {k: v.clone() for k, v in runner.model.state_dict().items()}, states()
    recwarn.clear()
    try_one_step(runner)
    assert states() == random_states
    assert all(torch.equal(value, before[key]) for key, value in runner.model.state_dict().items())
    assert all(p.grad is None for p in runner.model.parameters()) and runner.model.training and not recwarn.list


@pytest.mark.slow
@pytest.mark.parametrize(
    'options, message',
    [
        ({'model.cls_head.loss_cls.gammas': [0.1]}, 'gammas'),
        ({'train_cfg.val_interval': 0}, r'^train_cfg.val_interval must be an int >= 1, got 0'),
        ({'phase_one.train_cfg.val_interval': 0}, r'^phase_one.train_cfg.val_interval must be an int >= 1, got 0'),
        ({'phase_one.train_cfg.max_epochs': 1.5}, r'^phase_one.train_cfg.max_epochs must be an int >= 1, got 1.5'),
        ({'phase_one.trian_cfg.max_epochs': 2}, "phase_one has no entry 'trian_cfg'; did you mean 'train_cfg'"),
        (
            {'optim_wrapper.paramwise_cfg.custom_keys.adaptr.lr_mult': 5.0},
            "optim_wrapper.paramwise_cfg.custom_keys has 'adaptr', which matches no parameter; did you mean 'adapter'",
        ),
        (
            {'phase_one.optim_wrapper.paramwise_cfg.custom_keys.cls_haed.lr_mult': 5.0},
            "phase_one.optim_wrapper.paramwise_cfg.custom_keys has 'cls_haed', which matches no parameter; did you "
            "mean 'cls_head'",
        ),
        (
            {'optim_wrapper.paramwise_cfg.custom_keys.adapter.lr_mul': 5.0},
            "custom_keys.adapter has no entry 'lr_mul'; did you mean 'lr_mult'",
        ),
        (
            {'optim_wrapper.paramwise_cfg.norm_decay_mul': 0.0},
            "paramwise_cfg has no entry 'norm_decay_mul'; did you mean 'norm_decay_mult'",
        ),
    ],
)
def test_what_would_fail_later_or_change_nothing_fails_before_phase_one(config, options, message):
    config.merge_from_dict(options)
    with pytest.raises(ValueError, match=message):
        KaizenRunner.from_cfg(config).train()
    assert not list(Path(config.work_dir).rglob('*.pth'))


def test_names_of_the_recurrence_and_of_stock_schedules_match_nothing_in_the_plain_network(config):
    from mmaction.registry import MODELS

    config.model.backbone.num_iterations = 1
    model = MODELS.build(config.model)
    assert config.optim_wrapper.paramwise_cfg.custom_keys.keys() == {'adapter'}
    config.optim_wrapper.paramwise_cfg.custom_keys['.absolute_pos_embed'] = dict(decay_mult=0.0)
    check_entries(config, model)
    config.optim_wrapper.paramwise_cfg.custom_keys['absolute_embed'] = dict(decay_mult=0.0)
    with pytest.raises(ValueError, match="'absolute_embed', which matches no parameter"):
        check_entries(config, model)


def test_other_constructors_have_entries_of_their_own(config):
    config.optim_wrapper.update(
        constructor='LearningRateDecayOptimWrapperConstructor', paramwise_cfg=dict(num_layers=12)
    )
    check_entries(config, torch.nn.Linear(1, 1))


@pytest.mark.parametrize('value', [0, -1, 1.5, True, '3', float('nan')])
@pytest.mark.parametrize('key', ['max_epochs', 'max_iters', 'val_interval'])
def test_lengths_are_positive_ints(key, value):
    with pytest.raises(ValueError, match=f'phase_one.train_cfg.{key} must be an int >= 1, got'):
        check_lengths(dict(train_cfg={key: value}), 'phase_one.')
    check_lengths(dict(train_cfg={key: 3}))
    check_lengths({})


@pytest.mark.parametrize('scope', ['mmaction', 'mmpretrain', None])
def test_an_optimizer_that_does_not_exist_is_named(scope):
    with pytest.raises(
        ValueError, match="optim_wrapper.optimizer.type: no optimizer is called 'Adm'; did you mean .*'Adam'"
    ):
        check_optimizer(dict(optim_wrapper=dict(optimizer=dict(type='Adm'))), scope)
    check_optimizer(dict(optim_wrapper=dict(optimizer=dict(type='AdamW'))), scope)
    check_optimizer(dict(phase_one=None), scope)
