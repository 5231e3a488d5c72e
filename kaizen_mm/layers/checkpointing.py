"""Gradient checkpointing that counts no batch twice in running statistics."""
from contextlib import nullcontext
from typing import Callable

from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpointed(function: Callable, module: nn.Module, *inputs):
    """Calls ``function(*inputs)``, keeps only the inputs and computes the rest again in the backward pass.

    Batch norms of ``module``, whose computation ``function`` is, update their running statistics in the
    first computation alone, so that statistics and gradients are those without checkpointing.
    """
    return checkpoint(function, *inputs, use_reentrant=False,
                      context_fn=lambda: (nullcontext(), _BuffersAtRest(module)))


class _BuffersAtRest:
    """Context in which a module works on copies of its buffers.

    May be entered more than once, as ``backward(retain_graph=True)`` needs.
    """

    def __init__(self, module: nn.Module):
        self.module, self._own = module, []

    def __enter__(self):
        self._own = [(m, dict(m._buffers)) for m in self.module.modules()]
        for module, buffers in self._own:
            module._buffers.update({name: b if b is None else b.clone() for name, b in buffers.items()})

    def __exit__(self, *error):
        for module, buffers in self._own:
            module._buffers.update(buffers)
