"""MFNet for video (3D) and images (2D), plain and with an adaptive recurrent last unit.

Chen et al., "Multi-Fiber Networks for Video Recognition", ECCV 2018. Layer sizes and weight
names are those of the original PyTorch release (cypw/PyTorch-MFNet, network/mfnet_3d.py), so
that its checkpoints load. Battash & Wolf (arXiv:1910.11105) use a variant with nine units and
turn its last unit recurrent: ``f`` is its two 1x1(x1) convolutions, ``g`` the rest (fig. 3).

All variants come from one description, :class:`MFNet`; they stand at the end of the file.
"""
import copy
from collections import OrderedDict
from typing import Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate
from kaizen_mm.layers.recurrent_block import check_num_iterations

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def _size(dims: int, time: int, space: int) -> Tuple[int, ...]:
    """``(space, space)`` in 2D, ``(time, space, space)`` in 3D."""
    return (space, space) if dims == 2 else (time, space, space)


class NormActConv(nn.Module):
    """Batch norm, ReLU, convolution without bias; the padding keeps the size at stride 1."""

    def __init__(self, dims, in_channels, out_channels, kernel, stride=1, groups=1):
        super().__init__()
        self.bn = _NORM[dims](in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = _CONV[dims](in_channels, out_channels, kernel, stride,
                                padding=tuple(k // 2 for k in kernel), groups=groups, bias=False)

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

    def __init__(self, dims: int, in_channels: int, channels: int, groups: int,
                 stride: Sequence[int], first: bool):
        super().__init__()
        point = _size(dims, 1, 1)
        self.conv_i1 = NormActConv(dims, in_channels, channels // 4, point)
        self.conv_i2 = NormActConv(dims, channels // 4, in_channels, point)
        self.conv_m1 = NormActConv(dims, in_channels, channels, _size(dims, 3, 3), stride, groups)
        if first:
            self.conv_m2 = NormActConv(dims, channels, channels, point)
            self.conv_w1 = NormActConv(dims, in_channels, channels, point, stride)
        else:
            self.conv_m2 = NormActConv(dims, channels, channels, _size(dims, 1, 3), groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_prepared(*self.prepare(x))

    def prepare(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """What comes before the multiplexer's weights: input, shortcut, activated input."""
        shortcut = self.conv_w1(x) if hasattr(self, 'conv_w1') else x
        return x, shortcut, self.conv_i1.relu(self.conv_i1.bn(x))

    def forward_prepared(self, x: Tensor, shortcut: Tensor, activated: Tensor) -> Tensor:
        """The rest of the unit."""
        h = x + self.conv_i2(self.conv_i1.conv(activated))
        return self.conv_m2(self.conv_m1(h)) + shortcut


class MFNet(nn.Module):
    """MFNet, plain or with an adaptive recurrent last unit.

    Args:
        dims: 2 for images ``[N, C, H, W]``, 3 for clips ``[N, C, T, H, W]``.
        widths: Channels of the four stages.
        units: Units of the four stages.
        groups: Of the group convolutions.
        num_classes: Classes of the classifier; 0 builds none.
        in_chans: Channels of the input. Default 3.
        drop_rate: Dropout before the classifier. Default 0.
        num_iterations: None (default) for the plain network; ``K`` for one whose last unit
            runs K times. With 1 the last unit is the plain one.
        input_size: ``(H, W)`` or ``(T, H, W)`` that the recurrent network will get; the plain
            one takes any. Default 224x224, with 16 frames.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`; holds for the tail as well.
        pool_kernel, pool_stride, pool_padding: Of ``h``. Default in 3D (5, 3, 3) and
            (4, 1, 1), in 2D 3 and 1, no padding (arXiv:1910.11105, sections 4.2 and 4.3).
        adapter: Further arguments of :class:`~kaizen_mm.layers.WeightAdapter`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self,
                 dims: int,
                 widths: Sequence[int] = (96, 192, 384, 768),
                 units: Sequence[int] = (3, 4, 6, 3),
                 groups: int = 16,
                 num_classes: int = 1000,
                 in_chans: int = 3,
                 drop_rate: float = 0.0,
                 num_iterations: Optional[int] = None,
                 input_size: Optional[Sequence[int]] = None,
                 norm_statistics: str = 'per_iterate',
                 pool_kernel: Union[int, Sequence[int], None] = None,
                 pool_stride: Union[int, Sequence[int], None] = None,
                 pool_padding: Union[int, Sequence[int]] = 0,
                 **adapter):
        super().__init__()
        _check_description(dims, widths, units, groups)
        self.dims, self.num_classes, self.in_chans = dims, num_classes, in_chans
        self.num_features = widths[-1]
        stem = 16
        self.conv1 = nn.Sequential(OrderedDict(
            conv=_CONV[dims](in_chans, stem, _size(dims, 3, 5), _size(dims, 1, 2),
                             _size(dims, 1, 2), bias=False),
            bn=_NORM[dims](stem),
            relu=nn.ReLU(inplace=True)))
        self.maxpool = _MAX_POOL[dims](_size(dims, 1, 3), _size(dims, 1, 2), _size(dims, 0, 1))
        channels = stem
        for index, (width, count) in enumerate(zip(widths, units)):
            # time is halved at the first unit of the first stage, space at that of the others
            stride = _size(dims, 2, 1) if index == 0 else _size(dims, 1, 2)
            stage = OrderedDict()
            for unit in range(count):
                stage[f'B{unit + 1:02d}'] = MFUnit(dims, channels, width, groups,
                                                   stride if unit == 0 else 1, first=unit == 0)
                channels = width
            self.add_module(f'conv{index + 2}', nn.Sequential(stage))
        self.tail = nn.Sequential(OrderedDict(bn=_NORM[dims](channels), relu=nn.ReLU(inplace=True)))
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        self.apply(_init_weights)

        self._num_iterations = num_iterations
        if num_iterations is not None:
            check_num_iterations(num_iterations)
            self.input_size = self._check_input_size(input_size)
            defaults = {2: (3, 1), 3: ((5, 3, 3), (4, 1, 1))}[dims]
            self._make_last_unit_recurrent(
                num_iterations, norm_statistics,
                pool_kernel=defaults[0] if pool_kernel is None else pool_kernel,
                pool_stride=defaults[1] if pool_stride is None else pool_stride,
                pool_padding=pool_padding, **adapter)
        elif adapter:
            raise ValueError(f'num_iterations must be given along with {sorted(adapter)}, got None')

    def _check_input_size(self, input_size):
        size = _size(self.dims, 16, 224) if input_size is None else input_size
        if not isinstance(size, (tuple, list)) or len(size) != self.dims or not all(isinstance(s, int) and s > 0 for s in size):
            raise ValueError(f'input_size must be {self.dims} positive ints, '
                             f'{"(H, W)" if self.dims == 2 else "(T, H, W)"}, got {input_size!r}')
        return tuple(size)

    def _make_last_unit_recurrent(self, num_iterations, norm_statistics, **adapter):
        name, unit = list(self.conv5.named_children())[-1]
        self.conv5.add_module(name, AdaptiveRecurrentBlock(
            unit, dynamic=('conv_i1.conv', 'conv_i2.conv'), feedback='conv_m2',
            feedback_shape=self._feature_shape(), num_iterations=num_iterations,
            norm_statistics=norm_statistics, **adapter))
        self.tail = PerIterate(self.tail, num_iterations, norm_statistics)

    def _feature_shape(self) -> Tuple[int, ...]:
        """Shape ``(C, *spatial)`` of the last stage's output, without computing it."""
        ghost = copy.deepcopy(self).to('meta').eval()
        with torch.no_grad():
            x = torch.empty(1, self.in_chans, *self.input_size, device='meta')
            return tuple(ghost._stages(x).shape[1:])

    @property
    def recurrent_block(self) -> Optional[AdaptiveRecurrentBlock]:
        """The recurrent last unit; None in a plain network."""
        last = self.conv5[-1]
        return last if isinstance(last, AdaptiveRecurrentBlock) else None

    @property
    def num_iterations(self) -> Optional[int]:
        """``K``, or None in a plain network. May be changed after construction."""
        return self._num_iterations

    @num_iterations.setter
    def num_iterations(self, value: int):
        if self.recurrent_block is None:
            raise ValueError(f'num_iterations cannot become {value!r}: this network is plain; build '
                             'it with num_iterations')
        self.recurrent_block.num_iterations = value
        self.tail.num_iterations = value
        self._num_iterations = value

    def _stages(self, x):
        x = self.maxpool(self.conv1(x))
        return self.conv5(self.conv4(self.conv3(self.conv2(x))))

    def forward_feature_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The feature maps ``[N, C, (T,) H, W]`` of every iterate; of a plain network a tuple of one."""
        features = self.tail(self._stages(x))
        return (features, ) if self.recurrent_block is None else features

    def forward_features(self, x: Tensor) -> Tensor:
        """The feature map ``[N, C, (T,) H, W]`` of the last iterate."""
        return self.forward_feature_iterates(x)[-1]

    def forward_head(self, x: Tensor) -> Tensor:
        """Average pooling, dropout and classifier: ``[N, C, ...] -> [N, num_classes]``."""
        return self.classifier(self.dropout(x.flatten(2).mean(dim=2)))

    def forward_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The logits of every iterate; of a plain network a tuple of one."""
        return tuple(self.forward_head(f) for f in self.forward_feature_iterates(x))

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the last iterate."""
        return self.forward_head(self.forward_features(x))


def _check_description(dims, widths, units, groups):
    if dims not in (2, 3):
        raise ValueError(f'dims must be 2 or 3, got {dims!r}')
    for name, value in (('widths', widths), ('units', units)):
        if len(value) != 4 or not all(isinstance(v, int) and v > 0 for v in value):
            raise ValueError(f'{name} must be four positive ints, one per stage, got {value!r}')
    # the first group convolution of a stage has the stage's input channels
    if not (isinstance(groups, int) and groups > 0) or any(c % groups for c in (16, *widths)) \
            or any(w % 4 for w in widths):
        raise ValueError(f'groups must divide 16 (channels of the stem) and all widths, and 4 must divide '
                         f'all widths; got groups={groups!r}, widths={tuple(widths)}')


def _init_weights(module):
    """Xavier's normal initialization on all weights, as in the original release."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# widths, units and groups of the nine-unit network: arXiv:1910.11105 gives its number of units and
# its 0.5 M parameters; a quarter of the original widths with eight groups has 0.497 M
NINE_UNITS = dict(widths=(24, 48, 96, 192), units=(1, 3, 3, 2), groups=8)


def mfnet3d(**kwargs) -> MFNet:
    """MFNet-3D, 16 units: 7,996,368 parameters with 400 classes."""
    return MFNet(3, **kwargs)


def mfnet3d_n9(**kwargs) -> MFNet:
    """MFNet-3D of nine units, a quarter as wide: 496,921 parameters with 101 classes."""
    return MFNet(3, **{**NINE_UNITS, **kwargs})


def mfnet2d(**kwargs) -> MFNet:
    """MFNet-2D, 16 units: 5,716,488 parameters with 1000 classes."""
    return MFNet(2, **kwargs)


def mfnet2d_n9(**kwargs) -> MFNet:
    """MFNet-2D of nine units, a quarter as wide."""
    return MFNet(2, **{**NINE_UNITS, **kwargs})


def kaizen_mfnet3d_n9(num_iterations: int = 3, **kwargs) -> MFNet:
    """:func:`mfnet3d_n9` with an adaptive recurrent last unit."""
    return mfnet3d_n9(num_iterations=num_iterations, **kwargs)


def kaizen_mfnet2d(num_iterations: int = 3, **kwargs) -> MFNet:
    """:func:`mfnet2d` with an adaptive recurrent last unit."""
    return mfnet2d(num_iterations=num_iterations, **kwargs)
