"""Adaptive computation time in IamNN: halting, remainders, ponder cost."""

import copy

import pytest
import torch
from torch import nn

from kaizen_mm.models.comparators import IamNN
from tests.models.comparators import reference


def network(bias=None, **kwargs):
    torch.manual_seed(0)
    net = IamNN(**{'width': 0.03125, 'num_classes': 5, 'num_iterations': 3, **kwargs})
    for stage in net.stages:
        if bias is not None:
            nn.init.constant_(stage.halting.bias, bias)
    return net


def images(count=3):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(num_iterations=4),
        dict(num_iterations=(2, 3, 5, 4)),
        dict(num_iterations=1),
        dict(num_iterations=3, epsilon=0.3),
    ],
)
def test_map_and_ponder_cost_are_those_of_each_image_alone(kwargs):
    net, x = network(**kwargs).eval(), images()
    for stage in net.stages:
        if stage.halting is not None:
            nn.init.normal_(stage.halting.weight, std=3.0)
    with torch.no_grad():
        iterates = net.forward_feature_iterates(x)
        expected, cost = reference.iamnn(net.state_dict(), x, net.iterations, net.widths, kwargs.get('epsilon', 0.01))
    assert len(iterates) == net.num_iterations
    for one, other in zip(iterates, expected):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert float(net.ponder_cost) == pytest.approx(float(cost), rel=1e-5)


def test_training_and_evaluation_halt_alike():
    net, x = network().eval(), images()
    for stage in net.stages:
        nn.init.constant_(stage.halting.bias, 1.0)
    for module in net.modules():  # with statistics that do not move both modes see the same
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    outputs = []
    for training in (True, False):
        net.train(training)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        outputs.append((*net.forward_feature_iterates(x), net.ponder_cost))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_an_image_that_halts_at_once_takes_one_iteration_everywhere():
    net, x = network(bias=20.0).eval(), images()
    one = network(num_iterations=1).eval()
    one.load_state_dict({k: v for k, v in net.state_dict().items() if k in one.state_dict()})
    assert all(torch.equal(y, net(x)) for y in net.forward_iterates(x))
    torch.testing.assert_close(net(x), one(x))
    assert float(net.ponder_cost) == 4 * 2  # N = 1 and R = 1 in each stage
    calls = []
    for stage in net.stages:
        stage.conv1.register_forward_hook(lambda *_: calls.append(1))
    net(x)
    assert len(calls) == 4, 'no iteration is computed that no image needs'


def test_an_image_that_never_halts_takes_all_and_the_last_state_alone():
    net, x = network(bias=-50.0).eval(), images()
    net(x)
    assert float(net.ponder_cost) == pytest.approx(4 * (3 + 1))
    stage, given = net.stages[-1], []
    stage.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    last = net.forward_features(x)
    state = nn.functional.pad(given[0], (0, 0, 0, 0, 0, stage.channels - given[0].shape[1]))
    for index in range(3):
        z = torch.relu(stage.norms1[index](stage.conv1(state)))
        z = torch.relu(stage.norms2[index](stage.conv2(z)))
        state = torch.relu(state + stage.norms3[index](stage.conv3(z)))
    torch.testing.assert_close(last, state)


def test_the_ponder_cost_trains_the_halting_units_towards_fewer_iterations():
    net, x = network(), images(8)
    before = None
    optimizer = torch.optim.SGD([p for stage in net.stages for p in stage.halting.parameters()], lr=0.5)
    for _ in range(10):
        net(x)
        before = before or float(net.ponder_cost.detach())
        optimizer.zero_grad()
        net.ponder_cost.backward()
        optimizer.step()
    assert float(net.ponder_cost) < before - 0.1


def test_a_network_can_be_copied_after_a_training_pass():
    net, x = network(), images()
    net(x)
    assert net.ponder_cost.requires_grad
    again = copy.deepcopy(net)
    assert again.ponder_cost is None and net.ponder_cost is not None
    torch.testing.assert_close(again.eval()(x), net.eval()(x))
