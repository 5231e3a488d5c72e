"""From command-line arguments to configs, for the commands that train and test."""

import argparse
import importlib
import os
import os.path as osp
from typing import Optional

from mmengine.config import Config

from kaizen_mm.extras import naming_extras
from kaizen_mm.openmmlab.held_out import calibration_of
from kaizen_mm.openmmlab.named_configs import load_config
from kaizen_mm.openmmlab.training.runner import RUNNER_ENTRIES
from kaizen_mm.openmmlab.training.trial import check_kinds, check_known, check_lengths, check_optimizer, near


def train_config(args: argparse.Namespace) -> Config:
    """The config of a training, with the arguments of ``kaizen-train`` put over it."""
    cfg = _config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise ValueError(f'--amp needs optim_wrapper.type OptimWrapper or AmpOptimWrapper, got {kind!r}')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    if 'randomness' not in cfg:  # as in stock configs
        cfg.randomness = dict(seed=None)
    randomness = cfg.randomness
    if args.seed is not None:
        randomness.seed = args.seed
    if args.diff_rank_seed:
        randomness.diff_rank_seed = True
    if args.deterministic:
        randomness.deterministic = True
    for phase, entries in (('', cfg), ('phase_one.', cfg.get('phase_one') or {})):
        check_lengths(entries, phase)
        check_optimizer(entries, cfg.get('default_scope'), phase)
    return cfg


def test_config(args: argparse.Namespace) -> Config:
    """The config of a test, with the arguments of ``kaizen-test`` put over it."""
    cfg = _config(args)
    cfg.load_from = args.checkpoint
    if args.tta:
        from kaizen_mm.openmmlab.image.augmented_test import test_on_views

        test_on_views(cfg)
    if args.exit_at is not None:
        if args.tta:
            raise ValueError('--exit-at cannot be taken together with --tta: views of an image do not leave together')
        chosen = calibration_of(args.exit_at, args.checkpoint)
        cfg.test_cfg = dict(
            cfg.get('test_cfg') or {},
            type='EarlyExitTestLoop',
            threshold=chosen.threshold,
            temperatures=chosen.temperatures,
        )
    if args.dump is not None:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--dump must name a .pkl or .pickle file, got {args.dump!r}')
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
    return cfg


_NEEDED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def read_config(path: str, options: Optional[dict] = None) -> Config:
    """A config of this package or OpenMMLab, whose library is imported, with ``--cfg-options`` put over it."""
    try:
        cfg = load_config(path)
    except SyntaxError as error:
        raise ValueError(f'config {path} is no Python: {error.msg}, line {error.lineno}') from error
    if cfg.get('default_scope') in ('mmaction', 'mmpretrain'):
        with naming_extras():
            importlib.import_module(cfg.default_scope)
    if 'model' not in cfg:
        raise ValueError(f'config {path} has no model; it must set {", ".join(_NEEDED)}')
    if options is not None:
        merge_options(cfg, options)
    check_kinds(cfg)
    return cfg


def _config(args):
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    return cfg


def merge_options(cfg: Config, options: dict) -> None:
    """Puts the entries of ``--cfg-options`` over a config.

    Raises:
        ValueError: An entry that nothing reads: no runner knows its first name, or a name in it is all but one
            that the config has.
    """
    for key in options:
        first, *others = key.split('.')
        if first in cfg and first not in (*RUNNER_ENTRIES, 'phase_one'):
            raise ValueError(
                f'--cfg-options {key}: {first} is a variable of the config file, which has been read by now; set '
                'what the file makes of it, such as train_dataloader.dataset'
            )
        check_known([first], [*RUNNER_ENTRIES, 'phase_one'], '--cfg-options')
        if first == 'phase_one':
            check_known(others[:1], RUNNER_ENTRIES, f'--cfg-options {key}: phase_one')
        entry = cfg.get(first)
        for i, name in enumerate(others):
            # what has a type refuses names that it does not know; those of paramwise_cfg are compared with the
            # parameters
            if not isinstance(entry, dict) or 'type' in entry or 'paramwise_cfg' in others[:i]:
                break
            similar = '' if name in entry else near(name, entry, cutoff=0.8)
            if similar:
                raise ValueError(f'--cfg-options {key}: {".".join([first, *others[:i]])} has no {name!r}{similar}')
            entry = entry.get(name)
    cfg.merge_from_dict(options)
