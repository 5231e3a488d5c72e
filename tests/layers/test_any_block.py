"""What blocks of all kinds of networks do: windows in the batch, channels last, several inputs and outputs,
checkpoints."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kaizen_mm.layers import (
    AdaptiveRecurrentBlock,
    add_iterate_statistics,
    build_adapter,
    iterate_statistics,
    make_dynamic,
)
from kaizen_mm.layers.checkpointing import checkpointed, checkpointing_off, checkpoints
from kaizen_mm.layers.foreign_call import block_output
from kaizen_mm.layers.increments import DenseIncrement, LowRankIncrement
from kaizen_mm.layers.transparent import DelegatingWrapper, forward_replaced
from tests.layers.reference import pooled_rows


def double(*shape, seed=1):
    torch.manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gradients(outputs, inputs):
    weighted = sum(
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() * (i + 1)
        for i, y in enumerate(outputs)
    )
    return torch.autograd.grad(weighted, inputs, retain_graph=True)


@pytest.mark.parametrize('low_rank', [True, False])
@pytest.mark.parametrize(
    'layer, shape',
    [
        (nn.Linear(4, 6), (6, 5, 4)),
        (nn.Linear(4, 6), (6, 4)),
        (nn.Conv1d(4, 6, 3, groups=2), (6, 4, 5)),
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), (6, 4, 3, 3)),
    ],
    ids=str,
)
def test_several_entries_of_a_sample_have_its_increment(layer, shape, low_rank):
    """Two samples, three entries each, one sample's after the other's."""
    layer = copy.deepcopy(layer).double()
    x, rows, basis = double(*shape), double(2, 6, 3, seed=2), double(layer.weight[0].numel(), 3, seed=3)
    change = (0.7 * rows @ basis.t()).reshape(2, *layer.weight.shape)
    expected = torch.cat(
        [
            torch.func.functional_call(layer, {'weight': layer.weight + change[j // 3]}, (x[j : j + 1],))
            for j in range(6)
        ]
    )
    inputs = [x, rows, basis, *layer.parameters()]
    expected_gradients = gradients([expected], inputs)
    make_dynamic(layer).increment = LowRankIncrement(rows, basis, 0.7) if low_rank else DenseIncrement(change)
    y = layer(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(gradients([y], inputs), expected_gradients)


@pytest.mark.parametrize('entries', [1, 3, 5])
def test_a_batch_that_is_no_multiple_of_the_samples_names_the_layer(entries):
    layer = make_dynamic(nn.Linear(4, 6), 'attention.qkv')
    layer.increment = DenseIncrement(torch.zeros(2, 6, 4))
    with pytest.raises(
        ValueError, match=f"DynamicLinear 'attention.qkv' got an input of batch size {entries} .* for 2 samples"
    ):
        layer(torch.randn(entries, 4))


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(pool_kernel=2),
        dict(pool_kernel=(3, 2), pool_padding=(1, 0), row_layout='concatenated'),
        dict(bound='tanh'),
    ],
    ids=str,
)
def test_maps_with_channels_last_give_what_channels_first_give(options):
    z = torch.randn(2, 5, 4, 6, dtype=torch.float64)  # [N, H, W, C]
    results = []
    for layout, given in (('channels_first', z.movedim(-1, 1)), ('channels_last', z)):
        torch.manual_seed(0)
        adapter = build_adapter(
            (6, 5, 4), {'a': (6, 3), 'b': (3, 2)}, feedback_layout=layout, alpha=0.3, **options
        ).double()
        increments = adapter.update(adapter.initial(), given)
        results.append([getattr(increment, 'rows', getattr(increment, 'weight', None)) for increment in increments])
    torch.testing.assert_close(results[0], results[1])


def test_tokens_with_channels_last():
    adapter = build_adapter((4, 5), {'layer': (2, 3)}, feedback_layout='channels_last').double()
    tokens = torch.randn(3, 5, 4, dtype=torch.float64)  # [N, L, C]
    (increment,) = adapter.update(adapter.initial(), tokens)
    torch.testing.assert_close(increment.rows, torch.stack([pooled_rows(z.t(), 2) for z in tokens]))
    with pytest.raises(ValueError, match=r'shape \(5, 4\) per sample, .* built for \(4, 5\)'):
        adapter.update(adapter.initial(), tokens.transpose(1, 2))


class Attention(nn.Module):
    """Takes a mask and a scale, gives a tuple; its windows stand in the batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.value, self.out, self.times, self.with_cp, self.runs = nn.Linear(4, 4), nn.Linear(4, 4), 1, False, 0

    def forward(self, x, mask, *, scale=1.0):
        if self.with_cp:
            return checkpoint(self.attend, x, mask, scale, use_reentrant=False)
        return self.attend(x, mask, scale)

    def attend(self, x, mask, scale):
        self.runs += 1
        windows = x.reshape(-1, 2, 4)  # [N, 4, C] -> [2 N, 2, C]
        for _ in range(self.times):
            windows = torch.tanh(self.value(windows))
        weights = (windows @ windows.transpose(1, 2) * scale).softmax(dim=-1)
        return self.out((weights @ windows).reshape(x.shape) * mask), weights


