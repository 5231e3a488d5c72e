import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

from kaizen_mm.layers import add_iterate_statistics, iterate_statistics

STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def network(**options):
    """Two batch norms, one of them nested, that have seen data."""
    torch.manual_seed(0)
    net = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 1),
            bn=nn.BatchNorm2d(4, **options),
            inner=nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, **options)),
        )
    )
    with torch.no_grad():
        net.bn.weight.uniform_(0.5, 2)
        net(torch.randn(4, 3, 2, 2) + 1)
    return net


def batches(count, seed=1):
    """Batches of means and scales of their own."""
    torch.manual_seed(seed)
    return [(1 + i) * torch.randn(5, 3, 2, 2) + i for i in range(count)]


def feed(net, xs):
    """One pass per iterate, each with its batch."""
    outputs = []
    for index, x in enumerate(xs):
        with iterate_statistics(net, index):
            outputs.append(net(x))
    return outputs


def trained(iterations, **options):
    net = network(**options)
    add_iterate_statistics(net, iterations)
    feed(net, batches(iterations))
    return net


def statistics(norm, iterate):
    """Those of one iterate, from 1."""
    where, row = (norm, ...) if iterate == 1 else (norm.iterates, iterate - 2)
    return {name: getattr(where, name)[row] for name in STATISTICS}


@pytest.mark.parametrize('momentum', [0.1, 0.7, None])
def test_each_iterate_has_the_statistics_of_a_network_of_its_own(momentum):
    net = network(momentum=momentum)
    plain = [copy.deepcopy(net) for _ in range(3)]
    add_iterate_statistics(net, 3)
    for seed in (1, 2, 3):
        xs = batches(3, seed)
        for y, x, single in zip(feed(net, xs), xs, plain):
            torch.testing.assert_close(y, single(x))
    for i, single in enumerate(plain, start=1):
        for norm, own in ((net.bn, single.bn), (net.inner[1], single.inner[1])):
            for name, value in statistics(norm, i).items():
                torch.testing.assert_close(value, getattr(own, name))
    assert net.bn.iterates.num_batches_tracked.tolist() == [4, 4]

    net.eval()
    x = torch.randn(2, 3, 2, 2)
    outputs = feed(net, [x] * 3)
    for y, single in zip(outputs, plain):
        torch.testing.assert_close(y, single.eval()(x))
    assert (outputs[0] - outputs[2]).abs().max() > 0.1


def test_evaluation_leaves_the_statistics_alone():
    net = trained(3).eval()
    before = copy.deepcopy(net.state_dict())
    feed(net, batches(3, seed=7))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_affine_parameters_are_shared_and_get_the_gradients_of_all_iterates():
    net = network().eval()
    add_iterate_statistics(net, 2)
    net.bn.iterates.running_mean += 1
    assert [n for n, _ in net.named_parameters()] == [n for n, _ in network().named_parameters()]
    xs = batches(2)
    alone = [torch.autograd.grad(feed(net, xs)[i].square().mean(), net.bn.weight)[0] for i in range(2)]
    both = torch.autograd.grad(sum(y.square().mean() for y in feed(net, xs)), net.bn.weight)[0]
    torch.testing.assert_close(both, alone[0] + alone[1])
    assert all(gradient.abs().max() > 0 for gradient in alone)


def test_iterates_beyond_the_last_use_its_statistics():
    net = trained(3).eval()
    x = torch.randn(2, 3, 2, 2)
    _, second, third, fourth, fifth = feed(net, [x] * 5)
    assert torch.equal(third, fourth) and torch.equal(third, fifth)
    assert not torch.allclose(second, third)


def test_a_pass_that_fails_puts_the_own_statistics_back():
    net = trained(2)
    own = {name: getattr(net.bn, name) for name in STATISTICS}
    with pytest.raises(RuntimeError, match='inside'), iterate_statistics(net, 1):
        assert net.bn.running_mean is not own['running_mean']
        raise RuntimeError('inside')
    assert all(getattr(net.bn, name) is value for name, value in own.items())


@pytest.mark.parametrize('iterations', [0, 1])
def test_with_one_iterate_nothing_is_added(iterations):
    net = network()
    names = list(net.state_dict())
    add_iterate_statistics(net, iterations)
    assert list(net.state_dict()) == names
    net.load_state_dict(network().state_dict())


def test_a_network_without_them_shares_its_own_statistics():
    net = network()
    plain = copy.deepcopy(net)
    xs = batches(3)
    for y, x in zip(feed(net, xs), xs):
        assert torch.equal(y, plain(x))
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in net.state_dict().items())


def test_norms_without_running_statistics_are_left_alone():
    net = network(track_running_stats=False)
    names = list(net.state_dict())
    add_iterate_statistics(net, 3)
    assert list(net.state_dict()) == names
    x = batches(1)[0]
    for y in feed(net, [x] * 3):
        assert torch.equal(y, network(track_running_stats=False)(x))


