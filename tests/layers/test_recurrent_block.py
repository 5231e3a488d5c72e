import copy
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from tests.layers.reference import pooled_rows, recurrence

TOLERANCE = {torch.float64: dict(rtol=1e-9, atol=1e-11), torch.float32: dict(rtol=1e-3, atol=1e-4)}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
DYNAMIC = ('first', 'inner.second')


def conv_block(dims, norm=nn.Identity, **options):
    """4 -> 4 -> 8 -> 4 channels; the first two convolutions are made dynamic."""
    torch.manual_seed(0)
    conv = CONVS[dims]
    return nn.Sequential(
        OrderedDict(
            first=conv(4, 4, **{'kernel_size': 3, **options}),
            act=nn.Tanh(),
            inner=nn.Sequential(OrderedDict(second=conv(4, 8, 1), norm=norm(8), act=nn.Tanh())),
            last=conv(8, 4, 1, groups=2),
        )
    )


def linear_block():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            first=nn.Linear(6, 4),
            act=nn.Tanh(),
            inner=nn.Sequential(OrderedDict(second=nn.Linear(4, 8, bias=False), act=nn.Tanh())),
            last=nn.Linear(8, 4),
        )
    )


# a maker of the block, the shape of its input, and (kernel, stride, padding) of the pooling
BLOCKS = {
    'conv1d': (lambda: conv_block(1, padding=1), (3, 4, 7), ((3,), (2,), (1,))),
    'conv1d, stride, groups': (lambda: conv_block(1, stride=2, groups=2, bias=False), (3, 4, 9), ((2,), (1,), (0,))),
    'conv2d': (lambda: conv_block(2, padding=1, bias=False), (3, 4, 4, 4), ((2, 2), (2, 2), (1, 1))),
    'conv2d, stride, circular': (
        lambda: conv_block(2, stride=(2, 1), padding=1, padding_mode='circular'),
        (3, 4, 6, 3),
        ((2, 2), (1, 1), (0, 0)),
    ),
    'conv2d, dilation, groups, reflect': (
        lambda: conv_block(2, dilation=2, groups=4, padding=2, padding_mode='reflect'),
        (3, 4, 4, 4),
        ((3, 3), (1, 1), (1, 0)),
    ),
    'conv3d': (
        lambda: conv_block(3, kernel_size=(3, 1, 2), padding=(1, 0, 0)),
        (2, 4, 4, 2, 3),
        ((3, 2, 2), (1, 1, 1), (0, 1, 0)),
    ),
    'conv3d, groups, replicate': (
        lambda: conv_block(3, groups=2, padding=1, padding_mode='replicate'),
        (2, 4, 2, 3, 3),
        None,
    ),
    'linear': (linear_block, (3, 6), None),
    'linear, tokens': (linear_block, (3, 8, 6), ((2,), (2,), (0,))),
}


def pair(kind, dtype=torch.float64, pool=True, feedback='inner', num_iterations=3, alpha=0.5, **options):
    """A recurrent block, its plain original, and an input."""
    make, shape, window = BLOCKS[kind]
    plain = make().to(dtype)
    window = window if pool else None
    u = torch.randn(shape, dtype=dtype, requires_grad=True)
    z = (plain if feedback == '' else nn.Sequential(plain.first, plain.act, plain.inner))(u)
    if window is not None:
        options.update(zip(('pool_kernel', 'pool_stride', 'pool_padding'), window))
    block = AdaptiveRecurrentBlock(
        copy.deepcopy(plain), DYNAMIC, z.shape[1:], feedback, num_iterations, alpha=alpha, **options
    ).to(dtype)
    return block, plain, u, window


def gradients(outputs, inputs):
    weighted = sum(
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() * (i + 1)
        for i, y in enumerate(outputs)
    )
    return torch.autograd.grad(weighted, inputs, retain_graph=True, allow_unused=True)


