"""Ways, in one pass, to tell each position of a map of others: what the recurrence is compared with.

Each is a module that takes a map and gives one of its shape, for :class:`~kaizen_mm.models.BagNet`'s ``contexts``.
Squeeze-and-excitation and global context are those of timm: ``timm.layers.SqueezeExcite`` and ``GlobalContext``.
"""

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_int, check_shape


class PositionAttention(nn.Module):
    """One head of self-attention over the positions of a map, with learnt positions and a shortcut.

    Vaswani et al., arXiv:1706.03762, equation 1. Each position's channels are normalized (layer norm), and what was
    learnt for its row and its column (and its frame) is added. Queries, keys and values are linear in that. A linear
    layer of the result is added to the map. No layer but the norm has a bias: ``4 width C + 2 C + C sum(size)``
    parameters.

    Args:
        channels: ``C`` of the map.
        size: Of the map, one value per spatial dimension: ``(rows, columns)`` or ``(frames, rows, columns)``.
        width: Of queries, keys and values.

    Shape:
        ``[N, C, *size] -> [N, C, *size]``.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; or, in a forward pass, a map of
            another shape.
    """

    def __init__(self, channels: int, size: Sequence[int], width: int):
        super().__init__()
        check_int('channels', channels)
        check_int('width', width)
        self.channels, self.size = channels, check_shape('size', size, 'one per spatial dimension of the map')
        self.norm = nn.LayerNorm(channels)
        self.positions = nn.ParameterList(nn.Parameter(0.02 * torch.randn(length, channels)) for length in self.size)
        self.to_qkv = nn.Linear(channels, 3 * width, bias=False)
        self.out = nn.Linear(width, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (self.channels, *self.size):
            raise ValueError(
                f'the map has shape {tuple(x.shape[1:])} per sample, but channels and size of the attention are '
                f'{(self.channels, *self.size)}'
            )
        tokens = x.flatten(2).transpose(1, 2)  # [N, L, C]
        q, k, v = self.to_qkv(self.norm(tokens) + self._position()).chunk(3, dim=2)
        told = self.out(F.scaled_dot_product_attention(q, k, v))
        return x + told.transpose(1, 2).reshape(x.shape)

    def _position(self) -> Tensor:
        """``[L, C]``: for each position the sum of what was learnt along each dimension."""
        total = self.positions[0]
        for along in list(self.positions)[1:]:
            total = total[..., None, :] + along
        return total.reshape(-1, self.channels)

    def extra_repr(self) -> str:
        return f'{self.channels}, size={self.size}, width={self.out.in_features}'


class DepthwiseContext(nn.Module):
    """A depthwise convolution with batch norm and a shortcut: each position is told of its neighbours.

    Args:
        dims: 2 for images, 3 for clips.
        channels: ``C`` of the map.
        kernel: Odd. Default 3.

    Shape:
        ``[N, C, *spatial] -> [N, C, *spatial]``, of any size.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self, dims: int, channels: int, kernel: int = 3):
        super().__init__()
        check_int('dims', dims, 2, 3)
        check_int('channels', channels)
        check_int('kernel', kernel)
        if kernel % 2 == 0:
            raise ValueError(f'kernel must be odd, got {kernel}')
        conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dims]
        self.conv = conv(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.norm = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x))
