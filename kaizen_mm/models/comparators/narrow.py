"""Any network of convolutions, narrower: for comparisons at a size that CPUs can train."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.models.comparators.base import init_weights, scaled


def narrow(network: nn.Module, width: float, in_chans: int = 3) -> nn.Module:
    """Multiplies the channels of all convolutions and batch norms by a factor, in place, and initializes them anew.

    The input keeps its channels, depthwise convolutions stay depthwise, and linear layers are not touched.

    Args:
        network: A network that does not keep numbers of channels elsewhere than in those layers.
        width: The factor. Rounded to whole channels, at least one; with 1 nothing is changed.
        in_chans: Channels of the input: a convolution of so many input channels keeps them.

    Returns:
        ``network``.

    Raises:
        ValueError: ``width`` is no number above 0, or a grouped convolution cannot be made narrower so.
    """
    scaled((1,), width)  # raises
    if width == 1:
        return network
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            _narrow_conv(name, module, width, in_chans)
            init_weights(module)
        elif isinstance(module, _BatchNorm):
            (module.num_features,) = scaled((module.num_features,), width)
            _resize(module, 'weight', 'bias', 'running_mean', 'running_var', size=module.num_features)
            module.reset_parameters()
    return network


def _narrow_conv(name: str, conv: nn.Conv2d, width: float, in_chans: int) -> None:
    depthwise = conv.groups == conv.in_channels and conv.groups > 1
    if conv.in_channels != in_chans:
        (conv.in_channels,) = scaled((conv.in_channels,), width)
    (conv.out_channels,) = scaled((conv.out_channels,), width)
    if depthwise:
        conv.groups = conv.in_channels
    if conv.in_channels % conv.groups or conv.out_channels % conv.groups:
        raise ValueError(
            f'width must leave the {conv.groups} groups of {name} with equal channels, got {width!r}: '
            f'{conv.in_channels} and {conv.out_channels} channels'
        )
    shape = conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size
    conv.weight = nn.Parameter(conv.weight.new_empty(shape))
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias.new_empty(conv.out_channels))


def _resize(module: nn.Module, *names: str, size: int) -> None:
    for name in names:
        value = getattr(module, name)
        if isinstance(value, nn.Parameter):
            setattr(module, name, nn.Parameter(value.new_empty(size)))
        elif isinstance(value, torch.Tensor):
            setattr(module, name, value.new_empty(size))
