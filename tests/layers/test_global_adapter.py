"""The global adapter: any size, any rows; it starts at the plain network and equals what is written out by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from kaizen_mm.layers import AdaptiveRecurrentBlock, build_adapter
from kaizen_mm.layers.increments import LowRankIncrement

SHAPES = {'first': (5, 3, 3, 3), 'second': (7, 5)}  # rows that divide nothing


def global_adapter(feedback_shape=(6,), shapes=SHAPES, seed=0, **options):
    torch.manual_seed(seed)
    return build_adapter(feedback_shape, shapes, adapter='global', **options).double()


def moved(adapter):
    """The adapter after some training: ``A`` is no longer zero."""
    for linear in adapter.linears:
        nn.init.normal_(linear.weight)
    return adapter


def rows_by_hand(adapter, z):
    """``P_n`` of each layer for one sample's map ``[C, ...]``, one value at a time where pooling is concerned."""
    positions = z.reshape(len(z), -1)
    pooled = torch.stack(
        [sum(channel) / len(channel) for channel in positions] + [max(channel) for channel in positions]
    )
    pooled = (pooled - pooled.mean()) / (pooled.var(unbiased=False) + 1e-5).sqrt()
    rows = []
    for bottleneck, shape in zip(adapter.global_rows.bottlenecks, adapter.weight_shapes.values()):
        hidden = (bottleneck[0].weight @ pooled + bottleneck[0].bias).clamp(min=0)
        rows.append((bottleneck[2].weight @ hidden + bottleneck[2].bias).reshape(shape[0], -1))
    return rows


def block():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 1, groups=1), nn.ReLU()).double()


@pytest.mark.parametrize('size', [(), (1,), (9,), (4, 5), (1, 1), (2, 3, 4)])
def test_rows_equal_those_by_hand_at_any_size(size):
    adapter = moved(global_adapter(alpha=0.3))
    z = torch.randn(3, 6, *size, dtype=torch.float64)
    for layer, increment in enumerate(adapter.update(adapter.initial(), z)):
        assert isinstance(increment, LowRankIncrement)
        expected = torch.stack([rows_by_hand(adapter, sample)[layer] for sample in z])
        torch.testing.assert_close(increment.rows, expected)
        assert torch.equal(increment.basis, adapter.linears[layer].weight) and increment.scale == 0.3


def test_tokens_give_what_channels_first_gives():
    z = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    first, last = (moved(global_adapter(feedback_layout=layout)) for layout in ('channels_first', 'channels_last'))
    last.load_state_dict(first.state_dict())
    for x in (z.movedim(1, -1), z.flatten(2).transpose(1, 2)):
        for a, b in zip(first.update(first.initial(), z), last.update(last.initial(), x)):
            torch.testing.assert_close(a.rows, b.rows)


def test_every_row_sees_every_channel():
    adapter = global_adapter(hidden=32)
    z = torch.randn(1, 6, 4, dtype=torch.float64, requires_grad=True)
    for increment in adapter.update(adapter.initial(), z):
        for row in increment.rows[0]:
            assert torch.autograd.grad(row.square().sum(), z, retain_graph=True)[0].sum(dim=2).all()


