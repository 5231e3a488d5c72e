import copy
import io
from collections import OrderedDict

import pytest
import torch
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.transparent import TransparentWrapper


class Doubled(TransparentWrapper):
    def forward(self, x):
        return 2 * self.wrapped(x)


def block():
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 4, 1), inner=nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(4)))))


def plain_network(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 4, 1), last=block()))
    net(2 * torch.randn(4, 3, 2, 2) + 1)
    return net


def recurrent_network(seed=0, **options):
    net = plain_network(seed)
    net.last = AdaptiveRecurrentBlock(net.last, 'conv', (4, 2, 2), **{'num_iterations': 3, 'alpha': 0.5, **options})
    return net


def added_names(net):
    return set(net.state_dict()) - set(plain_network().state_dict())


ITERATES = {f'last.inner.bn.iterates.{n}' for n in ('running_mean', 'running_var', 'num_batches_tracked')}


def test_keys_are_those_of_the_wrapped_module():
    wrapper = Doubled(block())
    assert set(wrapper.state_dict()) == set(block().state_dict())
    assert set(nn.Sequential(wrapper).state_dict()) == set(nn.Sequential(block()).state_dict())
    assert set(nn.Sequential(Doubled(wrapper)).state_dict()) == set(nn.Sequential(block()).state_dict())
    assert set(wrapper.state_dict(prefix='a.')) == set(block().state_dict(prefix='a.'))
    for name, value in wrapper.state_dict().items():
        assert value.data_ptr() == block_tensor(wrapper.wrapped, name).data_ptr()


def block_tensor(module, name):
    path, _, leaf = name.rpartition('.')
    return getattr(module.get_submodule(path), leaf)


@pytest.mark.parametrize('depth', [0, 1, 2])
def test_plain_and_wrapped_load_each_other_strictly(depth):
    plain, wrapped = block(), Doubled(block())
    for _ in range(depth):
        plain, wrapped = nn.Sequential(plain), nn.Sequential(wrapped)
    wrapped.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(wrapped.eval()(x), 2 * plain.eval()(x))
    other = copy.deepcopy(plain)
    nn.init.ones_(next(other.parameters()))
    other.load_state_dict(wrapped.state_dict())
    assert torch.equal(other(x), plain(x))


def test_a_key_that_is_missing_or_unexpected_is_reported():
    wrapped = nn.Sequential(Doubled(block()))
    state = wrapped.state_dict()
    state['0.foreign.weight'] = state.pop('0.conv.weight')
    missing, unexpected = wrapped.load_state_dict(state, strict=False)
    assert len(missing) == len(unexpected) == 1
    assert missing[0].endswith('conv.weight') and unexpected[0].endswith('foreign.weight')
    with pytest.raises(RuntimeError, match='foreign.weight'):
        wrapped.load_state_dict(state)


def test_own_modules_stand_beside_the_wrapped_ones():
    wrapper = Doubled(block())
    wrapper.add_own_module('extra', nn.Linear(2, 2))
    assert set(wrapper.state_dict()) == set(block().state_dict()) | {'extra.weight', 'extra.bias'}
    other = Doubled(block())
    other.add_own_module('extra', nn.Linear(2, 2))
    other.load_state_dict(wrapper.state_dict())
    assert torch.equal(other.extra.weight, wrapper.extra.weight)


def test_names_that_are_taken_and_things_that_are_no_module():
    with pytest.raises(ValueError, match="Sequential has state under the name 'inner' already"):
        Doubled(block()).add_own_module('inner', nn.Linear(2, 2))
    with pytest.raises(TypeError, match='wrapped must be a torch.nn.Module, got function'):
        Doubled(block)
    clash = nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 4, 1), adapter=nn.Conv2d(4, 4, 1)))
    with pytest.raises(ValueError, match="state under the name 'adapter' already"):
        AdaptiveRecurrentBlock(clash, 'conv', (4, 2, 2))


@pytest.mark.parametrize(
    'options, iterates, adapter',
    [
        (dict(), ITERATES, ['weight']),
        (dict(norm_statistics='shared'), set(), ['weight']),
        (dict(num_iterations=1), set(), []),
        (dict(bias=True), ITERATES, ['bias', 'weight']),
    ],
)
def test_a_recurrent_network_adds_the_adapter_and_the_iterates_alone(options, iterates, adapter):
    net = recurrent_network(**options)
    own = {name for name in added_names(net) if name.startswith('last.adapter.')}
    assert sorted(name.split('.')[-1] for name in own) == adapter
    assert added_names(net) - own == iterates
    assert set(plain_network().state_dict()) <= set(net.state_dict())


@pytest.mark.parametrize('norm_statistics', ['per_iterate', 'shared'])
def test_plain_to_recurrent_to_plain(norm_statistics):
    source = plain_network(1)
    net = recurrent_network(norm_statistics=norm_statistics)
    missing, unexpected = net.load_state_dict(source.state_dict(), strict=False)
    assert len(missing) == 1 and missing[0].startswith('last.adapter.') and not unexpected
    if norm_statistics == 'per_iterate':
        rows = net.state_dict()['last.inner.bn.iterates.running_mean']
        assert torch.equal(rows, source.last.inner.bn.running_mean.expand(2, -1))

    x = torch.randn(2, 3, 2, 2)
    assert torch.equal(net.eval()(x)[0], source.eval()(x))
    back = plain_network(2)
    missing, unexpected = back.load_state_dict(net.state_dict(), strict=False)
    assert not missing and set(unexpected) == added_names(net)
    assert torch.equal(back.eval()(x), source(x))
    back.load_state_dict({k: v for k, v in net.state_dict().items() if k in source.state_dict()})


def test_one_iteration_and_plain_load_each_other_strictly():
    net, source = recurrent_network(num_iterations=1), plain_network(1)
    net.load_state_dict(source.state_dict())
    plain_network().load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 2, 2)
    assert torch.equal(net.eval()(x)[0], source.eval()(x))


@pytest.mark.parametrize('saved, built', [(3, 3), (2, 3), (3, 2)])
def test_recurrent_networks_load_each_other_strictly(saved, built):
    source = recurrent_network(num_iterations=saved)
    for _ in range(3):
        source(torch.randn(4, 3, 2, 2) + 2)
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    net = recurrent_network(seed=3, num_iterations=built)
    net.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, 3, 2, 2)
    outputs, expected = net.eval()(x), source.eval()(x)
    assert len(outputs) == built and len(expected) == saved
    for a, b in zip(outputs, expected):
        assert torch.equal(a, b)
    net.last.num_iterations = source.last.num_iterations = 5
    for a, b in zip(net(x), source(x)):
        assert torch.equal(a, b)


def test_frozen_weights_are_in_the_checkpoint_and_stay_frozen():
    source, net = recurrent_network(1), recurrent_network(2)
    net.load_state_dict(source.state_dict())
    assert torch.equal(net.last.wrapped.conv.weight, source.last.wrapped.conv.weight)
    assert not net.last.wrapped.conv.weight.requires_grad
