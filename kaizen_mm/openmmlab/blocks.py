"""The adaptive recurrent block and the kaizen loss in mmengine's registry, where all of OpenMMLab finds them."""
from typing import Optional, Sequence, Union

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models.surgery import RecurrentNetwork

MODELS.register_module(module=KaizenLoss)


@MODELS.register_module(name='AdaptiveRecurrentBlock')
class BuildableRecurrentBlock(AdaptiveRecurrentBlock):
    """:class:`~kaizen_mm.layers.AdaptiveRecurrentBlock` whose ``block`` may be a config."""

    def __init__(self, block: Union[dict, nn.Module], *args, **kwargs):
        super().__init__(MODELS.build(block) if isinstance(block, dict) else block, *args, **kwargs)


@MODELS.register_module()
class AdaptiveRecurrentBackbone(RecurrentNetwork, BaseModule):
    """Any backbone with any of its blocks made adaptive recurrent; yields a tuple of K outputs.

    Put ``AdaptiveRecurrentNeck`` around its neck, where there is one, and ``AdaptiveRecurrentHead`` (mmaction2)
    or ``AdaptiveRecurrentClsHead`` (mmpretrain) around its head.

    Args:
        backbone: Config of the backbone.
        input_shape: Shape of one input, such as ``(3, 224, 224)`` or ``(3, 8, 224, 224)``.
        input_batch: How many inputs are tried at construction. Default 1; for backbones that want frames in the
            batch (TSM) a multiple of the number of frames.
        num_iterations: ``K``. With 1 it is the plain backbone.
        init_cfg: As in mmengine.
        kwargs: ``block``, ``dynamic``, ``feedback`` and so on, see :class:`~kaizen_mm.models.RecurrentNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self,
                 backbone: dict,
                 input_shape: Sequence[int],
                 num_iterations: int = 2,
                 input_batch: int = 1,
                 init_cfg: Optional[dict] = None,
                 **kwargs):
        if not all(isinstance(s, int) and s > 0 for s in (*input_shape, input_batch)):
            raise ValueError(f'input_shape and input_batch must be positive ints, got {input_shape!r} and {input_batch!r}')
        generator = torch.Generator().manual_seed(0)
        super().__init__(MODELS.build(backbone), num_iterations=num_iterations,
                         example_input=torch.randn(input_batch, *input_shape, generator=generator), **kwargs)
        self.init_cfg = init_cfg

    def forward(self, *args, **kwargs) -> tuple:
        return self.forward_iterates(*args, **kwargs)


@MODELS.register_module()
class AdaptiveRecurrentNeck(PerIterate, BaseModule):
    """Any neck, applied to each iterate; yields a tuple of K outputs.

    Args:
        neck: Config of the neck.
        num_iterations: ``K``, for running statistics of its norms.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``.
        init_cfg: As in mmengine.
    """

    def __init__(self, neck: dict, num_iterations: int, norm_statistics: str = 'per_iterate',
                 init_cfg: Optional[dict] = None):
        super().__init__(MODELS.build(neck), num_iterations, norm_statistics)
        self.init_cfg = init_cfg

    def forward(self, iterates: Sequence, **kwargs):
        outputs = super().forward(iterates, **kwargs)
        if isinstance(outputs[-1], tuple) and isinstance(outputs[-1][-1], dict):
            # mmaction2's necks give their output and auxiliary losses
            return tuple(output for output, _ in outputs), outputs[-1][1]
        return outputs
