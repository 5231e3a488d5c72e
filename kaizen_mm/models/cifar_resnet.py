"""The residual networks for 32 px images of He et al., arXiv:1512.03385, section 4.2.

Three stages of 16, 32 and 64 channels, 3x3 convolutions, and shortcuts without parameters (option A:
every second pixel, new channels filled with zeros) or, where the shape changes, of a 1x1 convolution (option B).
Battash & Wolf's released image code makes the first convolution of the last block of the 20-layer network dynamic
(:func:`kaizen_mm.models.convert.released_resnet20`).
"""

from typing import TYPE_CHECKING, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_int, check_number, check_shape, is_int


class CifarBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1, shortcut: str = 'A'):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.new_channels = stride, channels - in_channels
        if shortcut == 'B' and (stride > 1 or in_channels != channels):
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        z = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, 'shortcut'):
            x = self.shortcut(x)
        elif self.stride > 1 or self.new_channels:
            before = self.new_channels // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))
        return F.relu(z + x)


class CifarResNet(nn.Module):
    """A residual network of ``6 n + 2`` layers.

    Args:
        depth: 20, 32, 44, 56 or 110. Default 20: 269,722 parameters with ten classes.
        num_classes: Default 10.
        drop_rate: Dropout before the classifier. Default 0.
        widths: Channels of the three stages. Default (16, 32, 64).
        shortcut: ``'A'`` (default) or ``'B'``, see above. With B and depth 8 it has 78,042 parameters.

    Shape:
        ``[N, 3, 32, 32] -> [N, num_classes]``

    Raises:
        ValueError: A depth that is not ``6 n + 2``, or another argument that cannot be used.
    """

    if TYPE_CHECKING:
        layer1: nn.Module
        layer2: nn.Module
        layer3: nn.Module

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        drop_rate: float = 0.0,
        widths: Sequence[int] = (16, 32, 64),
        shortcut: str = 'A',
    ):
        super().__init__()
        if not is_int(depth) or depth < 8 or (depth - 2) % 6:
            raise ValueError(f'depth must be 6 n + 2 with n >= 1, such as 20 or 56, got {depth!r}')
        check_int('num_classes', num_classes)
        check_number('drop_rate', drop_rate, 0, 1)
        widths = check_shape('widths', widths, 'channels of the stages', length=3)
        check_choice('shortcut', shortcut, ('A', 'B'))
        if shortcut == 'A' and list(widths) != sorted(widths):
            raise ValueError(f"widths must not fall with shortcut='A', got {widths!r}")
        self.num_classes = num_classes
        channels = widths[0]
        self.conv1 = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for stage, width in enumerate(widths, start=1):
            blocks = []
            for block in range((depth - 2) // 6):
                blocks.append(CifarBlock(channels, width, 2 if stage > 1 and block == 0 else 1, shortcut))
                channels = width
            self.add_module(f'layer{stage}', nn.Sequential(*blocks))
        self.dropout = nn.Dropout(drop_rate)
        self.linear = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(self.dropout(x.mean(dim=(2, 3))))  # [N, C, 8, 8] -> [N, C]
