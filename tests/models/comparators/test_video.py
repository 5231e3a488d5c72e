"""LTC and the STC block: parameters, shapes, gradients, and each against its formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaizen_mm.models.comparators import LTC, STCBlock, add_stc


def test_ltc_has_the_parameters_of_its_layers():
    with torch.device('meta'):
        parameters = sum(p.numel() for p in LTC().parameters())
    convolutions = sum(27 * a * b + b for a, b in ((3, 64), (64, 128), (128, 256), (256, 256), (256, 256)))
    # 60 x 58 x 58 through five poolings: 3 x 1 x 1
    assert parameters == convolutions + (256 * 3 + 1) * 2048 + (2048 + 1) * 2048


def test_ltc_is_its_layers_one_after_another():
    torch.manual_seed(0)
    net, x = LTC((32, 64, 32), hidden=8, width=0.0625).eval(), torch.randn(2, 3, 32, 64, 32)
    w, y = net.state_dict(), x
    for index in range(5):
        y = F.conv3d(y, w[f'features.{3 * index}.weight'], w[f'features.{3 * index}.bias'], padding=1).clamp(min=0)
        y = F.max_pool3d(y, (1, 2, 2) if index == 0 else 2)
    assert y.shape == (2, 16, 2, 2, 1)
    y = (y.reshape(2, -1) @ w['fc1.weight'].T + w['fc1.bias']).clamp(min=0)
    torch.testing.assert_close(net(x), (y @ w['fc2.weight'].T + w['fc2.bias']).clamp(min=0))
    net.train()(x).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (
            dict(input_size=(15, 58, 58)),
            r"input_size must be at least \(16, 32, 32\) for the network's poolings, got \(15, 58, 58\)",
        ),
        (dict(input_size=(60, 58)), 'input_size must be 3 positive ints'),
        (dict(hidden=0), 'hidden must be an int >= 1, got 0'),
        (dict(drop_rate=2), 'drop_rate must be a number from 0 to 1, got 2'),
    ],
)
def test_bad_arguments_of_ltc_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LTC(**kwargs)
    net = LTC((16, 32, 32), hidden=4, width=0.0625)
    with pytest.raises(ValueError, match=r'input must be clips of \(T, H, W\) = \(16, 32, 32\), got \(16, 32, 33\)'):
        net(torch.zeros(1, 3, 16, 32, 33))


def test_stc_weighs_each_channel_at_each_step():
    torch.manual_seed(1)
    block, x = STCBlock(6, reduction=2), torch.randn(2, 6, 4, 5, 3)
    expected = torch.empty_like(x)

    def weights(branch, means):
        inner = (branch[0].weight @ means + branch[0].bias).clamp(min=0)
        return 1 / (1 + torch.exp(-(branch[2].weight @ inner + branch[2].bias)))

    for n in range(2):
        everywhere = torch.stack([x[n, c].mean() for c in range(6)])
        for t in range(4):
            here = torch.stack([x[n, c, t].mean() for c in range(6)])
            both = (weights(block.spatial, everywhere) + weights(block.temporal, here)) / 2
            for c in range(6):
                expected[n, c, t] = both[c] * x[n, c, t]
    torch.testing.assert_close(block(x), expected)
    block(x).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())
    with pytest.raises(ValueError, match='reduction must be an int >= 1, got 0'):
        STCBlock(6, reduction=0)


def test_stc_stands_behind_the_named_convolution_of_every_block():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv2 = nn.Sequential(nn.Conv3d(4, 8, 1), nn.BatchNorm3d(8))

    net = nn.Sequential(Block(), Block())
    add_stc(net, 'conv2', reduction=2)
    assert all(isinstance(block.conv2[1], STCBlock) and block.conv2[1].spatial[0].out_features == 4 for block in net)
    with pytest.raises(
        ValueError, match="convolution must name a child of the residual blocks, got 'conv9'; Sequential has none"
    ):
        add_stc(net, 'conv9')