@pytest.mark.parametrize('options', [{}, dict(hidden=3), dict(rank=2), dict(hidden=1, rank=1)])
@pytest.mark.parametrize('shapes', [SHAPES, {'wide': (512, 4608)}, {'one': (1, 1)}])
def test_parameters_are_as_many_as_the_docstring_says(options, shapes):
    adapter = global_adapter((6, 4), shapes, **options)
    count = 0
    for rows, *others in shapes.values():
        fan_in = torch.Size(others).numel()
        hidden = options.get('hidden', min(max(rows // 4, 8), 64))
        rank = options.get('rank', min(max(min(rows, fan_in) // 4, 1), 8))
        count += (2 * 6 + 1) * hidden + (hidden + 1) * rows * rank + fan_in * rank
    assert sum(p.numel() for p in adapter.parameters()) == count


def test_alpha_is_one_by_default_and_the_papers_is_not():
    assert global_adapter().alpha == 1 and global_adapter(alpha=0.1).alpha == 0.1
    assert build_adapter((6,), {'layer': (3, 4)}).alpha == 1e-3


def test_the_rows_of_a_layer_start_at_a_norm_of_about_one():
    adapter = global_adapter((64,), {'layer': (100, 9)}, rank=4, hidden=64)
    for scale in (1e-2, 1, 1e2):  # whatever the scale of the activations
        rows = adapter.update(adapter.initial(), scale * torch.randn(50, 64, 7, dtype=torch.float64))[0].rows
        assert 0.5 < rows.square().sum(dim=(1, 2)).mean() < 2


def recurrent(num_iterations=3, **options):
    torch.manual_seed(2)
    return AdaptiveRecurrentBlock(
        block(), ['0', '2'], (6,), num_iterations=num_iterations, adapter='global', **options
    ).double()


def test_at_the_start_all_iterates_are_the_plain_block_exactly():
    plain, net = block(), recurrent()
    for size in ((8, 8), (5, 11)):
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        assert all(torch.equal(y, plain(x)) for y in net(x))
    assert not net.weight_change().any()


def test_recurrence_equals_a_loop_over_samples():
    plain, net = block(), recurrent()
    moved(net.adapter)
    x = torch.randn(3, 3, 6, 7, dtype=torch.float64)
    iterates = net(x)
    for n, sample in enumerate(x):
        weights = {name: plain.get_submodule(name).weight for name in ('0', '2')}
        for y in iterates:
            z = functional_call(plain, {f'{name}.weight': w for name, w in weights.items()}, (sample[None],))[0]
            torch.testing.assert_close(y[n], z)
            for name, linear, rows in zip(('0', '2'), net.adapter.linears, rows_by_hand(net.adapter, z)):
                weights[name] = weights[name] + (rows @ linear.weight.t()).reshape(weights[name].shape)
    assert (iterates[2] - iterates[0]).abs().max() > 0.1


def test_a_step_of_sgd_at_the_rate_of_the_rest_moves_the_iterates():
    net = recurrent(num_iterations=2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, target = torch.randn(8, 3, 6, 6, dtype=torch.float64), torch.randn(8, 6, 6, 6, dtype=torch.float64)
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(net(x)[-1], target).backward()
        optimizer.step()
    assert net.weight_change().min() > 1e-4


@pytest.mark.parametrize('freeze', [True, False])
def test_w_1_is_frozen_or_trains_along(freeze):
    net = recurrent(freeze_dynamic=freeze)
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.randn(2, 3, 4, 4, dtype=torch.float64))[-1].square().sum().backward()
    optimizer.step()
    assert torch.equal(before['0.weight'], net.state_dict()['0.weight']) == freeze
    assert not torch.equal(before['0.bias'], net.state_dict()['0.bias'])


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(rank=0), 'rank must be an int >= 1, got 0'),
        (dict(rank=1.0), 'rank must be an int >= 1, got 1.0'),
        (dict(hidden=0), 'hidden must be an int >= 1, got 0'),
        (dict(hidden=True), 'hidden must be an int >= 1, got True'),
        (dict(pool_kernel=3), 'pool_kernel must be left at None where adapter is "global", got 3'),
        (dict(pool_stride=2), 'pool_stride must be left at 1 where adapter is "global", got 2'),
        (dict(pool_padding=1), 'pool_padding must be left at 0 where adapter is "global", got 1'),
        (dict(shared_rows=False), 'shared_rows must be left at True where adapter is "global", got False'),
        (dict(row_layout='concatenated'), 'row_layout must be left at'),
        (dict(bias=True), 'bias must be left at False where adapter is "global", got True'),
        (dict(bound='tanh'), 'bound must be left at None where adapter is "global", got'),
        (dict(alpha=-1.0), 'alpha must be a finite number >= 0, got -1.0'),
        (dict(feedback_shape=()), 'feedback_shape must be positive ints'),
        (dict(feedback_shape=(0, 4)), 'feedback_shape must be positive ints'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        global_adapter(**options)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(adapter='rows'), r"adapter must be one of \('paper', 'global', 'slots', 'experts'\), got 'rows'"),
        (dict(hidden=8), 'hidden must be left at None where adapter is "paper", got 8'),
        (dict(rank=2), 'rank must be left at None where adapter is "paper", got 2'),
    ],
)
def test_arguments_of_the_other_adapter(options, message):
    with pytest.raises(ValueError, match=message):
        build_adapter((6,), {'layer': (3, 4)}, **options)


def test_other_channels_are_refused():
    adapter = global_adapter()
    with pytest.raises(ValueError, match='the feedback map has 5 channels, but the adapter was built for 6'):
        adapter.update(adapter.initial(), torch.randn(2, 5, 4, dtype=torch.float64))
