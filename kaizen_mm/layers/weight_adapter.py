"""The weight adapter ``h`` of eq. 2 (Battash & Wolf, arXiv:1910.11105): from a block's activations to new weights.

:class:`WeightAdapter` is what every kind has in common. The kinds are one file each
(:mod:`~kaizen_mm.layers.paper_adapter`, :mod:`~kaizen_mm.layers.global_adapter`) and have their names in
:mod:`kaizen_mm.layers.adapters`.
"""

import math
from typing import Any, List, Mapping, Sequence, Union

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_number, check_shape
from kaizen_mm.layers.increments import DenseIncrement, LowRankIncrement

FEEDBACK_LAYOUTS = ('channels_first', 'channels_last')
MAX_WEIGHTS = 10**8  # of one h: more than most networks have, so that it must be a slip


class IncrementLinear(nn.Linear):
    """The linear layer of ``h`` for one dynamic layer, whose weight is ``A`` of ``dW_n = alpha * P_n A^T``.

    Args:
        columns: Values per row.
        rows: How many rows share the layer.
        shape: Of the dynamic layer's weight.
        bias: Whether there is one.
        low_rank: Whether the increment is left as ``P_n``.
        bounded: Whether ``tanh`` bounds it; not with ``low_rank``.
    """

    def __init__(self, columns: int, rows: int, shape: Sequence[int], bias: bool, low_rank: bool, bounded: bool):
        super().__init__(columns, math.prod(shape) // rows, bias)
        self.rows, self.shape, self.low_rank, self.bounded = rows, [-1, *shape], low_rank, bounded

    def change(self, pooled: Tensor) -> Tensor:
        """What one iterate adds, before ``alpha``: of ``[N, values]`` the rows ``P``, ``[N, R, F]``, where it is of low
        rank, else ``dW`` itself, ``[N, *shape]``."""
        rows = pooled.reshape(-1, self.rows, self.in_features)
        if self.low_rank:
            if self.bias is not None:
                rows = torch.cat([rows, torch.ones_like(rows[:, :, :1])], dim=2)
            return rows
        change = self(rows).reshape(self.shape)
        return torch.tanh(change) if self.bounded else change

    def basis(self) -> Tensor:
        """``A`` of shape ``[fan_in, F]``, the bias as one more column."""
        if self.bias is None:
            return self.weight
        return torch.cat([self.weight, self.bias[:, None]], dim=1)


class WeightAdapter(nn.Module):
    """What all kinds of ``h`` have in common; :func:`~kaizen_mm.layers.build_adapter` builds one by its name.

    A kind fills ``linears`` with an :class:`IncrementLinear` per dynamic layer where its increments are of low rank. It
    says by :meth:`check_map` and ``any_size`` which feedback maps it takes, and by :meth:`changes_of_map` what it makes
    of them. These methods must work in TorchScript where the block is to.

    Args:
        feedback_shape: Shape ``(C, *spatial)`` of one sample's feedback map ``z``; ``(C,)`` for a vector.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        alpha: Step size of eq. 2.
        feedback_layout: ``'channels_first'`` (default) for maps ``[N, C, *spatial]``, or
            ``'channels_last'`` for tokens ``[N, L, C]`` and maps ``[N, *spatial, C]``.
        low_rank: Whether the increments are ``alpha P_n A^T``. Default True.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    __constants__ = ['any_size']  # for TorchScript
    any_size = False  # whether it takes maps of any size

    def __init__(
        self,
        feedback_shape: Sequence[int],
        weight_shapes: Mapping[str, Sequence[int]],
        alpha: float,
        feedback_layout: str = 'channels_first',
        low_rank: bool = True,
    ):
        super().__init__()
        check_choice('feedback_layout', feedback_layout, FEEDBACK_LAYOUTS)
        check_number('alpha', alpha)
        if not isinstance(weight_shapes, Mapping) or not weight_shapes:
            raise ValueError(
                f'weight_shapes must map the name of at least one dynamic layer to its shape, got {weight_shapes!r}'
            )
        self.feedback_shape = check_shape('feedback_shape', feedback_shape, '(C, *spatial) of one sample')
        self._sizes = list(self.feedback_shape)  # TorchScript compares no tuples with shapes
        self.weight_shapes = {
            name: check_shape(f'weight_shapes[{name!r}]', shape, 'one per dimension')
            for name, shape in weight_shapes.items()
        }
        self.alpha, self.feedback_layout, self.low_rank = float(alpha), feedback_layout, low_rank
        self.linears: Any = nn.ModuleList()  # A of each layer, in the order of weight_shapes

    def initial(self, num_iterations: int = 2) -> List[Union[LowRankIncrement, DenseIncrement]]:
        """The increments of the first of ``num_iterations`` iterates (none yet), one per dynamic layer."""
        if self.low_rank:
            later = num_iterations - 1
            return [LowRankIncrement(None, linear.basis(), self.alpha, later) for linear in self.linears]
        return [DenseIncrement(None) for _ in self.weight_shapes]

    def update(self, increments: Sequence, z: Tensor) -> List:
        """Eq. 2: the increments of the next iterate.

        Args:
            increments: Those of this iterate, one per dynamic layer.
            z: As for :meth:`changes`.

        Raises:
            ValueError: As from :meth:`changes`.
        """
        return [increment.plus(change) for increment, change in zip(increments, self.changes(z))]

    def changes(self, z: Tensor) -> List[Tensor]:
        """``h(z)``: what an iterate adds to the increment of each dynamic layer; works in TorchScript.

        Args:
            z: This iterate's feedback map, shape ``[N, C, *spatial]``, or ``[N, *spatial, C]`` with
                ``feedback_layout='channels_last'``.

        Returns:
            For each layer the rows ``P`` of :class:`~kaizen_mm.layers.increments.LowRankIncrement`, or ``alpha * dW``
            where the update is not of low rank.

        Raises:
            ValueError: ``z`` is not of ``feedback_shape``, or not of real floating-point numbers.
        """
        if not z.is_floating_point():
            raise ValueError(f'the feedback map must be of real floating-point numbers, got {z.dtype}')
        if self.feedback_layout == 'channels_last':
            z = z.movedim(-1, 1)
        if not torch.jit.is_tracing():
            # in TorchScript a shape is a list
            self.check_map(z.shape[1:])  # type: ignore[arg-type]
        return self.changes_of_map(z)

    def check_map(self, shape: List[int]) -> None:
        """Raises ValueError unless one sample's map, of shape ``(C, *spatial)``, is one that this ``h`` takes."""
        if self.any_size:
            check_channels(shape, self._sizes)
        elif list(shape) != self._sizes:
            given, own = ', '.join([str(s) for s in shape]), ', '.join([str(s) for s in self._sizes])
            raise ValueError(
                f'the feedback map has shape ({given}) per sample, but the adapter was built for '
                f'({own}); build the network for the input size that it gets'
            )

    def changes_of_map(self, z: Tensor) -> List[Tensor]:
        """:meth:`changes` of a map ``[N, C, *spatial]`` that has been checked."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f'feedback_shape={self.feedback_shape}, alpha={self.alpha}, feedback_layout={self.feedback_layout!r}'


def check_channels(shape: List[int], sizes: List[int]) -> None:
    """Raises ValueError unless a map of ``shape`` has the channels of one of ``sizes``, whatever its other sizes."""
    if shape[0] != sizes[0]:
        raise ValueError(f'the feedback map has {shape[0]} channels, but the adapter was built for {sizes[0]}')


def check_weights(count: int, others: str) -> None:
    """Raises ValueError where an ``h`` would have more than :data:`MAX_WEIGHTS` weights, before any is allocated.

    Args:
        count: How many it would have.
        others: What could be chosen in its place, for the error.
    """
    if count > MAX_WEIGHTS:
        raise ValueError(
            f'the adapter would have {count:,} weights, and must have at most {MAX_WEIGHTS:,}; take {others}'
        )
