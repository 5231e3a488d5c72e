import pytest
import torch
from torch import nn

from kaizen_mm.layers import build_adapter
from kaizen_mm.layers.increments import DenseIncrement, LowRankIncrement
from tests.layers.reference import pooled_rows, pooled_windows

SHAPES = {'first': (4, 3, 3, 3), 'second': (8, 4, 1, 1)}


def adapter_for(feedback_shape, pool=None, shapes=SHAPES, **options):
    torch.manual_seed(0)
    if pool is not None:
        options.update(pool_kernel=pool[0], pool_stride=pool[1], pool_padding=pool[2])
    return build_adapter(feedback_shape, shapes, **options).double()


def materialized(increment, shape):
    if isinstance(increment, LowRankIncrement):
        return (increment.scale * increment.rows @ increment.basis.t()).reshape(-1, *shape)
    return increment.weight


@pytest.mark.parametrize(
    'layout, expected',
    [
        # average of [[1, 2], [3, 4]] is 2.5, of its tenfold 25
        ('channel', [[2.5, 4.0], [25.0, 40.0]]),
        ('concatenated', [[2.5, 25.0], [4.0, 40.0]]),
    ],
)
def test_rows_by_hand(layout, expected):
    adapter = adapter_for((2, 2, 2), ((2, 2), (1, 1), (0, 0)), {'layer': (2, 5)}, row_layout=layout)
    z = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]]]], dtype=torch.float64)
    (increment,) = adapter.update(adapter.initial(), z)
    assert torch.equal(increment.rows, torch.tensor([expected], dtype=torch.float64))


def test_padded_zeros_count_in_the_average_and_never_win_the_maximum():
    adapter = adapter_for((1, 2), ((2,), (1,), (1,)), {'layer': (1, 5)})
    (increment,) = adapter.update(adapter.initial(), torch.tensor([[[-4.0, -2.0]]], dtype=torch.float64))
    # windows (0, -4), (-4, -2), (-2, 0)
    assert increment.rows.tolist() == [[[-2.0, -3.0, -1.0, -4.0, -2.0, -2.0]]]


@pytest.mark.parametrize(
    'shape, pool',
    [
        ((8, 7), ((3,), (2,), (1,))),
        ((8, 5, 6), ((3, 2), (2, 1), (1, 0))),
        ((8, 2, 2), ((4, 4), (1, 1), (2, 2))),
        ((8, 6, 3, 3), ((5, 3, 3), (4, 1, 1), (0, 0, 0))),
        ((8, 3, 4, 4), ((5, 2, 3), (4, 2, 1), (2, 1, 1))),
        ((8, 3, 4), None),
        ((8,), None),
    ],
)
@pytest.mark.parametrize('layout', ['channel', 'concatenated'])
def test_rows_equal_those_of_a_loop_over_windows(shape, pool, layout):
    adapter = adapter_for(shape, pool, row_layout=layout)
    z = torch.randn(3, *shape, dtype=torch.float64) - 3  # negative almost everywhere
    for increment, weight in zip(adapter.update(adapter.initial(), z), SHAPES.values()):
        expected = torch.stack([pooled_rows(sample, weight[0], pool, layout) for sample in z])
        torch.testing.assert_close(increment.rows, expected)


def test_one_int_stands_for_all_dimensions():
    one, many = adapter_for((8, 4, 4), (2, 2, 1)), adapter_for((8, 4, 4), ((2, 2), (2, 2), (1, 1)))
    assert (one.pool_kernel, one.pool_stride, one.pool_padding) == ((2, 2), (2, 2), (1, 1))
    z = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    for a, b in zip(one.update(one.initial(), z), many.update(many.initial(), z)):
        assert torch.equal(a.rows, b.rows)


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('bound', [None, 'tanh'])
@pytest.mark.parametrize('shared_rows', [True, False])
def test_increments_are_alpha_times_h(bias, bound, shared_rows):
    pool = ((2, 2), (1, 1), (1, 1))
    adapter = adapter_for((8, 3, 3), pool, bias=bias, bound=bound, shared_rows=shared_rows, alpha=0.3)
    assert isinstance(adapter.initial()[0], LowRankIncrement if shared_rows and not bound else DenseIncrement)
    maps = torch.randn(2, 3, 8, 3, 3, dtype=torch.float64)
    increments = adapter.update(adapter.update(adapter.initial(), maps[0]), maps[1])
    for increment, linear, shape in zip(increments, adapter.linears, SHAPES.values()):
        assert (linear.bias is not None) == bias
        expected = 0
        for z in maps:
            rows = torch.stack([pooled_rows(s, shape[0] if shared_rows else 1, pool) for s in z])
            change = rows @ linear.weight.t() + (linear.bias if bias else 0)
            expected = expected + 0.3 * (change.tanh() if bound else change).reshape(-1, *shape)
        torch.testing.assert_close(materialized(increment, shape), expected)


def test_bound_keeps_each_step_within_alpha():
    adapter = adapter_for((8, 3, 3), bound='tanh', alpha=0.3)
    z = 1e3 * torch.randn(2, 8, 3, 3, dtype=torch.float64)
    increment = adapter.update(adapter.initial(), z)[0]
    assert increment.weight.abs().max() <= 0.3 and increment.weight.abs().max() > 0.29


def test_sizes_of_the_linear_layers():
    # 8 channels, 2 positions, two pools: 32 values
    pool = ((3, 2), (1, 1), (0, 0))
    shared, full = adapter_for((8, 3, 3), pool), adapter_for((8, 3, 3), pool, shared_rows=False)
    assert [tuple(m.weight.shape) for m in shared.linears] == [(27, 8), (4, 4)]
    assert [tuple(m.weight.shape) for m in full.linears] == [(108, 32), (32, 32)]
    assert all(m.bias is None for m in shared.linears)


def test_windows_of_the_reference_equal_unfold():
    z = torch.randn(2, 6, 5, dtype=torch.float64)
    unfolded = nn.functional.unfold(z[:, None], (3, 2), padding=(1, 0), stride=(2, 1))
    average, maximum = pooled_windows(z, (3, 2), (2, 1), (1, 0))
    torch.testing.assert_close(average, unfolded.mean(dim=1))
    inside = nn.functional.unfold(torch.ones_like(z)[:, None], (3, 2), padding=(1, 0), stride=(2, 1)) > 0
    torch.testing.assert_close(maximum, unfolded.masked_fill(~inside, -1e9).amax(dim=1))


@pytest.mark.parametrize('names', [('a.b', 'a_b'), ('values', 'keys'), ('type',)])
def test_every_layer_name_gets_a_linear_layer(names):
    adapter = adapter_for((8,), shapes={name: (4, 3 + i) for i, name in enumerate(names)})
    increments = adapter.update(adapter.initial(), torch.randn(2, 8, dtype=torch.float64))
    assert [materialized(inc, (4, 3 + i)).shape for i, inc in enumerate(increments)] == [
        (2, 4, 3 + i) for i in range(len(names))
    ]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(bound='relu'), r"bound must be one of \(None, 'tanh'\), got 'relu'"),
        (dict(row_layout='rows'), r"row_layout must be one of \('channel', 'concatenated'\), got 'rows'"),
        (dict(alpha=-1.0), r'alpha must be a finite number >= 0, got -1.0'),
        (dict(alpha=float('nan')), r'alpha must be a finite number >= 0, got nan'),
        (dict(alpha='0.1'), r"alpha must be a finite number >= 0, got '0.1'"),
        (dict(pool_kernel=0), r'pool_kernel must be an int >= 1 or 2 of them.*got 0'),
        (dict(pool_kernel=(3, 3, 3)), r'pool_kernel must be .* 2 of them.*got \(3, 3, 3\)'),
        (dict(pool_kernel=2, pool_stride=0), r'pool_stride must be an int >= 1 or 2 of them.*got 0'),
        (dict(pool_kernel=2, pool_padding=-1), r'pool_padding must be an int >= 0 or 2 of them.*got -1'),
        (dict(pool_padding=1), 'pool_padding must be left at 0 without a pool_kernel, got 1'),
        (dict(pool_stride=2), 'pool_stride must be left at 1 without a pool_kernel, got 2'),
        (
            dict(pool_kernel=3, pool_padding=2),
            r'pool_padding must be at most half of pool_kernel \(3, 3\), got \(2, 2\)',
        ),
        (dict(pool_kernel=6), r'pool_kernel \(6, 6\) .* does not fit into .* size \(5, 4\); use a larger input'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        adapter_for((8, 5, 4), **options)


def test_a_vector_takes_no_pooling():
    with pytest.raises(ValueError, match='pool_kernel must be None for a feedback vector, got 3'):
        adapter_for((8,), pool_kernel=3)


def test_no_layers():
    with pytest.raises(ValueError, match='weight_shapes must map the name of at least one dynamic layer'):
        adapter_for((8,), shapes={})


def test_rows_that_do_not_divide_the_pooled_values():
    with pytest.raises(
        ValueError,
        match=r"layer 'odd' has 5 rows .* do not divide the 32 pooled values .*"
        r'\(8, 3, 3\); choose a pooling that leaves a multiple of 5 positions, not 2, or take adapter='
        r'"global", which fits any layer, or shared_rows=False, with 864 weights',
    ):
        adapter_for((8, 3, 3), ((3, 2), (1, 1), (0, 0)), {'even': (4, 3), 'odd': (5, 3)})
    adapter_for((8, 3, 3), ((3, 2), (1, 1), (0, 0)), {'odd': (5, 3)}, shared_rows=False)


def test_feedback_map_of_another_size():
    adapter = adapter_for((8, 3, 3))
    with pytest.raises(ValueError, match=r'feedback map has shape \(8, 3, 4\) per sample, .* built for \(8, 3, 3\)'):
        adapter.update(adapter.initial(), torch.randn(2, 8, 3, 4, dtype=torch.float64))


def test_all_settings_stand_in_its_text():
    text = repr(adapter_for((8, 3, 3), (2, 1, 1), alpha=0.25, row_layout='concatenated', bound='tanh'))
    for part in ('(8, 3, 3)', 'alpha=0.25', 'pool_kernel=(2, 2)', 'pool_padding=(1, 1)', "'concatenated'", "'tanh'"):
        assert part in text
