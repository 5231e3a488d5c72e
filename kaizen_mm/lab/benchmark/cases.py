"""What is measured: blocks, networks and windows of streams, each plain and recurrent with the same weights."""

import copy
import dataclasses
import runpy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.models import BagNet, mfnet2d, mfnet3d, mfnet3d_n9
from kaizen_mm.surgery import RecurrentNetwork


@dataclasses.dataclass(frozen=True)
class Case:
    """A pair of modules and their input.

    Args:
        title: What tables call it.
        batch: N.
        build: Gives the plain module, the recurrent one with ``K`` iterations, and the shape of one sample.
        iterations: ``K`` where the command line does not say.
    """

    title: str
    batch: int
    build: Callable[[int], tuple[nn.Module, Any, tuple[int, ...]]]
    iterations: int = 3


def _mfnet(network: Callable, *size: int, classes: int = 101):
    def build(iterations: int):
        plain = network(num_classes=classes)
        recurrent = network(num_classes=classes, num_iterations=iterations, input_size=size)
        recurrent.load_state_dict(plain.state_dict(), strict=False)
        return plain, recurrent, (3, *size)

    return build


def _unit(network: Callable, *size: int):
    """The last unit of an MFNet."""

    def build(iterations: int):
        plain, recurrent, _ = _mfnet(network, *size)(iterations)
        block = recurrent.recurrent_block
        return plain.conv5[-1], block, tuple(block.adapter.feedback_shape)

    return build


def _residual(channels: int, size: int, **pooling):
    """A ResNet's basic block."""

    def build(iterations: int):
        from torchvision.models.resnet import BasicBlock

        plain, shape = BasicBlock(channels, channels), (channels, size, size)
        block = AdaptiveRecurrentBlock(
            copy.deepcopy(plain), ('conv1',), shape, 'bn2', num_iterations=iterations, **pooling
        )
        return plain, block, shape

    return build


def _resnet18(iterations: int):
    from torchvision.models import resnet18

    plain, shape = resnet18(num_classes=101), (3, 112, 112)
    recurrent = RecurrentNetwork(
        copy.deepcopy(plain),
        'layer4.1',
        torch.randn(2, *shape),
        'conv1',
        feedback='bn2',
        pool_kernel=2,
        num_iterations=iterations,
    )
    return plain, recurrent, shape


def _bagnet(iterations: int):
    """That of ``configs/kaizen_bagnet3d_moving_camera_k2.py``, with a classifier."""
    sizes = dict(dims=3, in_chans=1, stem=(16, 5, 2), widths=(24, 32, 32), kernels=(1, 3, 1), strides=(1, 2, 1))
    plain, shape = BagNet(num_classes=8, **sizes), (1, 16, 32, 32)
    recurrent = RecurrentNetwork(
        copy.deepcopy(plain),
        ['block1', 'block2', 'block3'],
        torch.zeros(1, *shape),
        [f'block{block}.conv{conv}' for block in (1, 2, 3) for conv in (1, 2)],
        num_iterations=iterations,
        adapter='global',
        hidden=8,
        rank=2,
    )
    return plain, recurrent, shape


BLOCKS = dict(
    mfnet2d=Case('MFNet-2D, C = 768, 7x7', 32, _unit(mfnet2d, 224, 224)),
    mfnet3d=Case('MFNet-3D, C = 768, 8x7x7', 4, _unit(mfnet3d, 16, 224, 224)),
    mfnet3d_n9_112=Case('MFNet-3D N = 9, C = 192, 8x4x4', 8, _unit(mfnet3d_n9, 16, 112, 112)),
    mfnet3d_n9_224=Case('MFNet-3D N = 9, C = 192, 8x7x7', 4, _unit(mfnet3d_n9, 16, 224, 224)),
    resnet=Case('ResNet, 3x3 convolution, C = 512, 7x7', 32, _residual(512, 7, pool_kernel=4, pool_stride=3)),
    resnet_early=Case('ResNet, 3x3 convolution, C = 64, 28x28', 8, _residual(64, 28, pool_kernel=2, pool_stride=2)),
)
NETWORKS = dict(
    mfnet3d_n9_112=Case('kaizen_mfnet3d_n9, 16x112x112', 8, _mfnet(mfnet3d_n9, 16, 112, 112)),
    mfnet3d_n9_224=Case('kaizen_mfnet3d_n9, 16x224x224', 4, _mfnet(mfnet3d_n9, 16, 224, 224)),
    mfnet2d=Case('kaizen_mfnet2d, 224x224', 8, _mfnet(mfnet2d, 224, 224), 4),
    resnet18=Case('RecurrentNetwork of resnet18, layer4.1.conv1, 112x112', 8, _resnet18),
)
STREAMS = dict(
    mfnet3d_n9_112=Case('kaizen_mfnet3d_n9, 16x112x112', 16, _mfnet(mfnet3d_n9, 16, 112, 112, classes=8), 2),
    bagnet3d=Case('kaizen_bagnet3d_moving_camera_k2, 16x32x32', 16, _bagnet, 2),
)


def chosen(known: dict[str, Case], cases: Iterable[str] | None, quick: bool = False) -> list[Case]:
    """The cases that are asked for.

    Args:
        known: By name.
        cases: Names, or Python files with a case of one's own: ``build(num_iterations)``, as in :class:`Case`. None for
            all of them.
        quick: Whether None is the last one alone. Default False.

    Raises:
        ValueError: There is none of that name, or the file has no such function.
    """
    cases = cases or (list(known)[-1:] if quick else known)
    return [_own(Path(case)) if case.endswith('.py') else _named(known, case) for case in cases]


def _named(known: dict[str, Case], case: str) -> Case:
    if case not in known:
        raise ValueError(f'--cases must be some of {", ".join(known)}, or Python files, got {case!r}')
    return known[case]


def _own(path: Path) -> Case:
    if not path.is_file():
        raise ValueError(f'--cases must name files that exist, got {path}')
    build = runpy.run_path(str(path)).get('build')
    if not callable(build):
        raise ValueError(f'--cases: {path} must define build(num_iterations), which gives two modules and a shape')
    return Case(path.stem, 8, build)
