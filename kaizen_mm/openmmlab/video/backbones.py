"""MFNet and a small network of the studies in mmaction2's registry."""

from typing import Optional, Sequence, Union

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import _load_checkpoint, load_checkpoint
from torch import Tensor

from kaizen_mm.arguments import check_choice, check_flag
from kaizen_mm.layers.recurrent_block import check_num_iterations
from kaizen_mm.models.bagnet import BagNet
from kaizen_mm.models.inflate import inflate_state_dict
from kaizen_mm.models.mfnet import NINE_UNITS, MFNet
from kaizen_mm.openmmlab.blocks import build_contexts
from kaizen_mm.openmmlab.training.passed_over import check_not_passed_over

_VARIANTS = {'mfnet3d': {}, 'mfnet3d_n9': NINE_UNITS}


@MODELS.register_module()
class MFNet3d(MFNet, BaseModule):
    """MFNet-3D backbone.

    Args:
        variant: ``'mfnet3d'`` (default; 16 units, 16 groups) or ``'mfnet3d_n9'`` (nine units, a
            quarter as wide, 8 groups). ``widths``, ``units`` and ``groups`` replace its values.
        pretrained: Checkpoint to start from, a path or URL. Default None.
        pretrained2d: Whether ``pretrained`` is an MFNet-2D to be inflated (default, as in
            mmaction2's ``ResNet3d``) or a 3D one.
        channels_last: Whether the weights, and with them the activations, are laid out channels last. On a CPU the
            activations are in any case; with one thread the weights should be as well. Default False.
        init_cfg: As in mmengine; ``dict(type='Pretrained', checkpoint=...)`` loads 3D weights.
        kwargs: Those of :class:`kaizen_mm.models.MFNet`.

    Shape:
        ``[N, C, T, H, W] -> [N, widths[-1], T / 2, H / 32, W / 32]``.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        variant: str = 'mfnet3d',
        pretrained: Optional[str] = None,
        pretrained2d: bool = True,
        channels_last: bool = False,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ):
        check_choice('variant', variant, tuple(_VARIANTS))
        check_flag('pretrained2d', pretrained2d)
        check_flag('channels_last', channels_last)
        if pretrained is not None and init_cfg is not None:
            raise ValueError(f'pretrained and init_cfg exclude each other, got {pretrained!r} and {init_cfg!r}')
        MFNet.__init__(self, 3, num_classes=0, **{**_VARIANTS[variant], **kwargs})
        self.init_cfg = init_cfg
        self.pretrained, self.pretrained2d = pretrained, pretrained2d
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)

    def init_weights(self) -> None:
        """Loads ``pretrained`` or follows ``init_cfg``; weights are initialized already."""
        if self.pretrained is None:
            super().init_weights()
        elif not self.pretrained2d:
            load_checkpoint(self, self.pretrained, map_location='cpu', logger='current')
        else:
            checkpoint = _load_checkpoint(self.pretrained, map_location='cpu')
            state_dict = inflate_state_dict(checkpoint.get('state_dict', checkpoint), self.state_dict())
            missing = self.load_state_dict(state_dict, strict=False).missing_keys
            print_log(
                f'inflated {len(state_dict)} tensors of {self.pretrained}; missing: {missing or "none"}',
                logger='current',
            )

    def forward(self, x: Tensor) -> Union[Tensor, tuple]:
        iterates = self.forward_feature_iterates(x)
        return iterates[0] if self.recurrent_block is None else iterates


@MODELS.register_module()
class RecurrentMFNet3d(MFNet3d):
    """:class:`MFNet3d` with an adaptive recurrent last unit; yields its iterates as a tuple.

    Args:
        num_iterations: ``K``. With 1 it is the plain network.
        input_size: ``(T, H, W)`` of the clips.
        last_iterate: Whether it yields the last iterate alone, as
            :class:`~kaizen_mm.openmmlab.blocks.AdaptiveRecurrentBackbone` has it. Default False.
        kwargs: Those of :class:`MFNet3d` and :class:`kaizen_mm.models.MFNet`.
    """

    def __init__(self, num_iterations: int, input_size=(16, 224, 224), last_iterate: bool = False, **kwargs):
        check_num_iterations(num_iterations)  # for MFNet3d None is the plain network
        check_flag('last_iterate', last_iterate)
        super().__init__(num_iterations=num_iterations, input_size=input_size, **kwargs)
        self.last_iterate = last_iterate

    def forward(self, x: Tensor) -> Union[Tensor, tuple]:
        if self.training:
            check_not_passed_over()
        iterates = super().forward(x)
        return iterates[-1] if self.last_iterate and isinstance(iterates, tuple) else iterates

    def become_plain(self) -> None:
        """As in :class:`~kaizen_mm.models.MFNet`; the network is an :class:`MFNet3d` then."""
        super().become_plain()
        self.__dict__.pop('last_iterate')
        self.__class__ = MFNet3d


@MODELS.register_module()
class BagNet3d(BagNet, BaseModule):
    """:class:`kaizen_mm.models.BagNet` of clips, without its classifier.

    Of its ``contexts`` each may be a config. ``channels_last`` is that of :class:`MFNet3d`.
    """

    def __init__(
        self,
        channels_last: bool = False,
        contexts: Sequence[Optional[dict]] = (),
        init_cfg: Optional[dict] = None,
        **kwargs,
    ):
        super().__init__(dims=3, num_classes=0, contexts=build_contexts(contexts), **kwargs)
        check_flag('channels_last', channels_last)
        self.init_cfg = init_cfg
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)
