"""How the cost of the recurrence grows: with iterations K, samples N, channels C and recurrent blocks R."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from .conditions import Conditions
from .networks import AllIterates, Plain
from .passes import compare, passes
from .units import UnitCase, build
from .versions import this_version

AXES = ('K', 'N', 'C', 'R')
_WIDTHS = {192: (48, 48, 96, 192), 384: (48, 96, 192, 384), 768: (96, 192, 384, 768)}
_BLOCKS = ('layer4.1', 'layer3.1', 'layer2.1')


def measure(how: Conditions) -> Iterable[dict[str, Any]]:
    """One record for each value of each axis and each kind of work: times of plain and recurrent, their ratio and its
    count.

    K, N and C are those of the last unit of MFNet-2D at 224 px (7 x 7 positions), R that of ResNet-18 at 112 px, K = 3.
    """
    for train in (True, False):
        work = 'train' if train else 'inference'
        for axis, value, plain, recurrent, shape in _points(how):
            x = torch.randn(shape)
            sides = [passes('plain', plain, x, train, how), passes('ours', recurrent, x, train, how)]
            first, second = compare(sides, how, shape[0], memory=False)
            yield dict(
                axis=axis,
                value=value,
                work=work,
                **how.describe(),
                batch=shape[0],
                plain_ms=first['ms_per_item'],
                ours_ms=second['ms_per_item'],
                ratio=second['ratios']['plain'],
                counted=round(second['multiply_adds'] / first['multiply_adds'], 4),
            )


def _points(how: Conditions) -> Iterable[tuple[str, int, nn.Module, nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    if how.quick:
        small = dict(widths=(16, 32, 32, 64), units=(1, 1, 1, 2), groups=4)
        units = [('K', k, 2, (96, 96), small, k) for k in (2, 3)] + [('N', n, n, (96, 96), small, 3) for n in (1, 2)]
    else:
        units = [('K', k, 16, (224, 224), {}, k) for k in (2, 3, 4, 6, 8)]
        units += [('N', n, n, (224, 224), {}, 3) for n in (4, 16, 32, 64)]
        units += [('C', c, 16, (224, 224), dict(widths=widths), 3) for c, widths in _WIDTHS.items()]
    for axis, value, batch, size, kwargs, k in units:
        blocks = build(UnitCase(axis, 'mfnet2d', size, batch, kwargs), k, this_version())
        yield axis, value, blocks.plain, blocks.now, blocks.shape
    yield from _resnets(2 if how.quick else 16, 64 if how.quick else 112, 2 if how.quick else len(_BLOCKS))


def _resnets(batch: int, size: int, most: int) -> Iterable[tuple[str, int, nn.Module, nn.Module, tuple[int, ...]]]:
    from torchvision.models import resnet18

    plain, shape = resnet18(num_classes=101), (batch, 3, size, size)
    for count in range(1, most + 1):
        blocks: list[str] = sorted(_BLOCKS[:count])
        pooling = dict(pool_kernel=2) if size < 112 else dict(pool_kernel=4, pool_stride=3)
        network = this_version().models.RecurrentNetwork(
            copy.deepcopy(plain),
            block={name: dict(dynamic='conv1', feedback='bn2') for name in blocks},
            num_iterations=3,
            example_input=torch.randn(2, *shape[1:]),
            **pooling,
        )
        yield 'R', count, Plain(plain), AllIterates(network), shape
