"""The comparison networks for videos in mmaction2's registry, those that it does not have itself."""

from typing import Optional

from mmaction.models.backbones import ResNet3d
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from kaizen_mm.models import comparators


@MODELS.register_module(name='LTC')
class LTCBackbone(comparators.LTC, BaseModule):
    """:class:`kaizen_mm.models.comparators.LTC`; gives ``[N, hidden, 1, 1, 1]`` for mmaction2's ``I3DHead``."""

    def __init__(self, init_cfg: Optional[dict] = None, **kwargs):
        super().__init__(**kwargs)
        self.init_cfg = init_cfg

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., None, None, None]


@MODELS.register_module()
class ResNet3dHara(ResNet3d):
    """mmaction2's ``ResNet3d`` with the first pooling of Hara et al. (arXiv:1711.09577), over 3 x 3 x 3 positions.

    mmaction2's own takes the maximum over space alone: with a stride of 2 in time it drops every second frame.

    Args:
        pool1_stride_t: Of the pooling, in time. Default 2.
        kwargs: Those of ``ResNet3d``.
    """

    def __init__(self, depth: int = 18, pool1_stride_t: int = 2, **kwargs):
        super().__init__(depth=depth, pool1_stride_t=pool1_stride_t, **kwargs)
        self.maxpool = nn.MaxPool3d(3, self.maxpool.stride, 1)


@MODELS.register_module()
class STCResNet3d(ResNet3dHara):
    """:class:`ResNet3dHara` with an STC block behind the last convolution of every residual block.

    Args:
        reduction: See :class:`kaizen_mm.models.comparators.STCBlock`. Default 8.
        kwargs: Those of :class:`ResNet3dHara`, without ``pretrained``, and with ``zero_init_residual=False``: an STC
            block would get zeros.

    Raises:
        ValueError: ``depth`` is none that there is, or ``pretrained`` or ``zero_init_residual`` is given another value.
    """

    def __init__(
        self, depth: int = 101, reduction: int = 8, zero_init_residual: bool = False, pretrained: None = None, **kwargs
    ):
        if depth not in self.arch_settings:
            raise ValueError(f'depth must be one of {tuple(self.arch_settings)}, got {depth!r}')
        for name, value, wanted in (
            ('zero_init_residual', zero_init_residual, False),
            ('pretrained', pretrained, None),
        ):
            if value is not wanted:
                raise ValueError(f'{name} must be {wanted} for STCResNet3d, got {value!r}')
        super().__init__(depth=depth, pretrained=None, zero_init_residual=False, **kwargs)
        comparators.add_stc(self, 'conv2' if depth < 50 else 'conv3', reduction)
