"""The slot adapter equals attention written out by hand, at any size; it starts at the plain network."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from kaizen_mm.layers import AdaptiveRecurrentBlock, build_adapter
from kaizen_mm.layers.input_adapted import InputAdaptedLayer

SHAPES = {'of_other_rows': (5, 3, 3, 3), 'of_as_many_rows': (6, 5)}


def slot_adapter(feedback_shape=(6, 4, 5), shapes=SHAPES, seed=0, **options):
    torch.manual_seed(seed)
    return build_adapter(feedback_shape, shapes, adapter='slots', **options).double()


def found_by_hand(adapter, z, where):
    """What each slot holds of one sample's map ``[C, ...]``: one slot and one position at a time."""
    flat = z.reshape(len(z), -1)
    slots = []
    for query, place in zip(adapter.queries, where):
        looks = []
        for position in range(flat.shape[1]):
            key = flat[:, position]
            key = (key - key.mean()) / (key.var(unbiased=False) + 1e-5).sqrt()
            looks.append(query @ key / math.sqrt(len(z)) + place[position])
        weights = torch.stack(looks).exp() / sum(look.exp() for look in looks)
        slots.append(sum(weight * flat[:, position] for position, weight in enumerate(weights)))
    held = torch.stack(slots, dim=1)
    return (held - held.mean()) / (held.var(unbiased=False) + 1e-5).sqrt() / math.sqrt(held.numel())


def where_by_hand(adapter, size):
    """Of a map of the size that the adapter was built for: row by row."""
    rows, columns = adapter.positions
    return torch.stack(
        [
            torch.stack([row[i] + column[j] for i in range(size[0]) for j in range(size[1])])
            for row, column in zip(rows, columns)
        ]
    )


def test_rows_equal_those_by_hand():
    adapter = slot_adapter(slots=3, alpha=0.3)
    z = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    other, same = adapter.update(adapter.initial(), z)
    held = torch.stack([found_by_hand(adapter, sample, where_by_hand(adapter, (4, 5))) for sample in z])
    torch.testing.assert_close(same.rows, held)
    torch.testing.assert_close(other.rows, adapter.to_rows[0].weight @ held)
    assert same.scale == 0.3 and torch.equal(same.basis, adapter.linears[1].weight)


def test_without_queries_and_positions_every_slot_holds_the_mean():
    adapter = slot_adapter(slots=2)
    nn.init.zeros_(adapter.queries)
    for along in adapter.positions:
        nn.init.zeros_(along)
    z = torch.randn(3, 6, 4, 5, dtype=torch.float64)
    held = adapter.found(z)
    mean = z.mean(dim=(2, 3))
    mean = (mean - mean.mean(1, True)) / (mean.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt() / math.sqrt(12)
    torch.testing.assert_close(held, mean[:, :, None].expand(-1, -1, 2))


def test_what_it_finds_follows_a_position():
    adapter = slot_adapter()
    z = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    assert not torch.allclose(adapter.found(z), adapter.found(z.flip(3)), atol=1e-3), 'where things are is told'
    for along in adapter.positions:
        nn.init.zeros_(along)
    torch.testing.assert_close(adapter.found(z), adapter.found(z.flip(3)))


@pytest.mark.parametrize('size', [(4, 5), (8, 10), (3, 3), (1, 1)])
def test_maps_of_other_sizes(size):
    adapter = slot_adapter()
    changes = adapter.changes(torch.randn(2, 6, *size, dtype=torch.float64))
    assert [tuple(rows.shape) for rows in changes] == [(2, 5, 8), (2, 6, 8)]
    for rows in changes[1:]:
        torch.testing.assert_close(rows.norm(dim=(1, 2)), torch.ones(2, dtype=torch.float64), atol=1e-2, rtol=0)


def test_a_map_of_twice_the_size_that_repeats_each_position_holds_about_the_same():
    adapter = slot_adapter(feedback_shape=(6, 16, 16))
    for along in adapter.positions:  # a place that changes slowly
        along.data = torch.linspace(0, 1, 16, dtype=torch.float64).expand_as(along) * torch.randn(8, 1).double()
    z = torch.randn(1, 6, 16, 16, dtype=torch.float64)
    large = z.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(adapter.found(large), adapter.found(z), atol=5e-3, rtol=0)


def test_clips_and_tokens():
    torch.manual_seed(0)
    clip = slot_adapter((6, 2, 4, 5))
    assert clip.found(torch.randn(2, 6, 2, 4, 5, dtype=torch.float64)).shape == (2, 6, 8)
    z = torch.randn(2, 6, 20, dtype=torch.float64)
    first, last = (slot_adapter((6, 20), feedback_layout=layout) for layout in ('channels_first', 'channels_last'))
    for a, b in zip(first.changes(z), last.changes(z.transpose(1, 2))):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('slots', [1, 8])
def test_parameters_are_as_many_as_the_docstring_says(slots):
    adapter = slot_adapter(slots=slots)
    assert sum(p.numel() for p in adapter.parameters()) == slots * (6 + 9) + slots * (27 + 5) + 5 * 6


def block():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1)).double()


