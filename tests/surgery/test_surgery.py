"""Values, gradients, running statistics and state dicts of networks made recurrent."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from kaizen_mm.losses import KaizenLoss
from kaizen_mm.surgery.network import RecurrentNetwork
from tests.surgery.surgery_helpers import adapters, gradients, plain_name, recurrent
from tests.surgery.surgery_reference import CASES

each_case = pytest.mark.parametrize('kind', CASES)


def rows(net, plain, iterate):
    """The buffers of one iterate, from 0, by their names in the plain network."""
    state = net.state_dict()
    result = {}
    for name, _ in plain.named_buffers():
        norm, _, leaf = name.rpartition('.')
        more = state.get(f'{norm}.iterates.{leaf}')
        result[name] = state[name] if more is None or iterate == 0 else more[iterate - 1]
    return result


def norms_after(plain, block, args):
    """Names of the batch norms that are first called after a block has been called."""
    calls, handles = [], []
    for name, module in plain.named_modules():
        if name == block or isinstance(module, nn.modules.batchnorm._BatchNorm):
            handles.append(module.register_forward_hook(lambda m, x, y, name=name: calls.append(name)))
    with torch.no_grad():
        copy.deepcopy(plain).eval()(*args)
    for handle in handles:
        handle.remove()
    return [name for name in calls[calls.index(block) + 1 :] if name != block]


@pytest.mark.parametrize('training', [False, True], ids=['evaluation', 'training'])
@each_case
def test_equals_whole_passes_of_the_plain_network(kind, training):
    """Outputs, gradients and running statistics."""
    case = CASES[kind]
    plain = case.plain(training)
    net, args = recurrent(case, plain), case.inputs()
    assert net.training == training
    linears = adapters(net, case)
    expected, states = case.reference(plain, args, linears)

    outputs = net.forward_iterates(*args)
    assert isinstance(outputs, tuple) and len(outputs) == 3
    torch.testing.assert_close(list(outputs), expected)
    for before, after in zip(outputs, outputs[1:]):  # the recurrence does something
        assert max((a - b).abs().max() for a, b in zip(tree_leaves(before), tree_leaves(after))) > 1e-4

    frozen = {f'{path}.weight' for paths, _ in case.blocks().values() for path in paths}
    trained = {plain_name(n): p for n, p in net.named_parameters() if p.requires_grad and '.adapter.' not in f'.{n}'}
    assert set(trained) == set(dict(plain.named_parameters())) - frozen
    tensors = [x for x in args if isinstance(x, torch.Tensor)]
    ours = [
        *tensors,
        *trained.values(),
        *(p for name in case.blocks() for p in net.wrapped.get_submodule(name).adapter.parameters()),
    ]
    theirs = [
        *tensors,
        *(plain.get_parameter(n) for n in trained),
        *(p for block in linears for m in block for p in m.parameters()),
    ]
    for name, a, b in zip([*tensors, *trained, *theirs], gradients(outputs, ours), gradients(expected, theirs)):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f'{name}: {text}')

    order = list(case.blocks())
    after = norms_after(plain, order[-1], args)
    for name, _ in plain.named_buffers():
        norm = name.rpartition('.')[0]
        block = next((b for b in order if norm == b or norm.startswith(f'{b}.')), order[-1])
        several = norm.startswith(f'{block}.') or norm in after
        assert (f'{norm}.iterates.running_mean' in net.state_dict()) == several
        for i in range(3):
            torch.testing.assert_close(rows(net, plain, i)[name], states[block, i if several else 0][name])


@pytest.mark.parametrize('kind', ['middle', 'three blocks', 'skip, changes in place', 'two paths', 'iterated list'])
def test_evaluates_with_the_statistics_of_each_iterate(kind):
    case = CASES[kind]
    plain = case.plain(training=True)
    net, args = recurrent(case, plain), case.inputs()
    for seed in (5, 6):
        net.forward_iterates(*(3 * x for x in case.inputs(seed)))
    net.eval()
    order = list(case.blocks())

    def buffers(block, iterate):
        """Earlier blocks have made their last iterate; what follows the last one has that of its pass."""
        result = rows(net, plain, iterate)
        for name, value in rows(net, plain, 2).items():
            if any(name.startswith(f'{earlier}.') for earlier in order[: order.index(block)]):
                result[name] = value
        return result

    expected, _ = case.reference(plain.eval(), args, adapters(net, case), buffers=buffers)
    before = copy.deepcopy(net.state_dict())
    outputs = net.forward_iterates(*args)
    torch.testing.assert_close(list(outputs), expected)
    shared, _ = case.reference(plain.eval(), args, adapters(net, case), buffers=lambda block, i: rows(net, plain, 0))
    assert (expected[-1] - shared[-1]).abs().max() > 1e-4  # the iterates' statistics differ
    torch.testing.assert_close(net(*args), expected[-1])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize('kind', ['middle', 'skip, shared activation', 'three blocks'])
def test_shared_statistics(kind):
    """One set sees every iterate in turn; what runs before the last block is seen once."""
    case = CASES[kind]
    plain = case.plain(training=True)
    net, args = recurrent(case, plain, norm_statistics='shared'), case.inputs()
    expected, states = case.reference(plain, args, adapters(net, case))
    torch.testing.assert_close(list(net.forward_iterates(*args)), expected)
    assert not any('iterates' in name for name in net.state_dict())
    order = list(case.blocks())
    after = norms_after(plain, order[-1], args)
    for name, norm in plain.named_modules():
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
            continue
        block = next((b for b in order if name.startswith(f'{b}.')), order[-1])
        seen = range(3) if name.startswith(f'{block}.') or name in after else range(1)
        mean = norm.running_mean
        for i in seen:
            batch = (states[block, i][f'{name}.running_mean'] - 0.9 * norm.running_mean) / 0.1
            mean = 0.9 * mean + 0.1 * batch
        torch.testing.assert_close(net.state_dict()[f'{name}.running_mean'], mean)
        assert net.state_dict()[f'{name}.num_batches_tracked'] == norm.num_batches_tracked + len(seen)


@each_case
def test_forward_is_the_last_iterate(kind):
    case = CASES[kind]
    net, args = recurrent(case, case.plain()), case.inputs()
    last = net.forward_iterates(*args)[-1]
    for output in (net(*args), net(*args, return_iterates=True)[-1]):
        assert type(output) is type(last)
        for a, b in zip(tree_leaves(output), tree_leaves(last)):
            assert torch.equal(a, b)


@pytest.mark.parametrize('training', [False, True])
@each_case
def test_one_iteration_is_the_plain_network_to_the_bit(kind, training):
    case = CASES[kind]
    plain = case.plain(training)
    net, args = recurrent(case, plain, num_iterations=1), case.inputs()
    assert all(p.requires_grad for p in net.parameters())
    assert list(net.state_dict()) == list(plain.state_dict())
    outputs, expected = net.forward_iterates(*args), plain(*args)
    assert len(outputs) == 1
    for a, b in zip(tree_leaves(outputs[0]), tree_leaves(expected)):
        assert torch.equal(a, b)
    for a, b in zip(gradients(outputs, list(net.parameters())), gradients(expected, list(plain.parameters()))):
        assert torch.equal(a, b)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in plain.state_dict().items())


@pytest.mark.parametrize('training', [False, True])
@each_case
def test_alpha_zero_is_the_plain_network(kind, training):
    case = CASES[kind]
    plain = case.plain(training)
    net, args = recurrent(case, plain, alpha=0.0), case.inputs()
    expected = plain(*args)
    for output in net.forward_iterates(*args):
        torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('kind', ['middle', 'three blocks', 'several inputs and outputs'])
def test_num_iterations_may_change(kind):
    case = CASES[kind]
    net, args = recurrent(case, case.plain()), case.inputs()
    expected = net.forward_iterates(*args)
    for k in (5, 2, 1, 3):
        net.num_iterations = k
        outputs = net.forward_iterates(*args)
        assert net.num_iterations == len(outputs) == k
        if k <= 2 and len(case.blocks()) > 1:
            continue  # the blocks before the last one make fewer iterations, too
        for a, b in zip(outputs, expected) if len(case.blocks()) == 1 else ():
            torch.testing.assert_close(a, b)
    torch.testing.assert_close(net.forward_iterates(*args), expected)
    for value in (0, True, 2.0):
        with pytest.raises(ValueError, match='num_iterations must be an int from 1 to 1000'):
            net.num_iterations = value
    assert net.num_iterations == 3


def test_iterations_added_after_construction_have_statistics_of_their_own():
    case = CASES['middle']
    plain = case.plain(training=True)
    net, args = recurrent(case, plain, num_iterations=2), case.inputs()
    net.num_iterations = 3
    expected, states = case.reference(plain, args, adapters(net, case))
    torch.testing.assert_close(list(net.forward_iterates(*args)), expected)
    for norm in ('layer1.1.bn1', 'layer1.2.bn2', 'norm'):
        for i in range(3):
            torch.testing.assert_close(
                rows(net, plain, i)[f'{norm}.running_mean'], states['layer1.1', i][f'{norm}.running_mean']
            )


def test_what_comes_before_the_last_block_runs_once():
    net = recurrent(CASES['three blocks'], CASES['three blocks'].plain())
    calls = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, x, y, name=plain_name(name): calls.append(name))
    net.forward_iterates(*CASES['three blocks'].inputs())
    assert {name: calls.count(name) for name in calls} == {
        'stem.0': 3,
        'layer1.0.conv1': 3,
        'layer1.0.conv2': 3,
        'layer1.1.conv1': 1,
        'layer1.1.conv2': 1,
        'layer1.2.conv1': 3,
        'layer1.2.conv2': 3,
    }


def test_what_follows_the_block_runs_for_the_last_iterate_alone_where_that_is_wanted():
    class Net(nn.Sequential):
        def __init__(self):
            names = 'stem', 'block', 'norm', 'head'
            super().__init__(
                OrderedDict(zip(names, (nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))))
            )

    net, calls = RecurrentNetwork(Net(), 'block', torch.randn(2, 4), '', num_iterations=4), []
    for name in ('stem', 'norm', 'head'):
        module = net.wrapped.get_submodule(name)
        module.forward = lambda x, name=name, forward=module.forward: (calls.append(name), forward(x))[1]
    for training in (False, True):
        net.train(training)(torch.randn(2, 4))
        assert calls == ['stem', 'norm', 'head']
        calls.clear()
    net.forward_iterates(torch.randn(2, 4))
    assert calls == ['stem'] + ['norm', 'head'] * 4


@each_case
def test_names_of_the_state_dict_and_plain_checkpoints(kind):
    case = CASES[kind]
    plain, other = case.plain(training=True), case.plain(training=True, seed=7)
    net, args = recurrent(case, plain), case.inputs()
    net.forward_iterates(*args)
    added = set(net.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(net.state_dict())
    assert all('.adapter.linears.' in name or '.iterates.' in name for name in added)
    assert {name.split('.adapter.')[0] for name in added if '.adapter.' in name} == set(case.blocks())

    missing, unexpected = net.load_state_dict(other.state_dict(), strict=False)
    assert not unexpected and {plain_name(name) for name in missing} == {name for name in added if '.adapter.' in name}
    for i in range(3):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in rows(net, plain, i).items())
    fresh = recurrent(case, case.plain(seed=8))
    net.forward_iterates(*args)
    fresh.load_state_dict(net.state_dict())
    for a, b in zip(tree_leaves(fresh.forward_iterates(*args)), tree_leaves(net.eval().forward_iterates(*args))):
        assert torch.equal(a, b)
    missing, unexpected = plain.load_state_dict(net.state_dict(), strict=False)
    assert not missing and set(unexpected) == added


def test_attributes_and_methods_of_the_network():
    case = CASES['middle']
    net, (x,) = recurrent(case, case.plain(training=True)), case.inputs()
    assert net.num_features == 4 and net.fc is net.wrapped.fc
    assert net.layer1[1].conv1 is net.recurrent_block.wrapped.conv1
    with pytest.raises(AttributeError, match='no_such_thing'):
        net.no_such_thing
    net.forward_iterates(3 * x)
    net.eval()
    logits = net.fc(
        net.forward_features(x).mean(dim=(2, 3))
    )  # the norm after the block has the last iterate's statistics
    assert torch.equal(logits, net(x)) and not torch.allclose(logits, net.forward_iterates(x)[0])


def test_keyword_inputs():
    case = CASES['several inputs and outputs']
    plain, (x, g, _) = case.plain(), case.inputs()
    options = dict(case.options)
    torch.manual_seed(2)
    net = RecurrentNetwork(copy.deepcopy(plain), 'gated', dict(x=x, scale=0.5, g=g), **options)
    torch.manual_seed(2)
    other = RecurrentNetwork(copy.deepcopy(plain), 'gated', (x, g, 0.5), **options)
    for a, b in zip(net.forward_iterates(x=x, g=g, scale=0.5), other.forward_iterates(x, g, 0.5)):
        torch.testing.assert_close(a, b)


def test_the_kaizen_loss_trains_all_but_the_first_weights():
    case = CASES['three blocks']
    net, args = recurrent(case, case.plain(training=True)), case.inputs()
    KaizenLoss(gamma_first=0.5, gamma_others=0.5)(net.forward_iterates(*args), torch.tensor([0, 1, 0])).backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.any() or 'conv' in name, name