def equal_to_the_reference(block, plain, u, window, dtype, layout='channel', **options):
    """Asserts equal outputs, and equal gradients of input, adapter and the block's other parameters."""
    linears = copy.deepcopy(list(block.adapter.linears))
    expected = recurrence(
        plain,
        linears,
        u,
        DYNAMIC,
        block.num_iterations,
        alpha=block.adapter.alpha,
        feedback=block.feedback,
        pool=window,
        layout=layout,
        **options,
    )
    outputs = block(u)
    assert isinstance(outputs, tuple) and len(outputs) == block.num_iterations
    torch.testing.assert_close(list(outputs), expected, **TOLERANCE[dtype])
    for before, after in zip(outputs, outputs[1:]):  # the recurrence does something
        assert (before - after).abs().max() > 1e-3
    trained = [n for n, p in block.wrapped.named_parameters() if p.requires_grad]
    assert set(dict(plain.named_parameters())) - set(trained) == {f'{n}.weight' for n in DYNAMIC}
    ours = [u, *block.adapter.parameters(), *(block.wrapped.get_parameter(n) for n in trained)]
    theirs = [u, *(p for linear in linears for p in linear.parameters()), *(plain.get_parameter(n) for n in trained)]
    torch.testing.assert_close(gradients(outputs, ours), gradients(expected, theirs), **TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('kind', BLOCKS)
def test_equals_the_per_sample_loop(kind, dtype):
    equal_to_the_reference(*pair(kind, dtype), dtype)


@pytest.mark.parametrize('num_iterations', [2, 4])
@pytest.mark.parametrize(
    'options',
    [
        dict(row_layout='concatenated'),
        dict(bias=True),
        dict(bound='tanh'),
        dict(shared_rows=False),
        dict(shared_rows=False, bound='tanh', bias=True),
    ],
    ids=str,
)
@pytest.mark.parametrize('kind', ['conv2d, dilation, groups, reflect', 'conv3d', 'linear, tokens'])
def test_every_kind_of_adapter_equals_the_per_sample_loop(kind, options, num_iterations):
    case = pair(kind, num_iterations=num_iterations, alpha=0.3, **options)
    equal_to_the_reference(
        *case,
        torch.float64,
        layout=options.get('row_layout', 'channel'),
        bound=options.get('bound'),
        shared_rows=options.get('shared_rows', True),
    )


@pytest.mark.parametrize('kind', ['conv2d', 'conv3d, groups, replicate', 'linear'])
def test_feedback_from_the_output_without_pooling_equals_the_per_sample_loop(kind):
    case = pair(kind, pool=False, feedback='', **(dict(shared_rows=False) if kind == 'linear' else {}))
    equal_to_the_reference(*case, torch.float64, shared_rows=kind != 'linear')


@pytest.mark.parametrize('norm_statistics', ['per_iterate', 'shared'])
def test_with_batch_norm_in_training(norm_statistics):
    """Written out with one batch norm per iterate, or one for all."""
    torch.manual_seed(0)
    plain = conv_block(2, NORMS[2], padding=1).double()
    u = 2 * torch.randn(4, 4, 3, 3).double() + 1
    block = AdaptiveRecurrentBlock(
        copy.deepcopy(plain), DYNAMIC, (8, 3, 3), 'inner', 3, alpha=0.5, norm_statistics=norm_statistics
    ).double()
    norms = [copy.deepcopy(plain.inner.norm) for _ in range(3 if norm_statistics == 'per_iterate' else 1)]
    first, second = (linear.weight for linear in block.adapter.linears)
    expected, changes = [], [(0, 0)] * 4
    for i in range(3):
        x = torch.tanh(
            torch.cat(
                [
                    F.conv2d(u[n : n + 1], plain.first.weight + changes[n][0], plain.first.bias, padding=1)
                    for n in range(4)
                ]
            )
        )
        x = torch.cat(
            [
                F.conv2d(x[n : n + 1], plain.inner.second.weight + changes[n][1], plain.inner.second.bias)
                for n in range(4)
            ]
        )
        z = torch.tanh(norms[min(i, len(norms) - 1)](x))
        expected.append(plain.last(z))
        changes = [
            (
                a + 0.5 * (pooled_rows(z[n], 4) @ first.t()).view(4, 4, 3, 3),
                b + 0.5 * (pooled_rows(z[n], 8) @ second.t()).view(8, 4, 1, 1),
            )
            for n, (a, b) in enumerate(changes)
        ]
    torch.testing.assert_close(list(block(u)), expected)
    own = block.wrapped.inner.norm
    torch.testing.assert_close(own.running_var, norms[0].running_var)
    assert own.num_batches_tracked == (1 if norm_statistics == 'per_iterate' else 3)
    for i, norm in enumerate(norms[1:]):
        torch.testing.assert_close(own.iterates.running_mean[i], norm.running_mean)
        torch.testing.assert_close(own.iterates.running_var[i], norm.running_var)
    assert hasattr(own, 'iterates') == (norm_statistics == 'per_iterate')


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('options', [dict(), dict(bound='tanh'), dict(shared_rows=False)], ids=str)
def test_alpha_zero_is_the_plain_block_in_value_and_gradient(options, training):
    plain = conv_block(2, NORMS[2], padding=1).double()
    with torch.no_grad():
        plain(3 * torch.randn(4, 4, 3, 3).double())
    u = torch.randn(4, 4, 3, 3).double().requires_grad_()
    block = AdaptiveRecurrentBlock(copy.deepcopy(plain), DYNAMIC, (8, 3, 3), 'inner', 3, alpha=0.0, **options).double()
    outputs, expected = block.train(training)(u), plain.train(training)(u)
    for y in outputs:
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(
            gradients([y], [u, block.wrapped.first.bias, block.wrapped.inner.norm.weight]),
            gradients([expected], [u, plain.first.bias, plain.inner.norm.weight]),
        )
    assert all(g is None or not g.any() for g in gradients(outputs, list(block.adapter.parameters())))


@pytest.mark.parametrize('training', [True, False])
def test_one_iteration_is_the_plain_block(training):
    plain = conv_block(2, NORMS[2]).train(training)
    block = AdaptiveRecurrentBlock(copy.deepcopy(plain), DYNAMIC, (8, 3, 3), 'inner', 1, bias=True).train(training)
    assert all(p.requires_grad for p in block.parameters())
    assert [tuple(p.shape) for p in block.parameters()] == [tuple(p.shape) for p in plain.parameters()]
    assert set(block.state_dict()) == set(plain.state_dict())
    u = torch.randn(2, 4, 5, 5, requires_grad=True)
    outputs = block(u)
    assert len(outputs) == 1 and torch.equal(outputs[0], plain(u))
    expected = gradients([plain(u)], [u, *plain.parameters()])
    for ours, theirs in zip(gradients(outputs, [u, *block.parameters()]), expected):
        assert torch.equal(ours, theirs)


def test_first_iterate_is_the_plain_block_to_the_bit():
    block, plain, u, _ = pair('conv2d', torch.float32)
    assert torch.equal(block(u)[0], plain(u))


@pytest.mark.parametrize('num_iterations', [2, 3])
def test_first_weights_are_frozen_and_all_else_gets_a_gradient(num_iterations):
    block, _, u, _ = pair('conv2d, stride, circular', num_iterations=num_iterations, bias=True)
    frozen = {n for n, p in block.wrapped.named_parameters() if not p.requires_grad}
    assert frozen == {'first.weight', 'inner.second.weight'}
    sum(y.square().sum() for y in block(u)).backward()
    for name, parameter in block.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or (parameter.grad.isfinite().all() and parameter.grad.any()), name


class Prepared(nn.Module):
    """A block in two parts; it counts the runs of the first."""

    def __init__(self, split):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.conv, self.runs = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1), 0
        if split:
            self.prepare = self.first_part

    def first_part(self, u):
        self.runs += 1
        return u, torch.relu(self.norm(u))

    def forward_prepared(self, u, x):
        return u + self.conv(x)

    def forward(self, u):
        return self.forward_prepared(*self.first_part(u))


