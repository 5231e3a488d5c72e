"""Gradient checkpointing that counts no batch twice in running statistics."""
from contextlib import nullcontext

from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_children(module: nn.Module, x):
    """Runs the children of ``module`` one after the other, as in :class:`torch.nn.Sequential`; each keeps
    only its input and computes the rest again in the backward pass.

    Batch norms update their running statistics in the first computation alone, so that statistics and
    gradients are those of the same network without checkpointing.
    """
    for child in module.children():
        x = checkpoint(child, x, use_reentrant=False,
                       context_fn=lambda child=child: (nullcontext(), _BuffersAtRest(child)))
    return x


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
