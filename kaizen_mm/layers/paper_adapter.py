"""The paper's weight adapter.

Battash & Wolf, arXiv:1910.11105, sections 3 and 4.2. The feedback map ``z`` is pooled with max and with average, and
the results are concatenated and vectorized. One linear layer per dynamic layer gives the increment of its weight.

On convolutional blocks that linear layer is *shared by the rows* (output channels) of the
weight: row ``j`` of the increment is ``A p_j``, ``p_j`` being the share of the pooled values
that falls to row j. With ``shared_rows=False`` it is one full layer from all pooled values
to all weights, as in the paper's MNIST network.
"""

import math
from typing import List, Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from kaizen_mm.arguments import check_choice, check_flag, is_int
from kaizen_mm.layers.nearest_pooling import Pooling, nearest_pooling
from kaizen_mm.layers.pooling import average_windows, channels_last_on_cpu, maximum_windows
from kaizen_mm.layers.weight_adapter import MAX_WEIGHTS, IncrementLinear, WeightAdapter, check_weights

_BOUNDS = (None, 'tanh')
_ROW_LAYOUTS = ('channel', 'concatenated')


class PaperAdapter(WeightAdapter):
    """``adapter='paper'``: rows of the pooled map, one linear layer for each dynamic layer.

    Args:
        feedback_shape: Shape ``(C, *spatial)`` of one sample's feedback map ``z``; ``(C,)`` for a vector. Maps of
            another shape are refused.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        alpha: Step size of eq. 2. Default 1e-3, as in the paper.
        feedback_layout: See :class:`~kaizen_mm.layers.WeightAdapter`.
        pool_kernel, pool_stride, pool_padding: Of the parallel max and average pooling, in
            pixels (and frames); an int or one value per spatial dimension. ``pool_kernel=None``
            (default) takes ``z`` as it is. Padded zeros count in the average.
        shared_rows: One linear layer shared by the rows of the weight (default), or one full
            layer to all weights.
        row_layout: How pooled values are laid into rows. ``'channel'`` (default): row j gets
            the statistics, average first, of its own share of the channels.
            ``'concatenated'``: average and max are concatenated on channels and then cut
            into rows, as the authors' released ResNet-20 does.
        bias: Whether the linear layers have a bias. Default False.
        bound: ``'tanh'`` bounds the increment before ``alpha``; None (default) does not.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        feedback_shape: Sequence[int],
        weight_shapes: Mapping[str, Sequence[int]],
        *,
        alpha: Optional[float] = None,
        feedback_layout: str = 'channels_first',
        pool_kernel: Union[int, Sequence[int], None] = None,
        pool_stride: Union[int, Sequence[int]] = 1,
        pool_padding: Union[int, Sequence[int]] = 0,
        shared_rows: bool = True,
        row_layout: str = 'channel',
        bias: bool = False,
        bound: Optional[str] = None,
    ):
        check_choice('bound', bound, _BOUNDS)
        check_choice('row_layout', row_layout, _ROW_LAYOUTS)
        check_flag('shared_rows', shared_rows)
        check_flag('bias', bias)
        super().__init__(
            feedback_shape,
            weight_shapes,
            1e-3 if alpha is None else alpha,
            feedback_layout,
            low_rank=shared_rows and bound is None,
        )
        self.shared_rows, self.row_layout, self.bound = shared_rows, row_layout, bound
        self._build(pool_kernel, pool_stride, pool_padding, bias)

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

        rows_of = {name: shape[0] if self.shared_rows else 1 for name, shape in self.weight_shapes.items()}
        for name, rows in rows_of.items():
            if values % rows:
                raise ValueError(
                    f'layer {name!r} has {rows} rows (output channels), which do not divide the '
                    f'{values} pooled values of a feedback map of shape {self.feedback_shape}; '
                    f'{self._proposal(rows // math.gcd(rows, per_position), positions, values)}'
                )
        check_weights(self._weights(values, rows_of), "a coarser pooling, shared_rows=True or adapter='global'")
        for name, shape in self.weight_shapes.items():
            rows = rows_of[name]
            self.linears.append(
                IncrementLinear(values // rows, rows, shape, bias, self.low_rank, self.bound is not None)
            )

    def _weights(self, values: int, rows_of: Mapping[str, int]) -> int:
        return sum(values * math.prod(shape) // rows_of[name] ** 2 for name, shape in self.weight_shapes.items())

    def _proposal(self, multiple: int, positions: int, values: int) -> str:
        """What would fit where rows do not divide the pooled values."""
        pooling = self._nearest_pooling()
        full = self._weights(values, dict.fromkeys(self.weight_shapes, 1))
        return (
            f'choose a pooling that leaves a multiple of {multiple} positions, not {positions}'
            f'{"" if pooling is None else f" ({pooling} does for all layers)"}, or take adapter="global", which fits '
            f'any layer, or shared_rows=False, with {full:,} weights{" (too many)" if full > MAX_WEIGHTS else ""}'
        )

    def _other_pooling(self) -> str:
        """What would fit where the pooling does not fit into the map."""
        pooling = self._nearest_pooling()
        proposal = '' if pooling is None else f' ({pooling} does for all layers)'
        return f'{proposal}, or take adapter="global", which needs none'

    def _nearest_pooling(self) -> Optional[Pooling]:
        """The pooling nearest to the one that was given that leaves every layer whole rows."""
        given = None if self.pool_kernel is None else Pooling(self.pool_kernel, self.pool_stride, self.pool_padding)
        rows = [shape[0] if self.shared_rows else 1 for shape in self.weight_shapes.values()]
        all_layers = math.lcm(*(row // math.gcd(row, 2 * self.feedback_shape[0]) for row in rows))
        return nearest_pooling(self.feedback_shape[1:], given, all_layers)

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
                f'{self._other_pooling()}'
            )
        size = tuple(
            (s + 2 * p - k) // t + 1
            for s, k, t, p in zip(spatial, self.pool_kernel, self.pool_stride, self.pool_padding)
        )
        if min(size) < 1:
            raise ValueError(
                f'pool_kernel {self.pool_kernel} with pool_padding {self.pool_padding} does '
                f'not fit into a feedback map of size {spatial}; use a larger input, a '
                f'smaller pool_kernel or a larger pool_padding{self._other_pooling()}'
            )
        return size

    def changes_of_map(self, z: Tensor) -> List[Tensor]:
        pooled = self._pool(z)
        changes: List[Tensor] = []
        for linear in self.linears:
            change = linear.change(pooled)
            changes.append(change if self.low_rank else self.alpha * change)
        return changes

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
        return (
            f'{super().extra_repr()}, pool_kernel={self.pool_kernel}, pool_stride={self.pool_stride}, '
            f'pool_padding={self.pool_padding}, shared_rows={self.shared_rows}, row_layout={self.row_layout!r}, '
            f'bound={self.bound!r}'
        )
