"""What is timed against one another computes the same."""

import copy

import pytest
import torch

from kaizen_mm.lab.benchmark.cases import BLOCKS, NETWORKS, STREAMS, chosen
from kaizen_mm.lab.benchmark.conditions import Conditions
from kaizen_mm.lab.benchmark.sides import check_close, check_equal, compare, outputs_of, passes

# that of 112 px is the same at another size, and quicker
CASES = [
    (cases, name) for cases in (BLOCKS, NETWORKS) for name in cases if (cases, name) != (NETWORKS, 'mfnet3d_n9_224')
]


@pytest.mark.parametrize('cases, name', CASES)
def test_sides_are_equal_and_another_one_is_found_out(cases, name):
    torch.manual_seed(0)
    plain, ours, shape = cases[name].build(2)
    check_equal(plain, ours, (2, *shape))
    other = copy.deepcopy(ours)
    with torch.no_grad():
        weight = next(p for key, p in other.named_parameters() if 'adapter' not in key and p.dim() > 1)
        weight += 0.1 * torch.randn_like(weight)
    with pytest.raises(RuntimeError, match='recurrent does not compute what it is compared with: a difference of'):
        check_equal(plain, other, (2, *shape))


@pytest.mark.parametrize('cases, name', CASES)
def test_in_training_all_iterates_are_computed(cases, name):
    plain, ours, shape = cases[name].build(3)
    x = torch.randn(2, *shape)
    first, second, third = outputs_of(ours.train(), x)
    torch.testing.assert_close(first, outputs_of(plain.train(), x)[0], rtol=1e-4, atol=1e-4)
    assert first.shape == second.shape == third.shape


def test_what_differs_is_named():
    x = torch.tensor([1.0, -2.0])
    check_close('same', [x], [x])
    with pytest.raises(RuntimeError, match='other does not compute .* a difference of 5.0e-01 of the largest value'):
        check_close('other', [x], [x + torch.tensor([0.0, -2.0])])
    with pytest.raises(RuntimeError, match='nothing'):
        check_close('nothing', [x * torch.nan], [x])


def test_all_cases_are_measured_and_quickly_one():
    assert [case.title for case in chosen(BLOCKS, None)] == [case.title for case in BLOCKS.values()]
    assert chosen(STREAMS, None, quick=True) == [STREAMS['bagnet3d']]
    assert chosen(STREAMS, ['mfnet3d_n9_112'], quick=True) == [STREAMS['mfnet3d_n9_112']]


def test_the_cases_are_those_of_the_pages():
    assert {case.batch for case in BLOCKS.values()} == {32, 4, 8}
    assert NETWORKS['mfnet2d'].iterations == 4 and NETWORKS['resnet18'].iterations == 3
    assert STREAMS['bagnet3d'].iterations == 2


def test_a_record_has_what_the_tables_need():
    how = Conditions(seconds=0, quick=True)
    plain, ours, shape = BLOCKS['mfnet2d'].build(2)
    x = torch.randn(2, *shape)
    one, other = compare([passes('plain', plain, x, True, how), passes('ours', ours, x, True, how)], how, 2)
    assert (one['side'], other['side'], one['rounds']) == ('plain', 'ours', 2)
    assert one['ms_per_item'] == pytest.approx(one['cpu_ms']['median'] / 2, abs=1e-4)
    assert one['time_over_plain']['median'] == 1 and other['time_over_plain'].keys() == {'median', 'low', 'high'}
    assert 1.5 < other['multiply_adds'] / one['multiply_adds'] < 2
    assert 0 < one['peak_mib'] < other['peak_mib']


def test_conditions_that_the_machine_cannot_meet(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='--device must be cpu where there is no GPU, got cuda'):
        Conditions(device='cuda').apply()
    with pytest.raises(ValueError, match='--precision must be float32 or bf16 on a CPU, got tf32'):
        Conditions(precision='tf32').apply()


@pytest.mark.parametrize('layout', ['contiguous', 'channels-last'])
def test_layout_and_autocast_are_those_asked_for(layout):
    how = Conditions(layout=layout, precision='bf16', quick=True)
    seen = []

    class Net(torch.nn.Conv2d):
        def forward(self, x):
            y = super().forward(x)
            last = torch.channels_last
            seen.append(
                (
                    x.is_contiguous(memory_format=last),
                    self.weight.is_contiguous(memory_format=last),
                    y.dtype,
                    self.training,
                )
            )
            return y

    for train in (True, False):
        passes('a', Net(3, 4, 3), torch.randn(2, 3, 8, 8), train, how).call()
    last = layout == 'channels-last'
    assert seen == [(last, last, torch.bfloat16, True), (last, last, torch.bfloat16, False)]
