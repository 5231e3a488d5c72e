"""What cannot be made recurrent, and what is said about it."""

import pytest
import torch
from torch import nn

from kaizen_mm.surgery.network import RecurrentNetwork
from tests.surgery.surgery_helpers import forwards
from tests.surgery.surgery_reference import Chain

IMAGES = torch.randn(2, 3, 5, 5)


class Calls(nn.Module):
    """Calls a layer of its block as often as said, and the block as often as said."""

    def __init__(self, layer=1, block=1, feedback=1):
        super().__init__()

        class Inner(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.point, self.other = nn.Conv2d(3, 3, 1), nn.Identity(), nn.Conv2d(3, 3, 1)

            def forward(self, x):
                for _ in range(layer):
                    x = self.conv(x)
                for _ in range(feedback):
                    x = self.point(x)
                return self.other(x)

        self.inner, self.times = Inner(), block

    def forward(self, x):
        for _ in range(self.times):
            x = self.inner(x)
        return x


@pytest.mark.parametrize('times', [0, 2])
@pytest.mark.parametrize(
    'part, message',
    [
        ('block', "block: 'inner' must run once in a forward pass, it runs {} times"),
        ('layer', "dynamic: block 'inner' must call 'inner.conv' once, it does so {} times"),
        ('feedback', "feedback: block 'inner' must call 'inner.point' once, it does so {} times"),
    ],
)
def test_parts_that_do_not_run_once_are_refused(part, message, times):
    with pytest.raises(ValueError, match=message.format(times)):
        RecurrentNetwork(Calls(**{part: times}), 'inner', torch.randn(1, 3, 4, 4), 'conv', 'point')


@pytest.mark.parametrize('times', [0, 2])
def test_a_layer_that_does_not_run_once_later_is_refused_then(times):
    net = RecurrentNetwork(Chain(), 'layer1.1', IMAGES, 'conv1')
    block = net.recurrent_block.wrapped
    block.forward = lambda x: x + sum((block.conv1(x) for _ in range(times)), torch.zeros(()))
    with pytest.raises(
        RuntimeError, match=f"dynamic: the block must call 'conv1' once per pass, it did so {times} times"
    ):
        net(IMAGES)


@pytest.mark.parametrize(
    'block, options, error, message',
    [
        ('layer1.3', {}, ValueError, r"block: Chain has no submodule 'layer1.3'; did you mean .*layer1\.[012]"),
        ('layr1.1', {}, ValueError, r"'layr1.1'; did you mean .*layer1.1"),
        ('', {}, ValueError, "block must be the name of a submodule, or a mapping .* got ''"),
        ({}, {}, ValueError, 'block must be the name of a submodule, or a mapping .* got {}'),
        (['layer1.1'], {}, ValueError, r"block must be .* a mapping .* got \['layer1.1'\]"),
        ({'layer1': dict(dynamic='0.conv1'), 'layer1.1': {}}, {}, ValueError, "'layer1.1' lies within 'layer1'"),
        (
            'layer1.1',
            dict(dynamic='conv3'),
            ValueError,
            r"dynamic: block 'layer1.1' has no submodule 'conv3'; did you mean conv\d, conv\d",
        ),
        (
            'layer1.1',
            dict(dynamic=()),
            ValueError,
            r"dynamic must name at least one layer of block 'layer1.1' and none twice, got \(\)",
        ),
        (
            'layer1.1',
            dict(dynamic=None),
            ValueError,
            "dynamic must name at least one layer of block 'layer1.1' and none twice, got None",
        ),
        ('layer1.1', dict(dynamic=('conv1', 'conv1')), ValueError, 'dynamic must name .* none twice'),
        (
            'layer1.1',
            dict(dynamic='bn1'),
            TypeError,
            "dynamic layer 'bn1' of block 'layer1.1' is a .*BatchNorm2d.*Conv1d",
        ),
        (
            'layer1.1',
            dict(feedback='bn3'),
            ValueError,
            r"feedback: block 'layer1.1' has no submodule 'bn3'; did you mean bn\d",
        ),
        ('layer1.1', dict(pool_kernel=4), ValueError, r'pool_kernel \(4, 4\) .* does not fit into .* size \(3, 3\)'),
        (
            'stem',
            dict(dynamic='0', pool_kernel=9),
            ValueError,
            r'pool_kernel \(9, 9\) .* does not fit into .* size \(3, 3\)',
        ),
        ('layer1.1', dict(alpha=-1), ValueError, 'alpha must be a finite number >= 0, got -1'),
        ('layer1.1', dict(bound='relu'), ValueError, r"bound must be one of \(None, 'tanh'\), got 'relu'"),
        ('layer1.1', dict(feedback_layout='last'), ValueError, "feedback_layout must be one of .* got 'last'"),
        ('layer1.1', dict(num_iterations=0), ValueError, 'num_iterations must be an int from 1 to 1000, got 0'),
        ('layer1.1', dict(norm_statistics='none'), ValueError, "norm_statistics must be one of .* got 'none'"),
        ('layer1.1', dict(alphas=0.1), TypeError, 'alphas'),
        ({'stem': dict(dynamic='0'), 'layer1.2': dict(pool_kernel=7)}, {}, ValueError, 'pool_kernel'),
        (
            'layer1.1',
            dict(example_input=None),
            ValueError,
            'example_input must be a tensor, a sequence .* got NoneType',
        ),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used(block, options, error, message):
    plain = Chain()
    names, modules = list(plain.state_dict()), list(plain.modules())
    with pytest.raises(error, match=message):
        RecurrentNetwork(plain, block, **{'example_input': IMAGES, 'dynamic': 'conv1', **options})
    assert list(plain.state_dict()) == names and list(plain.modules()) == modules  # nothing has been changed
    assert all(p.requires_grad for p in plain.parameters()) and all(m.training for m in modules)
    assert not forwards(plain) and not any(hasattr(m, 'increment') for m in modules)


def test_rows_that_do_not_divide_the_pooled_values_name_the_layer():
    plain = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 4, 2))
    with pytest.raises(ValueError, match="layer '0' has 5 rows .* do not divide the 64 pooled values"):
        RecurrentNetwork(nn.Sequential(plain), '0', IMAGES, '0')


@pytest.mark.parametrize('call', [lambda net, x: net(x), lambda net, x: net.forward_iterates(x)])
def test_a_feedback_map_of_another_size_is_refused_when_it_comes(call):
    net = RecurrentNetwork(Chain(), 'layer1.1', IMAGES, 'conv1', 'bn1')
    with pytest.raises(ValueError, match=r"feedback 'bn1' of Residual: .* shape \(4, 5, 5\) .* built for \(4, 3, 3\)"):
        call(net, torch.randn(2, 3, 9, 9))
    assert not forwards(net) and call(net, IMAGES) is not None


class Frames(nn.Module):
    """Joins and parts frames and samples; the layer's batch or the feedback's is not that of the block."""

    def __init__(self):
        super().__init__()
        self.mixed, self.joint, self.again = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = self.joint(self.mixed(x.flatten()[:12].reshape(3, 4)).mean(dim=0, keepdim=True))
        return x + self.again(torch.cat([y, y, y, y]).reshape(4, 4))[:2].repeat(1, 3)


@pytest.mark.parametrize(
    'dynamic, feedback, message',
    [
        ('mixed', '', r"dynamic: 'frames.mixed' gets a batch of 3 for 2 samples of the block"),
        ('again', 'joint', r"feedback: 'frames.joint' gives a batch of 1 for 2 samples of the block"),
    ],
)
def test_batches_that_do_not_fit_are_refused(dynamic, feedback, message):
    net = nn.Sequential()
    net.add_module('frames', Frames())
    with pytest.raises(ValueError, match=message):
        RecurrentNetwork(net, 'frames', torch.randn(2, 12), dynamic, feedback)


class Calling(nn.Module):
    def __init__(self, call):
        super().__init__()

        class Inner(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 4)

            def forward(self, x):
                return self.fc(x[0] if isinstance(x, list) else x)

        self.inner, self.call = Inner(), call

    def forward(self, x):
        return self.call(self, x)


@pytest.mark.parametrize(
    'network, message',
    [
        (
            lambda: Calling(lambda self, x: self.inner(x=x)),
            "block: 'inner' must get a tensor as its first positional argument",
        ),
        (
            lambda: Calling(lambda self, x: self.inner([x])),
            "block: 'inner' must get a tensor as its first .* gets .*list",
        ),
    ],
)
def test_the_first_argument_of_a_block_is_a_tensor(network, message):
    with pytest.raises(ValueError, match=message):
        RecurrentNetwork(network(), 'inner', torch.randn(2, 4), 'fc')
