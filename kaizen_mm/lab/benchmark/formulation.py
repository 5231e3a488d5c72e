"""The recurrence as the authors state it: a weight for each sample, in one grouped convolution.

Battash & Wolf, arXiv:1910.11105, eq. 1 and 2, written plainly, as a baseline of speed. Nothing here uses the layers of
this package. In its favour the plain convolution serves as the first iterate, whose weights do not differ from sample
to sample, and what comes before the first dynamic layer runs once.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.models.mf_unit import MFUnit

_CONV = {4: F.conv2d, 5: F.conv3d}
_POOLS = {4: (F.avg_pool2d, F.max_pool2d), 5: (F.avg_pool3d, F.max_pool3d)}


class OriginalUnit(MFUnit):
    """MFNet's unit as the original release computes it: in the layout that its input has."""

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shortcut = self.conv_w1(x) if hasattr(self, 'conv_w1') else x
        return x, shortcut, self.conv_i1.relu(self.conv_i1.bn(x))


def as_published(module: nn.Module) -> nn.Module:
    """Lets MFNet's units in a module compute as in the original release; in place."""
    for part in module.modules():
        if type(part) is MFUnit:
            part.__class__ = OriginalUnit
    return module


class PerSampleConv(nn.Module):
    """A convolution with zero padding and without bias that takes a weight per sample."""

    def __init__(self, conv: nn.Module):
        super().__init__()
        self.conv: Any = conv
        self.weights: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if self.weights is None:
            return self.conv(x)
        n, conv = x.shape[0], self.conv
        # [N, C, *S] -> [1, N * C, *S], weights [N, R, ...] -> [N * R, ...]
        y = _CONV[x.dim()](
            x.reshape(1, -1, *x.shape[2:]),
            self.weights.flatten(0, 1),
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
            n * conv.groups,
        )
        return y.reshape(n, -1, *y.shape[2:])


class PerSampleBlock(nn.Module):
    """A block that runs K times, with weights per sample from the second time on.

    Args:
        block: The plain block; changed in place.
        dynamic: Names of its dynamic convolutions.
        feedback: Name of the submodule whose output is ``z``.
        linears: The linear layer of ``h`` for each of ``dynamic``, shared by the rows of its weight.
        num_iterations: ``K``.
        alpha: Step size.
        pool_kernel, pool_stride: Of the average and the maximum of ``z``.

    Shape:
        ``[N, C, *S]``; output a tuple of K maps.
    """

    def __init__(
        self,
        block: nn.Module,
        dynamic: Sequence[str],
        feedback: str,
        linears: Sequence[nn.Linear],
        num_iterations: int,
        alpha: float,
        pool_kernel,
        pool_stride,
    ):
        super().__init__()
        self.block: Any = block
        self.linears = nn.ModuleList(linears)
        self.num_iterations, self.alpha = num_iterations, alpha
        self.pool_kernel, self.pool_stride = pool_kernel, pool_stride
        self.convs: list[Any] = []
        self.more = False
        self.pooled: Any = None
        for name in dynamic:
            conv = PerSampleConv(block.get_submodule(name))
            block.set_submodule(name, conv)
            self.convs.append(conv)
        block.get_submodule(feedback).register_forward_hook(self._keep)

    def _keep(self, module, inputs, z):
        if self.more:
            z = z.clone()  # what follows may work in place
            average, maximum = (pool(z, self.pool_kernel, self.pool_stride) for pool in _POOLS[z.dim()])
            self.pooled = torch.stack([average.flatten(2), maximum.flatten(2)], dim=2)  # [N, C, 2, positions]

    def forward(self, u: Tensor) -> tuple[Tensor, ...]:
        if hasattr(self.block, 'prepare'):
            run, inputs = self.block.forward_prepared, self.block.prepare(u)
        else:
            run, inputs = self.block, (u,)
        outputs = []
        for i in range(self.num_iterations):
            self.more = i + 1 < self.num_iterations
            outputs.append(run(*inputs))  # eq. 1
            if self.more:
                for conv, linear in zip(self.convs, self.linears):
                    weights = conv.conv.weight if conv.weights is None else conv.weights
                    rows = self.pooled.reshape(len(u), conv.conv.out_channels, -1)
                    change = linear(rows).reshape(len(u), *conv.conv.weight.shape)
                    conv.weights = weights + self.alpha * change  # eq. 2
        for conv in self.convs:
            conv.weights = None
        self.pooled = None
        return tuple(outputs)
