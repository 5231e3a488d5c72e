"""The blocks that are compared: MFNet's last units, and one of a ResNet with a dynamic 3x3 convolution."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .formulation import PerSampleBlock, as_published
from .versions import Version


@dataclasses.dataclass(frozen=True)
class UnitCase:
    """A block and its input.

    Args:
        title: What tables call it.
        network: Name of the network of :mod:`kaizen_mm.models` whose last unit it is; None for a ResNet's basic block.
        size: Of the network's input.
        batch: N.
        kwargs: Further arguments of the network.
    """

    title: str
    network: str | None
    size: tuple[int, ...]
    batch: int
    kwargs: dict = dataclasses.field(default_factory=dict, hash=False)


UNITS: dict[str, UnitCase] = dict(
    mfnet2d=UnitCase('MFNet-2D, C = 768, 7x7', 'mfnet2d', (224, 224), 32),
    mfnet3d=UnitCase('MFNet-3D, C = 768, 8x7x7', 'mfnet3d', (16, 224, 224), 4),
    mfnet3d_n9_112=UnitCase('MFNet-3D N = 9, C = 192, 8x4x4', 'mfnet3d_n9', (16, 112, 112), 8),
    mfnet3d_n9_224=UnitCase('MFNet-3D N = 9, C = 192, 8x7x7', 'mfnet3d_n9', (16, 224, 224), 4),
    resnet=UnitCase('ResNet, 3x3 convolution, C = 512, 7x7', None, (7, 7), 32),
    resnet_early=UnitCase(
        'ResNet, 3x3 convolution, C = 64, 28x28', None, (28, 28), 8, dict(channels=64, pool_kernel=2, pool_stride=2)
    ),
)
QUICK_UNITS: dict[str, UnitCase] = dict(
    mfnet2d=UnitCase(
        'MFNet-2D, narrow', 'mfnet2d', (96, 96), 2, dict(widths=(16, 32, 32, 64), units=(1, 1, 1, 2), groups=4)
    ),
    mfnet3d=UnitCase(
        'MFNet-3D, narrow', 'mfnet3d', (16, 96, 96), 2, dict(widths=(16, 32, 32, 64), units=(1, 1, 1, 2), groups=4)
    ),
    resnet=UnitCase('ResNet, 3x3 convolution, C = 32', None, (7, 7), 2, dict(channels=32)),
)


@dataclasses.dataclass
class Blocks:
    """Equal blocks: ``plain``, the block itself, and the recurrent one in three forms.

    Args:
        shape: Of the input.
        recurrent: Builds the present state's.
    """

    shape: tuple[int, ...]
    plain: nn.Module
    now: nn.Module
    authors: nn.Module
    before: nn.Module | None = None


def build(case: UnitCase, num_iterations: int, now: Version, before: Version | None = None) -> Blocks:
    """The blocks of a case, with the same weights."""
    make = _mfnet_unit if case.network else _residual_block
    plain, block = make(case, num_iterations, now)
    adapter = block.adapter
    authors = per_sample(copy.deepcopy(plain), block)
    earlier = None
    if before is not None:
        _, earlier = make(case, num_iterations, before)
        earlier.load_state_dict(block.state_dict())
    return Blocks((case.batch, *adapter.feedback_shape), plain, block, authors, earlier)


def per_sample(plain: nn.Module, block: Any) -> PerSampleBlock:
    """The authors' formulation of a recurrent block.

    Args:
        plain: The block without recurrence, with the weights of ``block``; changed in place.
        block: An :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock` with the paper's adapter.
    """
    adapter = block.adapter
    for name in block.dynamic:
        conv: Any = plain.get_submodule(name)
        conv.weight.requires_grad_(block.wrapped.get_submodule(name).weight.requires_grad)
    linears = []
    for linear in adapter.linears:
        own = nn.Linear(linear.in_features, linear.out_features, bias=False)
        own.load_state_dict(linear.state_dict())
        linears.append(own.to(linear.weight))
    return PerSampleBlock(
        as_published(plain),
        block.dynamic,
        block.feedback,
        linears,
        block.num_iterations,
        adapter.alpha,
        adapter.pool_kernel,
        adapter.pool_stride,
    )


def _mfnet_unit(case: UnitCase, num_iterations: int, version: Version):
    build_network = getattr(version.models, str(case.network))
    plain = build_network(num_classes=2, **case.kwargs).conv5[-1]
    block = build_network(
        num_classes=2, num_iterations=num_iterations, input_size=case.size, **case.kwargs
    ).recurrent_block
    missing, unexpected = block.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all('adapter' in name or 'iterates' in name for name in missing), (missing, unexpected)
    return plain, block


def _residual_block(case: UnitCase, num_iterations: int, version: Version):
    from torchvision.models.resnet import BasicBlock

    channels = case.kwargs.get('channels', 512)
    plain = BasicBlock(channels, channels)
    block = version.layers.AdaptiveRecurrentBlock(
        copy.deepcopy(plain),
        dynamic=('conv1',),
        feedback='bn2',
        feedback_shape=(channels, *case.size),
        pool_kernel=case.kwargs.get('pool_kernel', 4),
        pool_stride=case.kwargs.get('pool_stride', 3),
        num_iterations=num_iterations,
    )
    return plain, block


def check_equal(
    expected: nn.Module, others: dict[str, nn.Module], shape: Sequence[int], tolerance: float = 1e-9
) -> None:
    """Raises RuntimeError unless all give the same outputs and the same gradient of the input, in float64.

    Args:
        expected: What the others are compared with.
        others: By name.
        shape: Of the input.
        tolerance: Largest difference, of the largest absolute value. Default 1e-9.
    """
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reference = _values(expected, x)
    for name, module in others.items():
        for wanted, got in zip(reference, _values(module, x), strict=True):
            difference = (wanted - got).abs().max() / wanted.abs().max()
            if not difference <= tolerance:
                raise RuntimeError(
                    f'{name} does not compute what it is compared with: a difference of {difference:.1e} of the '
                    'largest value'
                )


def _values(module: nn.Module, x: torch.Tensor):
    """Outputs in training mode and the gradient of the input for a fixed gradient of each."""
    module = copy.deepcopy(module).cpu().double().train()
    x = x.clone().requires_grad_()
    outputs = module(x)
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(y.shape, dtype=y.dtype, generator=generator) for y in outputs]
    torch.autograd.backward(outputs, gradients)
    return [y.detach() for y in outputs] + [x.grad]