def attention(**options):
    options = {
        'dynamic': ('value', 'out'),
        'feedback_shape': (4, 4),
        'feedback_layout': 'channels_last',
        'num_iterations': 3,
        'alpha': 0.5,
        **options,
    }
    return AdaptiveRecurrentBlock(Attention().double(), **options)


@pytest.mark.parametrize('options', [dict(), dict(bound='tanh', bias=True), dict(shared_rows=False)], ids=str)
def test_a_block_of_several_inputs_and_outputs_equals_the_per_sample_loop(options):
    block = attention(**options)
    plain, linears = Attention().double(), copy.deepcopy(block.adapter.linears)
    x, mask = double(3, 4, 4), double(3, 4, 1, seed=5)
    expected = []
    for n in range(3):
        weights = {name: plain.get_submodule(name).weight.detach() for name in ('value', 'out')}
        for i in range(3):
            y, attended = torch.func.functional_call(
                plain, {f'{k}.weight': w for k, w in weights.items()}, (x[n : n + 1], mask[n : n + 1]), dict(scale=0.5)
            )
            expected.append((i, y, attended))
            for name, linear in zip(weights, linears):
                change = linear(pooled_rows(y[0].t(), 4 if options.get('shared_rows', True) else 1))
                change = change.tanh() if options.get('bound') else change
                weights[name] = weights[name] + 0.5 * change.reshape(4, 4)
    outputs = block(x, mask, scale=0.5)
    for i, (y, attended) in enumerate(outputs):
        torch.testing.assert_close(y, torch.cat([e[1] for e in expected if e[0] == i]))
        torch.testing.assert_close(attended, torch.cat([e[2] for e in expected if e[0] == i]))
    assert (outputs[0][1] - outputs[2][1]).abs().max() > 1e-3
    flat = [torch.cat([e[k] for e in expected if e[0] == i]) for i in range(3) for k in (1, 2)]
    torch.testing.assert_close(
        gradients([t for y in outputs for t in y], [x, mask, *block.adapter.parameters()]),
        gradients(flat, [x, mask, *linears.parameters()]),
    )


@pytest.mark.parametrize('times', [0, 2])
def test_a_dynamic_layer_runs_once_per_pass(times):
    block = attention()
    block.wrapped.times = times
    with pytest.raises(
        RuntimeError, match=f"dynamic: the block must call 'value' once per pass, it did so {times} times"
    ):
        block(double(2, 4, 4), double(2, 4, 1))
    assert block.wrapped.value.increment is None and block.wrapped.out.increment is None
    block.num_iterations = 1  # the plain block may do as it likes
    assert len(block(double(2, 4, 4), double(2, 4, 1))) == 1


@pytest.mark.parametrize('options', [dict(), dict(bound='tanh'), dict(feedback='out')], ids=str)
def test_checkpoints_give_the_same_gradients(options):
    results = []
    for with_cp in (False, True):
        torch.manual_seed(3)
        block = attention(**options)
        block.wrapped.with_cp = with_cp
        x, mask = double(3, 4, 4), double(3, 4, 1, seed=5)
        outputs = block(x, mask, scale=0.5)
        assert block.wrapped.runs == 3
        results.append((outputs, gradients([t for y in outputs for t in y], [x, mask, *block.adapter.parameters()])))
        assert block.wrapped.runs == (6 if with_cp else 3) and block.wrapped.with_cp == with_cp
        with torch.no_grad():
            block(x, mask)
        assert block.wrapped.value.increment is None
    torch.testing.assert_close(results[0], results[1])


def test_checkpoints_leave_the_input_of_a_convolution_to_be_reused_by_no_other_computation():
    """The first layer sees the block's own input, the same tensor in both computations."""
    results = []
    for flag in (None, 'with_cp', 'grad_checkpointing'):
        torch.manual_seed(0)
        block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh())
        block = AdaptiveRecurrentBlock(block, '0', (4, 3, 3), num_iterations=3, alpha=0.5).double()
        if flag is not None:
            setattr(block.wrapped[2], flag, True)
        u = double(3, 4, 3, 3)
        outputs = block(u)
        results.append((outputs, gradients(outputs, [u, *block.adapter.parameters()]), block.state_dict()))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


