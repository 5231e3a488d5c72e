"""Failures, copies, other numbers of iterations, other precisions, and arguments that are refused."""

import copy
import pickle
import runpy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, increments, recurrent_block, recurrent_blocks

DYNAMIC = ('first', 'inner.second')


def plain_block():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            first=nn.Conv2d(4, 4, 3),
            act=nn.Tanh(),
            inner=nn.Sequential(OrderedDict(second=nn.Conv2d(4, 8, 1), norm=nn.BatchNorm2d(8), act=nn.Tanh())),
            last=nn.Conv2d(8, 4, 1),
        )
    )


def recurrent(num_iterations=3, **options):
    """A recurrent block for inputs ``[N, 4, 5, 5]``."""
    options = {'dynamic': DYNAMIC, 'feedback_shape': (8, 3, 3), 'feedback': 'inner', 'alpha': 0.5, **options}
    return AdaptiveRecurrentBlock(plain_block(), num_iterations=num_iterations, **options)


@pytest.fixture
def u():
    torch.manual_seed(1)
    return torch.randn(2, 4, 5, 5)


def test_the_oldest_torch_cannot_tell_that_it_exports(u, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delattr(torch.compiler, 'is_exporting')  # as in torch 2.6
        is_exporting = runpy.run_path(increments.__file__)['is_exporting']
    for module in (increments, recurrent_block):
        monkeypatch.setattr(module, 'is_exporting', is_exporting)
    block = recurrent()
    assert len(block(u)) == 3 and block.weight_change().shape[0] == 2


def test_a_pass_that_fails_leaves_the_block_as_it_was(u):
    block = recurrent()
    first, norm, seen = block.wrapped.first, block.wrapped.inner.norm, []
    own = norm.running_mean

    def fail_in_the_second_pass(module, inputs):
        seen.append((first.increment, norm.running_mean))
        if len(seen) == 2:
            raise RuntimeError('second pass')

    handle = block.wrapped.last.register_forward_pre_hook(fail_in_the_second_pass)
    with pytest.raises(RuntimeError, match='second pass'):
        block(u)
    handle.remove()
    assert all(increment is not None for increment, _ in seen)
    assert seen[0][1] is own and seen[1][1] is not own
    assert first.increment is None and block.wrapped.inner.second.increment is None
    assert norm.running_mean is own
    assert not block.wrapped.inner._forward_hooks
    assert torch.equal(block.eval()(u)[0], block.wrapped(u))


def test_weight_change_needs_a_pass_of_two_iterations():
    with pytest.raises(RuntimeError, match=r'weight_change\(\) needs a forward pass with num_iterations >= 2'):
        recurrent().weight_change()


def test_more_iterations_start_from_the_last_statistics(u):
    block = recurrent(2)
    for _ in range(2):
        block(3 * u)
    norm = block.wrapped.inner.norm
    block.num_iterations = 4
    assert torch.equal(norm.iterates.running_var, norm.iterates.running_var[:1].expand(3, -1))
    assert not torch.equal(norm.iterates.running_var[0], norm.running_var)


def test_fewer_and_again_more_iterations_keep_the_statistics(u):
    block = recurrent(3)
    block(u)
    names, expected = set(block.state_dict()), block.eval()(u)
    block.num_iterations = 1
    assert torch.equal(block(u)[0], expected[0]) and set(block.state_dict()) == names
    block.num_iterations = 3
    for a, b in zip(block(u), expected):
        assert torch.equal(a, b)


def test_copies_give_the_same(u):
    block = recurrent()
    block(u)
    outputs = block.eval()(u)
    for other in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(other.weight_change(), block.weight_change())
        assert all(torch.equal(a, b) for a, b in zip(other(u), outputs))
        with torch.no_grad():
            next(other.adapter.parameters()).add_(1)
        assert not torch.equal(other(u)[1], outputs[1]) and torch.equal(block(u)[1], outputs[1])


@pytest.mark.parametrize('options', [dict(), dict(bound='tanh', bias=True), dict(bias=True)], ids=str)
def test_autocast_is_near_single_precision(options, u):
    block = recurrent(**options)
    expected = block(u)
    change = block.weight_change()
    with torch.autocast('cpu', torch.bfloat16):
        outputs = block(u)
    assert (outputs[2].float() - outputs[0].float()).abs().max() > 0.1
    for y, z in zip(outputs, expected):
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), z, rtol=0.05, atol=0.05)
    torch.testing.assert_close(block.weight_change(), change, rtol=0.05, atol=0.01)
    sum((i * y.float() * z).sum() for i, (y, z) in enumerate(zip(outputs, expected), 1)).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in block.parameters() if p.requires_grad)


@pytest.mark.parametrize('options', [dict(), dict(bound='tanh')], ids=str)
@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_works_without_gradients(mode, options, u):
    block = recurrent(**options).eval()
    expected = block(u)
    with mode():
        torch.testing.assert_close(block(u), expected)


