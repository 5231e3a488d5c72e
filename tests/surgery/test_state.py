"""Blocks that write into what they are called with, or keep a state, as decoders with a cache do."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.surgery import RecurrentNetwork

WIDTH = 8


class Cache:
    """Keys of each layer, as decoders keep them: lists that grow, or one tensor that is written into."""

    def __init__(self, static=False):
        self.layers, self.static = {}, static

    def update(self, layer, keys):
        if self.static:
            own = self.layers.setdefault(layer, torch.zeros(len(keys), 12, WIDTH))
            own[:, : keys.shape[1]] += keys.detach()
            return own
        self.layers[layer] = torch.cat([self.layers[layer], keys], dim=1) if layer in self.layers else keys
        return self.layers[layer]


class Attention(nn.Module):
    """Attends to its own tokens and to those in the cache."""

    def __init__(self, layer):
        super().__init__()
        self.query, self.key, self.layer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), layer

    def forward(self, x, mask=None, past_key_values=None):
        keys = self.key(x)
        if past_key_values is not None:
            keys = past_key_values.update(self.layer, keys)
        return x + (self.query(x) @ keys.transpose(1, 2)).softmax(dim=-1) @ keys


class Decoder(nn.Module):
    """Makes a cache for its blocks unless it is told not to."""

    def __init__(self, make=Cache, block=Attention):
        super().__init__()
        self.layers = nn.ModuleList(block(i) for i in range(3))
        self.head, self.make = nn.Linear(WIDTH, 5), make

    def forward(self, x, use_cache=True, cache=None):
        past = (cache or self.make()) if use_cache else None
        for layer in self.layers:
            x = layer(x, None, past_key_values=past)
        return self.head(x)


class Summing(nn.Module):
    """A state space of its own, carried from call to call."""

    def __init__(self, layer):
        super().__init__()
        self.query, self.state = nn.Linear(WIDTH, WIDTH), 0.0

    def forward(self, x, mask=None, past_key_values=None):
        y = self.query(x)
        self.state = 0.9 * self.state + y.detach().mean()
        return x + y + self.state


def collector():
    return SimpleNamespace(update=lambda layer, keys: keys, rows=[])


class Collecting(Attention):
    """Leaves what it computes in a list."""

    def forward(self, x, mask=None, past_key_values=None):
        y = super().forward(x)
        if past_key_values is not None:
            past_key_values.rows.append(y.detach())
        return y


def recurrent(net, example=None, block='layers.1', **options):
    torch.manual_seed(0)
    example = torch.randn(2, 4, WIDTH) if example is None else example
    options = {**dict(dynamic='query', feedback_layout='channels_last', alpha=1.0, num_iterations=3), **options}
    return RecurrentNetwork(net, block, example, **options)


CACHES = {
    'a cache that grows': lambda: Decoder(),
    'a cache that is written into': lambda: Decoder(lambda: Cache(static=True)),
    'a list of results': lambda: Decoder(collector, Collecting),
}


@pytest.mark.parametrize('block', ['layers.0', 'layers.1', 'layers.2', {'layers.0': {}, 'layers.2': {}}])
@pytest.mark.parametrize('kind', CACHES)
def test_arguments_that_a_block_changes_are_refused_by_name(kind, block):
    net = CACHES[kind]()
    names, modules = list(net.state_dict()), list(net.modules())
    kind = "'past_key_values' .of type (Cache|SimpleNamespace)"
    with pytest.raises(ValueError, match=rf"block: 'layers.\d' changes its further argument {kind}.*use_cache=False"):
        recurrent(net, block=block)
    assert list(net.state_dict()) == names and list(net.modules()) == modules
    recurrent(net, block=block, num_iterations=1)  # which runs once, as before


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('kind', CACHES)
def test_a_cache_that_comes_later_is_refused_then(kind, training):
    torch.manual_seed(0)
    net = recurrent(CACHES[kind](), dict(x=torch.randn(2, 4, WIDTH), use_cache=False)).train(training)
    x = torch.randn(2, 4, WIDTH)
    expected = net.forward_iterates(x, use_cache=False)
    assert len(expected) == 3 and (expected[0] - expected[2]).abs().max() > 1e-4
    for call in (net, net.forward_iterates):
        with pytest.raises(RuntimeError, match="changes its further argument 'past_key_values'.*use_cache=False"):
            call(x)
    torch.testing.assert_close(net.forward_iterates(x, use_cache=False), expected)


def test_with_nothing_written_all_iterates_of_no_increment_are_the_plain_network():
    torch.manual_seed(0)
    plain, x = Decoder(), torch.randn(2, 4, WIDTH)
    net = recurrent(copy.deepcopy(plain), dict(x=x, use_cache=False), adapter='global', alpha=1.0)
    for y in net.forward_iterates(x, use_cache=False):
        torch.testing.assert_close(y, plain(x, use_cache=False))


def test_a_block_of_a_state_of_its_own_is_refused():
    net = Decoder(block=Summing)
    modules = list(net.modules())
    with pytest.raises(ValueError, match="block: 'layers.1' gives something else when it runs again .*keeps a state"):
        recurrent(net)
    assert list(net.modules()) == modules


def test_a_state_that_does_not_fit_the_second_call_is_refused():
    class Once(Attention):
        """Takes one step of a plan that the network makes anew in each of its passes."""

        def forward(self, x, mask=None, past_key_values=None):
            return super().forward(x) * plans[self.layer].pop()

    class Planned(Decoder):
        def forward(self, x):
            plans[:] = [[1.0], [1.0], [1.0]]
            return super().forward(x)

    plans = []
    with pytest.raises(ValueError, match="block: 'layers.1' gives something else .*Once keeps a state"):
        recurrent(Planned(block=Once))


def test_a_cache_of_the_network_itself_is_refused_where_it_is_written_into():
    class Late(Decoder):
        """Hands its cache to what comes after the block alone."""

        def forward(self, x, cache=None):
            x = self.layers[1](self.layers[0](x))
            return self.head(self.layers[2](x, past_key_values=cache))

    x = torch.randn(2, 4, WIDTH)
    net = recurrent(Late(), x)
    with pytest.raises(RuntimeError, match="Late changes its argument 'cache' .of type Cache"):
        net.forward_iterates(x, cache=Cache())
    with pytest.raises(RuntimeError, match='Late changes its argument 2 .of type Cache'):
        net.forward_iterates(x, Cache())
    assert len(net.forward_iterates(x)) == 3


def test_a_block_alone():
    block = AdaptiveRecurrentBlock(Attention(0), 'query', (WIDTH, 4), feedback_layout='channels_last')
    x = torch.randn(2, 4, WIDTH)
    with pytest.raises(RuntimeError, match="Attention changes its further argument 'past_key_values'"):
        block(x, past_key_values=Cache())
    with pytest.raises(RuntimeError, match='Attention changes its further argument 2'):
        block(x, None, Cache())
    assert len(block(x)) == 2


def test_arguments_that_stay_are_given_to_every_iterate():
    class Reading(Attention):
        def forward(self, x, mask=None, past_key_values=None):
            return super().forward(x) + sum(past_key_values.rows) + past_key_values.loop[0].rows[0]

    shared = SimpleNamespace(rows=[torch.ones(1), torch.full((1,), float('nan')).nan_to_num(2.0)], share=float('nan'))
    shared.loop = [shared]  # that it holds itself is no endless search
    net = recurrent(Decoder(lambda: shared, Reading))
    assert all(y.isfinite().all() for y in net.forward_iterates(torch.randn(2, 4, WIDTH)))


def test_another_tensor_that_a_block_writes_into():
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(WIDTH, WIDTH)

        def forward(self, x, total):
            total += 1
            return self.query(x) + total

    block = AdaptiveRecurrentBlock(Writing(), 'query', (WIDTH,))
    with pytest.raises(RuntimeError, match='Writing changes its further argument 1 .of type Tensor'):
        block(torch.randn(2, WIDTH), torch.zeros(2, WIDTH))


def test_compiled_with_further_arguments():
    torch.manual_seed(0)
    block = AdaptiveRecurrentBlock(
        Attention(0), 'query', (WIDTH, 4), feedback_layout='channels_last', adapter='global', alpha=1.0
    ).eval()
    with torch.no_grad():
        for linear in block.adapter.linears:
            linear.weight.normal_()
    x = torch.randn(2, 4, WIDTH)
    torch._dynamo.reset()
    compiled = torch.compile(block, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(x, mask=None), block(x, mask=None))
