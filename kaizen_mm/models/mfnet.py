"""MFNet for video (3D) and images (2D), plain and with an adaptive recurrent last unit.

Chen et al., "Multi-Fiber Networks for Video Recognition", ECCV 2018. Layer sizes and weight
names are those of the original PyTorch release (cypw/PyTorch-MFNet, network/mfnet_3d.py), so
that its checkpoints load. Battash & Wolf (arXiv:1910.11105) use a variant with nine units and
turn its last unit recurrent: ``f`` is its two 1x1(x1) convolutions, ``g`` the rest (fig. 3).

All variants come from one description, :class:`MFNet`; they stand at the end of the file. Its
methods are those that timm expects of a network; :mod:`kaizen_mm.timm_names.mfnet` registers the names.
"""

import copy
import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Dict, Final, Optional, Sequence, Tuple

import torch
import torch.fx
from torch import Tensor, nn

from kaizen_mm.arguments import check_flag
from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.adapters import adapter_kind, arguments_of
from kaizen_mm.layers.checkpointing import checkpoint_children
from kaizen_mm.layers.early_exit import BlockPasses, check_early_exit, exited
from kaizen_mm.layers.fast_weight_methods import FastWeightMethods
from kaizen_mm.layers.first_weights import warn_of_untrained_first_weights
from kaizen_mm.layers.pooling import channels_last_on_cpu
from kaizen_mm.layers.recurrent_block import check_norm_statistics, check_num_iterations
from kaizen_mm.layers.writing_block import attribute_set
from kaizen_mm.models.mf_unit import CONV, NORM, MFUnit, size
from kaizen_mm.models.mfnet_arguments import check_adapter, check_description, check_input_size
from kaizen_mm.models.recurrent_mf_unit import RecurrentMFUnit, RecurrentTail
from kaizen_mm.models.timm_methods import STAGES, TimmMethods, check_head, make_classifier

torch.fx.wrap('channels_last_on_cpu')  # it asks where its input is, which a graph decides when it runs
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
# of h, by the network's dimensions: arXiv:1910.11105, sections 4.2 and 4.3
_POOLING: Dict[int, Dict[str, Any]] = {
    2: dict(pool_kernel=3, pool_stride=1),
    3: dict(pool_kernel=(5, 3, 3), pool_stride=(4, 1, 1)),
}