def test_recurrent_blocks_are_found_by_name():
    block = recurrent()
    net = nn.Sequential(OrderedDict(stem=nn.Conv2d(3, 4, 1), stage=nn.Sequential(nn.ReLU(), block)))
    assert recurrent_blocks(net) == [('stage.1', block)]
    assert recurrent_blocks(nn.Linear(2, 2)) == []


def test_one_name_needs_no_list():
    assert recurrent(dynamic='first').dynamic == ('first',)


@pytest.mark.parametrize('value', [0, -1, 2.0, '2', None, True])
def test_num_iterations_is_a_positive_int(value):
    message = f'num_iterations must be an int from 1 to 1000, got {value!r}'
    with pytest.raises(ValueError, match=message):
        recurrent(value)
    block = recurrent(2)
    with pytest.raises(ValueError, match=message):
        block.num_iterations = value
    assert block.num_iterations == 2


def test_a_block_built_for_one_iteration_takes_no_more(u):
    block = recurrent(1)
    block.num_iterations = 1
    with pytest.raises(ValueError, match='num_iterations cannot become 3: .* num_iterations=1 .* at least 2'):
        block.num_iterations = 3
    assert block.num_iterations == 1 and len(block(u)) == 1


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(norm_statistics='own'), r"norm_statistics must be one of \('per_iterate', 'shared'\), got 'own'"),
        (dict(dynamic=()), r'dynamic must name at least one layer of the block and none twice, got \(\)'),
        (dict(dynamic=('first', 'first')), r"dynamic must name .* none twice, got \('first', 'first'\)"),
        (dict(dynamic='third'), r"dynamic: Sequential has no submodule 'third'; it has act, first, .*last"),
        (dict(feedback='outer'), r"feedback: Sequential has no submodule 'outer'; it has act, first, inner"),
        (dict(pool_kernel=4), r'pool_kernel \(4, 4\) .* does not fit into a feedback map of size \(3, 3\)'),
        (dict(feedback_shape=(3, 3, 3)), r"layer 'first' has 4 rows .* do not divide the 27 pooled values"),
        (dict(alpha=-1), 'alpha must be a finite number >= 0, got -1'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        recurrent(**options)


def test_dynamic_layers_are_convolutions_or_linear():
    with pytest.raises(TypeError, match="dynamic layer 'inner.norm' is a .*BatchNorm2d; .* Conv1d, .* Linear"):
        recurrent(dynamic=('first', 'inner.norm'))


def test_a_block_is_a_module():
    with pytest.raises(TypeError, match='must be a torch.nn.Module, got str'):
        AdaptiveRecurrentBlock('block', 'first', (4, 3, 3))


def test_feedback_map_of_another_size_than_said():
    block = recurrent()
    with pytest.raises(ValueError, match=r'shape \(8, 4, 4\) per sample, but the adapter was built for \(8, 3, 3\)'):
        block(torch.randn(2, 4, 6, 6))
    assert block.wrapped.first.increment is None


class Calls(nn.Module):
    """Calls the module that the feedback is read from several times, or never."""

    def __init__(self, times):
        super().__init__()
        self.conv, self.point, self.times = nn.Conv2d(4, 4, 3), nn.Identity(), times

    def forward(self, x):
        x = self.conv(x)
        for _ in range(self.times):
            x = self.point(x)
        return x


@pytest.mark.parametrize('times', [0, 2])
def test_feedback_is_read_from_a_module_called_once(times, u):
    block = AdaptiveRecurrentBlock(Calls(times), 'conv', (4, 3, 3), 'point')
    with pytest.raises(RuntimeError, match=f"feedback: .* call 'point' once per pass, it did so {times} times"):
        block(u)


class ChangesItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.conv(x.mul_(2))


def test_a_block_that_changes_its_input_in_place_is_refused():
    block = AdaptiveRecurrentBlock(ChangesItsInput(), 'conv', (4, 3, 3))
    with pytest.raises(RuntimeError, match='ChangesItsInput changes its input in place.*inplace=False'):
        block(torch.randn(2, 4, 3, 3))


@pytest.mark.parametrize('num_iterations', [1, 2])
def test_an_unknown_argument_is_refused(num_iterations):
    with pytest.raises(TypeError, match='alphas'):
        AdaptiveRecurrentBlock(
            nn.Sequential(nn.Conv2d(4, 4, 1)), '0', (4, 3, 3), num_iterations=num_iterations, alphas=0.1
        )


def test_a_refused_block_is_left_as_it_was():
    block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    names = set(block.state_dict())
    with pytest.raises(ValueError, match='pool_kernel'):
        AdaptiveRecurrentBlock(block, '0', (4, 3, 3), pool_kernel=5)
    assert type(block[0]) is nn.Conv2d and block[0].weight.requires_grad and set(block.state_dict()) == names
