"""What the networks that MFNet is compared with have in common; needs torch alone."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_flag, check_int, check_number, check_shape, is_int
from kaizen_mm.models.timm_methods import check_head, make_classifier, take_indices


class ImageNetwork(nn.Module):
    """An image classifier whose last feature maps come as iterates, the last one best.

    A subclass gives :attr:`feature_modules` and :meth:`forward_stages`, and calls :meth:`describe_stages` when it is
    built. A network that runs once has one iterate.

    Args:
        num_features: Channels of the last map.
        smallest: Pixels a side that an image must have, for the network's strides.
        num_classes: Classes of the classifier; 0 builds none. Default 1000.
        in_chans: Channels of the input. Default 3.
        input_size: ``(H, W)``, or one int for both, that the network is meant for; it takes any size from
            ``smallest`` on, and this one is checked at construction. None (default) checks nothing.
        drop_rate: Dropout before the classifier. Default 0.
        global_pool: ``'avg'`` (default), ``'max'``, ``'avgmax'`` (their mean), or ``''``, which keeps the map and needs
            ``num_classes=0``.

    Shape:
        ``[N, in_chans, H, W] -> [N, num_classes]``

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    # names of the modules that give the stages' maps, in their order; where one runs often, its last map counts
    feature_modules: Sequence[str] = ()
    feature_info: List[Dict[str, Any]]
    __jit_unused_properties__ = ['num_iterations']  # of torch.jit.script

    def __init__(
        self,
        num_features: int,
        smallest: int,
        num_classes: int = 1000,
        in_chans: int = 3,
        input_size: Union[int, Sequence[int], None] = None,
        drop_rate: float = 0.0,
        global_pool: str = 'avg',
    ):
        super().__init__()
        self.last_stage = len(self.feature_modules) - 1
        check_head(num_classes, global_pool)
        check_int('in_chans', in_chans)
        check_number('drop_rate', drop_rate, 0, 1)
        if input_size is not None:
            sides = (input_size, input_size) if is_int(input_size) else input_size
            check_size('input_size', check_shape('input_size', sides, '(H, W) or one for both', length=2), smallest)
        self.num_features = self.head_hidden_size = num_features
        self.num_classes, self.in_chans, self.global_pool, self.smallest = num_classes, in_chans, global_pool, smallest
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = make_classifier(num_features, num_classes)

    def describe_stages(self, channels: Sequence[int], reductions: Sequence[int]) -> None:
        """Says what the maps of the stages are.

        Args:
            channels: Of each map; one for each of :attr:`feature_modules`.
            reductions: By how much an image is higher and wider than each map.
        """
        self.feature_info = [
            dict(num_chs=count, reduction=reduction, module=module)
            for count, reduction, module in zip(channels, reductions, self.feature_modules)
        ]

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        """Runs the stages from 0 to ``last``.

        Returns:
            The map of each stage (that of its last iterate), and the maps of all iterates of the last one.
        """
        raise NotImplementedError

    def _run(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        if not torch.jit.is_scripting() and isinstance(x, Tensor):  # no proxy of torch.fx
            if not torch.jit.is_tracing() and not torch.compiler.is_compiling():
                check_size('input', tuple(x.shape[-2:]), self.smallest)
        return self.forward_stages(x, last)

    def forward_feature_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The last map ``[N, num_features, h, w]`` of every iterate."""
        return tuple(self._run(x, self.last_stage)[1])

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map ``[N, num_features, h, w]`` of the last iterate."""
        return self._run(x, self.last_stage)[1][-1]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Union[int, Sequence[int], None] = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
    ) -> Union[List[Tensor], Tuple[Tensor, List[Tensor]]]:
        """The maps of the stages, each that of its last iterate.

        Args:
            x: Input.
            indices: Which maps: the last n for an int, all for None (default).
            norm: Changes nothing: no norm follows the last map.
            stop_early: Whether stages beyond the last wanted one are left out. Default False.
            output_fmt: ``'NCHW'``.
            intermediates_only: Whether to give the maps alone, for which stages beyond the last wanted one do not run.
                Default False.

        Returns:
            The output of :meth:`forward_features` (of the last stage that was run, with ``stop_early``), and the list
            of maps, in the order of the stages.

        Raises:
            ValueError: An argument that cannot be used, named with what would be accepted.
        """
        check_choice('output_fmt', output_fmt, ('NCHW',))
        for name, value in (('norm', norm), ('stop_early', stop_early), ('intermediates_only', intermediates_only)):
            check_flag(name, value)
        take = take_indices(indices, self.last_stage + 1)
        maps, _ = self._run(x, max(take) if stop_early or intermediates_only else self.last_stage)
        taken = [maps[index] for index in sorted(take)]
        return taken if intermediates_only else (maps[-1], taken)

    def prune_intermediate_layers(
        self, indices: Union[int, Sequence[int], None] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> List[int]:
        """Removes what :meth:`forward_intermediates` does not need for some maps.

        Args:
            indices: As there.
            prune_norm: Changes nothing: no norm follows the last map.
            prune_head: Whether the classifier and the pooling go as well, as they do where stages go. Default True.

        Returns:
            The indices of the maps, none negative.
        """
        take = take_indices(indices, self.last_stage + 1)
        end = max(take)
        for stage in range(end + 1, self.last_stage + 1):
            for name in self._parts(stage):
                parent, _, child = name.rpartition('.')
                setattr(self.get_submodule(parent), child, nn.Identity())
        if end < self.last_stage:
            self.last_stage = end
            self.num_features = self.head_hidden_size = self.feature_info[end]['num_chs']
            prune_head = True
        if prune_head:
            self.reset_classifier(0, '')
        return take

    def _parts(self, stage: int) -> Tuple[str, ...]:
        """The modules that a stage is made of."""
        return (self.feature_modules[stage],)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pooling, dropout and classifier: ``[N, C, h, w] -> [N, num_classes]``, or ``[N, C]`` with ``pre_logits``."""
        if self.global_pool:
            mean, largest = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
            x = {'avg': mean, 'max': largest, 'avgmax': 0.5 * (mean + largest)}[self.global_pool]
        x = self.dropout(x)
        return x if pre_logits else self.classifier(x)

    def forward_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The logits of every iterate, for :class:`~kaizen_mm.losses.KaizenLoss`."""
        return tuple(self.forward_head(features) for features in self.forward_feature_iterates(x))

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the last iterate."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: Optional[str] = None) -> None:
        """Puts a fresh classifier in place; ``num_classes`` 0 for none, ``global_pool`` None (default) changes
        nothing."""
        pool = self.global_pool if global_pool is None else global_pool
        check_head(num_classes, pool)
        like = next(self.parameters())
        self.num_classes, self.global_pool = num_classes, pool
        self.classifier = make_classifier(self.num_features, num_classes).to(like.device, like.dtype)


def check_size(name: str, size: Sequence[int], smallest: int) -> None:
    """Raises ValueError unless an image ``(H, W)`` has at least so many pixels a side."""
    if min(size) < smallest:
        raise ValueError(
            f"{name} must be at least {smallest} pixels high and wide for the network's strides, got {tuple(size)}"
        )


def scaled(channels: Sequence[int], width: float, multiple: int = 1) -> Tuple[int, ...]:
    """Channels times the factor ``width``, rounded to a multiple, at least one of it.

    Raises:
        ValueError: ``width`` is no number above 0.
    """
    check_number('width', width)
    if width == 0:
        raise ValueError('width must be a factor of the channels above 0, got 0')
    return tuple(max(multiple, round(count * width / multiple) * multiple) for count in channels)


def init_weights(module: nn.Module) -> None:
    """He's normal initialization of convolutions (arXiv:1502.01852), by the number of outputs that an input has a part
    in."""
    if isinstance(module, nn.Conv2d):
        outputs = module.out_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
        nn.init.normal_(module.weight, 0.0, (2 / outputs) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def resnet_stem(in_chans: int, width: int) -> nn.Sequential:
    """The first layers of a ResNet: a 7x7 convolution of stride 2, batch norm, ReLU, and max pooling of stride 2."""
    return nn.Sequential(
        nn.Conv2d(in_chans, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    )
