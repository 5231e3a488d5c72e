"""torch.compile of whole recurrent networks: one graph, and no compilation after the first step."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tests.export.networks import images, mfnet, resnet


@pytest.mark.slow
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('all_iterates', [False, True])
@pytest.mark.parametrize('build', [mfnet, resnet])
def test_one_graph_step_after_step(build, all_iterates, training):
    net = build().train(training)
    other = copy.deepcopy(net)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend('eager')

    def forward(network):
        return network.forward_iterates if all_iterates else network

    compiled = torch.compile(forward(net), backend=counter, fullgraph=True)
    for step in range(3):
        for network, function in ((net, compiled), (other, forward(other))):
            outputs = function(images(3, seed=step))
            sum(y.square().sum() for y in (outputs if all_iterates else (outputs,))).backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    if parameter.grad is not None:
                        parameter -= 1e-3 * parameter.grad
                        parameter.grad = None
        torch.testing.assert_close(net.state_dict(), other.state_dict())
        torch.testing.assert_close(net.recurrent_block.weight_change(), other.recurrent_block.weight_change())
    assert counter.frame_count == 1
    torch._dynamo.reset()
