"""What is said of a recurrence beforehand, against receptive fields, gradients and counts by hand."""

import copy

import pytest
import timm
import torch
from torch import nn

from kaizen_mm.models import BagNet
from kaizen_mm.surgery import RecurrentNetwork
from kaizen_mm.surgery.advice import Advice, advice


def bagnet(*shape, **options):
    torch.manual_seed(0)
    plain = BagNet(**options)
    field, blocks = plain.receptive_field, plain.block_names
    block = blocks[0] if len(blocks) == 1 else blocks
    dynamic = ['conv1'] if len(blocks) == 1 else [f'{name}.conv1' for name in blocks]
    x = torch.randn(1, 3, *shape)
    return RecurrentNetwork(plain, block, x, dynamic, adapter='global', num_iterations=2), x, field


@pytest.mark.parametrize(
    'shape, options',
    [
        ((32, 32), {}),
        ((32, 32), dict(kernels=(3, 1))),
        ((64, 48), dict(kernels=(3, 1))),
        ((64, 64), dict(stem=(8, 3, 1), widths=(8, 8), kernels=(3, 3))),
        ((64, 64), dict(stem=(8, 1, 1), widths=(8,), kernels=(5,))),
        ((16, 32, 32), dict(dims=3, stem=(8, 2, 2), widths=(8, 8), kernels=(1, 3))),
        ((32, 32, 32), dict(dims=3, stem=(8, 1, 1), widths=(8,), kernels=(3,))),
    ],
)
def test_it_is_the_receptive_field_of_networks_that_know_theirs(shape, options):
    net, x, field = bagnet(*shape, **options)
    found = advice(net, x)
    assert found.size == shape and found.sees == (field,) * len(shape) and not found.sees_all


def test_it_is_where_gradients_come_from():
    """A network without padding, whose strides are not the input's side over the map's."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 4, 5, stride=2), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, (3, 1)), nn.Flatten())
    x = torch.randn(1, 2, 41, 41, requires_grad=True)
    y = plain[:3](x)
    (gradient,) = torch.autograd.grad(y[0, :, y.shape[2] // 2, y.shape[3] // 2].sum(), x)
    seen = gradient.abs().amax(dim=(0, 1)) > 0
    expected = int(seen.any(dim=1).sum()), int(seen.any(dim=0).sum())
    assert expected == (13, 9)
    net = RecurrentNetwork(plain, ['1', '2'], x.detach(), ['1', '2'], adapter='global', num_iterations=2)
    found = advice(net, x.detach())
    assert all(abs(a - b) <= 1 for a, b in zip(found.sees, expected)), found  # a stride is two points


def test_all_of_the_input_is_seen_by_attention_and_said_so():
    net = RecurrentNetwork(
        timm.create_model('test_vit', img_size=32),
        'blocks.1',
        torch.randn(1, 3, 32, 32),
        'mlp.fc1',
        feedback_layout='channels_last',
        adapter='global',
        num_iterations=2,
    )
    found = advice(net, torch.randn(1, 3, 32, 32))
    assert found.sees_all and found.sees == found.size == (32, 32)
    assert found.lines()[0] == (
        'Each position of the last map sees all of your input; in networks like this the recurrence has made no '
        'difference (docs/when_it_helps.md).'
    )


@pytest.mark.parametrize('value', [0.0, 1e-6])
def test_branches_that_begin_closed_are_looked_at_as_open(value):
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.scale = nn.Conv2d(4, 4, 9, padding=4), nn.Parameter(torch.full((4, 1, 1), value))

        def forward(self, x):
            return x + self.scale * self.conv(x)

    x = torch.randn(1, 3, 32, 32)
    net = RecurrentNetwork(
        nn.Sequential(nn.Conv2d(3, 4, 1), Branch()), '1', x, 'conv', adapter='global', num_iterations=2
    )
    before = copy.deepcopy(net.state_dict())
    assert advice(net, x).sees == (9, 9)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


class Words(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 3)
        self.block = nn.Conv1d(8, 8, kernel, padding=kernel // 2)

    def forward(self, words):
        return self.head(self.block(self.embed(words).transpose(1, 2)).mean(dim=2))


@pytest.mark.parametrize('kernel', [1, 3, 5])
def test_words(kernel):
    words = torch.randint(50, (2, 24))
    net = RecurrentNetwork(Words(kernel), 'block', words, '', adapter='global', num_iterations=2)
    found = advice(net, words)
    assert (found.sees, found.size) == ((kernel,), (24,))


def test_vectors_have_no_positions():
    net = RecurrentNetwork(
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)), '1', torch.randn(2, 4), '', num_iterations=2
    )
    found = advice(net, torch.randn(2, 4))
    assert found.sees == () and 'could not be measured' in found.lines()[0]


def test_shares_and_weights_by_hand():
    plain = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4, bias=False))
    net = RecurrentNetwork(plain, '1', torch.randn(2, 8), '', num_iterations=3)
    found = advice(net, torch.randn(2, 8))
    assert found.run_again == pytest.approx((64 + 32) / (64 + 64 + 32)) and found.num_iterations == 3
    assert (found.weights_of_h, found.weights) == (8, 72 + 72 + 32)
    assert found.lines()[1] == '60% of the multiply-adds run 3 times; 8 weights of h come to the 176 of the network.'


@pytest.mark.parametrize('feedback, zero', [('bn2', True), ('', False)])
def test_what_h_reads(feedback, zero):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 32, 32)
    net = RecurrentNetwork(timm.create_model('resnet10t'), 'layer4.0', x, 'conv1', feedback, num_iterations=2)
    found = advice(net, x)
    assert found.reads_zero == zero and ('What h reads is zero' in found.lines()[2]) == zero


def test_the_network_and_the_random_numbers_are_as_before():
    net, x, _ = bagnet(32, 32)
    net.train()
    net.block1.eval()
    state, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    random = torch.get_rng_state()
    advice(net, x)
    assert torch.equal(random, torch.get_rng_state()) and modes == [m.training for m in net.modules()]
    assert net.num_iterations == 2 and not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_a_plain_network_has_nothing_to_be_said_of():
    with pytest.raises(ValueError, match='network must have a recurrent block of two iterations, Linear has none'):
        advice(nn.Linear(4, 4), torch.randn(2, 4))


@pytest.mark.parametrize(
    'sees, size, words',
    [
        ((4, 4), (32, 32), 'sees 4 of 32 x 4 of 32 of the input; where positions saw 4 of 32 on photos, the recurr'),
        ((12, 4), (32, 32), 'saw 12 of 32 on photos, little was left'),
        ((30, 30), (32, 32), 'where positions saw 12 of 32, little was left already'),
        ((9, 9, 9), (16, 32, 32), 'saw 9 or 17 of 32 on clips, the recurrence helped'),
        ((16, 31, 31), (16, 32, 32), 'could not be told'),
    ],
)
def test_what_has_been_measured_is_said_beside(sees, size, words):
    found = Advice(sees, size, 0.5, 2, 10, 100, False)
    assert words in str(found) and len(str(found).splitlines()) == 3
