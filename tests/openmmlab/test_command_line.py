"""Arguments of the tools over configs."""

import argparse
import re
from pathlib import Path

import pytest

from kaizen_mm.openmmlab import command_line as cli

CONFIG = str(Path(__file__).resolve().parents[2] / 'configs' / 'kaizen_mfnet_ucf101.py')


def arguments(**changes):
    return argparse.Namespace(
        **{
            **dict(
                config=CONFIG,
                work_dir=None,
                resume=None,
                amp=False,
                no_validate=False,
                auto_scale_lr=False,
                seed=None,
                diff_rank_seed=False,
                deterministic=False,
                cfg_options=None,
                launcher='none',
                local_rank=0,
                checkpoint='a.pth',
                tta=False,
                exit_at=None,
                dump=None,
            ),
            **changes,
        }
    )


def test_defaults():
    cfg = cli.train_config(arguments())
    assert cfg.work_dir == 'work_dirs/kaizen_mfnet_ucf101' and not cfg.resume and cfg.load_from is None
    assert cfg.randomness == dict(seed=0) and cfg.optim_wrapper.type == 'OptimWrapper'


def test_stock_configs_have_no_randomness():
    config = str(Path(CONFIG).parent / 'any_network' / 'tsn_r50.py')
    assert cli.train_config(arguments(config=config)).randomness == dict(seed=None)
    assert cli.train_config(arguments(config=config, seed=3)).randomness == dict(seed=3)


def test_every_argument_has_its_effect():
    cfg = cli.train_config(
        arguments(
            work_dir='w',
            amp=True,
            no_validate=True,
            auto_scale_lr=True,
            seed=3,
            diff_rank_seed=True,
            deterministic=True,
            cfg_options={'model.backbone.num_iterations': 4},
            launcher='slurm',
        )
    )
    assert cfg.work_dir == 'w' and cfg.launcher == 'slurm' and cfg.model.backbone.num_iterations == 4
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper' and cfg.optim_wrapper.loss_scale == 'dynamic'
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None and cfg.auto_scale_lr.enable
    assert cfg.randomness == dict(seed=3, diff_rank_seed=True, deterministic=True)


@pytest.mark.parametrize('resume, load_from', [('auto', None), ('here.pth', 'here.pth')])
def test_resume(resume, load_from):
    cfg = cli.train_config(arguments(resume=resume))
    assert cfg.resume and cfg.load_from == load_from


def test_test_arguments():
    cfg = cli.test_config(arguments(dump='out.pkl'))
    assert cfg.load_from == 'a.pth'
    assert [e['type'] for e in cfg.test_evaluator] == ['IterateAccuracy', 'DumpResults']
    with pytest.raises(ValueError, match="--dump must name a .pkl or .pickle file, got 'out.json'"):
        cli.test_config(arguments(dump='out.json'))


def test_mixed_precision_needs_a_plain_wrapper():
    with pytest.raises(ValueError, match="--amp needs .* got 'ApexOptimWrapper'"):
        cli.train_config(arguments(amp=True, cfg_options={'optim_wrapper.type': 'ApexOptimWrapper'}))


@pytest.mark.parametrize(
    'option, message',
    [
        ('modl.backbone.num_iterations', "--cfg-options has no entry 'modl'; did you mean 'model'?"),
        ('train_cgf.max_epochs', "did you mean 'train_cfg'"),
        ('xyz', "--cfg-options has no entry 'xyz'; it takes "),
        ('phase_one.trian_cfg.max_epochs', "phase_one has no entry 'trian_cfg'; did you mean 'train_cfg'"),
        ('env_cfg.dist_cgf.backend', "env_cfg has no 'dist_cgf'; did you mean 'dist_cfg'"),
        ('auto_scale_lr.enabel', "auto_scale_lr has no 'enabel'; did you mean 'enable'"),
        ('randomness.sed', "randomness has no 'sed'; did you mean 'seed'"),
        (
            'data_root',
            '--cfg-options data_root: data_root is a variable of the config file, which has been read by now',
        ),
        ('train_pipeline.0.type', 'train_pipeline is a variable of the config file'),
    ],
)
def test_an_entry_that_nothing_reads_is_named(option, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        cli.train_config(arguments(cfg_options={option: 2}))


@pytest.mark.parametrize(
    'option',
    [
        'optim_wrapper.optimizer.momentum',
        'optim_wrapper.paramwise_cfg.custom_keys.adapters.lr_mult',
        'load_from',
        'compile',
        'optim_wrapper.paramwise_cfg.bias_lr_mult',
        'train_dataloader.dataset.indices',
        'phase_one.work_dir',
        'default_hooks.ema.type',
        'randomness.diff_rank_seed',
        'val_evaluator.collect_device',
        'model.test_cfg.max_testing_views',
        'phase_one.val_cfg.fp16',
    ],
)
def test_new_entries_are_taken(option):
    cfg, value = cli.train_config(arguments(cfg_options={option: 2})), None
    for key in option.split('.'):
        value = (cfg if value is None else value)[key]
    assert value == 2


@pytest.mark.parametrize(
    'key, value, expected',
    [
        ('train_dataloader', 3, 'a dict'),
        ('train_dataloader.sampler', 'DefaultSampler', 'a dict'),
        ('val_dataloader.dataset', [1], 'a dict'),
        ('optim_wrapper', 'Adam', 'a dict'),
        ('optim_wrapper.optimizer', 0.1, 'a dict'),
        ('model', 'MFNet3d', 'a dict'),
        ('model.backbone', True, 'a dict'),
        ('randomness', 3, 'a dict'),
        ('train_cfg', 3, 'a dict'),
        ('visualizer', 'x', 'a dict'),
        ('default_hooks', [], 'a dict'),
        ('custom_hooks', 'x', 'a list of dicts'),
        ('param_scheduler', 'x', 'a dict or a list of dicts'),
        ('val_evaluator', 3, 'a dict or a list of dicts'),
    ],
)
@pytest.mark.parametrize('phase', ['', 'phase_one.'])
def test_entries_of_another_kind_are_refused_by_name(key, value, expected, phase):
    message = re.escape(f'{phase}{key} must be {expected}, got {value!r}')
    with pytest.raises(ValueError, match=message):
        cli.train_config(arguments(cfg_options={f'{phase}{key}': value}))


@pytest.mark.parametrize('key', ['custom_hooks', 'param_scheduler', 'val_evaluator'])
def test_items_of_another_kind_are_refused_by_name(key):
    with pytest.raises(ValueError, match=rf'{key}\.1 must be a dict, got 3'):
        cli.train_config(arguments(cfg_options={key: [dict(type='x'), 3]}))
    with pytest.raises(ValueError, match=r"default_hooks\.timer must be a dict, got 'x'"):
        cli.train_config(arguments(cfg_options={'default_hooks.timer': 'x'}))