def test_names_and_first_values():
    net = network()
    plain = copy.deepcopy(net.state_dict())
    add_iterate_statistics(net, 4)
    added = set(net.state_dict()) - set(plain)
    assert added == {f'{norm}.iterates.{name}' for norm in ('bn', 'inner.1') for name in STATISTICS}
    for i in (2, 3, 4):
        for name, value in statistics(net.bn, i).items():
            assert torch.equal(value, plain[f'bn.{name}'])


def test_more_iterates_start_from_the_last_and_fewer_keep_all():
    net = trained(3)
    before = [statistics(copy.deepcopy(net).bn, i) for i in (1, 2, 3)]
    add_iterate_statistics(net, 5)
    for i, expected in zip((1, 2, 3, 4, 5), before + [before[2]] * 2):
        for name, value in statistics(net.bn, i).items():
            assert torch.equal(value, expected[name])
    add_iterate_statistics(net, 2)
    assert len(net.bn.iterates) == 4
    assert not torch.equal(before[1]['running_mean'], before[2]['running_mean'])


def test_a_plain_checkpoint_fills_every_iterate():
    net, plain = trained(3), network()
    plain(batches(1, seed=9)[0])
    checkpoint = plain.state_dict()
    names = list(checkpoint)
    net.load_state_dict(checkpoint)
    assert list(checkpoint) == names  # the caller's dictionary stays as it was
    for norm, own in ((net.bn, plain.bn), (net.inner[1], plain.inner[1])):
        for i in (1, 2, 3):
            for name, value in statistics(norm, i).items():
                assert torch.equal(value, getattr(own, name))


def test_a_plain_checkpoint_without_batch_counts_loads_as_into_the_plain_network():
    old = {name: value for name, value in network().state_dict().items() if 'num_batches' not in name}
    network().load_state_dict(old)
    net = trained(3)
    net.load_state_dict(old)
    assert torch.equal(net.bn.iterates.running_mean[1], old['bn.running_mean'])


def test_a_plain_checkpoint_fills_a_part_of_a_larger_network():
    outer = nn.ModuleDict({'body': trained(3), 'other': nn.Linear(2, 2)})
    plain = nn.ModuleDict({'body': network(), 'other': nn.Linear(2, 2)})
    outer.load_state_dict(plain.state_dict())
    assert torch.equal(outer['body'].bn.iterates.running_mean[1], plain['body'].bn.running_mean)


@pytest.mark.parametrize('saved, built', [(2, 4), (4, 2), (3, 3)])
def test_checkpoints_of_another_number_of_iterates(saved, built):
    source, net = trained(saved), trained(built)
    net.load_state_dict(source.state_dict())
    assert len(net.bn.iterates) == max(saved, built) - 1
    for i in range(1, max(saved, built) + 1):
        for name, value in statistics(net.bn, i).items():
            assert torch.equal(value, statistics(source.bn, min(i, saved))[name])
    x = torch.randn(2, 3, 2, 2)
    for a, b in zip(feed(net.eval(), [x] * 5), feed(source.eval(), [x] * 5)):
        assert torch.equal(a, b)


def by_deepcopy(net):
    return copy.deepcopy(net)


def by_pickle(net):
    return pickle.loads(pickle.dumps(net))


def by_state_dict(net):
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    fresh = network()
    add_iterate_statistics(fresh, 3)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


@pytest.mark.parametrize('copied', [by_deepcopy, by_pickle, by_state_dict])
def test_copies_evaluate_the_same_and_are_independent(copied):
    net = trained(3)
    other = copied(net)
    x = torch.randn(2, 3, 2, 2)
    for a, b in zip(feed(net.eval(), [x] * 3), feed(other.eval(), [x] * 3)):
        assert torch.equal(a, b)
    before = copy.deepcopy(net.state_dict())
    feed(other.train(), batches(3, seed=5))
    assert not torch.equal(other.bn.iterates.running_mean, before['bn.iterates.running_mean'])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    other.load_state_dict(network().state_dict())  # a copy fills itself from a plain checkpoint, too
    assert torch.equal(other.bn.iterates.running_mean[1], other.bn.running_mean)


def test_conversion_to_sync_batch_norm_keeps_them():
    net = trained(3)
    expected = copy.deepcopy(net.state_dict())
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))
    assert isinstance(synced.bn, nn.SyncBatchNorm)
    assert set(synced.state_dict()) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in synced.state_dict().items())
    x = torch.randn(2, 3, 2, 2)
    for a, b in zip(feed(synced.eval(), [x] * 4), feed(net.eval(), [x] * 4)):
        torch.testing.assert_close(a, b)
    synced.load_state_dict(network().state_dict())
    assert torch.equal(synced.bn.iterates.running_mean[1], network().bn.running_mean)
