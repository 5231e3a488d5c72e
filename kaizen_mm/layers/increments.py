"""Weight increments of dynamic layers: what eq. 2 of Battash & Wolf (arXiv:1910.11105) adds to ``W_1``.

An increment whose rows share one linear map ``A`` has low rank,
``dW_n = alpha * P_n A^T``, and by linearity

    dW_n * x = alpha * P_n (A^T * x):

one convolution with ``A^T`` that all samples share, then a small matrix product
per sample. No tensor of the size of N weights is formed, except where that takes
fewer multiply-adds (:func:`forming_is_cheaper`). This holds for every kernel size,
stride, padding, dilation and number of groups.
"""

import math
from typing import TYPE_CHECKING, Optional

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kaizen_mm.layers.dynamic_conv import DynamicLayer

# torch 2.6 cannot tell a graph for export from one of torch.compile
is_exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)


def version(tensor: Tensor) -> Optional[int]:
    """How often a tensor has been changed in place; None where that cannot be known, as in inference mode and while
    ``torch.compile`` makes a graph."""
    if torch.compiler.is_dynamo_compiling() or tensor.is_inference():
        return None
    return tensor._version


def forming_is_cheaper(
    rows: int, fan_in: int, columns: int, positions: int, groups: int = 1, iterates: int = 1
) -> bool:
    """Whether ``dW_n = P_n A^T`` and its product with ``x`` take fewer multiply-adds than ``P_n (A^T * x)``.

    Args:
        rows, fan_in: R and the size of one row of the layer's weight.
        columns: F.
        positions: Of the layer's output, for one sample.
        groups: Of the layer.
        iterates: How many share one ``A^T * x``.
    """
    formed = iterates * rows * fan_in * (columns + positions)
    return formed < groups * fan_in * columns * positions + iterates * rows * columns * positions


class LowRankIncrement:
    """``dW_n = scale * rows_n @ basis^T``, with what repeated passes can reuse.

    Args:
        rows: ``P``, shape ``[N, R, F]``; R is the number of rows of the weight (output
            channels). None stands for no increment, as in the first iterate.
        basis: ``A``, shape ``[fan_in, F]``, ``fan_in`` being the size of one row of the weight.
        scale: ``alpha`` of eq. 2.
        later: How many iterates of one forward pass have an increment, ``K - 1``.
        cache: Dictionary shared by the iterates of one forward pass. When a layer sees the
            very same input tensor again, ``W_1 * x`` and ``A^T * x`` are taken from it.
    """

    def __init__(
        self, rows: Optional[Tensor], basis: Tensor, scale: float, later: int = 1, cache: Optional[dict] = None
    ):
        self.rows, self.basis, self.scale, self.later = rows, basis, scale, later
        self.cache = {} if cache is None else cache

    def plus(self, rows: Tensor) -> 'LowRankIncrement':
        """The increment of the next iterate: the same basis, rows added."""
        total = rows if self.rows is None else self.rows + rows
        return LowRankIncrement(total, self.basis, self.scale, self.later, self.cache)

    def fresh(self) -> 'LowRankIncrement':
        """The same increment with nothing to reuse."""
        return LowRankIncrement(self.rows, self.basis, self.scale)

    def snapshot(self) -> 'LowRankIncrement':
        """What :meth:`norm` needs, as it is now and without gradients."""
        assert self.rows is not None
        return LowRankIncrement(self.rows.detach(), self.basis.detach().clone(), self.scale)

    def norm(self) -> Tensor:
        """Frobenius norm of ``dW_n``, shape ``[N]``, from the factors alone."""
        assert self.rows is not None
        rows, basis = self.rows.float(), self.basis.float()
        squared = ((rows @ (basis.t() @ basis)) * rows).sum(dim=(1, 2))
        return self.scale * squared.clamp(min=0).sqrt()

    def apply(self, layer: 'DynamicLayer', x: Tensor) -> Tensor:
        """The layer's output with this increment added to its weight."""
        now = version(x)
        seen = self.cache.get('input') is x and self.cache['version'] == now
        if not seen:
            self.cache.clear()
            self.cache.update(input=x, version=now, base=layer.plain_forward(x))
        base = self.cache['base']
        if self.rows is None:
            return base.clone()  # what follows may work in place
        if self._is_formed(layer, x, base, self.later if seen else 1):
            weight = (self.rows @ self.basis.t()).reshape(-1, *layer.weight.shape)
            return torch.add(base, layer.per_sample_forward(x, weight, None), alpha=self.scale)
        rows = layer.per_input(x, self.rows)
        if 'projected' not in self.cache:
            self.cache['projected'] = layer.project(x, self.basis)
        return layer.mix(base, rows, self.cache['projected'], self.scale)

    def _is_formed(self, layer: 'DynamicLayer', x: Tensor, base: Tensor, iterates: int) -> bool:
        assert self.rows is not None
        if torch.jit.is_tracing() or is_exporting() or len(x) != len(self.rows):
            return False  # the other form takes batches of any size
        (rows, *row), positions = layer.weight.shape, base[0].numel() // len(layer.weight)
        return forming_is_cheaper(rows, math.prod(row), self.basis.shape[1], positions, layer.groups, iterates)


class DenseIncrement:
    """``dW_n`` itself, for updates that are not of low rank (a bound, or a full ``h``).

    Args:
        weight: ``dW``, shape ``[N, *layer.weight.shape]``, already scaled. None stands for
            no increment, as in the first iterate.
    """

    def __init__(self, weight: Optional[Tensor]):
        self.weight = weight

    def plus(self, weight: Tensor) -> 'DenseIncrement':
        """The increment of the next iterate."""
        return DenseIncrement(weight if self.weight is None else self.weight + weight)

    def fresh(self) -> 'DenseIncrement':
        """The same increment."""
        return self

    def snapshot(self) -> 'DenseIncrement':
        """What :meth:`norm` needs, as it is now and without gradients: the norm, in the place of N weights."""
        return DenseIncrement(self.norm().detach()[:, None])

    def norm(self) -> Tensor:
        """Frobenius norm of ``dW_n``, shape ``[N]``."""
        assert self.weight is not None
        return self.weight.float().flatten(1).norm(dim=1)

    def apply(self, layer: 'DynamicLayer', x: Tensor) -> Tensor:
        """The layer's output with this increment added to its weight."""
        if self.weight is None:
            return layer.plain_forward(x)
        return layer.per_sample_forward(x, layer.per_input(x, layer.weight + self.weight), layer.bias)