class MFNet(FastWeightMethods, TimmMethods, nn.Module):
    """MFNet, plain or with an adaptive recurrent last unit.

    Args:
        dims: 2 for images ``[N, C, H, W]``, 3 for clips ``[N, C, T, H, W]``.
        widths: Channels of the four stages.
        units: Units of the four stages.
        groups: Of the group convolutions.
        num_classes: Classes of the classifier; 0 builds none. Default 1000.
        in_chans: Channels of the input. Default 3.
        global_pool: How the last map becomes a vector: ``'avg'`` (default), ``'max'``, ``'avgmax'``
            (the mean of both) or ``''``, which keeps the map and needs ``num_classes=0``.
        drop_rate: Dropout before the classifier. Default 0.
        num_iterations: None (default) for the plain network; ``K`` for one whose last unit
            runs K times. With 1 the last unit is the plain one.
        input_size: ``(H, W)`` or ``(T, H, W)`` that the recurrent network will get. The plain one takes any, as do
            recurrent ones with ``adapter='global'``, ``'slots'`` or ``'experts'``. Default 224x224, with 16 frames.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`; holds for the tail as well.
        freeze_dynamic: Whether ``W_1``, the dynamic layers' own weights, keeps the values that the
            plain network was trained to, as in the paper's second phase. Default True.
        adapter: Further arguments of :func:`~kaizen_mm.layers.build_adapter`. ``pool_kernel`` and
            ``pool_stride`` are by default (5, 3, 3) and (4, 1, 1) in 3D, 3 and 1 in 2D, without padding
            (arXiv:1910.11105, sections 4.2 and 4.3). The paper's adapter alone has them.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
        TypeError: An unknown argument.
    """

    # for torch.jit.script: a constant, and what is not compiled
    is_recurrent: Final[bool]  # type: ignore[misc]
    __jit_unused_properties__ = ['recurrent_block', 'num_iterations']

    if TYPE_CHECKING:
        conv5: Any
        tail: Any

    def __init__(
        self,
        dims: int,
        widths: Sequence[int] = (96, 192, 384, 768),
        units: Sequence[int] = (3, 4, 6, 3),
        groups: int = 16,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = 'avg',
        drop_rate: float = 0.0,
        num_iterations: Optional[int] = None,
        input_size: Optional[Sequence[int]] = None,
        norm_statistics: str = 'per_iterate',
        freeze_dynamic: bool = True,
        **adapter,
    ):
        super().__init__()
        check_description(dims, widths, units, groups, in_chans, drop_rate)
        check_head(num_classes, global_pool)
        check_norm_statistics(norm_statistics)
        check_flag('freeze_dynamic', freeze_dynamic)
        check_adapter(
            adapter, num_iterations, [name for name in inspect.signature(MFNet).parameters if name != 'adapter']
        )
        self.dims, self.num_classes, self.in_chans, self.global_pool = dims, num_classes, in_chans, global_pool
        self.num_features = self.head_hidden_size = widths[-1]
        self.input_size = check_input_size(dims, input_size)
        self.grad_checkpointing = False
        stem = 16
        self.feature_info = [
            dict(num_chs=channels, reduction=2 ** (index + 1), module=STAGES[index])
            for index, channels in enumerate((stem, *widths))
        ]
        self.conv1 = nn.Sequential(
            OrderedDict(
                conv=CONV[dims](in_chans, stem, size(dims, 3, 5), size(dims, 1, 2), size(dims, 1, 2), bias=False),
                bn=NORM[dims](stem),
                relu=nn.ReLU(inplace=True),
            )
        )
        self.maxpool = _MAX_POOL[dims](size(dims, 1, 3), size(dims, 1, 2), size(dims, 0, 1))
        channels = stem
        for index, (width, count) in enumerate(zip(widths, units)):
            # time is halved at the first unit of the first stage, space at that of the others
            stride = size(dims, 2, 1) if index == 0 else size(dims, 1, 2)
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for unit in range(count):
                stage[f'B{unit + 1:02d}'] = MFUnit(
                    dims, channels, width, groups, stride if unit == 0 else 1, first=unit == 0
                )
                channels = width
            self.add_module(STAGES[index + 1], nn.Sequential(stage))
        self.tail = nn.Sequential(OrderedDict(bn=NORM[dims](channels), relu=nn.ReLU(inplace=True)))
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = make_classifier(channels, num_classes)
        self.apply(_init_weights)

        self.is_recurrent = False
        self._num_iterations = num_iterations
        if num_iterations is not None:
            check_num_iterations(num_iterations)
            adapter = {name: value for name, value in adapter.items() if value is not None}
            if 'pool_kernel' in arguments_of(adapter_kind(adapter.get('adapter', 'paper'))):
                adapter = {**_POOLING[dims], **adapter}
            self._make_last_unit_recurrent(num_iterations, norm_statistics, freeze_dynamic, **adapter)

    def _make_last_unit_recurrent(self, num_iterations, norm_statistics, freeze_dynamic, **adapter):
        name, unit = list(self.conv5.named_children())[-1]
        block = RecurrentMFUnit(
            unit,
            feedback_shape=self._feature_shape(),
            num_iterations=num_iterations,
            norm_statistics=norm_statistics,
            freeze_dynamic=freeze_dynamic,
            **adapter,
        )
        self.conv5.add_module(name, block)
        self.tail = RecurrentTail(self.tail, num_iterations, norm_statistics)
        self.is_recurrent = True

    def _feature_shape(self) -> Tuple[int, ...]:
        """Shape ``(C, *spatial)`` of the last stage's output, without computing it."""
        ghost = copy.deepcopy(self).to('meta').eval()
        with torch.no_grad():
            x = torch.empty(1, self.in_chans, *self.input_size, device='meta')
            return tuple(ghost._stages(x).shape[1:])

    def become_plain(self) -> None:
        """Says that the last unit and the tail are plain, once their wrappers are gone."""
        self._num_iterations = None
        self.is_recurrent = False  # type: ignore[misc]

    @property
    def recurrent_block(self) -> Optional[AdaptiveRecurrentBlock]:
        """The recurrent last unit; None in a plain network."""
        return self.conv5[-1] if self.is_recurrent else None

    @property
    def num_iterations(self) -> Optional[int]:
        """``K``, or None in a plain network. May be changed after construction."""
        return self._num_iterations

    @num_iterations.setter
    def num_iterations(self, value: int):
        if not self.is_recurrent:
            raise ValueError(
                f'num_iterations cannot become {value!r}: this network is plain; build it with num_iterations'
            )
        assert self.recurrent_block is not None
        self.recurrent_block.num_iterations = value
        self.tail.num_iterations = value
        self._num_iterations = value

    def _stages(self, x):
        if not torch.jit.is_scripting() and isinstance(x, Tensor):  # no proxy of torch.fx
            warn_of_untrained_first_weights(self)
        x = self.maxpool(self.conv1(channels_last_on_cpu(x)))
        if self.grad_checkpointing and not torch.jit.is_scripting():
            for name in STAGES[1:]:
                x = self._run(name, x)
            return x
        return self.conv5(self.conv4(self.conv3(self.conv2(x))))

    def _run(self, name, x):
        stage = getattr(self, name)
        if self.grad_checkpointing and name != 'conv1':
            return checkpoint_children(stage, x)
        return stage(x)

    def forward_feature_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The feature maps ``[N, C, (T,) H, W]`` of every iterate; of a plain network a tuple of one."""
        features = self.tail(self._stages(x))
        return features if self.is_recurrent else (features,)

    def forward_features(self, x: Tensor) -> Tensor:
        """The feature map ``[N, C, (T,) H, W]`` of the last iterate."""
        features = self._stages(x)
        if self.is_recurrent:
            return self.tail(features, not self.training)[-1]  # in training all iterates' statistics are learned
        return self.tail(features)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pooling, dropout and classifier: ``[N, C, ...] -> [N, num_classes]``, or ``[N, C]`` with
        ``pre_logits``."""
        if self.global_pool:
            x = x.flatten(2)  # [N, C, (T *) H * W]
            if self.global_pool == 'avg':
                x = x.mean(dim=2)
            elif self.global_pool == 'max':
                x = x.amax(dim=2)
            else:
                x = 0.5 * (x.mean(dim=2) + x.amax(dim=2))
        x = self.dropout(x)
        return x if pre_logits else self.classifier(x)

    def forward_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The logits of every iterate, for :class:`~kaizen_mm.losses.KaizenLoss`; of a plain network
        a tuple of one."""
        return tuple(self.forward_head(f) for f in self.forward_feature_iterates(x))

    @torch.jit.unused
    @torch.no_grad()
    def early_exit(self, x: Tensor, threshold: float) -> Tuple[Tensor, Tensor]:
        """Samples whose iterate is confident leave the batch, see
        :meth:`~kaizen_mm.surgery.RecurrentNetwork.early_exit`."""
        check_early_exit(self, threshold)
        if not self.num_classes:
            raise ValueError('early_exit: the network must give scores, but it was built with num_classes=0')
        return exited(self.exit_passes(x, head=self.forward_head), threshold)

    @torch.jit.unused
    def exit_passes(self, x: Tensor, entries_per_sample: int = 1, head: Any = None) -> Any:
        """The feature maps of the iterates one by one, for fewer and fewer samples, or what ``head`` makes of them.
        ``entries_per_sample`` is that of :class:`~kaizen_mm.surgery.RecurrentNetwork`."""
        u = self.maxpool(self.conv1(channels_last_on_cpu(x)))
        for stage in (self.get_submodule(name) for name in STAGES[1:-1]):
            u = stage(u)

        def after(y, index):
            with attribute_set(self.tail, 'first_iterate', index):
                features = self.tail([y])[-1]
            return features if head is None else head(features)

        return BlockPasses(self.recurrent_block, self.conv5[:-1](u), after)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the last iterate."""
        return self.forward_head(self.forward_features(x))


def _init_weights(module):
    """Xavier's normal initialization on all weights.

    The original release has Xavier's uniform one, of the same variance; the results of this repository were measured
    with this one.
    """
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.xavier_normal_(module.weight)


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


def kaizen_mfnet2d_n9(num_iterations: int = 3, **kwargs) -> MFNet:
    """:func:`mfnet2d_n9` with an adaptive recurrent last unit."""
    return mfnet2d_n9(num_iterations=num_iterations, **kwargs)
