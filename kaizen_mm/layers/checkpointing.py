"""Gradient checkpointing that counts no batch twice in running statistics."""

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Callable, Iterable, Iterator

from torch import nn
from torch.utils.checkpoint import checkpoint

FLAGS = ('with_cp', 'grad_checkpointing')  # attributes of modules that checkpoint: OpenMMLab, timm


def checkpointed(function: Callable, module: nn.Module, *inputs, **kwargs):
    """Calls ``function(*inputs)``, keeps only the inputs and computes the rest again in the backward pass.

    ``module``, whose computation ``function`` is, works on copies of its present buffers in the second
    computation, so that statistics and gradients are those without checkpointing.
    """
    at_rest = _BuffersAtRest(module)
    return checkpoint(
        partial(function, **kwargs), *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), at_rest)
    )


def checkpoint_children(module: nn.Module, x):
    """Runs the children of ``module`` one after the other, as in :class:`torch.nn.Sequential`, each
    :func:`checkpointed`."""
    for child in module.children():
        x = checkpointed(child, child, x)
    return x


def checkpoints(modules: Iterable[nn.Module]) -> bool:
    """Whether any of the modules has been told to checkpoint what it runs."""
    return any(module.__dict__.get(flag) is True for module in modules for flag in FLAGS)


@contextmanager
def checkpointing_off(modules: Iterable[nn.Module]) -> Iterator[None]:
    """The modules run without checkpoints of their own, whose second computation would take place elsewhere."""
    told = [(module, flag) for module in modules for flag in FLAGS if module.__dict__.get(flag) is True]
    for module, flag in told:
        setattr(module, flag, False)
    try:
        yield
    finally:
        for module, flag in told:
            setattr(module, flag, True)


class _BuffersAtRest:
    """Context in which a module works on copies of the buffers that it had when this was made.

    May be entered more than once, as ``backward(retain_graph=True)`` needs.
    """

    def __init__(self, module: nn.Module):
        self._buffers = [(m, dict(m._buffers)) for m in module.modules()]
        self._own: list = []

    def __enter__(self):
        self._own = [(m, dict(m._buffers)) for m, _ in self._buffers]
        for module, buffers in self._buffers:
            module._buffers.update({name: b if b is None else b.clone() for name, b in buffers.items()})

    def __exit__(self, *error):
        for module, buffers in self._own:
            module._buffers.update(buffers)