@pytest.mark.parametrize('training', [False, True])
def test_a_checkpoint_works_with_the_buffers_of_its_time(training):
    """Those of an iterate are no longer in place when the backward pass computes again."""
    torch.manual_seed(0)
    results = []
    for function in (None, checkpointed):
        norm = nn.BatchNorm1d(4).double()
        add_iterate_statistics(norm, 2)
        norm.iterates.running_var += 3
        norm.train(training)
        x = double(5, 4)
        with iterate_statistics(norm, 1):
            y = norm(x).tanh() if function is None else function(lambda x, power: norm(x).tanh(), norm, x, power=2)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        results.append((y, gradient, norm.state_dict()))
    torch.testing.assert_close(results[0], results[1])
    assert results[1][2]['iterates.num_batches_tracked'].tolist() == [int(training)]
    assert results[1][2]['num_batches_tracked'] == 0


def test_flags_of_checkpoints_are_put_back():
    block = nn.Sequential(Attention(), nn.Tanh())
    block[0].with_cp = block[1].grad_checkpointing = True
    with pytest.raises(RuntimeError, match='inside'), checkpointing_off(block.modules()):
        assert not checkpoints(block.modules())
        raise RuntimeError('inside')
    assert block[0].with_cp is True and block[1].grad_checkpointing is True and checkpoints(block.modules())


def test_statistics_for_named_norms_alone():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    plain = copy.deepcopy(net.state_dict())
    add_iterate_statistics(net, 3, ['1'])
    assert {name.split('.')[0] for name in set(net.state_dict()) - set(plain)} == {'1'}
    plain['1.running_mean'] += 2
    net.load_state_dict(plain)
    assert torch.equal(net[1].iterates.running_mean, plain['1.running_mean'].expand(2, -1))


def test_the_adapter_has_the_type_of_the_weights():
    block = AdaptiveRecurrentBlock(nn.Linear(4, 4).double(), '', (4,), alpha=0.5)
    assert {p.dtype for p in block.parameters()} == {torch.float64}
    assert block(torch.randn(2, 4, dtype=torch.float64))[1].dtype == torch.float64


@pytest.mark.parametrize('feedback', ['', '1'])
@pytest.mark.parametrize('pooling', [{}, dict(pool_kernel=2)], ids=str)
def test_what_follows_may_work_in_place_on_the_outputs(pooling, feedback):
    results = []
    for inplace in (False, True):
        torch.manual_seed(0)
        block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
        block = AdaptiveRecurrentBlock(block, '0', (4, 3, 3), feedback, 3, alpha=0.5, **pooling).double()
        u = double(2, 4, 3, 3)
        outputs = [nn.functional.leaky_relu(y, 0.3, inplace) for y in block(u)]
        results.append((outputs, gradients(outputs, [u, *block.adapter.parameters()])))
    torch.testing.assert_close(results[0], results[1])


def test_the_first_of_several_outputs():
    z = torch.zeros(1)
    for output in (z, (z, None), [z], {'out': z, 'other': None}, ((z, 1), 2), {'a': (z,)}):
        assert block_output(output) is z
    for output in (None, (), (None, z), 'z'):
        with pytest.raises(TypeError, match='feedback must be read from a module whose .first. output is a tensor'):
            block_output(output)


def test_a_weight_that_is_computed_from_others_is_refused():
    with pytest.warns(FutureWarning):
        layer = nn.utils.weight_norm(nn.Linear(4, 4))
    with pytest.raises(TypeError, match='mixer is a .*Linear; a dynamic layer must be'):
        make_dynamic(layer, 'mixer')


def test_attributes_through_a_wrapper():
    class Wrapper(DelegatingWrapper):
        def forward(self, x):
            return self.wrapped(x)

    inner = Attention()
    for wrapper in (Wrapper(inner), copy.deepcopy(Wrapper(inner)), Wrapper(Wrapper(inner))):
        assert (
            wrapper.times == 1 and wrapper.value.weight.shape == (4, 4) and wrapper.attend.__func__ is Attention.attend
        )
        with pytest.raises(AttributeError, match='no_such_thing'):
            wrapper.no_such_thing
        assert not hasattr(wrapper, '__len__')


@pytest.mark.parametrize('own', [False, True])
def test_a_forward_is_put_back(own):
    layer = nn.Tanh()
    if own:
        layer.forward = torch.sin
    x = torch.ones(1)
    expected = layer(x)
    with pytest.raises(RuntimeError, match='inside'), forward_replaced(layer, torch.neg):
        assert layer(x) == -1
        raise RuntimeError('inside')
    assert torch.equal(layer(x), expected) and ('forward' in layer.__dict__) == own


def test_compiled_with_feedback_from_within():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh(), nn.Conv2d(4, 4, 1))
    block = AdaptiveRecurrentBlock(block, '0', (4, 3, 3), '1', 3, alpha=0.5).double()
    u = double(2, 4, 3, 3)
    expected = block(u)
    torch._dynamo.reset()
    compiled = torch.compile(block, backend='eager')
    for _ in range(2):
        torch.testing.assert_close(compiled(u), expected)
    torch._dynamo.reset()
