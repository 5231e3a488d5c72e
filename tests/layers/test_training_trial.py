"""Blocks that move something of their own in training alone, or let no gradient through: alone and in a network."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.surgery import RecurrentNetwork

WIDTH = 8


class Block(nn.Module):
    """``x + b(relu(a(x)))``, between which a subclass does what it does."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)
        self.register_buffer('mean', torch.zeros(WIDTH))
        self.code = nn.Parameter(torch.zeros(WIDTH), requires_grad=False)
        self.rows, self.level, self.calls, self.seen = [], 0.0, 0, None

    def forward(self, x):
        y = self.norm(self.a(x).transpose(1, 2)).transpose(1, 2)
        return x + self.b(torch.relu(self.between(y) if self.training else y))

    def between(self, y):
        return y

    def now(self, y):
        return y.detach().abs().mean((0, 1))


class Moving(Block):
    def __init__(self, momentum=0.1):
        super().__init__()
        self.momentum = momentum

    def between(self, y):
        self.mean.lerp_(self.now(y), self.momentum)
        return y - self.mean


class Replaced(Block):
    def between(self, y):
        self.mean = 0.9 * self.mean + 0.1 * self.now(y)
        return y - self.mean


class Codebook(Block):
    def between(self, y):
        self.code.data.copy_(0.9 * self.code + 0.1 * self.now(y))
        return y - self.code


class Level(Block):
    def between(self, y):
        self.level += float(self.now(y).mean())
        return y + self.level


class Rows(Block):
    def between(self, y):
        self.rows.append(self.now(y))
        return y + len(self.rows)


STATES = {
    'a mean': (Moving, "'mean'"),
    'a mean that moves slowly': (lambda: Moving(1e-3), "'mean'"),
    'a buffer that is another one each time': (Replaced, "'mean'"),
    'a codebook of no gradient': (Codebook, "'code'"),
    'a number': (Level, "'level'"),
    'a list': (Rows, "'rows'"),
}


class Without(Block):
    def forward(self, x):
        with torch.no_grad():
            y = self.a(x)
        return x + self.b(torch.relu(y))


class Detached(Block):
    def forward(self, x):
        return (x + self.b(torch.relu(self.a(x)))).detach()


class InTraining(Block):
    def between(self, y):
        return y.detach()


CUT = {'under no_grad': Without, 'an output that is detached': Detached, 'detached in training': InTraining}


