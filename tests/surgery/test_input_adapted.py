"""h in one pass, from each layer's own input: plain loops, limits, state dicts, and bad input."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from kaizen_mm.layers.input_adapted import InputAdaptedLayer
from kaizen_mm.models import BagNet
from kaizen_mm.surgery import RecurrentNetwork
from kaizen_mm.surgery.input_adapted import InputAdaptedNetwork

PAPER = dict(pool_kernel=2, pool_stride=2, alpha=0.5)
GLOBAL = dict(adapter='global', hidden=3, rank=2)


def adapted(dims=2, **adapter):
    torch.manual_seed(0)
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims](4, 8, 3, 2, padding=1)
    layer = InputAdaptedLayer(conv, (4, 4, 4, 4)[: dims + 1], **adapter).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def paper_change(layer, u):
    """``h(u)`` of one sample, row by row: average and maximum of a share of channels in each window, times A."""
    windows = u
    for dim in range(1, u.dim()):
        windows = windows.unfold(dim, 2, 2)
    windows = windows.flatten(u.dim())  # [C, positions..., values]
    pooled = torch.stack([windows.mean(-1).flatten(1), windows.amax(-1).flatten(1)], dim=1)
    rows = pooled.flatten().reshape(8, -1)
    return torch.stack([layer.adapter.linears[0].weight @ row for row in rows])


def global_change(layer, u, rows=8):
    pooled = torch.cat([u.flatten(1).mean(1), u.flatten(1).amax(1)])
    pooled = (pooled - pooled.mean()) / (pooled.var(unbiased=False) + 1e-5).sqrt()
    first, _, last = layer.adapter.global_rows.bottlenecks[0]
    hidden = (first.weight @ pooled + first.bias).relu()
    return (last.weight @ hidden + last.bias).reshape(rows, 2) @ layer.adapter.linears[0].weight.T


@pytest.mark.parametrize('dims', [2, 3])
@pytest.mark.parametrize('adapter, change', [(PAPER, paper_change), (GLOBAL, global_change)])
def test_a_layer_is_its_plain_loop_with_gradients(dims, adapter, change):
    layer = adapted(dims, **adapter)
    u = torch.randn(3, *(4, 4, 4, 4)[: dims + 1], dtype=torch.float64, requires_grad=True)
    conv = {2: F.conv2d, 3: F.conv3d}[dims]
    alpha = adapter.get('alpha', 1.0)
    weight, bias = layer.wrapped.weight, layer.wrapped.bias
    expected = torch.cat(
        [conv(x[None], weight + alpha * change(layer, x).reshape(weight.shape), bias, 2, padding=1) for x in u]
    )
    y = layer(u)
    torch.testing.assert_close(y, expected)
    wanted = [u, *layer.parameters()]
    for got, reference in zip(
        torch.autograd.grad(y.square().sum(), wanted), torch.autograd.grad(expected.square().sum(), wanted)
    ):
        torch.testing.assert_close(got, reference)


@pytest.mark.parametrize('adapter', [dict(PAPER, alpha=0.0), GLOBAL])
def test_with_alpha_or_a_of_zero_a_network_is_the_plain_one_to_the_bit(adapter):
    torch.manual_seed(0)
    plain = BagNet().eval()
    names = [f'block{block}.conv{conv}' for block in (1, 2) for conv in (1, 2)]
    x = torch.randn(2, 3, 32, 32)
    net = InputAdaptedNetwork(BagNet(), names, x, **{**adapter, **({'rank': 1} if 'rank' in adapter else {})}).eval()
    missing = net.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all('.adapter.' in key for key in missing)
    assert torch.equal(net(x), plain(x))
    for name, parameter in net.named_parameters():
        if '.adapter.linears' in name:
            nn.init.normal_(parameter)
    assert torch.equal(net(x), plain(x)) == (adapter.get('alpha') == 0)


@pytest.mark.parametrize('adapter', [GLOBAL, dict(adapter='slots', slots=2), dict(adapter='experts', experts=2)])
def test_photos_of_other_sizes(adapter):
    torch.manual_seed(0)
    net = InputAdaptedNetwork(BagNet(), ['block1.conv1', 'block2.conv2'], torch.zeros(1, 3, 32, 32), **adapter).eval()
    for linear in (module for name, module in net.named_modules() if '.linears.' in name):
        nn.init.normal_(linear.weight)
    for size in ((16, 16), (48, 20)):
        x = torch.randn(2, 3, *size)
        y = net(x)
        assert y.shape == (2, 10)
        for sample, own in zip(x, y):
            torch.testing.assert_close(net(sample[None])[0], own)


def test_photos_of_another_size_are_refused_by_the_papers_h_by_name():
    net = InputAdaptedNetwork(BagNet(), ['block1.conv1'], torch.zeros(1, 3, 32, 32), pool_kernel=4, pool_stride=4)
    with pytest.raises(ValueError, match=r'feedback map .*\(32, 4, 4\).* built for \(32, 8, 8\)'):
        net(torch.zeros(1, 3, 16, 16))


def in_both_ways(network, alpha):
    """One pass for the first convolution of each block, and a second pass that rewrites the other one."""
    x = torch.zeros(1, 3, 32, 32, dtype=next(network.parameters()).dtype)
    options = dict(pool_kernel=4, pool_stride=4, alpha=alpha)
    inner = InputAdaptedNetwork(network, ['block1.conv1', 'block2.conv1'], x, **options)
    names = ['block1.conv2', 'block2.conv2']
    return RecurrentNetwork(inner, ['wrapped.block1', 'wrapped.block2'], x, names, num_iterations=2, **options).eval()


def test_with_a_second_pass_on_top_the_first_one_is_that_of_one_pass():
    torch.manual_seed(0)
    net = in_both_ways(BagNet(num_classes=0).double(), alpha=0.5)
    torch.manual_seed(0)
    one = InputAdaptedNetwork(
        BagNet(num_classes=0).double(), ['block1.conv1', 'block2.conv1'], torch.zeros(1, 3, 32, 32).double(),
        pool_kernel=4, pool_stride=4, alpha=0.5,
    ).eval()  # fmt: skip
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    first, second = net.forward_iterates(x)
    torch.testing.assert_close(first, one(x))
    adapter = net.recurrent_block.adapter
    updates = adapter.update(adapter.initial(), first)
    for n, sample in enumerate(x):
        weights = {}
        for block, update, linear in zip((1, 2), updates, adapter.linears):
            name = f'wrapped.block{block}.conv2.weight'
            own = one.get_parameter(name)
            weights[name] = own + 0.5 * (update.rows[n] @ linear.weight.t()).reshape(own.shape)
        torch.testing.assert_close(functional_call(one, weights, (sample[None],))[0], second[n])
    assert (second - first).abs().max() > 1e-3


def test_with_both_ways_closed_the_network_is_the_plain_one_to_the_bit():
    torch.manual_seed(0)
    plain = BagNet(num_classes=0).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = plain(x)
    assert all(torch.equal(y, expected) for y in in_both_ways(plain, alpha=0.0).forward_iterates(x))


def test_parameters_are_those_of_the_recurrent_network():
    net = InputAdaptedNetwork(
        BagNet(),
        [f'block{block}.conv{conv}' for block in (1, 2) for conv in (1, 2)],
        torch.zeros(1, 3, 32, 32),
        pool_kernel=4,
        pool_stride=4,
    )
    assert sum(p.numel() for p in net.parameters()) == 7_306


def test_a_linear_layer_of_tokens_reads_their_channels():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 6)).double()
    x = torch.randn(3, 5, 4, dtype=torch.float64)  # [N, L, C]
    net = InputAdaptedNetwork(plain, '0', x, adapter='global', hidden=3, rank=2, feedback_layout='channels_last')
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    layer = net.get_submodule('wrapped.0')
    weights = [layer.wrapped.weight + global_change(layer, sample.T, rows=6) for sample in x]
    expected = torch.stack([sample @ weight.T + layer.wrapped.bias for sample, weight in zip(x, weights)])
    torch.testing.assert_close(net(x), expected)
    assert net(torch.randn(2, 7, 4, dtype=torch.float64)).shape == (2, 7, 6), 'any number of tokens'


class ByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(input=x)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(self.conv(x)))


@pytest.mark.parametrize(
    'network, dynamic, options, error, message',
    [
        (BagNet, ['block1.conv3'], {}, ValueError, r"dynamic: BagNet has no submodule 'block1.conv3'; did you mean"),
        (BagNet, [''], {}, ValueError, "dynamic: BagNet has no submodule ''"),
        (BagNet, [], {}, ValueError, r'dynamic must name at least one layer of the network and none twice, got \[\]'),
        (BagNet, ['block1.bn1'], {}, TypeError, "dynamic layer 'block1.bn1' is a torch.nn.*BatchNorm2d"),
        (Twice, ['conv'], {}, ValueError, "dynamic: 'conv' must run once in a forward pass, it runs 2 times"),
        (ByName, ['conv'], {}, ValueError, r"dynamic: 'conv' must get a tensor as its first positional .* gets \[\]"),
        (BagNet, ['block1.conv1', 'conv1'], dict(pool_kernel=4), ValueError, "layer 'conv1' has 32 rows"),
        (BagNet, ['block1.conv1'], dict(alpha=-1), ValueError, 'alpha must be a finite number >= 0, got -1'),
        (BagNet, ['block1.conv1'], dict(pool_kernel=9), ValueError, 'pool_kernel .* does not fit'),
        (BagNet, ['block1.conv1'], dict(gamma=1), TypeError, 'gamma'),
    ],
)
def test_bad_arguments_leave_the_network_as_it_was(network, dynamic, options, error, message):
    net = network()
    modules = [(name, module, type(module)) for name, module in net.named_modules()]
    with pytest.raises(error, match=message):
        InputAdaptedNetwork(net, dynamic, torch.zeros(1, 3, 32, 32), **options)
    assert [(name, module, type(module)) for name, module in net.named_modules()] == modules
