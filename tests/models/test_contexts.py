"""Attention over positions and the depthwise context: plain loops, limits, within a BagNet, and bad input."""

import math

import pytest
import torch
from torch import nn

from kaizen_mm.models import BagNet
from kaizen_mm.models.contexts import DepthwiseContext, PositionAttention
from kaizen_mm.surgery import RecurrentNetwork


def attention(size=(2, 3), channels=4, width=3):
    torch.manual_seed(0)
    module = PositionAttention(channels, size, width).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def plain_attention(module: PositionAttention, x: torch.Tensor) -> torch.Tensor:
    """Sample by sample and position by position."""
    queries, keys, values = module.to_qkv.weight.chunk(3)
    result = torch.zeros_like(x)
    places = list(torch.cartesian_prod(*map(torch.arange, module.size)))
    for n in range(len(x)):
        tokens = []
        for place in places:
            column = x[(n, slice(None), *place)]
            centred = column - column.mean()
            token = centred / (centred.square().mean() + module.norm.eps).sqrt()
            token = token * module.norm.weight + module.norm.bias
            for along, index in zip(module.positions, place):
                token = token + along[index]
            tokens.append(token)
        for place, token in zip(places, tokens):
            scores = [(queries @ token) @ (keys @ other) / math.sqrt(len(queries)) for other in tokens]
            total = sum(score.exp() for score in scores)
            told = sum(score.exp() / total * (values @ other) for score, other in zip(scores, tokens))
            result[(n, slice(None), *place)] = x[(n, slice(None), *place)] + module.out.weight @ told
    return result


@pytest.mark.parametrize('size', [(2, 3), (2, 1, 3)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_attention_is_its_plain_loop_with_gradients(size, layout):
    module = attention(size)
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    if layout == torch.channels_last:
        x = x.contiguous(memory_format=layout if len(size) == 2 else torch.channels_last_3d)
    x.requires_grad_()
    wanted = [x, *module.parameters()]
    y, expected = module(x), plain_attention(module, x)
    torch.testing.assert_close(y, expected)
    weight = torch.randn_like(y)
    for got, reference in zip(
        torch.autograd.grad((y * weight).sum(), wanted), torch.autograd.grad((expected * weight).sum(), wanted)
    ):
        torch.testing.assert_close(got, reference)


def test_with_queries_of_zero_each_position_is_told_the_mean():
    module = attention()
    nn.init.zeros_(module.to_qkv.weight[:3])
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64)
    told = module(x) - x
    torch.testing.assert_close(told, told.mean(dim=(2, 3), keepdim=True).expand_as(told))
    assert told.abs().min() > 0


def test_attention_knows_where_things_are():
    module, x = attention(), torch.randn(1, 4, 2, 3, dtype=torch.float64)
    moved = module(x.roll(1, 3)).roll(-1, 3)
    assert not torch.allclose(moved, module(x))
    for along in module.positions:
        nn.init.zeros_(along)
    torch.testing.assert_close(module(x.roll(1, 3)).roll(-1, 3), module(x))


@pytest.mark.parametrize('dims', [2, 3])
def test_the_depthwise_context_is_its_plain_loop_with_gradients(dims):
    torch.manual_seed(0)
    module = DepthwiseContext(dims, 2).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    module.norm.running_mean.uniform_(-1, 1), module.norm.running_var.uniform_(0.5, 2)
    module.eval()
    x = torch.randn(2, 2, *(3, 2, 4)[:dims], dtype=torch.float64, requires_grad=True)
    y = module(x)
    expected = torch.zeros_like(y)
    places = list(torch.cartesian_prod(*(torch.arange(s) for s in x.shape[2:])).tolist())
    offsets = list(torch.cartesian_prod(*[torch.arange(3)] * dims).tolist())
    for n in range(2):
        for channel in range(2):
            for place in places:
                value = 0
                for offset in offsets:
                    other = [p + o - 1 for p, o in zip(place, offset)]
                    if all(0 <= o < s for o, s in zip(other, x.shape[2:])):
                        value = value + module.conv.weight[(channel, 0, *offset)] * x[(n, channel, *other)]
                norm = module.norm
                value = (value - norm.running_mean[channel]) / (norm.running_var[channel] + norm.eps).sqrt()
                value = value * norm.weight[channel] + norm.bias[channel]
                expected[(n, channel, *place)] = x[(n, channel, *place)] + value
    torch.testing.assert_close(y, expected)
    wanted = [x, *module.parameters()]
    for got, reference in zip(
        torch.autograd.grad(y.square().sum(), wanted), torch.autograd.grad(expected.square().sum(), wanted)
    ):
        torch.testing.assert_close(got, reference)


def closed(module: nn.Module) -> nn.Module:
    """The same module, which adds nothing."""
    nn.init.zeros_(module.out.weight if isinstance(module, PositionAttention) else module.norm.weight)
    return module


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('make', [lambda: PositionAttention(32, (8, 8), 10), lambda: DepthwiseContext(2, 32)])
def test_with_a_closed_context_a_bagnet_is_the_plain_one_to_the_bit(make, training):
    torch.manual_seed(0)
    plain = BagNet()
    net = BagNet(contexts=[None, closed(make())])
    missing = net.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(key.startswith('block2.context.') for key in missing)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.train(training)(x), plain.train(training)(x))


