"""MFNet's recurrent unit against the same unit run as one that knows nothing of the recurrence."""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.iterate_statistics import (
    IndexedNorm,
    add_iterate_statistics,
    iterate_statistics,
    make_norms_indexed,
    normalized,
)
from kaizen_mm.models import kaizen_mfnet2d_n9, mfnet2d
from kaizen_mm.models.mf_unit import MFUnit
from kaizen_mm.models.recurrent_mf_unit import RecurrentMFUnit

POOL = {2: dict(pool_kernel=2), 3: dict(pool_kernel=(2, 2, 1))}
SIZE = {2: (3, 2), 3: (2, 2, 3)}


def unit(dims=2, first=False):
    """8 -> 8 channels, its norms randomized."""
    torch.manual_seed(0)
    block = MFUnit(dims, 8, 8, 2, 1, first).double()
    for norm in block.modules():
        if isinstance(norm, _BatchNorm):
            for tensor in (norm.weight, norm.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (norm.bias, norm.running_mean):
                nn.init.normal_(tensor)
    return block


def both(dims=2, first=False, num_iterations=3, **options):
    """The recurrent unit, and the same one as a foreign block."""
    pool = {} if options.get('adapter') == 'global' else POOL[dims]
    options = dict(feedback_shape=(8, *SIZE[dims]), num_iterations=num_iterations, alpha=0.5, **{**pool, **options})
    torch.manual_seed(1)
    ours = RecurrentMFUnit(unit(dims, first), **options).double()
    foreign = AdaptiveRecurrentBlock(unit(dims, first), ('conv_i1.conv', 'conv_i2.conv'), feedback='conv_m2', **options)
    if options.get('adapter') == 'global':
        for linear in ours.adapter.linears:  # zero at the start
            nn.init.normal_(linear.weight)
    foreign.double().load_state_dict(ours.state_dict())
    return ours, foreign


def maps(dims=2, samples=3, seed=2):
    torch.manual_seed(seed)
    return (2 * torch.randn(samples, 8, *SIZE[dims]).double() + 1).requires_grad_()


def step(block, u, training):
    outputs = block.train(training)(u)
    weighted = sum((i * y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum() for i, y in enumerate(outputs, 1))
    gradients = torch.autograd.grad(weighted, [u, *(p for p in block.parameters() if p.requires_grad)])
    return outputs, gradients, block.state_dict(), block.weight_change()


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(dims=3),
        dict(first=True),
        dict(norm_statistics='shared'),
        dict(bias=True, row_layout='concatenated'),
        dict(bound='tanh'),
        dict(shared_rows=False, bias=True),
        dict(pool_padding=1, num_iterations=4),
        dict(adapter='global', rank=2),
    ],
    ids=str,
)
def test_plain_calls_equal_exchanged_forwards(options, training):
    ours, foreign = both(**options)
    u = maps(options.get('dims', 2))
    for _ in range(2):  # the second time with the statistics of the first
        results = [step(block, u, training) for block in (ours, foreign)]
        torch.testing.assert_close(*results)
    outputs = results[0][0]
    assert isinstance(outputs, tuple) and len(outputs) == ours.num_iterations
    assert min((a - b).abs().max() for a, b in zip(outputs, outputs[1:])) > 1e-3


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    'options, formed',
    [
        (dict(), [True, True]),
        (dict(pool_kernel=(3, 2)), [True, False]),
        (dict(adapter='global', rank=1), [False, False]),
        (dict(bound='tanh'), [False, False]),
    ],
    ids=str,
)
def test_channels_last_with_either_order_of_products(options, formed, training):
    ours, foreign = both(**options)
    assert ours._forms_weights == formed
    u = maps()
    expected = step(foreign, u, training)
    for block in (ours, foreign):
        block.load_state_dict(both(**options)[0].state_dict())
        results = step(
            block.to(memory_format=torch.channels_last),
            u.detach().to(memory_format=torch.channels_last).requires_grad_(),
            training,
        )
        torch.testing.assert_close(results, expected)
        assert all(y.is_contiguous(memory_format=torch.channels_last) for y in results[0])


@pytest.mark.parametrize('options', [dict(), dict(adapter='global')], ids=str)
@pytest.mark.parametrize('num_iterations', [1, 2, 5])
def test_another_number_of_iterations(num_iterations, options):
    ours, foreign = both(**options)
    ours.num_iterations = foreign.num_iterations = num_iterations
    torch.testing.assert_close(ours.eval()(maps()), foreign.eval()(maps()))
    torch.testing.assert_close(torch.jit.script(ours)(maps()), list(ours(maps())))


def test_the_names_of_a_script_are_those_of_the_network():
    ours, _ = both()
    assert set(torch.jit.script(ours).state_dict()) == {
        name for name, _ in [*ours.named_parameters(), *ours.named_buffers()]
    }


@pytest.mark.parametrize('backend, training', [('eager', False), ('aot_eager', True)])
def test_one_graph_and_no_compilation_after_the_first(backend, training):
    ours, foreign = both()
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    compiled, u = torch.compile(ours, backend=counter, fullgraph=True), maps()
    for _ in range(3):
        results = [step(block, u, training) for block in (compiled, foreign)]
        torch.testing.assert_close(results[0][:2], results[1][:2])
        torch.testing.assert_close(ours.state_dict(), foreign.state_dict())
        torch.testing.assert_close(ours.weight_change(), foreign.weight_change())
    assert counter.frame_count == 1
    torch._dynamo.reset()


