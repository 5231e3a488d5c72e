"""MFNet-2D and the small networks of the studies in mmpretrain's registry.

Every backbone here yields a tuple, as mmpretrain expects: of one feature map or, of a recurrent
network, of its iterates, the last one best.
"""

from typing import Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from kaizen_mm.arguments import check_choice, check_flag
from kaizen_mm.layers.recurrent_block import check_num_iterations
from kaizen_mm.models.bagnet import BagNet
from kaizen_mm.models.cifar_resnet import CifarResNet
from kaizen_mm.models.mfnet import NINE_UNITS, MFNet
from kaizen_mm.models.mnist_cnn import MnistCNN, MnistCNNBig
from kaizen_mm.openmmlab.blocks import build_contexts

_VARIANTS = {'mfnet2d': {}, 'mfnet2d_n9': NINE_UNITS}


@MODELS.register_module()
class MFNet2d(MFNet, BaseModule):
    """MFNet-2D backbone.

    Args:
        variant: ``'mfnet2d'`` (default; 16 units, 16 groups) or ``'mfnet2d_n9'`` (nine units, a
            quarter as wide, 8 groups). ``widths``, ``units`` and ``groups`` replace its values.
        channels_last: Whether the weights, and with them the activations, are laid out channels last. On a CPU the
            activations are in any case; with one thread the weights should be as well. Default False.
        init_cfg: As in mmengine; ``dict(type='Pretrained', checkpoint=...)`` loads weights.
        kwargs: Those of :class:`kaizen_mm.models.MFNet`.

    Shape:
        ``[N, C, H, W] -> ([N, widths[-1], H / 32, W / 32], )``.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self, variant: str = 'mfnet2d', channels_last: bool = False, init_cfg: Optional[dict] = None, **kwargs
    ):
        check_choice('variant', variant, tuple(_VARIANTS))
        check_flag('channels_last', channels_last)
        MFNet.__init__(self, 2, num_classes=0, **{**_VARIANTS[variant], **kwargs})
        self.init_cfg = init_cfg
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return self.forward_feature_iterates(x)


@MODELS.register_module()
class RecurrentMFNet2d(MFNet2d):
    """:class:`MFNet2d` with an adaptive recurrent last unit; yields its iterates.

    Args:
        num_iterations: ``K``. With 1 it is the plain network.
        input_size: ``(H, W)`` of the images.
        kwargs: Those of :class:`MFNet2d` and :class:`kaizen_mm.models.MFNet`.
    """

    def __init__(self, num_iterations: int, input_size=(224, 224), **kwargs):
        check_num_iterations(num_iterations)  # for MFNet2d None is the plain network
        super().__init__(num_iterations=num_iterations, input_size=input_size, **kwargs)

    def become_plain(self) -> None:
        """As in :class:`~kaizen_mm.models.MFNet`; the network is an :class:`MFNet2d` then."""
        super().become_plain()
        self.__class__ = MFNet2d


@MODELS.register_module(name='MnistCNN')
class MnistCNNBackbone(MnistCNN, BaseModule):
    """:class:`kaizen_mm.models.MnistCNN`; yields the logits of its iterates.

    It has its classifier, so that its head is one without layers, such as mmpretrain's ``ClsHead``.
    """

    def __init__(self, init_cfg: Optional[dict] = None, **kwargs):
        super().__init__(**kwargs)
        self.init_cfg = init_cfg

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return self.forward_iterates(x)


@MODELS.register_module(name='MnistCNNBig')
class MnistCNNBigBackbone(MnistCNNBig, BaseModule):
    """:class:`kaizen_mm.models.MnistCNNBig`; yields its logits, for a head without layers.

    ``channels_last`` is that of :class:`MFNet2d`.
    """

    def __init__(self, channels_last: bool = False, init_cfg: Optional[dict] = None, **kwargs):
        super().__init__(**kwargs)
        check_flag('channels_last', channels_last)
        self.init_cfg = init_cfg
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return self.forward_iterates(x)


@MODELS.register_module(name='CifarResNet')
class CifarResNetBackbone(CifarResNet, BaseModule):
    """:class:`kaizen_mm.models.CifarResNet`; yields its logits, for a head without layers.

    ``channels_last`` is that of :class:`MFNet2d`.
    """

    def __init__(self, channels_last: bool = False, init_cfg: Optional[dict] = None, **kwargs):
        super().__init__(**kwargs)
        check_flag('channels_last', channels_last)
        self.init_cfg = init_cfg
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return (super().forward(x),)


@MODELS.register_module()
class BagNet2d(BagNet, BaseModule):
    """:class:`kaizen_mm.models.BagNet` of images, without its classifier.

    Of its ``contexts`` each may be a config. ``channels_last`` is that of :class:`MFNet2d`.
    """

    def __init__(
        self,
        channels_last: bool = False,
        contexts: Sequence[Optional[dict]] = (),
        init_cfg: Optional[dict] = None,
        **kwargs,
    ):
        super().__init__(dims=2, num_classes=0, contexts=build_contexts(contexts), **kwargs)
        check_flag('channels_last', channels_last)
        self.init_cfg = init_cfg
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return (super().forward(x),)
