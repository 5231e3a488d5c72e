"""MFNet's recurrent unit in all the ways it is run, against the same unit as a foreign block run as it is."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from kaizen_mm.layers.checkpointing import checkpointed
from tests.models.test_recurrent_mf_unit import both, maps


@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def results(block, function, u, training):
    """Outputs, gradients of the input and of each parameter, and state after the step."""
    block.train(training)
    block.zero_grad()
    outputs = function(u)
    sum((i * y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum() for i, y in enumerate(outputs, 1)).backward()
    gradients = {name: p.grad for name, p in block.named_parameters() if p.requires_grad}
    return list(outputs), u.grad, gradients, block.state_dict()


WAYS = {
    'deepcopy': lambda block: copy.deepcopy(block),
    'checkpoint': lambda block: lambda u: checkpointed(block, block, u),
    'script': torch.jit.script,
    'compile': lambda block: torch.compile(block, backend='eager', fullgraph=True),
    'distributed': DistributedDataParallel,
}


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('options', [dict(), dict(pool_kernel=(3, 2)), dict(adapter='global', rank=1)], ids=str)
@pytest.mark.parametrize('way', WAYS)
def test_every_way_equals_the_foreign_block(way, options, training, one_process):
    ours, foreign = both(**options)
    torch._dynamo.reset()
    function = WAYS[way](ours.train(training))  # a script keeps the mode
    block = function if way == 'deepcopy' else ours
    for seed in (2, 3):  # the second time with the statistics of the first
        found = results(block, function, maps(seed=seed), training)
        expected = results(foreign, foreign, maps(seed=seed), training)
        assert found[2].keys() == expected[2].keys()
        torch.testing.assert_close(found, expected)
    if way == 'deepcopy':
        assert all(p.grad is None for p in ours.parameters())
