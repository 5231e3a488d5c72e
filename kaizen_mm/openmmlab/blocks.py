"""The adaptive recurrent block and the kaizen loss in mmengine's registry, where all of OpenMMLab finds them."""
from typing import Union

from mmengine.registry import MODELS
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.losses import KaizenLoss

MODELS.register_module(module=KaizenLoss)


@MODELS.register_module(name='AdaptiveRecurrentBlock')
class BuildableRecurrentBlock(AdaptiveRecurrentBlock):
    """:class:`~kaizen_mm.layers.AdaptiveRecurrentBlock` whose ``block`` may be a config."""

    def __init__(self, block: Union[dict, nn.Module], *args, **kwargs):
        super().__init__(MODELS.build(block) if isinstance(block, dict) else block, *args, **kwargs)
