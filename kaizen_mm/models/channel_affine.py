"""A scale and a shift of each channel, as a convolution whose weight they are, so that ``h`` can rewrite them.

Perez et al., arXiv:1709.07871, condition a network by such scales and shifts (FiLM). Where they are the dynamic layers
of a recurrent block, feedback modulates features in the place of rewriting the weights of convolutions.
"""

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int


class ChannelAffine(nn.Module):
    """``y_c = s_c x_c + b_c``, at first ``y = x``; the weight of ``conv`` holds ``(s_c, b_c)`` for each channel.

    Args:
        dims: 2 for images, 3 for clips.
        channels: ``C`` of the map.

    Shape:
        ``[N, C, *spatial] -> [N, C, *spatial]``, of any size.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self, dims: int, channels: int):
        super().__init__()
        check_int('dims', dims, 2, 3)
        check_int('channels', channels)
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.conv = conv(2 * channels, channels, 1, groups=channels, bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()[:, 0] = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.stack([x, torch.ones_like(x)], dim=2).flatten(1, 2))
