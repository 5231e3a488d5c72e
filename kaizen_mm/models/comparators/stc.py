"""The spatio-temporal channel correlation block (STC) of 3D networks.

Diba et al., "Spatio-Temporal Channel Correlation Networks for Action Classification", ECCV 2018, arXiv:1806.07754.
Two branches weigh the channels of a map: the spatial one by means over space and time, the temporal one by means over
space, at each step of time. Each is a bottleneck of two linear layers and a sigmoid; the map is multiplied by the
mean of the two.

Of STC-ResNet-101 we know no more than that it has over 100 M parameters. Ours has 104 M with 101 classes: its
bottleneck has an eighth of the channels. The temporal branch's layers are the same at all steps of time, so that clips
may be of any length.
"""

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int


class STCBlock(nn.Module):
    """Weighs channels: ``[N, C, T, H, W]`` to the same.

    Args:
        channels: ``C``.
        reduction: ``r``; the bottlenecks have ``C / r`` channels, at least one. Default 8.
    """

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        check_int('channels', channels)
        check_int('reduction', reduction)
        inner = max(channels // reduction, 1)
        self.spatial, self.temporal = (
            nn.Sequential(nn.Linear(channels, inner), nn.ReLU(inplace=True), nn.Linear(inner, channels))
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        per_step = x.mean(dim=(3, 4)).transpose(1, 2)  # [N, C, T, H, W] -> [N, T, C]
        spatial = torch.sigmoid(self.spatial(per_step.mean(dim=1, keepdim=True)))  # [N, 1, C]
        weights = 0.5 * (spatial + torch.sigmoid(self.temporal(per_step)))  # [N, T, C]
        return x * weights.transpose(1, 2)[..., None, None]


def add_stc(network: nn.Module, convolution: str, reduction: int = 8) -> None:
    """Puts a block behind a convolution of every residual block, in place, before the shortcut is added.

    Args:
        network: A network whose residual blocks have a child of that name, a sequence of convolution and norm.
        convolution: The child's name, such as ``'conv3'`` of bottlenecks.
        reduction: See :class:`STCBlock`.

    Raises:
        ValueError: No module has such a child.
    """
    found = [block for block in network.modules() if convolution in block._modules]
    if not found:
        raise ValueError(
            f'convolution must name a child of the residual blocks, got {convolution!r}; {type(network).__name__} '
            f'has none'
        )
    for block in found:
        layers = getattr(block, convolution)
        last = [module for module in layers.modules() if isinstance(module, nn.Conv3d)][-1]
        setattr(block, convolution, nn.Sequential(layers, STCBlock(last.out_channels, reduction)))