def test_hooks_see_every_iterate():
    blocks = both()
    for block in blocks:
        block(maps())  # a block of others is tried in its first training pass
    seen, maps_of_i2 = [], {block: [] for block in blocks}
    for name in ('conv_m2', 'conv_m1.bn', 'conv_i2', 'conv_i2.bn'):
        blocks[0].wrapped.get_submodule(name).register_forward_hook(lambda m, inputs, y, name=name: seen.append(name))
    for block in blocks:
        block.wrapped.conv_i2.register_forward_hook(lambda m, inputs, y, kept=maps_of_i2[block]: kept.append(y))
        block(maps())
    assert seen == ['conv_i2.bn', 'conv_i2', 'conv_m1.bn', 'conv_m2'] * 3
    torch.testing.assert_close(*maps_of_i2.values())  # with the increments in them


def test_conversion_to_sync_batch_norm():
    ours, _ = both()
    ours(maps())
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(ours)).eval()
    assert isinstance(synced.wrapped.conv_m1.bn, nn.SyncBatchNorm)
    torch.testing.assert_close(synced(maps()), ours.eval()(maps()))
    net = kaizen_mfnet2d_n9(num_classes=5, input_size=(64, 64), pool_kernel=2)
    net.tail.wrapped.bn.iterates.running_mean += 1
    synced, x = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net)).eval(), torch.randn(2, 3, 64, 64)
    assert isinstance(synced.tail.wrapped.bn, nn.SyncBatchNorm)
    torch.testing.assert_close(synced.forward_iterates(x), net.eval().forward_iterates(x))


@pytest.mark.parametrize('training', [True, False])
def test_the_last_iterate_alone_needs_no_other_tails(training):
    torch.manual_seed(0)
    net, x, calls = (
        kaizen_mfnet2d_n9(num_classes=5, input_size=(64, 64), pool_kernel=2).train(training),
        torch.randn(2, 3, 64, 64),
        [],
    )
    net.tail.wrapped.bn.register_forward_hook(lambda *_: calls.append(1))
    net(x)
    assert len(calls) == (3 if training else 1)  # in training every iterate's statistics are learned
    calls.clear()
    net.forward_iterates(x)
    assert len(calls) == 3


@pytest.mark.parametrize('momentum', [0.1, None])
@pytest.mark.parametrize(
    'make, shape',
    [
        (nn.BatchNorm1d, (4, 3)),
        (nn.BatchNorm1d, (4, 3, 2)),
        (nn.BatchNorm2d, (4, 3, 2, 2)),
        (nn.BatchNorm3d, (4, 3, 2, 1, 2)),
    ],
)
def test_a_norm_with_an_index_is_one_with_the_statistics_in_place(make, shape, momentum):
    norm = make(3, momentum=momentum).double()
    add_iterate_statistics(norm, 3)
    indexed, names = copy.deepcopy(norm), set(norm.state_dict())
    make_norms_indexed(indexed)
    assert isinstance(indexed, (IndexedNorm, make)) and set(indexed.state_dict()) == names
    torch.manual_seed(0)
    for training in (True, True, False):
        norm.train(training), indexed.train(training)
        for index in (0, 1, 2, 3, 0):
            x = torch.randn(shape).double() * (index + 1)
            with iterate_statistics(norm, index):
                expected = norm(x)
            assert torch.equal(normalized(indexed, x, index), expected)
            torch.testing.assert_close(indexed.state_dict(), norm.state_dict(), rtol=0, atol=0)
    with pytest.raises(ValueError, match='expected'):
        indexed(torch.randn(3).double())


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_operations_are_counted_without_gradients(mode):
    net = kaizen_mfnet2d_n9(num_classes=3, input_size=(64, 64), pool_kernel=2).eval()
    with mode(), FlopCounterMode(display=False) as counter:
        net(torch.randn(2, 3, 64, 64))
    assert counter.get_total_flops() > 0


def test_tail_and_classifier_run_for_the_last_iterate_alone_in_evaluation():
    narrow = dict(widths=(16, 16, 16, 16), units=(1, 1, 1, 2), groups=4, num_classes=3, input_size=(96, 96))
    net, calls = mfnet2d(num_iterations=4, **narrow).eval(), []
    for name in ('tail.wrapped.bn', 'classifier', 'conv5.B02.wrapped.conv_m2.conv', 'conv4.B01.conv_m2.conv'):
        net.get_submodule(name).register_forward_hook(lambda m, x, y, name=name.split('.')[0]: calls.append(name))
    net(torch.randn(1, 3, 96, 96))
    assert calls == ['conv4', *['conv5'] * 4, 'tail', 'classifier']
    calls.clear()
    net.forward_iterates(torch.randn(1, 3, 96, 96))
    assert calls == ['conv4', *['conv5'] * 4, *['tail'] * 4, *['classifier'] * 4]
