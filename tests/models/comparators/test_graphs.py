"""The comparators as graphs, which hold for other images and other batches than those that they were made with."""

import warnings

import pytest
import torch
from torch import nn

from kaizen_mm.export import export_network
from kaizen_mm.models.comparators import CORnetRT, IamNN
from tests.models.comparators.test_comparators import KINDS, SIZES, images, narrow


def network(kind):
    net = narrow(kind, **(dict(num_iterations=3) if kind is IamNN else {})).eval()
    if kind is IamNN:  # images that halt at different iterations
        for stage in net.stages:
            nn.init.normal_(stage.halting.weight, std=3.0)
    return net


@pytest.mark.parametrize('kind', [CORnetRT, IamNN])
def test_a_network_is_exported_with_all_its_iterates(kind, tmp_path):
    size = SIZES.get(kind, 32)
    assert export_network(network(kind), tmp_path / 'net.pt2', (3, size, size), all_iterates=True) <= 1e-5


@pytest.mark.parametrize('kind', KINDS)
def test_a_trace_gives_what_the_network_gives(kind):
    net, others = network(kind), 3 * images(kind, count=5).flip(0)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        traced = torch.jit.trace(net, images(kind), check_trace=False)
        torch.testing.assert_close(traced(others), net(others))


def test_iamnn_compiles_to_one_graph_and_says_its_ponder_cost():
    net, x = network(IamNN), images(IamNN)
    with torch.no_grad():
        expected = net(x), net.ponder_cost
        net.ponder_cost = None
        logits = torch.compile(net, backend='eager', fullgraph=True)(x)
    torch.testing.assert_close((logits, net.ponder_cost), expected)
