"""A recurrent block in all the ways it is run, against the plain per-sample loop."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.checkpointing import checkpointed
from tests.layers.reference import recurrence
from tests.layers.test_recurrent_block import DYNAMIC, conv_block, gradients

# how the increment is added: options of the adapter, and pooling and bound of the loop
POOLED, WINDOW = dict(pool_kernel=6), ((6, 6), (1, 1), (0, 0))
FORMS = {
    'low rank': (POOLED, WINDOW, None),
    'formed for each sample': ({}, None, None),
    'not of low rank': (dict(POOLED, bound='tanh'), WINDOW, 'tanh'),
}
WAYS = {
    'eager': lambda block: block,
    'deepcopy': copy.deepcopy,
    'checkpoint': lambda block: lambda u: checkpointed(block, block, u),
    'checkpoint of each iterate': lambda block: _with_cp(block),
    'compile': lambda block: torch.compile(block, backend='aot_eager', fullgraph=True),
    'distributed': DistributedDataParallel,
}
each_form = pytest.mark.parametrize('form', FORMS)


def _with_cp(block):
    block.wrapped.with_cp = True  # what OpenMMLab's blocks have
    return block


def blocks(form, norm=nn.Identity):
    """A recurrent block and the plain one, for inputs ``[N, 4, 6, 6]``."""
    plain = conv_block(2, norm, padding=1).double()
    block = AdaptiveRecurrentBlock(
        copy.deepcopy(plain), DYNAMIC, (8, 6, 6), 'inner', 3, alpha=0.05, **FORMS[form][0]
    ).double()
    return block, plain


def inputs(seed=1):
    torch.manual_seed(seed)
    return torch.randn(4, 4, 6, 6, dtype=torch.float64, requires_grad=True)


def looped(plain, block, form, u):
    """Outputs of the plain loop, and gradients of the input, of ``h`` and of what else trains."""
    _, window, bound = FORMS[form]
    linears = copy.deepcopy(list(block.adapter.linears))
    outputs = recurrence(
        plain, linears, u, DYNAMIC, 3, alpha=block.adapter.alpha, feedback='inner', pool=window, bound=bound
    )
    trained = [plain.get_parameter(name) for name in _trained(block)]
    return outputs, gradients(outputs, [u, *(linear.weight for linear in linears), *trained])


def _trained(block):
    return [name for name, parameter in block.wrapped.named_parameters() if parameter.requires_grad]


def run(block, function, u):
    """The same of the block, called by a function."""
    block.zero_grad()
    outputs = function(u)
    weighted = [
        (i * y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum() for i, y in enumerate(outputs, 1)
    ]
    sum(weighted).backward()
    trained = [block.wrapped.get_parameter(name) for name in _trained(block)]
    return list(outputs), [u.grad, *(p.grad for p in [*block.adapter.parameters(), *trained])]


@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@each_form
def test_the_forms_are_those_that_they_are_called(form, monkeypatch):
    block, _ = blocks(form)
    calls = []
    for name in DYNAMIC:
        for method in ('mix', 'per_sample_forward'):
            layer = block.wrapped.get_submodule(name)
            original = getattr(layer, method)
            monkeypatch.setattr(layer, method, lambda *args, m=method, f=original: (calls.append(m), f(*args))[1])
    block(inputs())
    assert calls == ['mix' if form == 'low rank' else 'per_sample_forward'] * 4


@each_form
@pytest.mark.parametrize('way', WAYS)
def test_every_way_equals_the_per_sample_loop(way, form, one_process):
    block, plain = blocks(form)
    torch._dynamo.reset()
    function = WAYS[way](block)
    outputs, expected_gradients = looped(plain, block, form, inputs())
    found, found_gradients = run(function if way == 'deepcopy' else block, function, inputs())
    torch.testing.assert_close(found, outputs, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found_gradients, list(expected_gradients), rtol=1e-9, atol=1e-9)
    for before, after in zip(outputs, outputs[1:]):  # the recurrence does something
        assert (before - after).abs().max() > 1e-3


@each_form
@pytest.mark.parametrize('way', [way for way in WAYS if way != 'eager'])
def test_batch_norm_in_every_way_is_that_of_the_eager_block(way, form, one_process):
    block, _ = blocks(form, nn.BatchNorm2d)
    eager = copy.deepcopy(block)
    torch._dynamo.reset()
    function = WAYS[way](block)
    block = function if way == 'deepcopy' else block
    for seed, training in ((1, True), (2, True), (3, False)):  # each with the statistics of those before
        block.train(training), eager.train(training)
        found, expected = run(block, function, inputs(seed)), run(eager, eager, inputs(seed))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(block.state_dict(), eager.state_dict())


@each_form
def test_autocast_is_near_the_loop(form):
    block, plain = blocks(form)
    outputs, expected = looped(plain, block, form, inputs())
    u = inputs().detach().float().requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        found, found_gradients = run(block.float(), block, u)
    assert found[0].dtype == torch.bfloat16
    for y, other in zip([*found, *found_gradients], [*outputs, *expected]):
        assert (y - other).norm() < 0.03 * other.norm()


def test_an_exported_block_takes_batches_of_any_size():
    block, _ = blocks('formed for each sample')
    u = inputs().detach()
    exported = torch.export.export(block, (u,), dynamic_shapes=({0: torch.export.Dim('n', min=2, max=64)},)).module()
    torch.testing.assert_close(exported(torch.cat([u, 2 * u])), block(torch.cat([u, 2 * u])))


def _half_in_a_process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    results = {}
    for form in FORMS:
        block, _ = blocks(form)
        ddp = DistributedDataParallel(block)
        outputs = ddp(inputs()[2 * rank : 2 * rank + 2].detach())
        sum(i * y.pow(2).mean() for i, y in enumerate(outputs, 1)).backward()
        results[form] = outputs, {n: p.grad for n, p in block.named_parameters() if p.requires_grad}
    torch.save(results, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_the_loop(tmp_path):
    mp.spawn(_half_in_a_process, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    for form, (_, window, bound) in FORMS.items():
        block, plain = blocks(form)
        outputs = recurrence(
            plain, block.adapter.linears, inputs(), DYNAMIC, 3, alpha=0.05, feedback='inner', pool=window, bound=bound
        )
        sum(i * y.pow(2).mean() for i, y in enumerate(outputs, 1)).backward()
        torch.testing.assert_close([torch.cat(parts) for parts in zip(*(half[form][0] for half in halves))], outputs)
        adapter = {f'adapter.{name}': p.grad for name, p in block.adapter.named_parameters()}
        expected = {**adapter, **{f'wrapped.{name}': plain.get_parameter(name).grad for name in _trained(block)}}
        for half in halves:
            torch.testing.assert_close(half[form][1], expected, rtol=1e-9, atol=1e-11)
