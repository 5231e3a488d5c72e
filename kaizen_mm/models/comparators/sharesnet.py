"""ShaResNet: a residual network whose blocks share their second convolution within a stage.

Boulch, "ShaResNet: reducing residual network parameter number by sharing weights", arXiv:1702.08782 (Pattern
Recognition Letters, 2018); layer sizes as in the public release (github.com/aboulch/sharesnet). ShaResNet-34 has
13,613,864 parameters with 1000 classes.
"""

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import is_int
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, resnet_stem, scaled

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class SharedBlock(nn.Module):
    """Two 3x3 convolutions, the second of which is given from outside, and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        if in_channels != channels or stride > 1:
            self.shortcut: nn.Module = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        else:
            self.shortcut = nn.Identity()

    @torch.jit.unused  # no script takes a module as an argument
    def forward(self, x: Tensor, conv2) -> Tensor:
        return self.after(conv2(self.before(x)), x)

    @torch.jit.export
    def before(self, x: Tensor) -> Tensor:
        """What the second convolution gets."""
        return F.relu(self.bn1(self.conv1(x)))

    @torch.jit.export
    def after(self, z: Tensor, x: Tensor) -> Tensor:
        """The output, from what the second convolution has given and the input."""
        return F.relu(self.bn2(z) + self.shortcut(x))


class SharedStage(nn.Module):
    """Blocks with one second convolution for all: ``[N, C, H, W] -> [N, channels, H / stride, W / stride]``."""

    def __init__(self, in_channels: int, channels: int, blocks: int, stride: int):
        super().__init__()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.blocks = nn.ModuleList(
            SharedBlock(channels if block else in_channels, channels, 1 if block else stride) for block in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if torch.jit.is_scripting():
                x = block.after(self.conv2(block.before(x)), x)  # type: ignore[operator]
            else:
                x = block(x, self.conv2)
        return x


class ShaResNet(ImageNetwork):
    """ShaResNet; one iterate.

    Args:
        depth: 18 or 34. Default 34.
        width: Factor of all channels. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    num_iterations = 1

    feature_modules = ('stem', 'stages.0', 'stages.1', 'stages.2', 'stages.3')

    def __init__(self, depth: int = 34, width: float = 1.0, **kwargs):
        if not is_int(depth) or depth not in BLOCKS:
            raise ValueError(f'depth must be one of {tuple(BLOCKS)}, got {depth!r}')
        widths: Sequence[int] = scaled((64, 128, 256, 512), width)
        super().__init__(widths[-1], smallest=32, **kwargs)
        self.stem = resnet_stem(self.in_chans, widths[0])
        self.stages = nn.Sequential(
            *(
                SharedStage(widths[max(stage - 1, 0)], widths[stage], blocks, 2 if stage else 1)
                for stage, blocks in enumerate(BLOCKS[depth])
            )
        )
        self.describe_stages((widths[0], *widths), (4, 4, 8, 16, 32))
        self.apply(init_weights)

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        maps = [self.stem(x)]
        for index, stage in enumerate(self.stages):
            if index < last:
                maps.append(stage(maps[-1]))
        return maps, maps[-1:]
