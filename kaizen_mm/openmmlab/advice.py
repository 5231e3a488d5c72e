"""What is known of a config's recurrence before hours are spent: :mod:`kaizen_mm.surgery.advice` for models of
OpenMMLab."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.surgery.advice import Advice, advice
from kaizen_mm.surgery.one_call import recurrent


@HOOKS.register_module()
class AdviceHook(Hook):
    """Logs three lines about the recurrence before the first iteration of a training: what a position of the last map
    sees, what it costs, what ``h`` reads. Says nothing of a network without a recurrence."""

    def __init__(self):
        self._said = False

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self._said or not is_main_process():
            return
        self._said = True
        try:
            found = advice_of_batch(runner.model, data_batch)
        except Exception as error:  # of whatever kind: an advice must not stop a training
            runner.logger.warning(f'No advice about the recurrence: {type(error).__name__}: {error}')
            return
        for line in found.lines() if found is not None else ():
            runner.logger.info(line)


def advice_of_batch(model: nn.Module, data_batch: dict) -> Optional[Advice]:
    """What :func:`~kaizen_mm.surgery.advice.advice` says of a model's backbone and the first sample of a batch.

    Args:
        model: A recognizer or a classifier, or a wrapper around one.
        data_batch: As its data loader gives it.

    Returns:
        None where no block of the backbone runs twice.
    """
    model = model.module if is_model_wrapper(model) else model
    backbone = getattr(model, 'backbone', model)
    if not any(block.num_iterations > 1 for _, block in recurrent_blocks(backbone)):
        return None
    args, kwargs = _what_it_gets(model, backbone, data_batch)
    return advice(backbone, *args, **kwargs)


def _what_it_gets(model: Any, backbone: nn.Module, data_batch: dict) -> Tuple[tuple, dict]:
    """The backbone's arguments for the first sample of a batch."""
    calls: List[Tuple[tuple, dict]] = []
    handle = backbone.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    try:
        with evaluation(model):
            one = {name: value[:1] for name, value in data_batch.items()}
            model(**model.data_preprocessor(one, False), mode='tensor')
    finally:
        handle.remove()
    return calls[0]


def advise(cfg: Config, input_size: Optional[Sequence[int]] = None) -> str:
    """The advice about a config's network, as text; for one without a recurrence about what
    :func:`~kaizen_mm.surgery.one_call.recurrent` makes of it.

    Args:
        cfg: The config.
        input_size: Shape of what the backbone gets for one sample. None (default) for what the config says, or else
            that of the first training sample.

    Raises:
        ValueError: No block of the network can be made recurrent, or it does not take inputs of ``input_size``.
        OSError: The training data are not there, and nothing else says the size.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        if cfg.get('data_preprocessor') is not None:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(cfg.model)
        backbone = getattr(model, 'backbone', model)
        size = input_size or _said_size(cfg, backbone)
        if size is None:
            loader = dict(cfg.train_dataloader, num_workers=0, persistent_workers=False, batch_size=1)
            data_batch = next(iter(Runner.build_dataloader(loader, seed=0)))
            args, kwargs = _what_it_gets(model, backbone, data_batch)
        else:
            args, kwargs = (torch.randn(1, *size, generator=torch.Generator().manual_seed(0)),), {}
    if any(block.num_iterations > 1 for _, block in recurrent_blocks(backbone)):
        try:
            return str(advice(backbone, *args, **kwargs))
        except (RuntimeError, TypeError, IndexError) as error:
            shapes = [tuple(value.shape) for value in args if isinstance(value, torch.Tensor)]
            raise ValueError(f'input_size: {type(backbone).__name__} does not take {shapes}: {error}') from error
    inner = cfg.model.get('backbone', {}).get('backbone')  # of a recurrent one whose block runs once
    if inner is not None:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
            backbone = MODELS.build(inner)
    made = recurrent(backbone, args or kwargs, quiet=True)
    return f'The network has no recurrence. What has been measured to help would be\n\n{made.call}\n\n{made.advice}'


def _said_size(cfg: Config, backbone: nn.Module) -> Optional[Sequence[int]]:
    """Shape of one sample where the config or the backbone says it."""
    if getattr(backbone, 'input_size', None) is not None and getattr(backbone, 'in_chans', None) is not None:
        return (backbone.in_chans, *backbone.input_size)
    return cfg.model.get('backbone', {}).get('input_shape')
