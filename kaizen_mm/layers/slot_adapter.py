"""The slot weight adapter: learnt queries look at a block's activations, and what they find becomes the rows ``P_n``.

Battash & Wolf (arXiv:1910.11105) pool the feedback map over windows: each row of ``P_n`` says what a channel has in
each of them. Here the windows are learnt. Each of a few slots takes the mean of the map under attention weights, which
depend on what a position holds and on where it is. ``P_n`` has what the slots hold, so that ``alpha P_n (A^T x)`` is
linear attention of every position to the slots (Katharopoulos et al., arXiv:2006.16236). Learnt queries read a set in
the Set Transformer too (Lee et al., arXiv:1810.00825).
"""

from typing import List, Mapping, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_int
from kaizen_mm.layers.weight_adapter import IncrementLinear, WeightAdapter, check_channels, check_weights


class SlotAdapter(WeightAdapter):
    """``adapter='slots'``: row ``r`` of ``P_n`` is what channel ``r`` of the map holds in each of some slots.

    A slot's attention over the positions is the softmax of ``q_s . k_l / sqrt(C) + b_s(l)``: ``k_l`` are the channels
    of a position, of mean 0 and variance 1. ``b_s`` is a learnt number per row and per column (and per frame),
    interpolated for maps of another size. What all slots hold is brought to mean 0 and variance ``1 / (C slots)``, so
    that ``P_n`` has a Frobenius norm of 1. A layer with other rows than the map has channels takes them through a
    linear layer of its own. ``A`` starts at zero: at first all iterates are the plain network exactly.

    It has ``slots (C + sum(spatial))`` parameters, and ``fan_in slots`` for each layer, with ``rows C`` more where rows
    and channels differ.

    Args:
        feedback_shape: Shape ``(C, *spatial)`` of one sample's feedback map ``z``; maps of other channels are refused.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        alpha: Step size of eq. 2. Default 1.
        feedback_layout: See :class:`~kaizen_mm.layers.WeightAdapter`.
        slots: ``F``, columns of ``P_n``. Default 8.

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
        slots: int = 8,
    ):
        super().__init__(feedback_shape, weight_shapes, 1.0 if alpha is None else alpha, feedback_layout)
        check_int('slots', slots)
        channels, *spatial = self.feedback_shape
        if not spatial:
            raise ValueError(
                f'feedback_shape must be (C, *spatial) where adapter is "slots", which look at positions, got '
                f'{self.feedback_shape}'
            )
        shapes = list(self.weight_shapes.values())
        others = sum(shape[0] * channels for shape in shapes if shape[0] != channels)
        fan_ins = sum(torch.Size(shape[1:]).numel() for shape in shapes)
        check_weights(slots * (channels + sum(spatial) + fan_ins) + others, f'less than slots={slots}')
        self.queries = nn.Parameter(torch.randn(slots, channels))
        self.positions = nn.ParameterList(nn.Parameter(torch.randn(slots, length)) for length in spatial)
        self.to_rows = nn.ModuleList(
            nn.Identity() if shape[0] == channels else nn.Linear(channels, shape[0], bias=False) for shape in shapes
        )
        for shape in shapes:
            self.linears.append(IncrementLinear(slots, shape[0], shape, bias=False, low_rank=True, bounded=False))
            nn.init.zeros_(self.linears[-1].weight)

    def check_map(self, shape: List[int]) -> None:
        check_channels(shape, self._sizes)
        if len(shape) != len(self._sizes):
            raise ValueError(
                f'the feedback map has {len(shape) - 1} spatial dimensions, but the adapter was built for '
                f'{len(self._sizes) - 1}'
            )

    def changes_of_map(self, z: Tensor) -> List[Tensor]:
        found = self.found(z)
        rows: List[Tensor] = []
        for to_rows in self.to_rows:
            rows.append(to_rows(found.transpose(1, 2)).transpose(1, 2))
        return rows

    def found(self, z: Tensor) -> Tensor:
        """What each slot holds of each channel: ``[N, C, *spatial] -> [N, C, slots]``."""
        flat = z.flatten(2)
        keys = F.layer_norm(flat.transpose(1, 2), [flat.shape[1]])  # [N, L, C]
        looks = keys @ self.queries.t() * flat.shape[1] ** -0.5 + self._where(list(z.shape[2:])).t()  # [N, L, S]
        found = flat @ looks.softmax(dim=1)
        return F.layer_norm(found, found.shape[1:]) * found[0].numel() ** -0.5

    def _where(self, size: List[int]) -> Tensor:
        """``[S, L]``: what was learnt for each slot along each dimension, summed."""
        total = torch.zeros(len(self.queries), 1).to(self.queries)
        for i, along in enumerate(self.positions):
            if along.shape[1] != size[i]:
                along = F.interpolate(along[None], size=size[i], mode='linear', align_corners=False)[0]
            total = (total[:, :, None] + along[:, None, :]).flatten(1)
        return total