def recurrent(**options):
    torch.manual_seed(2)
    return AdaptiveRecurrentBlock(block(), ['0', '2'], (6, 6, 7), adapter='slots', **options).double()


def test_at_the_start_all_iterates_are_the_plain_block_exactly():
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    assert all(torch.equal(y, block()(x)) for y in recurrent()(x))


def test_recurrence_equals_a_loop_over_samples():
    plain, net = block(), recurrent(slots=3)
    for linear in net.adapter.linears:
        nn.init.normal_(linear.weight)
    x = torch.randn(3, 3, 6, 7, dtype=torch.float64)
    iterates = net(x)
    where = where_by_hand(net.adapter, (6, 7))
    for n, sample in enumerate(x):
        weights = {name: plain.get_submodule(name).weight for name in ('0', '2')}
        for y in iterates:
            z = functional_call(plain, {f'{name}.weight': w for name, w in weights.items()}, (sample[None],))[0]
            torch.testing.assert_close(y[n], z)
            held = found_by_hand(net.adapter, z, where)
            for name, linear, to_rows in zip(('0', '2'), net.adapter.linears, net.adapter.to_rows):
                rows = held if isinstance(to_rows, nn.Identity) else to_rows.weight @ held
                weights[name] = weights[name] + (rows @ linear.weight.t()).reshape(weights[name].shape)
    assert (iterates[-1] - iterates[0]).abs().max() > 0.1


def test_gradients_are_those_of_the_rows_by_hand():
    adapter = slot_adapter(slots=3)
    z = torch.randn(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(2, rows, 3, dtype=torch.float64) for rows in (5, 6)]
    total = sum((rows * weight).sum() for rows, weight in zip(adapter.changes(z), weights))
    held = torch.stack([found_by_hand(adapter, sample, where_by_hand(adapter, (4, 5))) for sample in z])
    by_hand = (adapter.to_rows[0].weight @ held * weights[0]).sum() + (held * weights[1]).sum()
    wanted = [z, adapter.queries, *adapter.positions, adapter.to_rows[0].weight]
    for got, expected in zip(torch.autograd.grad(total, wanted), torch.autograd.grad(by_hand, wanted)):
        torch.testing.assert_close(got, expected)


def test_gradients_are_those_of_numbers():
    adapter = slot_adapter((3, 2, 2), {'layer': (3, 2)}, slots=2)
    z = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    queries = adapter.queries.detach().clone().requires_grad_()

    def changed(z, queries):
        return functional_call(adapter, {'queries': queries}, (z,), tie_weights=False)

    adapter.forward = lambda z: adapter.changes(z)[0]
    assert torch.autograd.gradcheck(changed, (z, queries))


def test_one_pass_from_a_layers_own_input():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, 1).double()
    layer = InputAdaptedLayer(conv, (6, 4, 5), adapter='slots', slots=2)
    u = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    plain = layer(u)
    torch.testing.assert_close(plain, torch.nn.functional.conv2d(u, conv.weight, conv.bias))
    nn.init.normal_(layer.adapter.linears[0].weight)
    (rows,) = layer.adapter.changes(u)
    change = torch.stack([(r @ layer.adapter.linears[0].weight.t()) @ s.flatten(1) for r, s in zip(rows, u)])
    torch.testing.assert_close(layer(u), plain + change.reshape(u.shape))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(slots=0), 'slots must be an int >= 1, got 0'),
        (dict(slots=2.0), 'slots must be an int >= 1, got 2.0'),
        (dict(feedback_shape=(6,)), r'feedback_shape must be \(C, \*spatial\) where adapter is "slots"'),
        (dict(pool_kernel=3), 'pool_kernel must be left at None where adapter is "slots", got 3'),
        (dict(slots=10**8), 'less than slots=100000000'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        slot_adapter(**options)


def test_maps_that_do_not_fit():
    adapter = slot_adapter()
    with pytest.raises(ValueError, match='the feedback map has 5 channels, but the adapter was built for 6'):
        adapter.changes(torch.randn(2, 5, 4, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match='has 1 spatial dimensions, but the adapter was built for 2'):
        adapter.changes(torch.randn(2, 6, 20, dtype=torch.float64))
