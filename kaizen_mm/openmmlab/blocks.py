"""The adaptive recurrent block and the kaizen loss in mmengine's registry, where all of OpenMMLab finds them."""

from contextlib import contextmanager
from typing import List, Optional, Sequence, Union

import torch
from mmengine.model import BaseModule, initialize
from mmengine.registry import MODELS
from torch import nn

from kaizen_mm.arguments import check_flag, check_int, check_shape
from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate
from kaizen_mm.layers.adapters import adapter_kind, any_size_adapters
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.iterate_statistics import IterateStatistics
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models.contexts import DepthwiseContext, PositionAttention
from kaizen_mm.openmmlab.training.passed_over import check_not_passed_over
from kaizen_mm.surgery.input_adapted import InputAdaptedNetwork
from kaizen_mm.surgery.network import RecurrentNetwork

for _module in (KaizenLoss, DepthwiseContext, PositionAttention):
    MODELS.register_module(module=_module)


def build_contexts(contexts: Sequence[Optional[dict]]) -> List[Optional[nn.Module]]:
    """The modules of a BagNet's ``contexts``, each a config or None; ``type`` may be any class by its whole name, such
    as ``'timm.layers.SqueezeExcite'``."""
    if not isinstance(contexts, (tuple, list)):
        raise ValueError(f'contexts must be a list of configs or None, one for each block, got {contexts!r}')
    return [MODELS.build(context) if isinstance(context, dict) else context for context in contexts]


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
        input_shape: Shape of one input, such as ``(3, 224, 224)`` or ``(3, 8, 224, 224)``. With an
            adapter that takes any size, ``'global'``, ``'slots'`` or ``'experts'``, it may be left out: then the
            backbone is tried with a few usual shapes.
        input_batch: How many inputs are tried at construction. Default 1; for backbones that want frames in the
            batch (TSM) a multiple of the number of frames.
        num_iterations: ``K``. With 1 it is the plain backbone.
        last_iterate: Whether it yields what the backbone would, of the last iterate, in place of the tuple; for heads
            of others, such as the one that mmaction2's ``clip_feature_extraction.py`` puts in. Default False.
        init_cfg: As in mmengine.
        kwargs: ``block``, ``dynamic``, ``feedback`` and so on, see :class:`~kaizen_mm.models.RecurrentNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        backbone: dict,
        input_shape: Optional[Sequence[int]] = None,
        num_iterations: int = 2,
        input_batch: int = 1,
        last_iterate: bool = False,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ):
        check_flag('last_iterate', last_iterate)
        if input_shape is None and not adapter_kind(kwargs.get('adapter', 'paper')).any_size:
            raise ValueError(
                'input_shape must be the shape of one input, such as (3, 224, 224), unless adapter is one of '
                f'{tuple(any_size_adapters())}; got None'
            )
        check_int('input_batch', input_batch)
        if input_shape is not None:
            check_shape('input_shape', input_shape, 'of one input')
        if str(backbone['type']).startswith(('torchvision.', 'timm.')):
            raise ValueError(
                f"backbone.type {backbone['type']!r} is one that mmaction2's recognizers build on their own; "
                'use mmpretrain.TIMMBackbone, or a backbone of mmaction2 or mmpretrain'
            )
        network = _with_plain_pointwise(MODELS.build(backbone))
        if input_shape is None:
            input_shape = _usual_shape(network, input_batch)
        super().__init__(
            network, num_iterations=num_iterations, example_input=_noise(input_batch, input_shape), **kwargs
        )
        self.last_iterate, self.init_cfg = last_iterate, init_cfg

    def init_weights(self) -> None:
        """As the plain backbone does it; the later iterates' norm statistics become those of the first."""
        if hasattr(self.wrapped, 'init_weights'):
            with self._plain_blocks():
                self.wrapped.init_weights()
        for norm in self.modules():
            rows = norm._modules.get('iterates')
            if isinstance(rows, IterateStatistics):
                for name, buffer in rows.named_buffers():
                    buffer.copy_(getattr(norm, name))
        if self.init_cfg:
            initialize(self, self.init_cfg)
        self._is_init = True

    @contextmanager
    def _plain_blocks(self):
        """The blocks are in their places without what makes them recurrent.

        Backbones that load weights by the names of their modules (``pretrained`` of mmaction2's ResNets) would
        pass over them otherwise.
        """
        blocks = {name: self.wrapped.get_submodule(name) for name in self.block_names}
        for name, block in blocks.items():
            self.wrapped.set_submodule(name, block.wrapped)
        if self.span is not None:
            self.span.dissolve(self.wrapped)
        try:
            yield
        finally:
            for name, block in blocks.items():
                self.wrapped.set_submodule(name, block)
                if self.span is not None:
                    self.span.put(self.wrapped, block)

    def forward(self, *args, **kwargs) -> Union[tuple, torch.Tensor]:
        if self.training:
            check_not_passed_over()
        iterates = self.forward_iterates(*args, **kwargs)
        if self.last_iterate:
            return iterates[-1]
        return Iterates(Iterates(y) if type(y) is tuple else y for y in iterates)


@MODELS.register_module()
class InputAdaptedBackbone(InputAdaptedNetwork, BaseModule):
    """Any backbone some of whose layers have weights that ``h`` rewrites in one pass, from each layer's own input;
    yields a tuple of one iterate, as :class:`AdaptiveRecurrentBackbone` with ``num_iterations=1`` does.

    Args:
        backbone: Config of the backbone.
        dynamic: Names of the layers.
        input_shape: Shape of one input, such as ``(3, 224, 224)``.
        last_iterate: As in :class:`AdaptiveRecurrentBackbone`: True for what the backbone gives in place of a tuple of
            it, which is what a recurrent backbone around this one needs. Default False.
        init_cfg: As in mmengine.
        kwargs: Options of :func:`~kaizen_mm.layers.adapters.build_adapter`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        backbone: dict,
        dynamic: Sequence[str],
        input_shape: Sequence[int],
        last_iterate: bool = False,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ):
        check_flag('last_iterate', last_iterate)
        check_shape('input_shape', input_shape, 'of one input')
        super().__init__(MODELS.build(backbone), dynamic, _noise(1, input_shape), **kwargs)
        self.last_iterate, self.init_cfg = last_iterate, init_cfg

    def forward(self, *args, **kwargs):
        result = super().forward(*args, **kwargs)
        return result if self.last_iterate else Iterates((result,))


class Iterates(tuple):
    """The iterates' outputs; says what is wrong where code takes them for a tensor."""

    def __getattr__(self, name):
        raise AttributeError(
            f'a recurrent backbone gives a tuple of iterates, each a tensor or a tuple, which has no {name!r}. Put '
            'AdaptiveRecurrentNeck around the neck and AdaptiveRecurrentHead (mmaction2) or AdaptiveRecurrentClsHead '
            '(mmpretrain) around the head; a Recognizer2D that has a neck, or fcn_test in its test_cfg, takes no '
            'iterates'
        )


def _noise(batch: int, shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))


def _usual_shape(network: nn.Module, batch: int) -> Sequence[int]:
    """The smallest one of a few shapes of images or clips that a network takes.

    Raises:
        ValueError: It takes none of them.
    """
    first = next((m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))), None)
    if first is not None:
        frames = ((8,), (16,), (32,)) if isinstance(first, nn.Conv3d) else ((),)
        for shape in ((first.in_channels, *time, side, side) for side in (64, 224) for time in frames):
            try:
                with evaluation(network):
                    network(_noise(batch, shape))
                return shape
            except Exception:  # of whatever kind the network raises for another size
                continue
    raise ValueError(f'input_shape must be given: {type(network).__name__} takes none of the shapes that were tried')


def _with_plain_pointwise(network: nn.Module) -> nn.Module:
    """Mmcv's ``Conv2dAdaptivePadding`` of kernel 1 and stride 1, which pads nothing, becomes a ``Conv2d``.

    In mmpretrain's EfficientNet it is the first layer of a block.
    """
    for module in network.modules():
        if (
            type(module).__name__ == 'Conv2dAdaptivePadding'
            and module.kernel_size == (1, 1)
            and module.stride == (1, 1)
        ):
            module.__class__ = nn.Conv2d
    return network


@MODELS.register_module()
class AdaptiveRecurrentNeck(PerIterate, BaseModule):
    """Any neck, applied to each iterate; yields a tuple of K outputs.

    Args:
        neck: Config of the neck.
        num_iterations: ``K``; needed only by a neck with batch norm, for its running statistics.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A neck with batch norm gets several iterates, and ``num_iterations`` was not given.
    """

    def __init__(
        self,
        neck: dict,
        num_iterations: Optional[int] = None,
        norm_statistics: str = 'per_iterate',
        init_cfg: Optional[dict] = None,
    ):
        super().__init__(MODELS.build(neck), num_iterations, norm_statistics)
        self.init_cfg = init_cfg

    def forward(self, iterates: Sequence, **kwargs):
        outputs = super().forward(iterates, **kwargs)
        if isinstance(outputs[-1], tuple) and isinstance(outputs[-1][-1], dict):
            # mmaction2's necks give their output and auxiliary losses
            return tuple(output for output, _ in outputs), outputs[-1][1]
        return outputs
