"""A config is tried before hours are spent on it: its entries, and one step on one batch of its own data."""

import copy
import difflib
import random
import warnings
from contextlib import contextmanager
from typing import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import nn

from kaizen_mm.arguments import check_int
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
        ValueError: The step has failed.
    """
    model = unwrapped(runner.model)
    with unchanged_random_state(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # W_1 is not loaded yet, and what else there is comes again in training
        trial = copy.deepcopy(model)
        try:
            optimizer = build_optim_wrapper(trial, copy.deepcopy(runner.cfg.optim_wrapper))
            trial.train()
            trial.train_step(_first_batch(runner.train_dataloader), optim_wrapper=optimizer)
            if runner.val_loop is not None:
                trial.eval()
                with torch.no_grad():
                    trial.val_step(_first_batch(runner.val_dataloader))
        except Exception as error:
            raise ValueError(
                f'one step of {runner.cfg.filename or "the config"}, tried before phase one is trained, has '
                f'failed: {type(error).__name__}: {error}'
            ) from error


def _first_batch(loader):
    """The first samples by their numbers: a sampler may not give its own twice."""
    size = loader.batch_size or loader.batch_sampler.batch_size
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
