"""The expert adapter equals timm's CondConv in one pass, and a loop over samples in the recurrence."""

import math

import pytest
import torch
from timm.layers import CondConv2d
from torch import nn
from torch.func import functional_call

from kaizen_mm.layers import AdaptiveRecurrentBlock, build_adapter
from kaizen_mm.layers.input_adapted import InputAdaptedLayer

SHAPES = {'first': (5, 3, 3, 3), 'second': (7, 5)}


def expert_adapter(feedback_shape=(6, 4), shapes=SHAPES, seed=0, **options):
    torch.manual_seed(seed)
    return build_adapter(feedback_shape, shapes, adapter='experts', **options).double()


@pytest.mark.parametrize('size', [(), (1,), (4, 5), (2, 3, 4)])
def test_changes_equal_those_by_hand_at_any_size(size):
    adapter = expert_adapter(alpha=0.3, experts=3)
    z = torch.randn(2, 6, *size, dtype=torch.float64)
    for change, gate, kernels in zip(adapter.changes(z), adapter.gates, adapter.experts):
        for sample, own in zip(z, change):
            mean = sample.reshape(6, -1).sum(dim=1) / max(1, math.prod(size))
            opened = 1 / (1 + (-(gate.weight @ mean + gate.bias)).exp())
            torch.testing.assert_close(own, 0.3 * sum(g * kernel for g, kernel in zip(opened, kernels)))


def test_gradients_are_those_of_a_loop_over_samples():
    adapter = expert_adapter(alpha=0.3, experts=2)
    z = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(2, *shape, dtype=torch.float64) for shape in SHAPES.values()]
    total = sum((change * weight).sum() for change, weight in zip(adapter.changes(z), weights))
    by_hand = 0
    for weight, gate, kernels in zip(weights, adapter.gates, adapter.experts):
        for sample, own in zip(z, weight):
            opened = 1 / (1 + (-(gate.weight @ sample.sum(dim=1) / 4 + gate.bias)).exp())
            by_hand = by_hand + 0.3 * sum(g * (kernel * own).sum() for g, kernel in zip(opened, kernels))
    torch.testing.assert_close(total, by_hand)
    wanted = [z, *adapter.parameters()]
    for got, expected in zip(torch.autograd.grad(total, wanted), torch.autograd.grad(by_hand, wanted)):
        torch.testing.assert_close(got, expected)


def test_in_one_pass_it_is_the_conditional_convolution_of_timm():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 5, 3, padding=1, bias=False).double()
    own_weight = conv.weight.detach().clone()
    layer = InputAdaptedLayer(conv, (6, 4, 5), adapter='experts', experts=2)
    u = torch.randn(3, 6, 4, 5, dtype=torch.float64)
    timm = CondConv2d(6, 5, 3, padding=1, num_experts=3).double()
    timm.weight.data = torch.cat([own_weight[None], layer.adapter.experts[0]]).flatten(1)
    gates = torch.sigmoid(layer.adapter.gates[0](u.mean(dim=(2, 3))))
    torch.testing.assert_close(layer(u), timm(u, torch.cat([torch.ones(3, 1).double(), gates], dim=1)))


def test_recurrence_equals_a_loop_over_samples():
    torch.manual_seed(1)
    plain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1)).double()
    start = {name: plain.get_submodule(name).weight.detach().clone() for name in ('0', '2')}
    net = AdaptiveRecurrentBlock(plain, ['0', '2'], (6,), adapter='experts', experts=2, alpha=0.5).double()
    x = torch.randn(3, 3, 6, 7, dtype=torch.float64)
    iterates = net(x)
    bare = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1)).double()
    bare.load_state_dict({name: value for name, value in net.state_dict().items() if 'adapter' not in name})
    for n, sample in enumerate(x):
        weights = dict(start)
        for y in iterates:
            z = functional_call(bare, {f'{name}.weight': w for name, w in weights.items()}, (sample[None],))[0]
            torch.testing.assert_close(y[n], z)
            for name, change in zip(('0', '2'), net.adapter.changes(z[None])):
                weights[name] = weights[name] + change[0]
    assert (iterates[-1] - iterates[0]).abs().max() > 0.1


def test_closed_gates_leave_the_plain_layer():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 5, 1).double()
    u = torch.randn(2, 6, 4, 4, dtype=torch.float64)
    plain = conv(u)
    layer = InputAdaptedLayer(conv, (6, 4, 4), adapter='experts')
    nn.init.constant_(layer.adapter.gates[0].bias, -1000.0)
    assert not layer.adapter.changes(u)[0].any(), 'the weight is that of the plain layer to the bit'
    torch.testing.assert_close(layer(u), plain)


@pytest.mark.parametrize('experts', [1, 4])
def test_parameters_are_as_many_as_the_docstring_says(experts):
    adapter = expert_adapter(experts=experts)
    assert sum(p.numel() for p in adapter.parameters()) == experts * (5 * 27 + 7 * 5 + 2 * (6 + 1))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(experts=0), 'experts must be an int >= 1, got 0'),
        (dict(pool_kernel=3), 'pool_kernel must be left at None where adapter is "experts", got 3'),
        (dict(experts=10**7), 'fewer than experts=10000000'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        expert_adapter(**options)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match='the feedback map has 5 channels, but the adapter was built for 6'):
        expert_adapter().changes(torch.randn(2, 5, 4, dtype=torch.float64))
