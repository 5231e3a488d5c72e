"""The global weight adapter: a block's activations, pooled over all positions, become the rows ``P_n``.

Battash & Wolf (arXiv:1910.11105) cut the pooled feedback map into the rows of the weight. That ties ``h`` to one size
of input, and each row sees its own share of the channels alone. Here the map is pooled over *all* positions. A
bottleneck turns the vector of all channels into the rows ``P_n`` of every dynamic layer, whose increment is ``alpha P_n
A^T``.

CondConv (Yang et al., arXiv:1904.04971) makes a kernel per sample from the globally pooled input. Its low-rank form is
dynamic convolution decomposition (Li et al., arXiv:2103.08756). A low-rank change that starts at zero, so that training
begins at the network that was there, is LoRA's (Hu et al., arXiv:2106.09685). These read the input of the layer; ``h``
reads what the block has made of it.
"""

import math
from typing import List, Mapping, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_int
from kaizen_mm.layers.weight_adapter import IncrementLinear, WeightAdapter, check_weights


class GlobalAdapter(WeightAdapter):
    """``adapter='global'``: ``z`` is pooled over all positions, average and maximum; a bottleneck turns the ``2 C``
    values into the rows ``P_n`` of each layer, and the increment is ``alpha P_n A^T``.

    Every row sees every channel, and rows, size of the input and length of the clip may be any. ``A`` starts at zero:
    at first all iterates are the plain network exactly, and ``h`` trains with the optimizer and the rate of the rest.
    It has, for each layer, ``(2 C + 1) hidden + (hidden + 1) rows rank + fan_in rank`` parameters.

    Args:
        feedback_shape: Shape ``(C, *spatial)`` of one sample's feedback map ``z``; ``spatial`` may be left out. Maps
            of other channels are refused.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        alpha: Step size of eq. 2. Default 1.
        feedback_layout: See :class:`~kaizen_mm.layers.WeightAdapter`.
        hidden, rank: Width of the bottleneck and rank of the increment. Defaults from the layer's size, see
            :class:`GlobalRows`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    any_size = True

    def __init__(
        self,
        feedback_shape: Sequence[int],
        weight_shapes: Mapping[str, Sequence[int]],
        *,
        alpha: Optional[float] = None,
        feedback_layout: str = 'channels_first',
        hidden: Optional[int] = None,
        rank: Optional[int] = None,
    ):
        super().__init__(feedback_shape, weight_shapes, 1.0 if alpha is None else alpha, feedback_layout)
        self.global_rows = GlobalRows(self.feedback_shape[0], self.weight_shapes, hidden, rank)
        for columns, shape in zip(self.global_rows.ranks, self.weight_shapes.values()):
            self.linears.append(IncrementLinear(columns, shape[0], shape, bias=False, low_rank=True, bounded=False))
            nn.init.zeros_(self.linears[-1].weight)

    def changes_of_map(self, z: Tensor) -> List[Tensor]:
        return self.global_rows(z)


class GlobalRows(nn.Module):
    """``z -> P_n`` for every dynamic layer: pooling over all positions, then a bottleneck per layer.

    Average and maximum of each channel are brought to mean 0 and variance 1 per sample, since the scale of activations
    differs from block to block. Then come a linear layer to ``hidden`` values, ReLU, and a linear layer to ``rows x
    rank`` values. At the start ``P_n`` has a Frobenius norm of about one. So a step of ``A`` moves the weight by at
    most about as much as the same step of the weight itself would. The rate of the rest is safe for it, with SGD as
    well.

    Args:
        channels: ``C`` of the feedback map.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        hidden: Width of the bottleneck; None (default) for a quarter of the layer's rows, at least 8 and at most 64.
        rank: ``F``, columns of ``P_n``; None (default) for a quarter of the smaller one of the layer's rows and fan-in,
            at least 1 and at most 8.

    Shape:
        ``[N, C, *spatial]`` of any size, or ``[N, C]``; result: one ``[N, rows, rank]`` per layer.

    Raises:
        ValueError: ``hidden`` or ``rank`` is no int of at least 1.
    """

    def __init__(
        self,
        channels: int,
        weight_shapes: Mapping[str, Sequence[int]],
        hidden: Optional[int] = None,
        rank: Optional[int] = None,
    ):
        super().__init__()
        for argument, value in (('hidden', hidden), ('rank', rank)):
            if value is not None:
                check_int(argument, value)
        self.bottlenecks = nn.ModuleList()
        self.ranks: List[int] = []
        sizes, count = [], 0
        for rows, *others in weight_shapes.values():
            width = min(max(rows // 4, 8), 64) if hidden is None else hidden
            columns = min(max(min(rows, math.prod(others)) // 4, 1), 8) if rank is None else rank
            sizes.append((rows, width, columns))
            count += (2 * channels + 1) * width + (width + 1) * rows * columns + math.prod(others) * columns
        check_weights(count, f'less than hidden={hidden}, rank={rank}')
        for rows, width, columns in sizes:
            last = nn.Linear(width, rows * columns)
            nn.init.normal_(last.weight, std=(width * rows * columns) ** -0.5)
            nn.init.zeros_(last.bias)
            first = nn.Linear(2 * channels, width)
            nn.init.kaiming_normal_(first.weight, nonlinearity='relu')
            self.bottlenecks.append(nn.Sequential(first, nn.ReLU(), last))
            self.ranks.append(columns)

    def forward(self, z: Tensor) -> List[Tensor]:
        z = z.flatten(2) if z.dim() > 2 else z.unsqueeze(2)  # [N, C, positions]
        pooled = torch.cat([z.mean(dim=2), z.amax(dim=2)], dim=1)
        pooled = F.layer_norm(pooled, pooled.shape[1:])
        rows: List[Tensor] = []
        for i, bottleneck in enumerate(self.bottlenecks):
            rows.append(bottleneck(pooled).reshape(pooled.shape[0], -1, self.ranks[i]))
        return rows
