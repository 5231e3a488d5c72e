"""How long a training takes and how much memory, from a few steps of it that are timed before it starts."""

import copy
import time
import warnings
from contextlib import contextmanager
from typing import Dict, Iterator, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, RUNNERS, DefaultScope
from torch import nn
from torch.utils.data import DataLoader

from kaizen_mm.openmmlab.processes import unwrapped
from kaizen_mm.openmmlab.training.trial import first_batch, unchanged_random_state

STEPS = 2  # that are timed, after one that is not


class StepCost(NamedTuple):
    """What one step costs: seconds of a training step, of loading its batch, of validating a batch with loading it
    (0 without validation), and bytes of weights, gradients, state of the optimizer and what the backward pass keeps."""

    train: float
    load: float
    validate: float
    memory: int


class Phase(NamedTuple):
    """A phase of a training: its name, epochs, steps of each, what one costs, and the seconds of all."""

    name: str
    epochs: int
    steps: int
    cost: StepCost
    seconds: float


def step_cost(model: nn.Module, optim_wrapper: dict, train: DataLoader, val: Optional[DataLoader] = None) -> StepCost:
    """Times a few steps of a copy of a network, whose weights stay as they are, as do the random states.

    Args:
        model: A recognizer or classifier.
        optim_wrapper: The config's.
        train, val: Loaders of data; their first samples are taken, in this process.
    """
    with unchanged_random_state(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # W_1 is not loaded yet
        trial = copy.deepcopy(model)
        optimizer = build_optim_wrapper(trial, copy.deepcopy(optim_wrapper))
        first_batch(train, 1)  # data sets that are read on the first access
        started = time.perf_counter()
        data = first_batch(train)
        load = time.perf_counter() - started
        batches = [copy.deepcopy(data) for _ in range(STEPS)]  # a step may change its batch
        trial.train()
        with _counting() as kept:
            trial.train_step(data, optim_wrapper=optimizer)
        seconds = _timed(lambda: trial.train_step(batches.pop(), optim_wrapper=optimizer))
        validate = 0.0
        if val is not None:
            trial.eval()
            first_batch(val, 1)

            def step() -> None:
                with torch.no_grad():
                    trial.val_step(first_batch(val))

            validate = _timed(step, 1)
        parameters = sum(p.numel() * p.element_size() for p in trial.parameters())
        states = sum(
            value.numel() * value.element_size()
            for state in optimizer.optimizer.state.values()
            for value in state.values()
            if torch.is_tensor(value)
        )
    return StepCost(seconds, load, validate, 2 * parameters + states + sum(kept.values()))


def phase_seconds(cost: StepCost, train: DataLoader, train_cfg: dict, val: Optional[DataLoader] = None) -> float:
    """Of a phase of that many epochs or iterations; data workers load beside the steps.

    Args:
        cost: Of its steps.
        train, val: Its loaders.
        train_cfg: With ``max_epochs`` or ``max_iters``, and ``val_interval``.
    """
    workers = train.num_workers
    step = cost.train + cost.load if not workers else max(cost.train, cost.load / workers)
    epochs = train_cfg.get('max_epochs')
    units, steps = (train_cfg['max_iters'], 1) if epochs is None else (epochs, len(train))
    seconds = units * steps * step
    if val is not None:
        seconds += -(-units // train_cfg.get('val_interval', 1)) * len(val) * cost.validate
    return seconds


def timed_phase(name: str, cfg: Config) -> Phase:
    """Builds network and data of a config, whose library is imported, and times a few steps of its training; what the
    config has as ``phase_one`` is none of it."""
    with unchanged_random_state(), DefaultScope.overwrite_default_scope(cfg.default_scope):
        if cfg.get('data_preprocessor') is not None:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(cfg.model)
        build = RUNNERS.get('KaizenRunner').build_dataloader
        train = build(cfg.train_dataloader, seed=0)
        val = build(cfg.val_dataloader, seed=0) if cfg.get('val_dataloader') else None
        cost = step_cost(model, cfg.optim_wrapper, train, val)
    return Phase(
        name, cfg.train_cfg.get('max_epochs', 1), len(train), cost, phase_seconds(cost, train, cfg.train_cfg, val)
    )


def spoken_time(seconds: float) -> str:
    """For people: ``'40 s'``, ``'12 min'``, ``'3 h 20 min'``."""
    if seconds < 90:
        return f'{max(1, round(seconds))} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60} min'


def spoken_size(count: float) -> str:
    """Bytes for people, in GB or MB."""
    return f'{count / 1e9:.1f} GB' if count >= 1e9 else f'{max(1, round(count / 1e6))} MB'


@HOOKS.register_module()
class EstimateHook(Hook):
    """Logs how long each phase is expected to take before it starts, and before the first one the whole.

    Phase one, which comes before this hook's own events, asks for it by :func:`announce`.
    """

    def __init__(self):
        self.announced = False

    def before_train(self, runner) -> None:
        announce(runner)


def announce(runner, *others) -> None:
    """Logs the estimate of a runner's training and of those that follow it, where one of them has the hook and it has
    not been said yet."""
    runners = (runner, *others)
    hooks = [hook for each in runners for hook in each.hooks if isinstance(hook, EstimateHook)]
    if not hooks or any(hook.announced for hook in hooks):
        return
    for hook in hooks:
        hook.announced = True
    parts, total = [], 0.0
    for number, each in enumerate(runners, start=1):
        try:
            val = each.val_dataloader if each.val_loop is not None else None
            cost = step_cost(unwrapped(each.model), each.cfg.optim_wrapper, each.train_dataloader, val)
        except Exception as error:  # of whatever kind: an estimate must not stop a training
            runner.logger.warning(f'No estimate of its time: {type(error).__name__}: {error}')
            return
        seconds = phase_seconds(cost, each.train_dataloader, each.cfg.train_cfg, val)
        total += seconds
        name = f'phase {("one", "two")[number - 1]}: ' if others else ''
        parts.append(f'{name}{_length(each)}' + (f', {spoken_time(seconds)}' if others else ''))
    runner.logger.info(
        f'Estimate: about {spoken_time(total)} ({"; ".join(parts)}), from {STEPS} timed steps'
        f'{" of each" if others else ""}'
    )


def _length(runner) -> str:
    epochs = runner.cfg.train_cfg.get('max_epochs')
    steps = len(runner.train_dataloader)
    return f'{runner.max_iters} iterations' if epochs is None else f'{epochs} epochs of {steps} steps'


def _timed(step, times: int = STEPS) -> float:
    started = time.perf_counter()
    for _ in range(times):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


@contextmanager
def _counting() -> Iterator[Dict[int, int]]:
    """Bytes of what is kept for the backward pass, by storage."""
    kept: Dict[int, int] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept
