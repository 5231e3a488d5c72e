"""What the paper's adapter proposes where rows do not divide the pooled values, and sizes that it refuses."""

import itertools
import re

import pytest
import torch

from kaizen_mm.layers import build_adapter
from kaizen_mm.layers.nearest_pooling import Pooling, nearest_pooling


def fits(spatial, pooling, multiple):
    """Of windows counted one by one."""
    count = 1
    for size, k, t, p in zip(spatial, *pooling):
        assert k >= 1 and 2 * p <= k
        count *= len([start for start in range(-p, size + p - k + 1) if (start + p) % t == 0])
    return count > 0 and count % multiple == 0


def distance(pooling, given):
    return sum(abs(k - a) + 2 * abs(t - b) + 2 * abs(p - c) for (k, t, p), (a, b, c) in zip(zip(*pooling), zip(*given)))


@pytest.mark.parametrize('spatial', [(7,), (6, 5), (3, 4, 2)])
@pytest.mark.parametrize('multiple', [1, 2, 3, 5, 8])
@pytest.mark.parametrize('kernel, stride, padding', [(3, 1, 0), (3, 2, 1), (2, 1, 0)])
def test_it_fits_and_no_other_of_stride_and_padding_is_nearer(spatial, multiple, kernel, stride, padding):
    given = Pooling(*((value,) * len(spatial) for value in (kernel, stride, padding)))
    found = nearest_pooling(spatial, given, multiple)
    windows = [
        [(k, t, p) for k in range(1, size + 2 * padding + 1) for t, p in ((stride, padding), (1, 0)) if 2 * p <= k]
        for size in spatial
    ]
    all_of_them = [Pooling(*zip(*each)) for each in itertools.product(*windows)]
    fitting = [pooling for pooling in all_of_them if fits(spatial, pooling, multiple)]
    assert (found is None) == (not fitting)
    if found is not None:
        assert fits(spatial, found, multiple)
        assert distance(found, given) <= min(distance(pooling, given) for pooling in fitting)


def test_what_fits_is_left_as_it_is():
    given = Pooling((3, 3), (2, 2), (1, 1))
    assert nearest_pooling((8, 8), given, 4) == given


def test_huge_maps_and_vectors_get_no_proposal():
    assert nearest_pooling((1000, 1000), None, 3) is None and nearest_pooling((), None, 3) is None


@pytest.mark.parametrize(
    'feedback, rows, options',
    [
        ((8, 7, 7), (6, 10), dict(pool_kernel=3)),
        ((96, 14, 14), (36, 84), {}),
        ((512, 7, 7), (448,), dict(pool_kernel=(3, 3), pool_stride=2, pool_padding=1)),
        ((64, 4, 7, 7), (96,), dict(pool_kernel=3)),
        ((24, 50), (36,), dict(pool_kernel=5)),
    ],
)
def test_what_the_error_proposes_can_be_built(feedback, rows, options):
    shapes = {f'conv{i}': (row, 3, 1) for i, row in enumerate(rows)}
    with pytest.raises(ValueError, match='which do not divide the') as caught:
        build_adapter(feedback, shapes, **options)
    text = str(caught.value)
    proposal = eval(f'dict({re.search(r"positions, not [0-9]+ .(pool_.*) does for all layers", text)[1]})')
    adapter = build_adapter(feedback, shapes, **proposal)
    with torch.no_grad():
        assert len(adapter.changes(torch.randn(2, *feedback))) == len(shapes)
    build_adapter(feedback, shapes, adapter='global')
    full = int(re.search(r'shared_rows=False, with ([0-9,]+) weights', text)[1].replace(',', ''))
    if full < 10**7:
        whole = build_adapter(feedback, shapes, shared_rows=False, **options)
        assert sum(p.numel() for p in whole.parameters()) == full


@pytest.mark.parametrize(
    'feedback, rows, options',
    [
        ((512, 2, 2), (512,), dict(pool_kernel=5)),  # resnet18 on 64 px
        ((512, 2, 2), (512, 6), dict(pool_kernel=5, pool_stride=2, pool_padding=1)),
        ((12, 2, 5), (24, 40), dict(pool_kernel=(3, 2))),
        ((8, 1, 4, 4), (16,), dict(pool_kernel=3)),
        ((8, 4), (6,), dict(pool_kernel=9, shared_rows=False)),
        ((8, 6, 6), (16,), dict(pool_kernel=3, pool_padding=2)),
    ],
)
def test_where_the_pooling_does_not_fit_into_the_map_one_that_does_is_proposed(feedback, rows, options):
    shapes = {f'conv{i}': (row, 3, 1) for i, row in enumerate(rows)}
    with pytest.raises(ValueError, match='(does not fit into|must be at most half of).*global') as caught:
        build_adapter(feedback, shapes, **options)
    proposal = re.search(r'padding.* .(pool_[^;]*) does for all layers', str(caught.value))
    if feedback == (512, 2, 2) and 6 in rows:  # 3 divides no number of positions of such a map
        assert proposal is None
    else:
        others = {name: value for name, value in options.items() if not name.startswith('pool_')}
        adapter = build_adapter(feedback, shapes, **eval(f'dict({proposal[1]})'), **others)
        assert len(adapter.changes(torch.randn(2, *feedback))) == len(shapes)
    build_adapter(feedback, shapes, adapter='global')


def test_where_no_pooling_fits_none_is_proposed():
    with pytest.raises(ValueError, match=r'a multiple of 11 positions, not 20, or take adapter=.global'):
        build_adapter((8, 5, 4), {'conv': (11, 3)})


@pytest.mark.parametrize(
    'options, count, others',
    [
        (dict(shared_rows=False), 512 * 7 * 7 * 512 * 512 * 9, "shared_rows=True or adapter='global'"),
        (dict(adapter='global', hidden=10**9), None, 'less than hidden=1000000000'),
        (dict(adapter='global', rank=10**7), None, 'less than hidden=None, rank=10000000'),
    ],
)
def test_absurd_sizes_are_refused_before_they_are_allocated(options, count, others):
    message = f'the adapter would have {"[0-9,]+" if count is None else f"{count:,}"} weights, .*{others}'
    with pytest.raises(ValueError, match=message):
        build_adapter((512, 7, 7), {'conv': (512, 512, 3, 3)}, **options)


def test_the_largest_that_the_paper_speaks_of_can_be_built_on_nothing():
    with torch.device('meta'):
        build_adapter((64, 4, 4), {'conv': (64, 64, 3, 3)}, shared_rows=False)  # 37,748,736
