"""MFNet's recurrent unit and tail.

They know their parts, so that the recurrence is plain calls, with the increments and the index of the
iterate passed along. The same code runs in Python, under ``torch.compile`` and ``torch.export``, and as
TorchScript, which takes the number of iterations at the time of scripting.
"""

import math
from typing import TYPE_CHECKING, List, Optional, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate
from kaizen_mm.layers.exchanged_class import exchange_class
from kaizen_mm.layers.increments import forming_is_cheaper
from kaizen_mm.layers.iterate_statistics import make_norms_indexed, normalized, restore_iterate_statistics
from kaizen_mm.models.mf_unit import MFUnit, NormActConv


class RecurrentMFUnit(AdaptiveRecurrentBlock):
    """A recurrent :class:`~kaizen_mm.models.mf_unit.MFUnit`: ``f`` is its two 1x1(x1) convolutions, ``h`` reads
    ``conv_m2``.

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
            exchange_class(part, IndexedNormActConv)
        if 'adapter' in self._modules:
            exchange_class(unit.conv_i2, IndexedNormActDynamicConv)
        self._forms_weights = self._cheaper_formed()

    def _cheaper_formed(self) -> List[bool]:
        """Whether ``dW_n = P_n A^T`` itself takes fewer multiply-adds than ``P_n (A^T x)``, by dynamic layer; the first
        one's ``A^T x`` serves all iterates."""
        if 'adapter' not in self._modules or not self.adapter.low_rank:
            return [False, False]
        positions, later = math.prod(self.adapter.feedback_shape[1:]), self.num_iterations - 1
        cheaper = []
        for linear, times in zip(self.adapter.linears, (later, 1)):
            sizes = linear.rows, linear.out_features, linear.in_features, positions
            cheaper.append(forming_is_cheaper(*sizes, iterates=times))
        return cheaper

    def __prepare_scriptable__(self):
        make_norms_indexed(self.wrapped)  # those that have been exchanged for others and back
        return self

    def forward(self, u):
        if not torch.jit.is_scripting():
            restore_iterate_statistics(self.wrapped)
            if self.given is not None:
                return (self._given_pass(u),)
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
        seen = activated if self._takes_input(0) else conv.project(activated, self.adapter.linears[0].basis())
        return [u, shortcut, conv(activated), seen]

    def _initial(self) -> List[Tensor]:
        none: List[Tensor] = []
        return none

    def _iterate(
        self, index: int, increments: List[Tensor], more: bool, prepared: List[Tensor]
    ) -> Tuple[Tensor, Tensor]:
        u, shortcut, y, seen = prepared
        unit = self.wrapped
        scale = self.adapter.alpha if self.adapter.low_rank else 1.0
        if index > 0:
            y = unit.conv_i1.conv.mix(y, self._rows(0, increments[0]), seen, scale)
            # by name: torch's module tracker, and so its counter, fails on parameters as inputs without gradients
            y = unit.conv_i2(y, index, self._rows(1, increments[1]), basis=self._basis(), scale=scale)
        else:
            y = unit.conv_i2(y, index)
        z = unit.conv_m2(unit.conv_m1(u + y, index=index), index=index)
        return z + shortcut, z

    # The convolutions are of points, so that without low rank dW is P and the convolution's input A^T x.

    def _takes_input(self, layer: int) -> bool:
        """Whether the rows of :meth:`_rows` are multiplied with the layer's input ``x``, not with ``A^T x``."""
        return not self.adapter.low_rank or self._forms_weights[layer]

    def _basis(self) -> Optional[Tensor]:
        """``A`` of the second layer, where its rows are multiplied with ``A^T x``."""
        return None if self._takes_input(1) else self.adapter.linears[1].basis()

    def _rows(self, layer: int, increment: Tensor) -> Tensor:
        """``P_n``, or ``dW_n`` before ``alpha`` where that is cheaper."""
        if not self._forms_weights[layer]:
            return increment
        if layer == 0:
            return increment @ self.adapter.linears[0].basis().t()
        return increment @ self.adapter.linears[1].basis().t()

    def _next(self, increments: List[Tensor], z: Tensor) -> List[Tensor]:
        changes = self.adapter.changes(z)
        if len(increments) == 0:
            return changes
        return [increments[0] + changes[0], increments[1] + changes[1]]

    def _as_increments(self, increments):
        return [none.plus(increment) for none, increment in zip(self.adapter.initial(), increments)]


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
        exchange_class(tail, IndexedNormAct)

    def __prepare_scriptable__(self):
        make_norms_indexed(self.wrapped)
        return self

    def forward(self, iterates: List[Tensor], last_only: bool = False):  # type: ignore[override]
        if not torch.jit.is_scripting():
            restore_iterate_statistics(self.wrapped)
        first = 0
        if not torch.jit.is_scripting():
            first = self.first_iterate
        outputs: List[Tensor] = []
        for i in range(len(iterates)):
            if not last_only or i + 1 == len(iterates):
                outputs.append(self.wrapped(iterates[i], index=first + i))
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


class IndexedNormActDynamicConv(IndexedNormActConv):
    """The same with a dynamic convolution, called with the increment of an iterate as well."""

    def forward(
        self,
        x: Tensor,
        index: int = 0,
        rows: Optional[Tensor] = None,
        basis: Optional[Tensor] = None,
        scale: float = 1.0,
    ) -> Tensor:
        x = self.activated(x, index)
        y = self.conv(x)
        if rows is not None:
            y = self.conv.mix(y, rows, x if basis is None else self.conv.project(x, basis), scale)
        return y


class IndexedNormAct(nn.Sequential):
    """Batch norm and ReLU, called with the index of an iterate."""

    if TYPE_CHECKING:
        bn: nn.Module
        relu: nn.Module

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        if torch.jit.is_scripting():
            return self.relu(self.bn(x, index=index))
        else:
            return self.relu(normalized(self.bn, x, index))