@pytest.mark.parametrize('options', [dict(), dict(bound='tanh')], ids=str)
def test_preparing_once_gives_what_preparing_each_time_gives(options):
    u = torch.randn(3, 4, 3, 3).double().requires_grad_()
    results = []
    for split in (True, False):
        block = AdaptiveRecurrentBlock(Prepared(split), 'conv', (4, 3, 3), 'conv', 3, alpha=0.5, **options).double()
        torch.manual_seed(1)
        nn.init.normal_(next(block.adapter.parameters()))
        outputs = block(u)
        assert block.wrapped.runs == (1 if split else 3)
        results.append((outputs, gradients(outputs, [u, *(p for p in block.parameters() if p.requires_grad)])))
    torch.testing.assert_close(results[0], results[1])


def test_forward_passes_do_not_see_each_other():
    block, plain, u, window = pair('conv2d')
    u = u.detach()
    block(u)
    u *= -2
    equal_to_the_reference(block, plain, u.requires_grad_(), window, torch.float64)
    block(u[:1])  # another batch size
    equal_to_the_reference(block, plain, u, window, torch.float64)


class InPlace(nn.Module):
    """A residual block whose activation or addition may work in place."""

    def __init__(self, where=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act = nn.Conv2d(4, 4, 1), nn.ReLU(inplace=where == 'activation')
        self.norm, self.where = nn.BatchNorm2d(4), where

    def forward(self, x):
        y = self.norm(self.act(self.conv(x)))
        if self.where == 'addition':
            y += x
            return y
        return y + x


@pytest.mark.parametrize('where', ['activation', 'addition'])
@pytest.mark.parametrize('pooling', [dict(), dict(pool_kernel=2)], ids=str)
def test_blocks_that_work_in_place_give_what_others_give(where, pooling):
    u = torch.randn(3, 4, 3, 3).double().requires_grad_()
    results = []
    for case in (where, None):
        block = AdaptiveRecurrentBlock(InPlace(case), 'conv', (4, 3, 3), 'norm', 3, alpha=0.5, **pooling).double()
        outputs = block(u)
        results.append((outputs, gradients(outputs, [u, *block.adapter.parameters()])))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize('options', [dict(), dict(bias=True), dict(bound='tanh'), dict(shared_rows=False)], ids=str)
def test_weight_change_is_that_of_the_materialized_weights(options):
    block, plain, u, window = pair('conv2d', num_iterations=4, **options)
    block(u)
    change = block.weight_change()
    assert change.shape == (3, 2, 3) and not change.requires_grad
    shared = options.get('shared_rows', True)
    for n in range(3):
        weights = [plain.get_submodule(name).weight.detach() for name in DYNAMIC]
        for i in range(3):
            net = copy.deepcopy(plain)
            for name, weight in zip(DYNAMIC, weights):
                net.get_submodule(name).weight.data = weight
            z = net.inner(net.act(net.first(u[n : n + 1])))[0]
            for j, linear in enumerate(block.adapter.linears):
                step = linear(pooled_rows(z, len(weights[j]) if shared else 1, window))
                step = torch.tanh(step) if 'bound' in options else step
                weights[j] = weights[j] + 0.5 * step.reshape(weights[j].shape).detach()
                base = plain.get_submodule(DYNAMIC[j]).weight
                expected = (weights[j] - base).norm() / base.norm()
                torch.testing.assert_close(change[i, j, n], expected.float(), rtol=1e-4, atol=1e-6)


def test_num_iterations_may_change():
    block, plain, u, window = pair('conv2d', num_iterations=3)
    outputs = block(u)
    for k in (5, 2, 1, 3):
        block.num_iterations = k
        changed = block(u)
        assert block.num_iterations == len(changed) == k
        for a, b in zip(outputs, changed):
            torch.testing.assert_close(a, b)
        if k > 1:
            equal_to_the_reference(block, plain, u, window, torch.float64)
