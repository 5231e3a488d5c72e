"""A pass with the weights of one sample is a plain one, and follows whatever happens to the network in between."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from kaizen_mm.layers import holding
from tests.test_fast_weight_ways import build

NAMES = ['mfnet2d', 'mnist', 'any', 'two blocks', 'several as one']
every_one = pytest.mark.parametrize('name', NAMES)


def low_rank(net, x, w):
    """The pass with increments beside the layers, which nothing is kept for."""
    with torch.enable_grad():
        return net(torch.cat([x, x]), fast_weights=w[[0, 0]])[:1].detach()


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@every_one
@torch.no_grad()
def test_it_follows_the_network(name):
    net, x = build(name)
    x, w = x[:1], net.written_weights(x[:1])

    def follows():
        before = net(x, fast_weights=w)
        close(before, low_rank(net, x, w))
        return before

    seen = [follows()]
    layers = [m for m in net.modules() if type(m).__name__.startswith('Dynamic')]
    for change in (
        lambda layer: layer.weight.mul_(-1.5),  # another version
        lambda layer: setattr(layer.weight, 'data', layer.weight.data * -1.5),  # the same version, other values
        lambda layer: setattr(layer, 'weight', nn.Parameter(layer.weight * -1.5)),
    ):
        for layer in layers:
            change(layer)
        seen.append(follows())
    norms = [m for m in net.modules() if 'iterates' in m._modules]
    for norm in norms:
        norm.iterates.running_mean += 0.1
        norm.iterates.running_var = norm.iterates.running_var * 1.5  # another tensor
    if norms:
        seen.append(follows())
    assert all((a - b).abs().max() > 1e-6 for a, b in zip(seen, seen[1:])), 'each change is felt'
    net.double().float().double()
    follows()


@torch.no_grad()
def test_it_follows_modules_that_are_exchanged():
    net, x = build('any')
    x, w = x[:1], net.written_weights(x[:1])
    before = net(x, fast_weights=w)
    net.wrapped.three[2] = nn.Tanh()
    after = net(x, fast_weights=w)
    close(after, low_rank(net, x, w))
    assert (after - before).abs().max() > 1e-3
    old = net.wrapped.norm
    net.wrapped.norm = nn.BatchNorm2d(8).double().eval()  # statistics of the iterates are put back under it
    net.wrapped.norm.load_state_dict({k: v for k, v in old.state_dict().items() if 'iterates' not in k})
    close(net(x, fast_weights=w), after)


@every_one
@torch.no_grad()
def test_nothing_stays_behind(name):
    net, x = build(name)
    w, other = net.written_weights(x)[0], net.written_weights(x)[1]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    one, two, iterates = net(x[:1], fast_weights=w), net(x[:1], fast_weights=other), net.forward_iterates(x)
    with holding(net, w):
        assert torch.equal(net(x[:1]), one)
        assert torch.equal(net(x[:1], fast_weights=other), two), 'weights in the place of others that are held'
        assert torch.equal(net(x[:1], fast_weights=w), one)
        with holding(net, other):
            assert torch.equal(net(x[:1]), two)
        close(net(torch.cat([x[:1]] * 2), fast_weights=w[[0, 0]])[:1], one)
        assert torch.equal(net(x[:1]), one)
    with pytest.raises(ValueError, match='they are for 1 samples, but the block gets 3'):
        net(x, fast_weights=w)
    handle = next(iter(net.children())).register_forward_hook(lambda *_: (_ for _ in ()).throw(KeyError('stop')))
    with pytest.raises(KeyError, match='stop'):
        net(x[:1], fast_weights=w)
    handle.remove()
    after = net.state_dict()
    assert list(after) == list(state) and all(torch.equal(after[key], state[key]) for key in state)
    assert all(torch.equal(a, b) for a, b in zip(net.forward_iterates(x), iterates))


@every_one
@torch.no_grad()
def test_several_windows_of_one_stream_in_a_batch(name):
    net, x = build(name)
    w = net.written_weights(x)[1]
    expected = net(x, fast_weights=w[[0, 0, 0]])
    found = net(x, fast_weights=w.expand(3))
    close(found, expected)
    close(found, net.specialized(w)(x))


@torch.no_grad()
def test_weights_that_have_been_used_are_copied_and_kept_without_their_network():
    net, x = build('any')
    w = net.written_weights(x[:1])
    expected = net(x[:1], fast_weights=w)
    for other in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert other.merged_pass is None and torch.equal(net(x[:1], fast_weights=other), expected)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    again = copy.deepcopy(net)
    assert torch.equal(again(x[:1], fast_weights=w), expected)
    again.wrapped.linear.weight.add_(1)
    assert torch.equal(net(x[:1], fast_weights=w), expected) and w.merged_pass.network is net


def test_hooks_see_the_pass_and_gradients_are_another_way():
    net, x = build('any')
    seen = []
    net.wrapped.linear.register_forward_hook(lambda module, inputs, y: seen.append(y))
    with torch.no_grad():
        w = net.written_weights(x[:1])
        seen.clear()
        y = net(x[:1], fast_weights=w)
    assert len(seen) == 1 and seen[0] is y and not y.requires_grad
    with torch.inference_mode():
        close(net(x[:1], fast_weights=w).clone(), y)
    with torch.no_grad():
        close(net(x[:1], fast_weights=w), y)
    net.wrapped.stem[0].weight.requires_grad_(True)
    net(x[:1], fast_weights=w).sum().backward()
    assert net.wrapped.stem[0].weight.grad.any()
