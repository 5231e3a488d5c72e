"""Pools against PyTorch's own, in value, gradient and memory format."""

import pytest
import torch
import torch.nn.functional as F

from kaizen_mm.layers.pooling import average_windows, channels_last_on_cpu, maximum_windows

POOLS = {1: (F.avg_pool1d, F.max_pool1d), 2: (F.avg_pool2d, F.max_pool2d), 3: (F.avg_pool3d, F.max_pool3d)}


@pytest.mark.parametrize('scripted', [False, True])
@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize(
    'size, kernel, stride',
    [
        ((7,), [3], [2]),
        ((5, 6), [3, 2], [2, 1]),
        ((8, 4, 5), [5, 3, 3], [4, 1, 1]),
        ((6, 3, 3), [3, 2, 3], [1, 1, 2]),
        ((1, 2, 2), [1, 1, 2], [1, 1, 1]),
    ],
)
def test_windows_equal_those_of_torch(size, kernel, stride, last, scripted):
    torch.manual_seed(0)
    z = torch.randn(3, 4, *size, dtype=torch.float64)
    z = (channels_last_on_cpu(z) if last else z).requires_grad_()
    for ours, pool in zip((average_windows, maximum_windows), POOLS[len(size)]):
        ours = torch.jit.script(ours) if scripted else ours
        results = [
            (y, torch.autograd.grad((y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum(), z))
            for y in (ours(z, kernel, stride), pool(z, kernel, stride).flatten(2))
        ]
        torch.testing.assert_close(*results)


def test_an_average_under_autocast_is_that_of_half_precision():
    z = channels_last_on_cpu(100 + torch.rand(2, 8, 8, 4, 4))
    with torch.autocast('cpu', torch.bfloat16):
        y = average_windows(z, [5, 3, 3], [4, 1, 1])
    torch.testing.assert_close(y.float(), F.avg_pool3d(z, (5, 3, 3), (4, 1, 1)).flatten(2), rtol=2**-8, atol=0)


@pytest.mark.parametrize(
    'shape, format_', [((2, 3, 4, 5), torch.channels_last), ((2, 3, 4, 5, 6), torch.channels_last_3d)]
)
def test_maps_have_channels_last_on_a_cpu_alone(shape, format_):
    assert channels_last_on_cpu(torch.zeros(shape)).is_contiguous(memory_format=format_)
    assert channels_last_on_cpu(torch.zeros(shape, device='meta')).is_contiguous()
    assert channels_last_on_cpu(torch.zeros(shape[:3])).is_contiguous()
