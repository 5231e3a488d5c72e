"""A config is tried before hours are spent on it: its entries, and one step on one batch of its own data."""

import copy
import difflib
import random
import warnings
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Mapping, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from kaizen_mm.arguments import check_int
from kaizen_mm.openmmlab.class_names import check_classes_of_data
from kaizen_mm.openmmlab.processes import unwrapped

# Of paramwise_cfg in mmengine's DefaultOptimWrapperConstructor, which passes over all others
_PARAMWISE = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)
_CUSTOM = ('lr_mult', 'decay_mult')
# What the plain network has not: it may share its settings with the recurrent one
_ADDED = '.adapter.linears.0.weight'
# Names in stock schedules that serve several networks, each of which has some of them
_STOCK = (
    'absolute_pos_embed',
    'relative_position_bias_table',
    'pos_embed',
    'cls_token',
    'mask_token',
    'rel_pos_w',
    'rel_pos_h',
    'q_bias',
    'v_bias',
    'bias',
    'norm',
    'bn',
    'ln',
    'gamma',
    'downsample.1',
)

_LOADER = ('', '.dataset', '.sampler', '.batch_sampler', '.collate_fn')
_DICTS = (
    *(f'model{part}' for part in ('', '.backbone', '.neck', '.head', '.cls_head', '.data_preprocessor')),
    *(f'{loader}{part}' for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader') for part in _LOADER),
    *('train_cfg', 'val_cfg', 'test_cfg', 'auto_scale_lr', 'randomness', 'data_preprocessor'),
    *('optim_wrapper', 'optim_wrapper.optimizer', 'optim_wrapper.clip_grad', 'optim_wrapper.paramwise_cfg'),
    'optim_wrapper.paramwise_cfg.custom_keys',
    *('env_cfg', 'log_processor', 'visualizer', 'default_hooks', 'tta_model', 'phase_one'),
)
_OF_DICTS = ('default_hooks', 'optim_wrapper.paramwise_cfg.custom_keys')  # whose own entries are dicts
_LISTS = ('custom_hooks', 'tta_pipeline')
_DICTS_OR_LISTS = ('param_scheduler', 'val_evaluator', 'test_evaluator')
_PLAIN = (str, bytes, int, float, bool)


def check_kinds(cfg: Mapping, phase: str = '') -> None:
    """Refuses plain values, and lists, where a config needs dicts; both phases are looked at.

    Args:
        cfg: Config of a training or a test.
        phase: What precedes the entries' names in errors.

    Raises:
        ValueError: An entry is of another kind; it is named, with its value.
    """
    for key in (*_DICTS, *_LISTS, *_DICTS_OR_LISTS):
        value = _entry(cfg, key)
        if key in _LISTS:
            kinds, expected = (*_PLAIN, Mapping), 'a list of dicts'
        elif key in _DICTS_OR_LISTS:
            kinds, expected = _PLAIN, 'a dict or a list of dicts'
        else:
            kinds, expected = (*_PLAIN, list, tuple), 'a dict'
        if isinstance(value, kinds):
            raise ValueError(f'{phase}{key} must be {expected}, got {value!r:.200}')
        items = enumerate(value) if isinstance(value, (list, tuple)) else ()
        for name, item in value.items() if key in _OF_DICTS and isinstance(value, Mapping) else items:
            if isinstance(item, (*_PLAIN, *(() if key == 'tta_pipeline' else (list, tuple)))):
                raise ValueError(f'{phase}{key}.{name} must be a dict, got {item!r:.200}')
    if cfg.get('phase_one') is not None:
        check_kinds({key: value for key, value in cfg['phase_one'].items() if key != 'phase_one'}, 'phase_one.')


def _entry(cfg: Mapping, key: str) -> Any:
    """What stands under a dotted key; None where nothing does."""
    value: Any = cfg
    for name in key.split('.'):
        value = value.get(name) if isinstance(value, Mapping) or hasattr(value, 'to_dict') else None
    return value


def check_entries(cfg: Config, model: nn.Module, phase: str = '') -> None:
    """Refuses entries that would change nothing, or would end the training later.

    Args:
        cfg: Config of a training.
        model: Its network.
        phase: What precedes the entries' names in errors, such as ``'phase_one.'``.

    Raises:
        ValueError: A length or an interval is no positive int; an entry of ``paramwise_cfg`` is unknown; one of its
            ``custom_keys`` matches no parameter.
    """
    check_lengths(cfg, phase)
    wrapper = cfg.get('optim_wrapper') or {}
    paramwise = wrapper.get('paramwise_cfg') or {}
    if wrapper.get('constructor', 'DefaultOptimWrapperConstructor') != 'DefaultOptimWrapperConstructor':
        return
    where = f'{phase}optim_wrapper.paramwise_cfg'
    check_known(paramwise, _PARAMWISE, where)
    names = [name for name, _ in model.named_parameters()]
    for key, settings in (paramwise.get('custom_keys') or {}).items():
        check_known(settings, _CUSTOM, f'{where}.custom_keys.{key}')
        if not (any(key in name for name in names) or key in _ADDED or key.strip('.') in _STOCK):
            parts = {part for name in [*names, _ADDED] for part in name.split('.')}
            raise ValueError(f'{where}.custom_keys has {key!r}, which matches no parameter{near(key, parts)}')


def check_lengths(cfg: Mapping, phase: str = '') -> None:
    """Raises ValueError where the length or an interval of a training is no positive int."""
    loop = cfg.get('train_cfg') or {}
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        if loop.get(key) is not None:
            check_int(f'{phase}train_cfg.{key}', loop[key])


def check_optimizer(cfg: Mapping, scope: str, phase: str = '') -> None:
    """Raises ValueError where no optimizer has the name that is given; mmengine 0.10.7 says
    ``None is not a callable object``."""
    kind = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('type')
    if isinstance(kind, str):
        with OPTIMIZERS.switch_scope_and_registry(scope) as registry:
            if registry.get(kind) is None:
                raise ValueError(
                    f'{phase}optim_wrapper.optimizer.type: no optimizer is called {kind!r}'
                    f'{near(kind, OPTIMIZERS.module_dict, cutoff=0.5)}'
                )


def check_known(given: Iterable[str], known: Sequence[str], where: str) -> None:
    """Raises:
    ValueError: An entry is not one of those known; similar names are given.
    """
    for key in given:
        if key not in known:
            raise ValueError(f'{where} has no entry {key!r}{near(key, known)}; it takes {", ".join(sorted(known))}')


def near(name: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """``; did you mean 'a' or 'b'?``, or nothing where no known name is similar; ``cutoff`` is :mod:`difflib`'s."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f'; did you mean {" or ".join(map(repr, close))}?' if close else ''


def try_one_step(runner: Runner) -> None:
    """One training step, and one of validation where there is one, on the first samples of the runner's own data.

    A copy of the network is trained. Weights and random states stay as they are.

    Raises:
        ValueError: The step has failed, or the data of validation or test are of other classes.
    """
    check_classes_of_data(runner)
    model = unwrapped(runner.model)
    with unchanged_random_state(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # W_1 is not loaded yet, and what else there is comes again in training
        trial = copy.deepcopy(model)
        try:
            optimizer = build_optim_wrapper(trial, copy.deepcopy(runner.cfg.optim_wrapper))
            trial.train()
            trial.train_step(first_batch(runner.train_dataloader), optim_wrapper=optimizer)
            if runner.val_loop is not None:
                trial.eval()
                with torch.no_grad():
                    trial.val_step(first_batch(runner.val_dataloader))
        except Exception as error:
            raise ValueError(
                f'one step of {runner.cfg.filename or "the config"}, tried before phase one is trained, has '
                f'failed: {type(error).__name__}: {error}'
            ) from error


def first_batch(loader: DataLoader, size: Optional[int] = None) -> Any:
    """The first samples by their numbers, as many as a batch has or ``size``: a sampler may not give its own twice."""
    size = size or loader.batch_size or loader.batch_sampler.batch_size
    dataset, indices = loader.dataset, range(min(size, len(loader.dataset)))
    fetch = getattr(dataset, '__getitems__', None)
    return loader.collate_fn(fetch(list(indices)) if fetch else [dataset[i] for i in indices])


@contextmanager
def unchanged_random_state() -> Iterator[None]:
    """What happens inside leaves the random states of Python, NumPy and torch as they were."""
    own, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numpy)
