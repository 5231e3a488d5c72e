"""CORnet-S: four areas of the ventral stream, three of them recurrent.

Kubilius et al., "Brain-Like Object Recognition with High-Performing Shallow Recurrent ANNs", NeurIPS 2019. Layer
sizes are those of the paper's figure 1 and of the public release (github.com/dicarlolab/CORnet): 53,416,616
parameters with 1000 classes.

An area runs its bottleneck of three convolutions several times with the same weights; each time has batch norms of
its own. The input of the first time is the map of the area before, through a 1x1 convolution; that of a later time is
the output of the one before.
"""

from typing import List, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_shape
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, scaled

EXPANSION = 4


class RecurrentArea(nn.Module):
    """An area that runs ``times`` times; gives what it has after each: ``[N, C, H, W]`` to ``times`` maps
    ``[N, channels, H / 2, W / 2]``."""

    def __init__(self, in_channels: int, channels: int, times: int):
        super().__init__()
        inner = channels * EXPANSION
        self.conv_input = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.skip = nn.Conv2d(channels, channels, 1, 2, bias=False)
        self.norm_skip = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, bias=False)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.norms1, self.norms2 = (nn.ModuleList(nn.BatchNorm2d(inner) for _ in range(times)) for _ in range(2))
        self.norms3 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(times))

    def forward(self, x: Tensor) -> List[Tensor]:
        x = self.conv_input(x)
        outputs: List[Tensor] = []
        for time, (norm1, norm2, norm3) in enumerate(zip(self.norms1, self.norms2, self.norms3)):
            shortcut = self.norm_skip(self.skip(x)) if time == 0 else x
            z = F.relu(norm1(self.conv1(x)))
            z = F.conv2d(z, self.conv2.weight, stride=2 if time == 0 else 1, padding=1)  # the first time halves the map
            z = norm3(self.conv3(F.relu(norm2(z))))
            x = F.relu(z + shortcut)
            outputs.append(x)
        return outputs


class CORnetS(ImageNetwork):
    """CORnet-S; its iterates are those of its last area, IT.

    Args:
        times: How often V2, V4 and IT run. Default (2, 4, 2).
        width: Factor of all channels. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    feature_modules = ('V1', 'V2', 'V4', 'IT')

    def __init__(self, times: Sequence[int] = (2, 4, 2), width: float = 1.0, **kwargs):
        times = check_shape('times', times, 'one each for V2, V4 and IT', length=3)
        v1, v2, v4, it = scaled((64, 128, 256, 512), width)
        super().__init__(it, smallest=32, **kwargs)
        self.times = times
        self.V1 = nn.Sequential(
            nn.Conv2d(self.in_chans, v1, 7, 2, 3, bias=False),
            nn.BatchNorm2d(v1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(v1, v1, 3, 1, 1, bias=False),
            nn.BatchNorm2d(v1),
            nn.ReLU(inplace=True),
        )
        self.V2 = RecurrentArea(v1, v2, times[0])
        self.V4 = RecurrentArea(v2, v4, times[1])
        self.IT = RecurrentArea(v4, it, times[2])
        self.describe_stages((v1, v2, v4, it), (4, 8, 16, 32))
        self.apply(init_weights)

    @property
    def num_iterations(self) -> int:
        """How many iterates it gives: the times of IT."""
        return self.times[2]

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        iterates = [self.V1(x)]
        maps = [iterates[-1]]
        if last > 0:
            iterates = self.V2(maps[-1])
            maps.append(iterates[-1])
        if last > 1:
            iterates = self.V4(maps[-1])
            maps.append(iterates[-1])
        if last > 2:
            iterates = self.IT(maps[-1])
            maps.append(iterates[-1])
        return maps, iterates
