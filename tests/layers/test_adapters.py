"""A further kind of ``h`` is a class and a name; all that builds one takes it; those that there are script."""

from typing import List

import pytest
import torch
from torch import nn

from kaizen_mm.layers import ADAPTERS, AdaptiveRecurrentBlock, WeightAdapter, build_adapter
from kaizen_mm.layers.adapters import adapter_arguments
from kaizen_mm.models import MFNet, RecurrentNetwork


class ScaleAdapter(WeightAdapter):
    """Adds a learned tensor, times the mean of the map; not of low rank."""

    def __init__(self, feedback_shape, weight_shapes, *, gain=0.5):
        super().__init__(feedback_shape, weight_shapes, 1.0, low_rank=False)
        self.gain = gain
        self.changes_ = nn.ParameterList(nn.Parameter(torch.randn(shape)) for shape in self.weight_shapes.values())

    def changes_of_map(self, z):
        scale = self.gain * z.flatten(1).mean(dim=1)
        return [scale.view(-1, *[1] * change.dim()) * change for change in self.changes_]


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.setitem(ADAPTERS, 'scale', ScaleAdapter)


def test_a_block_takes_a_further_kind(scale):
    torch.manual_seed(0)
    plain = nn.Linear(3, 3, bias=False).double()
    block = AdaptiveRecurrentBlock(
        nn.Sequential(nn.Linear(3, 3, bias=False)), ['0'], (3,), num_iterations=3, adapter='scale', gain=2.0
    ).double()
    block.wrapped[0].load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, dtype=torch.float64)
    first, second, third = block(x)
    for n, sample in enumerate(x):
        weight, learned = plain.weight, block.adapter.changes_[0]
        for y in (first, second, third):
            torch.testing.assert_close(y[n], weight @ sample)
            weight = weight + 2.0 * y[n].mean() * learned
    assert not torch.equal(first, third)


def test_networks_take_a_further_kind(scale):
    options = dict(dims=2, widths=(8, 8, 8, 8), units=(1, 1, 1, 2), groups=4, num_classes=3, input_size=(32, 32))
    x = torch.randn(2, 3, 32, 32)
    network = MFNet(num_iterations=2, adapter='scale', gain=1.0, **options).eval()
    assert isinstance(network.recurrent_block.adapter, ScaleAdapter)
    first, second = network.forward_iterates(x)
    assert not torch.allclose(first, second)
    wrapped = RecurrentNetwork(
        MFNet(**options).eval(), 'conv5.B02', x, dynamic='conv_i1.conv', feedback='conv_m2', adapter='scale'
    )
    assert len(wrapped.forward_iterates(x)) == 3


def test_arguments_of_a_further_kind_are_known_and_are_no_others(scale):
    assert adapter_arguments()['gain'] == 0.5
    with pytest.raises(ValueError, match='gain must be left at 0.5 where adapter is "paper", got 1.0'):
        build_adapter((3,), {'layer': (3, 3)}, gain=1.0)
    with pytest.raises(ValueError, match='alpha must be left at None where adapter is "scale", got 1.0'):
        build_adapter((3,), {'layer': (3, 3)}, adapter='scale', alpha=1.0)
    with pytest.raises(TypeError, match=r"unknown arguments \['gains'\]; an adapter takes adapter, alpha"):
        AdaptiveRecurrentBlock(nn.Linear(3, 3), [''], (3,), num_iterations=1, gains=1.0)


def test_an_option_of_another_kind_may_be_given_at_its_default():
    assert build_adapter((3,), {'layer': (3, 3)}, adapter='global', pool_stride=1, bias=False, bound=None)
    with pytest.raises(ValueError, match='pool_stride must be left at 1 where adapter is "global", got True'):
        build_adapter((3,), {'layer': (3, 3)}, adapter='global', pool_stride=True)


class Changes(nn.Module):
    def __init__(self, adapter):
        super().__init__()
        self.adapter = adapter

    def forward(self, z: torch.Tensor) -> List[torch.Tensor]:
        return self.adapter.changes(z)


@pytest.mark.parametrize('kind', ADAPTERS)
def test_every_kind_scripts(kind):
    torch.manual_seed(0)
    changes = Changes(build_adapter((6, 4, 5), {'first': (6, 3, 3, 3), 'second': (12, 5)}, adapter=kind))
    z = torch.randn(2, 6, 4, 5)
    for a, b in zip(torch.jit.script(changes)(z), changes(z)):
        torch.testing.assert_close(a, b)
