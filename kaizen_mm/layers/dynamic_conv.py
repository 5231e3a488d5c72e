"""Convolutions and linear layers whose weight differs from sample to sample.

A dynamic layer is the plain layer with an *increment*: its weight for sample
``n`` is ``W_1 + dW_n`` (Battash & Wolf, arXiv:1910.11105, eq. 2). Without an
increment it is the plain layer to the bit.

What an increment is, the layer does not know: it gives itself to it (:class:`Increment`).
:mod:`kaizen_mm.layers.increments` has those of low rank, which no tensor of the size of N weights
stands for, and any others.
"""

import warnings
from typing import TYPE_CHECKING, Any, Optional, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from kaizen_mm.layers.exchanged_class import exchange_class, restore_class

if TYPE_CHECKING:
    _Layer = nn.Module
    _Conv = _ConvNd
else:
    _Layer = _Conv = object  # mixins


class Increment:
    """What is added to the weight of a dynamic layer for each sample."""

    def apply(self, layer: Any, x: Tensor) -> Tensor:
        """The output of a dynamic layer for ``x`` with this added to its weight."""
        raise NotImplementedError


class DynamicLayer(_Layer):
    """What dynamic convolutions and dynamic linear layers have in common.

    ``increment`` is set around one pass of a block that knows nothing of it, and is None otherwise; ``calls`` counts
    the calls in that pass. Code that knows of the increment adds it by :meth:`project` and :meth:`mix`.
    """

    increment: Optional[Increment] = None
    calls: int = 0
    label: str = ''  # what errors call it
    loaded: bool = False  # whether a state dict had its weight since it was made dynamic

    if TYPE_CHECKING:
        weight: Tensor
        bias: Any
        groups: int

        def forward_with(self, x: Tensor, weight: Tensor) -> Tensor: ...
        def project(self, x: Tensor, basis: Tensor) -> Tensor: ...
        def mix(self, base: Tensor, rows: Tensor, projected: Tensor, scale: float) -> Tensor: ...
        def per_sample_forward(self, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            if self.increment is not None:
                self.calls += 1
                return self.increment.apply(self, x)
        return self.plain_forward(x)

    def plain_forward(self, x: Tensor) -> Tensor:
        """The layer with ``W_1``."""
        return self.forward_with(x, self.weight)

    def per_input(self, x: Tensor, increment: Tensor) -> Tensor:
        """The increments ``[N, ...]`` for each entry of the batch of ``x``.

        A layer may get several entries per sample, one sample's after the other's, such as the windows
        of a shifted-window transformer; all of a sample's have its increment.

        Raises:
            ValueError: The batch of ``x`` is no multiple of N.
        """
        each = _entries_per_sample(x.shape[0], increment.shape[0])
        if each == 0:
            raise ValueError(
                f'{type(self).__name__} {self.label!r} got an input of batch size {x.shape[0]} and a '
                f'weight increment for {increment.shape[0]} samples'
            )
        return increment if each == 1 else increment.repeat_interleave(each, dim=0)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        self.loaded = self.loaded or f'{prefix}weight' in state_dict
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _entries_per_sample(batch: int, samples: int) -> int:
    """How many entries of a batch each sample has; 0 where that is no whole number."""
    if torch.jit.is_tracing():  # sizes are tensors then, but this is a constant of the network
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', torch.jit.TracerWarning)
            batch, samples = int(batch), int(samples)
    return batch // samples if batch % samples == 0 else 0


class _DynamicConv(DynamicLayer, _Conv):
    def forward_with(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer with one weight for all samples."""
        return self._conv_forward(x, weight, self.bias)

    def project(self, x: Tensor, basis: Tensor) -> Tensor:
        """``A^T * x``: ``[N, C, *S] -> [N, groups * F, *S_out]``."""
        kernel = basis.t().reshape([-1] + list(self.weight.shape[1:]))
        if self.groups > 1:
            kernel = kernel.repeat([self.groups] + [1] * (kernel.dim() - 1))
        return self._conv_forward(x, kernel, None)

    def mix(self, base: Tensor, rows: Tensor, projected: Tensor, scale: float) -> Tensor:
        """``base + scale * P (A^T * x)``, group by group; shape and memory format of ``base``."""
        groups = self.groups
        if groups == 1 and base.dim() > 3 and base.stride(1) == 1:  # channels last, as is the result: [N, S, R]
            mixed = torch.baddbmm(
                base.flatten(2).transpose(1, 2),
                projected.flatten(2).transpose(1, 2),
                rows.flatten(2).transpose(1, 2),
                alpha=scale,
            )
            return mixed.transpose(1, 2).reshape(base.shape)
        batch = base.shape[0] * groups
        # [N, R, *S] -> [N * groups, R / groups, S]
        mixed = torch.baddbmm(
            base.reshape(batch, base.shape[1] // groups, -1),
            rows.reshape(batch, rows.shape[1] // groups, -1),
            projected.reshape(batch, projected.shape[1] // groups, -1),
            alpha=scale,
        )
        return mixed.reshape(base.shape)

    def per_sample_forward(self, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        """One grouped convolution with ``weight`` of shape ``[N, *self.weight.shape]``."""
        padding: Any = self.padding
        if self.padding_mode != 'zeros':
            x = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(self.kernel_size) - 1]
        y = conv(
            x.reshape(1, -1, *x.shape[2:]),
            weight.flatten(0, 1),
            None,
            self.stride,
            padding,
            self.dilation,
            x.shape[0] * self.groups,
        )
        y = y.reshape(x.shape[0], -1, *y.shape[2:])
        return y if bias is None else y + bias.view(-1, *[1] * (y.dim() - 2))


class DynamicConv1d(_DynamicConv, nn.Conv1d):
    """:class:`torch.nn.Conv1d` that takes a weight increment per sample."""


class DynamicConv2d(_DynamicConv, nn.Conv2d):
    """:class:`torch.nn.Conv2d` that takes a weight increment per sample."""


class DynamicConv3d(_DynamicConv, nn.Conv3d):
    """:class:`torch.nn.Conv3d` that takes a weight increment per sample."""


class DynamicLinear(DynamicLayer, nn.Linear):
    """:class:`torch.nn.Linear` that takes a weight increment per sample; input ``[N, ..., C]``."""

    groups = 1

    def forward_with(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer with one weight for all samples."""
        return F.linear(x, weight, self.bias)

    def project(self, x: Tensor, basis: Tensor) -> Tensor:
        """``A^T x``: ``[N, ..., C] -> [N, ..., F]``."""
        return F.linear(x, basis.t())

    def mix(self, base: Tensor, rows: Tensor, projected: Tensor, scale: float) -> Tensor:
        """``base + scale * P (A^T x)``; shape of ``base``."""
        n = base.shape[0]
        # [N, ..., R] -> [N, L, R]
        mixed = torch.baddbmm(
            base.reshape(n, -1, base.shape[-1]),
            projected.reshape(n, -1, projected.shape[-1]),
            rows.transpose(1, 2),
            alpha=scale,
        )
        return mixed.reshape(base.shape)

    def per_sample_forward(self, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        """One batched product with ``weight`` of shape ``[N, out, in]``."""
        y = x.reshape(x.shape[0], -1, x.shape[-1]) @ weight.transpose(1, 2)
        y = y.reshape(*x.shape[:-1], weight.shape[1])
        return y if bias is None else y + bias


_DYNAMIC = {
    nn.Conv1d: DynamicConv1d,
    nn.Conv2d: DynamicConv2d,
    nn.Conv3d: DynamicConv3d,
    nn.Linear: DynamicLinear,
}


def make_dynamic(layer: nn.Module, name: str = 'layer') -> nn.Module:
    """Turns a convolution or linear layer into its dynamic kind, in place.

    Parameters, buffers, hooks and state-dict names stay: only the class changes.

    Args:
        layer: A :class:`torch.nn.Conv1d`, ``Conv2d``, ``Conv3d`` or ``Linear``, or mmcv's wrapper of
            one.
        name: What errors call it.

    Raises:
        TypeError: Any other kind of layer, subclasses with a forward of their own included, and weights that are no
            real floating-point numbers.
    """
    exchange_class(layer, dynamic_kind(layer, name))
    cast(DynamicLayer, layer).label = name
    return layer


def make_plain(layer: nn.Module) -> None:
    """Undoes :func:`make_dynamic`; the weight stays."""
    for name in ('label', 'loaded', 'increment', 'calls'):
        layer.__dict__.pop(name, None)
    restore_class(layer)


def dynamic_kind(layer: nn.Module, name: str = 'layer') -> type:
    """The dynamic class for a layer; raises what :func:`make_dynamic` raises."""
    kind, weight = type(layer), layer._parameters.get('weight')
    if weight is not None and not weight.is_floating_point():
        raise TypeError(f'{name} has weights of {weight.dtype}; a dynamic layer must have real floating-point ones')
    if isinstance(layer, DynamicLayer):
        return kind
    for plain, dynamic in _DYNAMIC.items():
        if isinstance(layer, plain) and _computes_like(kind, plain) and 'weight' in layer._parameters:
            return dynamic  # a parametrized weight is none of the parameters
    raise TypeError(
        f'{name} is a {kind.__module__}.{kind.__qualname__}; a dynamic layer must be a torch.nn '
        f'{", ".join(plain.__name__ for plain in _DYNAMIC)}, or a subclass without a forward or a '
        'parametrization of its own'
    )


def _computes_like(kind: type, plain: type) -> bool:
    # mmcv's wrappers differ from torch's layers on empty inputs under torch < 1.5 alone
    # (mmcv/cnn/bricks/wrappers.py)
    return kind.__module__ == 'mmcv.cnn.bricks.wrappers' or all(
        getattr(kind, method, None) is getattr(plain, method, None) for method in ('forward', '_conv_forward')
    )