def test_through_attention_far_patches_meet_in_the_second_block_alone():
    torch.manual_seed(0)
    net = BagNet(num_classes=0, contexts=[None, PositionAttention(32, (8, 8), 10)]).double().eval()
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    maps = {}
    net.block1.register_forward_hook(lambda module, inputs, output: maps.update(first=output))
    maps['last'] = net(x)
    far = {name: torch.autograd.grad(y[0, :, 0, 0].sum(), x, retain_graph=True)[0] for name, y in maps.items()}
    assert far['first'][0, :, 16:, 16:].abs().sum() == 0 and far['last'][0, :, 16:, 16:].abs().sum() > 0


def test_recurrent_with_attention_the_first_iterate_is_the_static_network():
    torch.manual_seed(0)
    static = BagNet(num_classes=0, contexts=[None, PositionAttention(32, (8, 8), 10)]).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = static(x)
    net = RecurrentNetwork(
        static,
        ['block1', 'block2'],
        x,
        ['block1.conv1', 'block2.conv2'],
        num_iterations=2,
        pool_kernel=4,
        pool_stride=4,
        alpha=0.1,
    ).eval()
    first, second = net.forward_iterates(x)
    torch.testing.assert_close(first, expected)
    assert not torch.allclose(second, first)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: PositionAttention(0, (2, 2), 1), 'channels must be an int >= 1, got 0'),
        (lambda: PositionAttention(4, (2, 0), 1), r'size must be positive ints, .*, got \(2, 0\)'),
        (lambda: PositionAttention(4, (), 1), r'size must be positive ints, .*, got \(\)'),
        (lambda: PositionAttention(4, (2, 2), True), 'width must be an int >= 1, got True'),
        (lambda: DepthwiseContext(1, 4), 'dims must be 2 or 3, got 1'),
        (lambda: DepthwiseContext(2, -4), 'channels must be an int >= 1, got -4'),
        (lambda: DepthwiseContext(2, 4, 2), 'kernel must be odd, got 2'),
        (lambda: BagNet(contexts=[None]), r'contexts must be 2 modules or None, one for each block, got \[None\]'),
        (lambda: BagNet(contexts=[None, 'attention']), r"contexts must be 2 modules or None, .*'attention'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize('shape', [(1, 4, 3, 2), (1, 5, 2, 3), (1, 4, 6), (1, 4, 2, 3, 1)])
def test_a_map_of_another_size_is_refused_by_name(shape):
    with pytest.raises(ValueError, match=r'channels and size of the attention are \(4, 2, 3\)'):
        PositionAttention(4, (2, 3), 2)(torch.zeros(shape))
