"""The weight adapter ``h``: from a block's activations to new weights of that block.

Battash & Wolf, arXiv:1910.11105, sections 3 and 4.2: the feedback map ``z`` is pooled with
max and with average, the results are concatenated and vectorized, and one linear layer per
dynamic layer gives the increment of its weight.

On convolutional blocks that linear layer is *shared by the rows* (output channels) of the
weight: row ``j`` of the increment is ``A p_j``, ``p_j`` being the share of the pooled values
that falls to row j. With ``shared_rows=False`` it is one full layer from all pooled values
to all weights, as in the paper's MNIST network.

``adapter='global'`` chooses another ``h``, which fits any layer and any size of input
(:mod:`kaizen_mm.layers.global_adapter`).
"""

import math
from typing import Any, List, Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_flag, check_number, check_shape, is_int
from kaizen_mm.layers.global_adapter import GlobalRows
from kaizen_mm.layers.increments import DenseIncrement, LowRankIncrement
from kaizen_mm.layers.pooling import average_windows, channels_last_on_cpu, maximum_windows

_BOUNDS = (None, 'tanh')
_ROW_LAYOUTS = ('channel', 'concatenated')
_ALPHA = {'paper': 1e-3, 'global': 1.0}  # the adapters and their step sizes
FEEDBACK_LAYOUTS = ('channels_first', 'channels_last')


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
    """``h`` of eq. 2: predicts the weight increments of a block's dynamic layers.

    Args:
        feedback_shape: Shape ``(C, *spatial)`` of one sample's feedback map ``z``; ``(C,)`` for a vector. Maps of
            another shape are refused; with ``adapter='global'`` those of other channels alone, and ``spatial`` may be
            left out.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        adapter: ``'paper'`` (default), or ``'global'``: ``z`` is pooled over all positions, average and maximum, a
            bottleneck turns the ``2 C`` values into the rows ``P_n`` of each layer, and the increment is
            ``alpha P_n A^T``. Every row sees every channel, and rows, size of the input and length of the clip may be
            any. ``A`` starts at zero: at first all iterates are the plain network exactly, and ``h`` trains with the
            optimizer and the rate of the rest. It has, for each layer,
            ``(2 C + 1) hidden + (hidden + 1) rows rank + fan_in rank`` parameters. Of the arguments below it takes
            ``alpha``, ``feedback_layout``, ``hidden`` and ``rank``.
        alpha: Step size of eq. 2. None (default) for 1e-3, as in the paper, and for 1 with ``adapter='global'``.
        pool_kernel, pool_stride, pool_padding: Of the parallel max and average pooling, in
            pixels (and frames); an int or one value per spatial dimension. ``pool_kernel=None``
            (default) takes ``z`` as it is. Padded zeros count in the average.
        feedback_layout: ``'channels_first'`` (default) for maps ``[N, C, *spatial]``, or
            ``'channels_last'`` for tokens ``[N, L, C]`` and maps ``[N, *spatial, C]``.
        shared_rows: One linear layer shared by the rows of the weight (default), or one full
            layer to all weights.
        row_layout: How pooled values are laid into rows. ``'channel'`` (default): row j gets
            the statistics, average first, of its own share of the channels.
            ``'concatenated'``: average and max are concatenated on channels and then cut
            into rows, as the authors' released ResNet-20 does.
        bias: Whether the linear layers have a bias. Default False.
        bound: ``'tanh'`` bounds the increment before ``alpha``; None (default) does not.
        hidden, rank: With ``adapter='global'``: width of the bottleneck and rank of the increment. Defaults from the
            layer's size, see :class:`~kaizen_mm.layers.global_adapter.GlobalRows`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        feedback_shape: Sequence[int],
        weight_shapes: Mapping[str, Sequence[int]],
        *,
        adapter: str = 'paper',
        alpha: Optional[float] = None,
        pool_kernel: Union[int, Sequence[int], None] = None,
        pool_stride: Union[int, Sequence[int]] = 1,
        pool_padding: Union[int, Sequence[int]] = 0,
        feedback_layout: str = 'channels_first',
        shared_rows: bool = True,
        row_layout: str = 'channel',
        bias: bool = False,
        bound: Optional[str] = None,
        hidden: Optional[int] = None,
        rank: Optional[int] = None,
    ):
        super().__init__()
        check_choice('adapter', adapter, tuple(_ALPHA))
        check_choice('bound', bound, _BOUNDS)
        check_choice('feedback_layout', feedback_layout, FEEDBACK_LAYOUTS)
        check_choice('row_layout', row_layout, _ROW_LAYOUTS)
        alpha = _ALPHA[adapter] if alpha is None else alpha
        check_number('alpha', alpha)
        check_flag('shared_rows', shared_rows)
        check_flag('bias', bias)
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
        self.adapter, self.alpha = adapter, float(alpha)
        self.feedback_layout = feedback_layout
        self.shared_rows, self.row_layout, self.bound = shared_rows, row_layout, bound
        self.low_rank = shared_rows and bound is None
        self.linears: Any = nn.ModuleList()  # A of each layer, in the order of weight_shapes
        self.global_rows: Optional[GlobalRows] = None
        if adapter == 'global':
            _check_left(
                'adapter is "global"',
                pool_kernel=(pool_kernel, None),
                pool_stride=(pool_stride, 1),
                pool_padding=(pool_padding, 0),
                shared_rows=(shared_rows, True),
                row_layout=(row_layout, 'channel'),
                bias=(bias, False),
                bound=(bound, None),
            )
            self._build_global(hidden, rank)
        else:
            _check_left('adapter is "paper"', hidden=(hidden, None), rank=(rank, None))
            self._build(pool_kernel, pool_stride, pool_padding, bias)

    def _build_global(self, hidden, rank):
        self.global_rows = GlobalRows(self.feedback_shape[0], self.weight_shapes, hidden, rank)
        for columns, shape in zip(self.global_rows.ranks, self.weight_shapes.values()):
            self.linears.append(IncrementLinear(columns, shape[0], shape, bias=False, low_rank=True, bounded=False))
            nn.init.zeros_(self.linears[-1].weight)

    def _build(self, pool_kernel, pool_stride, pool_padding, bias):
        dims = len(self.feedback_shape) - 1
        if dims == 0 and pool_kernel is not None:
            raise ValueError(f'pool_kernel must be None for a feedback vector, got {pool_kernel!r}')
        for argument, value, default in (('pool_stride', pool_stride, 1), ('pool_padding', pool_padding, 0)):
            if pool_kernel is None and not (is_int(value) and value == default):
                raise ValueError(f'{argument} must be left at {default} without a pool_kernel, got {value!r}')
        self.pool_kernel = self._per_dim('pool_kernel', pool_kernel, dims)
        self.pool_stride = self._per_dim('pool_stride', pool_stride, dims)
        self.pool_padding = self._per_dim('pool_padding', pool_padding, dims)
        if self.pool_kernel is not None:
            self._kernel, self._stride = list(self.pool_kernel), list(self.pool_stride)  # TorchScript takes lists
            self._padded = any(self.pool_padding)
            self._margin = [p for padding in reversed(self.pool_padding) for p in (padding, padding)]
        positions = math.prod(self._pooled_size())
        per_position = self.feedback_shape[0] * (1 if self.pool_kernel is None else 2)
        values = per_position * positions

        for name, shape in self.weight_shapes.items():
            rows = shape[0] if self.shared_rows else 1
            if values % rows:
                raise ValueError(
                    f'layer {name!r} has {rows} rows (output channels), which do not divide the '
                    f'{values} pooled values of a feedback map of shape {self.feedback_shape}; choose a pooling that '
                    f'leaves a multiple of {rows // math.gcd(rows, per_position)} positions, not {positions}, or set '
                    f'shared_rows=False'
                )
            self.linears.append(
                IncrementLinear(values // rows, rows, shape, bias, self.low_rank, self.bound is not None)
            )

    def _per_dim(self, argument, value, dims):
        if value is None and argument == 'pool_kernel':
            return None
        sizes = (value,) * dims if is_int(value) else value
        low = 0 if argument == 'pool_padding' else 1
        if (
            not isinstance(sizes, (tuple, list))
            or len(sizes) != dims
            or not all(is_int(s) and low <= s < 2**31 for s in sizes)
        ):
            raise ValueError(
                f'{argument} must be an int >= {low} or {dims} of them, one per spatial '
                f'dimension of the feedback map, got {value!r}'
            )
        return tuple(sizes)

    def _pooled_size(self) -> tuple:
        spatial = self.feedback_shape[1:]
        if self.pool_kernel is None:
            return spatial
        if any(2 * p > k for p, k in zip(self.pool_padding, self.pool_kernel)):
            raise ValueError(
                f'pool_padding must be at most half of pool_kernel {self.pool_kernel}, got {self.pool_padding}'
            )
        size = tuple(
            (s + 2 * p - k) // t + 1
            for s, k, t, p in zip(spatial, self.pool_kernel, self.pool_stride, self.pool_padding)
        )
        if min(size) < 1:
            raise ValueError(
                f'pool_kernel {self.pool_kernel} with pool_padding {self.pool_padding} does '
                f'not fit into a feedback map of size {spatial}; use a larger input, a '
                'smaller pool_kernel or a larger pool_padding'
            )
        return size

    def initial(self, num_iterations: int = 2) -> List[Union[LowRankIncrement, DenseIncrement]]:
        """The increments of the first of ``num_iterations`` iterates (none yet), one per dynamic layer."""
        if self.low_rank:
            later = num_iterations - 1
            return [LowRankIncrement(None, linear.basis(), self.alpha, later) for linear in self.linears]
        return [DenseIncrement(None) for _ in self.linears]

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
            ValueError: ``z`` is not of ``feedback_shape``.
        """
        if self.feedback_layout == 'channels_last':
            z = z.movedim(-1, 1)
        if not torch.jit.is_tracing():
            # in TorchScript a shape is a list
            self._check(z.shape[1:])  # type: ignore[arg-type]
        if self.global_rows is not None:
            return self.global_rows(z)
        else:
            pooled = self._pool(z)
            changes: List[Tensor] = []
            for linear in self.linears:
                change = linear.change(pooled)
                changes.append(change if self.low_rank else self.alpha * change)
            return changes

    def _check(self, shape: List[int]) -> None:
        if self.adapter == 'global':
            if shape[0] != self._sizes[0]:
                raise ValueError(
                    f'the feedback map has {shape[0]} channels, but the adapter was built for {self._sizes[0]}'
                )
        elif list(shape) != self._sizes:
            given, own = ', '.join([str(s) for s in shape]), ', '.join([str(s) for s in self._sizes])
            raise ValueError(
                f'the feedback map has shape ({given}) per sample, but the adapter was built for '
                f'({own}); build the network for the input size that it gets'
            )

    def _pool(self, z: Tensor) -> Tensor:
        """``[N, C, *spatial] -> [N, values]`` in row order."""
        if self.pool_kernel is None:
            return z.flatten(1)
        else:
            z = channels_last_on_cpu(z)
            low, high = z, z
            if self._padded:  # by hand: torch pads no map that is smaller than the kernel
                low, high = F.pad(z, self._margin), F.pad(z, self._margin, value=-math.inf)
            average = average_windows(low, self._kernel, self._stride)
            maximum = maximum_windows(high, self._kernel, self._stride)
            # [N, C, positions] twice -> [N, C, 2, positions] or [N, 2 C, positions]
            if self.row_layout == 'channel':
                return torch.stack([average, maximum], dim=2).flatten(1)
            return torch.cat([average, maximum], dim=1).flatten(1)

    def extra_repr(self) -> str:
        if self.global_rows is not None:
            return (
                f'feedback_shape={self.feedback_shape}, adapter={self.adapter!r}, alpha={self.alpha}, '
                f'feedback_layout={self.feedback_layout!r}'
            )
        return (
            f'feedback_shape={self.feedback_shape}, alpha={self.alpha}, '
            f'pool_kernel={self.pool_kernel}, pool_stride={self.pool_stride}, '
            f'pool_padding={self.pool_padding}, feedback_layout={self.feedback_layout!r}, '
            f'shared_rows={self.shared_rows}, row_layout={self.row_layout!r}, bound={self.bound!r}'
        )


def _check_left(reason: str, **given) -> None:
    """Raises ValueError for an argument that is given where nothing would come of it."""
    for argument, (value, default) in given.items():
        if value != default:
            raise ValueError(f'{argument} must be left at {default!r} where {reason}, got {value!r}')