class Random(Block):
    """Draws numbers of all kinds, and counts and keeps what plays no part; its norm moves its statistics."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def between(self, y):
        self.calls, self.seen = self.calls + 1, y.detach()
        self.mean.add_(self.now(y))
        self.rows.append(y.detach())
        return self.drop(y) * (1 + random.random() + np.random.rand())


class Mask(Block):
    """Adds to what it is handed in training alone."""

    def forward(self, x, mask):
        if self.training:
            mask += 1
        return super().forward(x) + mask


def alone(block, **options):
    torch.manual_seed(1)
    options = {**dict(feedback='b', feedback_layout='channels_last', adapter='global', num_iterations=3), **options}
    return AdaptiveRecurrentBlock(block, options.pop('dynamic', 'a'), (WIDTH, 6), **options)


def network(block, **options):
    torch.manual_seed(1)
    options = {**dict(dynamic='a', feedback='b', feedback_layout='channels_last', adapter='global'), **options}
    return RecurrentNetwork(nn.Sequential(block, nn.Flatten()), '0', torch.randn(4, 6, WIDTH), **options)


def held(module):
    tensors = {name: value.clone() for name, value in module.state_dict().items()}
    return tensors, [
        (m.training, *(vars(m).get(name) for name in ('level', 'calls', 'seen'))) for m in module.modules()
    ]


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(4, 6, WIDTH)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('kind', STATES)
def test_a_network_whose_block_keeps_a_state_in_training_is_refused(kind, training):
    make, name = STATES[kind]
    block = make().train(training)
    before = held(block)
    message = f"block: '0' gives something else when it runs again .* in training.* changes {name} of its own"
    with pytest.raises(ValueError, match=message):
        network(block)
    after = held(block)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert after[1] == before[1] and not block.rows and torch.equal(block.code, torch.zeros(WIDTH))
    assert network(block, num_iterations=1).train()  # which runs once, as before


@pytest.mark.parametrize('kind', STATES)
def test_a_block_alone_that_keeps_a_state_in_training_is_refused_there(kind, x):
    make, name = STATES[kind]
    block = alone(make())
    block.eval()(x)
    with pytest.raises(RuntimeError, match=f'again on the same input in training.* changes {name} of its own'):
        block.train()(x)


@pytest.mark.parametrize('kind', CUT)
def test_a_block_that_lets_no_gradient_through_is_refused_with_the_layer_named(kind, x):
    message = "dynamic layer 'a' has no gradient .torch.no_grad or detach"
    with pytest.raises(ValueError, match=f"block: '0' gives an output to which {message}"):
        network(CUT[kind]())
    with pytest.raises(RuntimeError, match=f'block: {CUT[kind].__name__} gives an output to which {message}'):
        alone(CUT[kind]())(x)
    if kind == 'under no_grad':
        assert len(alone(CUT[kind](), dynamic='b', feedback='')(x)) == 3
        with pytest.raises(RuntimeError, match=message):
            alone(CUT[kind](), dynamic=['b', 'a'])(x)


@pytest.mark.parametrize('outside', [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_random_layers_and_what_plays_no_part_are_no_state(x, outside):
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    block = Random()
    expected = copy.deepcopy(block)
    with warnings.catch_warnings(), outside():
        warnings.simplefilter('error')
        warnings.filterwarnings('ignore', message='W_1 of')
        block = alone(block)
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        outputs = block.train()(x)
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    others = [expected.train()(x) for _ in range(3)]
    torch.testing.assert_close(outputs[0], others[0])
    assert block.wrapped.calls == expected.calls == len(block.wrapped.rows) == 3
    torch.testing.assert_close(block.wrapped.mean, expected.mean)
    assert block.wrapped.norm.num_batches_tracked == 1
    assert torch.equal(drawn[0], torch.get_rng_state()) and drawn[1] == random.getstate()
    assert drawn[2] == np.random.get_state()[1].tolist()
    network(Random())


def test_the_gradients_of_the_first_pass_are_those_of_the_second(x):
    """The trial takes place between a forward pass and its backward one."""
    results = []
    for tried in (False, True):
        torch.manual_seed(0)
        block = alone(Block().train(), freeze_dynamic=False)
        block._tried = tried
        y = block(x)
        assert block._tried
        results.append(torch.autograd.grad(sum(y).square().sum(), [block.wrapped.a.weight, block.wrapped.b.weight]))
        results[-1] = (*results[-1], *block.state_dict().values())
    for a, b in zip(*results):
        assert torch.equal(a, b)


def test_within_a_checkpoint(x):
    block = alone(Block(), freeze_dynamic=False)
    y = checkpoint(lambda x: block(x)[-1], x, use_reentrant=False)
    y.sum().backward()
    assert block.wrapped.a.weight.grad.isfinite().all()


def test_what_is_handed_to_the_block_may_not_change_in_training_alone():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.mask = Mask(), torch.zeros(4, 6, WIDTH)

        def forward(self, x):
            return self.block(x, self.mask)

    with pytest.raises(ValueError, match="block: 'block' changes its further argument 1 .of type Tensor. in training"):
        RecurrentNetwork(
            Masked(), 'block', torch.randn(4, 6, WIDTH), 'a', feedback_layout='channels_last', adapter='global'
        )


def test_a_batch_norm_of_one_value_per_channel_is_tried_in_evaluation():
    class One(nn.Module):
        def __init__(self, cut):
            super().__init__()
            self.a, self.norm, self.cut = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), cut

        def forward(self, x):
            y = self.a(x)
            return self.norm(y.detach() if self.cut else y)

    def made(cut):
        return RecurrentNetwork(nn.Sequential(One(cut)), '0', torch.randn(1, WIDTH), 'a', adapter='global')

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warnings.filterwarnings('ignore', message='W_1 of')
        made(False)
    with pytest.raises(ValueError, match="dynamic layer 'a' has no gradient"):
        made(True)


def test_a_block_that_does_not_run_in_training_mode_is_warned_of():
    class Deployed(Block):
        def between(self, y):
            raise NotImplementedError('for deployment alone')

    with pytest.warns(UserWarning, match='Deployed does not run in training mode .NotImplementedError: for deployment'):
        network(Deployed())


def test_hooks_of_a_block_alone_see_its_trial_once_and_those_of_a_network_never(x):
    for make, trial in ((alone, 4), (network, 0)):
        net, calls = make(Block(), num_iterations=3), []
        next(m for m in net.modules() if isinstance(m, Block)).norm.register_forward_hook(lambda *_: calls.append(1))
        seen = []
        for training in (False, True, True):
            calls.clear()
            net.train(training)(x)
            seen.append(len(calls))
        assert seen == [3, 3 + trial, 3]
