"""MFNet's recurrent unit and tail, and what they become under ``torch.jit.script``.

TorchScript knows no forward hooks and no context managers, with which the recurrence works in
Python. In a script the same recurrence is written out: one copy of the unit (and of the tail) for
each iterate, all of which share the parameters while the norms have the statistics of their
iterate, and increments that are passed on by hand. Both modes, training and evaluation, compute
what Python computes, and training moves the very statistics of the network that was scripted. The
number of iterations is the one at the time of scripting.
"""
import copy
import math
from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate, WeightAdapter, iterate_statistics
from kaizen_mm.layers.dynamic_conv import DynamicLayer
from kaizen_mm.layers.iterate_statistics import IterateStatistics
from kaizen_mm.models.mf_unit import CONV

_AVERAGE = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
_MAXIMUM = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class RecurrentMFUnit(AdaptiveRecurrentBlock):
    """A recurrent :class:`~kaizen_mm.models.mfnet.MFUnit` that can be scripted."""

    def __prepare_scriptable__(self) -> nn.Module:
        return ScriptableUnit(self)


class RecurrentTail(PerIterate):
    """What follows the recurrent unit; can be scripted."""

    def __prepare_scriptable__(self) -> nn.Module:
        return ScriptableTail(self)


class ScriptableTail(nn.Module):
    """:class:`RecurrentTail` for TorchScript."""

    def __init__(self, tail: RecurrentTail):
        super().__init__()
        self.iterates = _per_iterate(tail.wrapped, tail.num_iterations)

    def forward(self, iterates: List[Tensor]) -> List[Tensor]:
        outputs: List[Tensor] = []
        for i, tail in enumerate(self.iterates):
            outputs.append(tail(iterates[i]))
        return outputs


class ScriptableUnit(nn.Module):
    """:class:`RecurrentMFUnit` for TorchScript: eq. 1 and 2 written out.

    Shape:
        ``[N, C, ...]``; result: list of K tensors.
    """

    def __init__(self, block: RecurrentMFUnit):
        super().__init__()
        self.units = _per_iterate(block.wrapped, block.num_iterations)
        self.adapter = _Adapter(block.adapter) if block.num_iterations > 1 else None

    def forward(self, u: Tensor) -> List[Tensor]:
        u, shortcut, activated = self.units[0].prepare(u)
        base = self.units[0].conv_i1.conv(activated)  # the same in each iterate
        increments: List[Tensor] = []
        outputs: List[Tensor] = []
        for i, unit in enumerate(self.units):
            y = base
            if self.adapter is not None and i > 0:
                y = self.adapter.layer1(y, activated, increments[0])
            narrow = unit.conv_i2.relu(unit.conv_i2.bn(y))
            y = unit.conv_i2.conv(narrow)
            if self.adapter is not None and i > 0:
                y = self.adapter.layer2(y, narrow, increments[1])
            z = unit.conv_m2(unit.conv_m1(u + y))
            outputs.append(z + shortcut)
            if self.adapter is not None and i + 1 < len(self.units):
                changes = self.adapter(z)
                if i > 0:
                    changes = [increments[0] + changes[0], increments[1] + changes[1]]
                increments = changes
        return outputs


class _Adapter(nn.Module):
    """``h`` for the two convolutions of a multiplexer."""

    def __init__(self, adapter: WeightAdapter):
        super().__init__()
        dims = len(adapter.pool_kernel)
        self.average = _AVERAGE[dims](adapter.pool_kernel, adapter.pool_stride)
        self.maximum = _MAXIMUM[dims](adapter.pool_kernel, adapter.pool_stride)
        self.margin = [p for padding in reversed(adapter.pool_padding) for p in (padding, padding)]
        self.by_channel = adapter.row_layout == 'channel'
        self.layer1, self.layer2 = (
            _PointIncrement(linear, shape, adapter)
            for linear, shape in zip(adapter.linears, adapter.weight_shapes.values()))

    def forward(self, z: Tensor) -> List[Tensor]:
        average = self.average(F.pad(z, self.margin)).flatten(2)
        maximum = self.maximum(F.pad(z, self.margin, value=-math.inf)).flatten(2)
        # [N, C, positions] twice -> [N, values]
        if self.by_channel:
            pooled = torch.stack([average, maximum], dim=2).flatten(1)
        else:
            pooled = torch.cat([average, maximum], dim=1).flatten(1)
        return [self.layer1.change(pooled), self.layer2.change(pooled)]


class _PointIncrement(nn.Module):
    """The increment of one 1x1(x1) convolution: ``[N, R, F]`` of low rank, else ``[N, R, C]``."""

    def __init__(self, linear: nn.Linear, shape, adapter: WeightAdapter):
        super().__init__()
        self.linear = linear
        self.rows = shape[0] if adapter.shared_rows else 1
        self.shape = (-1, shape[0], shape[1])
        self.alpha, self.low_rank, self.bounded = adapter.alpha, adapter.low_rank, adapter.bound is not None

    def change(self, pooled: Tensor) -> Tensor:
        """What one iterate adds: ``[N, values] -> [N, R, ...]``."""
        rows = pooled.reshape(pooled.shape[0], self.rows, -1)
        if self.low_rank:
            if self.linear.bias is not None:
                rows = torch.cat([rows, torch.ones_like(rows[:, :, :1])], dim=2)
            return rows
        change = self.linear(rows).reshape(self.shape)
        return change.tanh() if self.bounded else change

    def forward(self, y: Tensor, x: Tensor, increment: Tensor) -> Tensor:
        """``y + alpha * dW x``, x and y being the convolution's input and output."""
        projected = x.flatten(2)  # [N, C, S]
        if self.low_rank:
            basis = self.linear.weight
            if self.linear.bias is not None:
                basis = torch.cat([basis, self.linear.bias[:, None]], dim=1)
            projected = torch.matmul(basis.t(), projected)  # [N, F, S]
        return torch.baddbmm(y.flatten(2), increment, projected, alpha=self.alpha).reshape(y.shape)


def _per_iterate(module: nn.Module, num_iterations: int) -> nn.ModuleList:
    """One copy for each iterate; parameters are shared, norms have that iterate's statistics."""
    copies = nn.ModuleList()
    for i in range(num_iterations):
        with iterate_statistics(module, i):
            copies.append(_shallow_copy(module))
    return copies


def _shallow_copy(module: nn.Module) -> nn.Module:
    twin = copy.copy(module)
    twin.__dict__['_buffers'] = dict(module._buffers)
    twin.__dict__['_modules'] = {name: _shallow_copy(child) for name, child in module.named_children()
                                 if not isinstance(child, IterateStatistics)}
    if isinstance(module, DynamicLayer):
        twin.__class__ = CONV[len(module.kernel_size)]
    return twin
