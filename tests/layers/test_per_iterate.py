"""A module over the iterates of a recurrent block."""

import copy

import pytest
import torch
from torch import nn

from kaizen_mm.layers import PerIterate

NORMALIZED = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def iterates(count):
    torch.manual_seed(0)
    return tuple((1 + i) * torch.randn(5, 3) + i for i in range(count))


def make(module=NORMALIZED, *args, **kwargs):
    torch.manual_seed(0)
    return PerIterate(copy.deepcopy(module), *args, **kwargs)


def test_each_iterate_has_its_own_statistics_and_the_module_s_names():
    ours, inputs = make(NORMALIZED, 3).train(), iterates(3)
    ours(inputs)
    alone = [make(NORMALIZED).wrapped.train() for _ in inputs]
    for plain, x in zip(alone, inputs):
        plain(x)
    state = ours.state_dict()
    assert (
        state.keys() - {f'1.iterates.{name}' for name in ('running_mean', 'running_var', 'num_batches_tracked')}
        == alone[0].state_dict().keys()
    )
    torch.testing.assert_close(state['1.running_mean'], alone[0][1].running_mean)
    torch.testing.assert_close(
        state['1.iterates.running_mean'], torch.stack([plain[1].running_mean for plain in alone[1:]])
    )
    outputs = ours.eval()(inputs)
    assert all(torch.equal(y, plain.eval()(x)) for y, plain, x in zip(outputs, alone, inputs, strict=True))


def test_the_last_alone_is_what_it_is_among_all():
    ours, inputs = make(NORMALIZED, 3).train(), iterates(3)
    ours(inputs)
    ours.eval()
    (last,) = ours.per_iterate(ours.wrapped, inputs, last_only=True)
    assert torch.equal(last, ours(inputs)[2]) and not torch.equal(last, ours.wrapped(inputs[2]))


def test_the_number_of_iterations_must_be_known_where_statistics_are_kept_for_each():
    inputs = iterates(2)
    assert torch.equal(make()(inputs[:1])[0], make().wrapped(inputs[0]))
    for last_only in (False, True):
        with pytest.raises(
            ValueError,
            match='num_iterations must be given to PerIterate: its Sequential has batch norm and there are 2',
        ):
            ours = make()
            ours.per_iterate(ours.wrapped, inputs, last_only)
    ours = make()
    ours.num_iterations = 2
    assert len(ours(inputs)) == 2
    without_statistics = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False))
    for free in (make(nn.Linear(3, 4)), make(norm_statistics='shared'), make(without_statistics)):
        assert len(free(inputs)) == 2 and free.num_iterations is None
