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
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kaizen_mm.layers.dynamic_conv import DynamicLayer, Increment

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


class LowRankIncrement(Increment):
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

    low_rank = True

    def __init__(
        self, rows: Optional[Tensor], basis: Tensor, scale: float, later: int = 1, cache: Optional[dict] = None
    ):
        self.rows, self.basis, self.scale, self.later = rows, basis, scale, later
        self.cache = {} if cache is None else cache

    @property
    def is_none(self) -> bool:
        """Whether nothing is added, as in the first iterate."""
        return self.rows is None

    def plus(self, rows: Tensor) -> 'LowRankIncrement':
        """The increment of the next iterate: the same basis, rows added."""
        total = rows if self.rows is None else self.rows + rows
        return LowRankIncrement(total, self.basis, self.scale, self.later, self.cache)

    def fresh(self) -> 'LowRankIncrement':
        """The same increment with nothing to reuse."""
        return LowRankIncrement(self.rows, self.basis, self.scale)

    @property
    def per_sample(self) -> Tensor:
        """What there is for each sample: ``P``."""
        assert self.rows is not None
        return self.rows

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether it is one for a weight of this shape."""
        return self.per_sample.shape[1] == shape[0] and self.basis.shape[0] == math.prod(shape[1:])

    def mapped(self, per_sample: Callable, shared: Callable) -> 'LowRankIncrement':
        """The increment with functions applied to ``P`` and to ``A``."""
        return LowRankIncrement(per_sample(self.rows), shared(self.basis), self.scale)

    def parts(self) -> Tuple[Dict[str, Tensor], float]:
        """Its tensors by name, and ``alpha``."""
        return {'rows': self.per_sample, 'basis': self.basis}, self.scale

    @staticmethod
    def of_parts(parts: Mapping[str, Tensor], scale: float) -> 'LowRankIncrement':
        """What :meth:`parts` gives; raises KeyError where a tensor is missing."""
        return LowRankIncrement(parts['rows'], parts['basis'], scale)

    def dense(self) -> Tensor:
        """``dW_n``, shape ``[N, R, fan_in]``."""
        return self.scale * (self.per_sample @ self.basis.t())

    def cat(self, others: Sequence['LowRankIncrement']) -> 'LowRankIncrement':
        """Those of several batches, all given; raises ValueError where they do not share ``A``."""
        if not all(self._shares_basis(other) for other in others):
            raise ValueError('parts: h has been trained in between, so that they have no common A')
        return LowRankIncrement(torch.cat([other.per_sample for other in others]), self.basis, self.scale)

    def distance(self, other: 'LowRankIncrement') -> Tensor:
        """Frobenius norm of the difference, shape ``[N]``."""
        if self._shares_basis(other):
            return LowRankIncrement(self.per_sample - other.per_sample, self.basis, self.scale).norm()
        return (self.dense() - other.dense()).float().flatten(1).norm(dim=1)

    def _shares_basis(self, other: 'LowRankIncrement') -> bool:
        return self.scale == other.scale and torch.equal(self.basis, other.basis)

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

    def apply(self, layer: DynamicLayer, x: Tensor) -> Tensor:
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

    def _is_formed(self, layer: DynamicLayer, x: Tensor, base: Tensor, iterates: int) -> bool:
        assert self.rows is not None
        if torch.jit.is_tracing() or is_exporting() or len(x) != len(self.rows):
            return False  # the other form takes batches of any size
        (rows, *row), positions = layer.weight.shape, base[0].numel() // len(layer.weight)
        return forming_is_cheaper(rows, math.prod(row), self.basis.shape[1], positions, layer.groups, iterates)


class NoIncrement(Increment):
    """Nothing is added, and nothing kept for a next iterate, so that nothing is copied either."""

    is_none = True

    def apply(self, layer: DynamicLayer, x: Tensor) -> Tensor:
        """The layer's output with ``W_1``."""
        return layer.plain_forward(x)


class MergedIncrement(Increment):
    """The whole weight of a layer for a batch of one sample: ``W_1 + dW``, with which it is a plain layer.

    Args:
        weight: Of the shape of the layer's.
    """

    is_none = False

    def __init__(self, weight: Tensor):
        self.weight = weight

    @property
    def per_sample(self) -> Tensor:
        """What there is for each sample, of which there is one."""
        return self.weight[None]

    def fresh(self) -> 'MergedIncrement':
        """The same increment."""
        return self

    def apply(self, layer: DynamicLayer, x: Tensor) -> Tensor:
        """The layer's output with this weight."""
        return layer.forward_with(x, self.weight)


class DenseIncrement(Increment):
    """``dW_n`` itself, for updates that are not of low rank (a bound, or a full ``h``).

    Args:
        weight: ``dW``, shape ``[N, *layer.weight.shape]``, already scaled. None stands for
            no increment, as in the first iterate.
    """

    low_rank = False

    def __init__(self, weight: Optional[Tensor]):
        self.weight = weight

    @property
    def is_none(self) -> bool:
        """Whether nothing is added, as in the first iterate."""
        return self.weight is None

    def plus(self, weight: Tensor) -> 'DenseIncrement':
        """The increment of the next iterate."""
        return DenseIncrement(weight if self.weight is None else self.weight + weight)

    def fresh(self) -> 'DenseIncrement':
        """The same increment."""
        return self

    @property
    def per_sample(self) -> Tensor:
        """What there is for each sample: ``dW``."""
        assert self.weight is not None
        return self.weight

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether it is one for a weight of this shape."""
        return self.per_sample.shape[1:] == shape

    def mapped(self, per_sample: Callable, shared: Callable) -> 'DenseIncrement':
        """The increment with a function applied to ``dW``; nothing is shared."""
        return DenseIncrement(per_sample(self.weight))

    def parts(self) -> Tuple[Dict[str, Tensor], float]:
        """Its tensor by name; the scale is in it."""
        return {'weight': self.per_sample}, 1.0

    @staticmethod
    def of_parts(parts: Mapping[str, Tensor], scale: float) -> 'DenseIncrement':
        """What :meth:`parts` gives; raises KeyError where the tensor is missing."""
        return DenseIncrement(parts['weight'])

    def dense(self) -> Tensor:
        """``dW_n``, shape ``[N, R, fan_in]``."""
        return self.per_sample.flatten(2)

    def cat(self, others: Sequence['DenseIncrement']) -> 'DenseIncrement':
        """Those of several batches, all given."""
        return DenseIncrement(torch.cat([other.per_sample for other in others]))

    def distance(self, other: 'DenseIncrement') -> Tensor:
        """Frobenius norm of the difference, shape ``[N]``."""
        return (self.per_sample - other.per_sample).float().flatten(1).norm(dim=1)

    def snapshot(self) -> 'DenseIncrement':
        """What :meth:`norm` needs, as it is now and without gradients: the norm, in the place of N weights."""
        return DenseIncrement(self.norm().detach()[:, None])

    def norm(self) -> Tensor:
        """Frobenius norm of ``dW_n``, shape ``[N]``."""
        assert self.weight is not None
        return self.weight.float().flatten(1).norm(dim=1)

    def apply(self, layer: DynamicLayer, x: Tensor) -> Tensor:
        """The layer's output with this increment added to its weight."""
        if self.weight is None:
            return layer.plain_forward(x)
        return layer.per_sample_forward(x, layer.per_input(x, layer.weight + self.weight), layer.bias)
