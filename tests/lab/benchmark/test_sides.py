"""What is timed against one another computes the same."""

import copy
import sys

import pytest
import torch

from kaizen_mm.lab.benchmark.conditions import Conditions
from kaizen_mm.lab.benchmark.formulation import OriginalUnit
from kaizen_mm.lab.benchmark.networks import NETWORKS, QUICK_NETWORKS
from kaizen_mm.lab.benchmark.networks import build as build_networks
from kaizen_mm.lab.benchmark.passes import compare, passes
from kaizen_mm.lab.benchmark.units import QUICK_UNITS, UNITS, build, check_equal
from kaizen_mm.lab.benchmark.versions import earlier_version, this_version
from tests.conftest import ROOT
from tests.layers.reference import recurrence


class Clone(torch.nn.Module):
    def forward(self, x):
        return x.clone()


@pytest.mark.parametrize('name', QUICK_UNITS)
def test_the_authors_formulation_is_the_recurrence(name):
    """Against the plain loop over samples, which uses nothing of the package."""
    torch.manual_seed(0)
    blocks = build(QUICK_UNITS[name], 3, this_version())
    plain, block, authors = blocks.plain.double().eval(), blocks.now.double(), blocks.authors.double().eval()
    for own, linear in zip(authors.linears, block.adapter.linears):
        torch.nn.init.normal_(linear.weight, std=20)  # an update that is felt
        own.weight.data.copy_(linear.weight)
    x = torch.randn(blocks.shape, dtype=torch.float64)
    adapter = block.adapter
    dims = x.dim() - 2
    feedback = block.feedback
    if name == 'resnet':  # it adds to its last norm's output in place, which would change z
        plain.bn2, feedback = torch.nn.Sequential(plain.bn2, Clone()), 'bn2.0'
    expected = recurrence(
        plain,
        adapter.linears,
        x,
        block.dynamic,
        3,
        alpha=adapter.alpha,
        feedback=feedback,
        pool=(adapter.pool_kernel, adapter.pool_stride, (0,) * dims),
    )
    with torch.no_grad():
        found = authors(x)
    assert (expected[0] - expected[2]).abs().max() > 1e-3 * expected[0].abs().max()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('name', QUICK_UNITS)
def test_blocks_are_equal_and_another_one_is_found_out(name):
    blocks = build(QUICK_UNITS[name], 2, this_version())
    check_equal(blocks.authors, dict(ours=blocks.now), blocks.shape)
    other = copy.deepcopy(blocks.now)
    with torch.no_grad():
        other.adapter.linears[0].weight += 0.1
    with pytest.raises(RuntimeError, match='other does not compute what it is compared with: a difference of'):
        check_equal(blocks.authors, dict(ours=blocks.now, other=other), blocks.shape)


@pytest.mark.parametrize('name', QUICK_NETWORKS)
def test_networks_are_equal(name):
    case = QUICK_NETWORKS[name]
    sides = build_networks(case, this_version(), num_classes=5)
    plain = sides.pop('plain', None)
    first, *others = sides
    check_equal(sides[first], {key: sides[key] for key in others}, (2, 3, *case.size))
    x = torch.randn(2, 3, *case.size)
    if plain is not None:  # the first iterate is the plain network
        torch.testing.assert_close(sides['ours'].train()(x)[0], plain.train()(x)[0], rtol=1e-4, atol=1e-4)
    for side in sides.values():
        assert len(side.eval()(x)) == 1


def test_the_original_keeps_the_layout_that_it_is_given():
    case = QUICK_NETWORKS['mfnet3d_original']
    original = build_networks(case, this_version(), num_classes=5)['original'].eval()
    seen = []
    for part in original.modules():
        if isinstance(part, torch.nn.Conv3d):
            part.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].is_contiguous()))
    original(torch.randn(2, 3, *case.size))
    assert len(seen) > 20 and all(seen)
    authors = build(QUICK_UNITS['mfnet3d'], 2, this_version()).authors
    assert type(authors.block) is OriginalUnit


def test_the_cases_are_those_of_the_pages():
    assert {case.batch for case in UNITS.values()} == {32, 4, 8}
    assert NETWORKS['mfnet2d'].iterations == 4 and NETWORKS['resnet18'].iterations == 3


def test_an_earlier_state_stands_beside_the_present_one():
    before = dict(sys.modules)
    other = earlier_version(str(ROOT))
    assert {key: value for key, value in sys.modules.items() if key.startswith('kaizen_mm')} == {
        key: value for key, value in before.items() if key.startswith('kaizen_mm')
    }
    now = this_version()
    assert other.layers.AdaptiveRecurrentBlock is not now.layers.AdaptiveRecurrentBlock
    assert other.models.MFNet.__module__ == now.models.MFNet.__module__
    blocks = build(QUICK_UNITS['mfnet2d'], 2, now, other)
    assert type(blocks.before) is not type(blocks.now)
    check_equal(blocks.before, dict(ours=blocks.now, authors=blocks.authors), blocks.shape)
    with pytest.raises(
        ValueError, match="must be a commit of the repository of kaizen_mm or a folder .* got 'no-such-commit'"
    ):
        earlier_version('no-such-commit')
    assert earlier_version(None) is None


def test_a_record_has_what_the_tables_need():
    how = Conditions(seconds=0, quick=True)
    blocks = build(QUICK_UNITS['mfnet2d'], 2, this_version())
    x = torch.randn(blocks.shape)
    one, other = compare(
        [passes('plain', blocks.plain, x, True, how), passes('ours', blocks.now, x, True, how)], how, 2
    )
    assert (one['side'], other['side'], one['items'], one['rounds']) == ('plain', 'ours', 2, 2)
    assert set(one['product_rates']) == {'torch.mm', 'convolution'}
    assert other['ratios'].keys() == {'plain'} and 1.5 < other['multiply_adds'] / one['multiply_adds'] < 2
    assert one['share_of_product_rate'] > 0 and 0 < one['peak_mib'] < other['peak_mib']


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
