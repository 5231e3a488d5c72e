"""MFNet's recurrent unit and tail.

They know their parts, so that the recurrence is plain calls, with the increments and the index of the
iterate passed along. The same code runs in Python, under ``torch.compile`` and ``torch.export``, and as
TorchScript, which takes the number of iterations at the time of scripting.
"""
from typing import List, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate
from kaizen_mm.layers.iterate_statistics import make_norms_indexed, normalized, restore_iterate_statistics
from kaizen_mm.models.mf_unit import MFUnit, NormActConv


class RecurrentMFUnit(AdaptiveRecurrentBlock):
    """A recurrent :class:`~kaizen_mm.models.mf_unit.MFUnit`: ``f`` is its two 1x1(x1) convolutions, ``h`` reads ``conv_m2``.

    Args:
        unit: The unit; changed in place.
        kwargs: ``feedback_shape``, ``num_iterations`` and so on, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`.

    Shape:
        ``[N, C, ...]``; output a tuple of ``num_iterations`` maps, in TorchScript a list.
    """

    def __init__(self, unit: MFUnit, **kwargs):
        super().__init__(unit, dynamic=('conv_i1.conv', 'conv_i2.conv'), feedback='conv_m2', **kwargs)
        make_norms_indexed(unit)
        for part in unit.children():
            part.__class__ = IndexedNormActConv

    def __prepare_scriptable__(self):
        make_norms_indexed(self.wrapped)  # those that have been exchanged for others and back
        return self

    def forward(self, u):
        if not torch.jit.is_scripting():
            restore_iterate_statistics(self.wrapped)
        if hasattr(self, 'adapter'):
            outputs = self._iterates(self._prepare(u))
        else:
            outputs = [self.wrapped(u)]
        if torch.jit.is_scripting():
            return outputs
        else:
            return tuple(outputs)

    def _prepare(self, u: Tensor) -> List[Tensor]:
        """What all iterates share. The first convolution always sees the same input."""
        u, shortcut, activated = self.wrapped.prepare(u)
        conv = self.wrapped.conv_i1.conv
        projected = conv.project(activated, self.adapter.linears[0].basis()) if self.adapter.low_rank else activated
        return [u, shortcut, conv(activated), projected]

    def _initial(self) -> List[Tensor]:
        none: List[Tensor] = []
        return none

    def _iterate(self, index: int, increments: List[Tensor], more: bool, prepared: List[Tensor]) -> Tuple[Tensor, Tensor]:
        u, shortcut, y, projected = prepared
        unit = self.wrapped
        adapter = self.adapter
        scale = adapter.alpha if adapter.low_rank else 1.0
        if index > 0:
            y = unit.conv_i1.conv.mix(y, increments[0], projected, scale)
        narrow = unit.conv_i2.activated(y, index)
        y = unit.conv_i2.conv(narrow)
        if index > 0:  # the convolution of a point: without low rank dW is P and its input A^T * x
            projected = unit.conv_i2.conv.project(narrow, adapter.linears[1].basis()) if adapter.low_rank else narrow
            y = unit.conv_i2.conv.mix(y, increments[1], projected, scale)
        z = unit.conv_m2(unit.conv_m1(u + y, index=index), index=index)
        return z + shortcut, z

    def _next(self, increments: List[Tensor], z: Tensor) -> List[Tensor]:
        changes = self.adapter.changes(z)
        if len(increments) == 0:
            return changes
        return [increments[0] + changes[0], increments[1] + changes[1]]

    def _remember(self, increments):
        super()._remember([none.plus(increment) for none, increment in zip(self.adapter.initial(), increments)])


class RecurrentTail(PerIterate):
    """What follows the recurrent unit: batch norm and ReLU.

    Args:
        tail: A sequence of ``bn`` and ``relu``; changed in place.
        num_iterations, norm_statistics: As of :class:`~kaizen_mm.layers.PerIterate`.

    Shape:
        K maps; output a tuple of K maps, or of the last one alone with ``last_only``; in TorchScript lists.
    """

    def __init__(self, tail: nn.Sequential, num_iterations: int, norm_statistics: str):
        super().__init__(tail, num_iterations, norm_statistics)
        make_norms_indexed(tail)
        tail.__class__ = IndexedNormAct

    def __prepare_scriptable__(self):
        make_norms_indexed(self.wrapped)
        return self

    def forward(self, iterates: List[Tensor], last_only: bool = False):
        if not torch.jit.is_scripting():
            restore_iterate_statistics(self.wrapped)
        outputs: List[Tensor] = []
        for i in range(len(iterates)):
            if not last_only or i + 1 == len(iterates):
                outputs.append(self.wrapped(iterates[i], index=i))
        if torch.jit.is_scripting():
            return outputs
        else:
            return tuple(outputs)


class IndexedNormActConv(NormActConv):
    """:class:`~kaizen_mm.models.mf_unit.NormActConv`, called with the index of an iterate."""

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        return self.conv(self.activated(x, index))

    def activated(self, x: Tensor, index: int) -> Tensor:
        """What the convolution sees."""
        if torch.jit.is_scripting():
            return self.relu(self.bn(x, index=index))
        else:
            return self.relu(normalized(self.bn, x, index))


class IndexedNormAct(nn.Sequential):
    """Batch norm and ReLU, called with the index of an iterate."""

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        if torch.jit.is_scripting():
            return self.relu(self.bn(x, index=index))
        else:
            return self.relu(normalized(self.bn, x, index))
