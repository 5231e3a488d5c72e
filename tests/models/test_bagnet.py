"""BagNet: what one position has seen, sizes, a plain computation by hand, recurrence, and bad input."""

import pytest
import torch
from torch import nn

from kaizen_mm.models import BagNet, RecurrentNetwork

CLIPS = dict(dims=3, in_chans=1, num_classes=8, stem=(16, 5, 2), widths=(24, 32, 32), kernels=(1, 3, 1))


@pytest.mark.parametrize(
    'options, parameters', [({}, 6_282), (dict(CLIPS, strides=(1, 2, 1)), 28_680), (dict(num_classes=0), 5_952)]
)
def test_parameters(options, parameters):
    assert sum(p.numel() for p in BagNet(**options).parameters()) == parameters


def test_shapes():
    assert BagNet()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert BagNet(num_classes=0)(torch.zeros(2, 3, 32, 36)).shape == (2, 32, 8, 9)
    net = BagNet(**{**CLIPS, 'num_classes': 0}, strides=(1, 2, 1))
    assert net(torch.zeros(2, 1, 16, 32, 32)).shape == (2, 32, 4, 8, 8) and net.num_features == 32


@pytest.mark.parametrize(
    'options, seen',
    [
        ({}, 4),
        (dict(kernels=(3, 3)), 20),
        (dict(stem=(8, 3, 1), kernels=(3, 1), strides=(2, 1)), 5),
        (dict(stem=(8, 5, 2), widths=(8, 8, 8), kernels=(1, 3, 3), strides=(1, 2, 1)), 17),
    ],
)
def test_a_position_has_seen_a_square_of_the_receptive_field(options, seen):
    net = BagNet(num_classes=0, **options).double().eval()
    assert net.receptive_field == seen
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    y = net(x)
    middle = y.shape[2] // 2
    # of many values, since a unit that is off lets no gradient through
    y[0, :, middle, middle].sum().backward()
    rows, columns = (x.grad.abs().sum((0, 1, dim)).nonzero() for dim in (3, 2))
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == seen


def test_the_default_is_a_mean_over_patches_of_a_network_of_points():
    torch.manual_seed(0)
    net = BagNet().double()
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1), norm.running_var.uniform_(0.5, 2)
    net.eval()
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64)

    def normed(values, norm):
        return (values - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias

    scores = 0
    for top in (0, 4):
        for left in (0, 4, 8):
            patch = x[:, :, top : top + 4, left : left + 4].flatten(1)
            h = normed(patch @ net.conv1.weight.flatten(1).T, net.bn1).relu()
            for block in (net.block1, net.block2):
                z = normed(h @ block.conv1.weight.flatten(1).T, block.bn1).relu()
                h = (normed(z @ block.conv2.weight.flatten(1).T, block.bn2) + h).relu()
            scores = scores + net.linear(h) / 6
    torch.testing.assert_close(net(x), scores)


def test_feedback_lets_far_patches_meet():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    net = RecurrentNetwork(
        BagNet(num_classes=0).double(), ['block1', 'block2'], x.detach(), ['block2.conv1'], adapter='global'
    ).eval()
    for linear in net.recurrent_block.adapter.linears:
        nn.init.normal_(linear.weight)
    first, *_, last = net.forward_iterates(x)
    corner = [torch.autograd.grad(y[0, :, 0, 0].sum(), x, retain_graph=True)[0] for y in (first, last)]
    far = [gradient[0, :, 16:, 16:].abs().sum() for gradient in corner]
    assert far[0] == 0 and far[1] > 0


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dims=1), 'dims must be 2 or 3, got 1'),
        (dict(in_chans=0), 'in_chans must be an int >= 1, got 0'),
        (dict(num_classes=-1), 'num_classes must be an int >= 0, got -1'),
        (dict(stem=(32, 4)), r'stem must be 3 positive ints, .*, got \(32, 4\)'),
        (dict(widths=()), r'widths must be positive ints, .*, got \(\)'),
        (dict(kernels=(1,)), r'kernels must be 2 positive ints, one for each block, got \(1,\)'),
        (dict(kernels=(1, 2)), r'kernels must be odd, got \(1, 2\)'),
        (dict(strides=(1, 0)), r'strides must be 2 positive ints, one for each block, got \(1, 0\)'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        BagNet(**options)
