"""The multi-fiber unit of MFNet (Chen et al., ECCV 2018) and what it is made of."""

from typing import Callable, Dict, Sequence, Tuple, Union

import torch
import torch.fx
from torch import Tensor, nn

from kaizen_mm.layers.pooling import channels_last_on_cpu

torch.fx.wrap('channels_last_on_cpu')  # it asks where its input is, which a graph decides when it runs
CONV: Dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: Dict[int, Callable[..., nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def size(dims: int, time: int, space: int) -> Tuple[int, ...]:
    """``(space, space)`` in 2D, ``(time, space, space)`` in 3D."""
    return (space, space) if dims == 2 else (time, space, space)


class NormActConv(nn.Module):
    """Batch norm, ReLU, convolution without bias; the padding keeps the size at stride 1."""

    def __init__(self, dims, in_channels, out_channels, kernel, stride=1, groups=1):
        super().__init__()
        self.bn = NORM[dims](in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = CONV[dims](
            in_channels, out_channels, kernel, stride, padding=tuple(k // 2 for k in kernel), groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.relu(self.bn(x)))


class MFUnit(nn.Module):
    """Multi-fiber unit: a multiplexer of two 1x1(x1) convolutions, then two group convolutions.

    Args:
        dims: 2 or 3.
        in_channels, channels: Of input and output.
        groups: Of the group convolutions.
        stride: Of the first group convolution.
        first: Whether this is the first unit of a stage: its second convolution has a
            1x1(x1) kernel and no groups, and its shortcut is a convolution.
    """

    prepared_norms = ('conv_i1.bn', 'conv_w1.bn')  # run by ``prepare``

    def __init__(
        self, dims: int, in_channels: int, channels: int, groups: int, stride: Union[int, Sequence[int]], first: bool
    ):
        super().__init__()
        point = size(dims, 1, 1)
        self.conv_i1 = NormActConv(dims, in_channels, channels // 4, point)
        self.conv_i2 = NormActConv(dims, channels // 4, in_channels, point)
        self.conv_m1 = NormActConv(dims, in_channels, channels, size(dims, 3, 3), stride, groups)
        if first:
            self.conv_m2 = NormActConv(dims, channels, channels, point)
            self.conv_w1 = NormActConv(dims, in_channels, channels, point, stride)
        else:
            self.conv_m2 = NormActConv(dims, channels, channels, size(dims, 1, 3), groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_prepared(*self.prepare(x))

    def prepare(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """What comes before the multiplexer's weights: input, shortcut, activated input."""
        x = channels_last_on_cpu(x)  # group convolutions are slow otherwise
        shortcut = self.conv_w1(x) if hasattr(self, 'conv_w1') else x
        return x, shortcut, self.conv_i1.relu(self.conv_i1.bn(x))

    def forward_prepared(self, x: Tensor, shortcut: Tensor, activated: Tensor) -> Tensor:
        """The rest of the unit."""
        h = x + self.conv_i2(self.conv_i1.conv(activated))
        return self.conv_m2(self.conv_m1(h)) + shortcut
