"""Networks that reach their blocks, share modules, change tensors or fail in ways of their own."""

import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaizen_mm.surgery.network import RecurrentNetwork
from tests.surgery.surgery_helpers import adapters, forwards, gradients, plain_name, recurrent
from tests.surgery.surgery_reference import CASES, Chain, Residual, iterates


class ReadsItsBlock(Chain):
    """Reads an attribute of a block and its submodules' weights."""

    def forward(self, x):
        return super().forward(x) * self.layer1[1].conv2.weight.shape[0]


class OtherNames(Chain):
    """Registers its blocks twice and calls them by the second name."""

    def __init__(self, listed=False):
        super().__init__()
        blocks = [self.layer1[0], self.layer1[1], self.layer1[2]]
        self.again = blocks if listed else nn.ModuleList(blocks)

    def forward_features(self, x):
        x = self.stem(x)
        for block in self.again:
            x = block(x)
        return self.act(self.norm(x))


@pytest.mark.parametrize('network', [ReadsItsBlock, OtherNames])
def test_blocks_that_the_network_reaches_in_other_ways(network):
    case = copy.copy(CASES['middle'])
    case.network = network
    plain = case.plain()
    net, args = recurrent(case, plain), case.inputs()
    expected, _ = case.reference(plain, args, adapters(net, case))
    outputs = net.forward_iterates(*args)
    torch.testing.assert_close(list(outputs), expected)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4
    assert set(plain.state_dict()) <= set(net.state_dict())


def test_a_block_called_from_a_plain_list_is_refused_and_the_network_left_as_it_was():
    plain = OtherNames(listed=True)
    before, modules = copy.deepcopy(plain.state_dict()), list(plain.modules())
    with pytest.raises(ValueError, match="does not call 'layer1.1' by its place .* such as a list"):
        RecurrentNetwork(plain, 'layer1.1', torch.randn(1, 3, 5, 5), 'conv1')
    assert list(plain.modules()) == modules and list(plain.state_dict()) == list(before)


class Shared(nn.Module):
    """A norm before and after the block, and one activation that is registered within the block first."""

    def __init__(self):
        super().__init__()
        self.block, self.stem, self.norm = Residual(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.act, self.upper = self.block.act, nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.block(self.upper(self.act(self.norm(self.stem(x))))))


def test_a_norm_called_before_and_after_the_block_keeps_one_set_of_statistics():
    torch.manual_seed(0)
    net = RecurrentNetwork(Shared(), 'block', torch.randn(1, 3, 4, 4), 'conv1', alpha=0.3)
    for _ in range(2):
        net.forward_iterates(3 * torch.randn(3, 3, 4, 4) + 1)
    assert not hasattr(net.norm, 'iterates') and net.norm.num_batches_tracked == 8
    assert not hasattr(net.upper, 'iterates') and net.upper.num_batches_tracked == 2
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(net.eval()(x), net.forward_iterates(x)[-1])


class Between(nn.Module):
    """In-place work on what comes before a block, by a module or between modules."""

    def __init__(self, how):
        super().__init__()
        self.stem, self.block, self.fc = nn.Conv2d(3, 4, 1), Residual(), nn.Conv2d(4, 2, 1)
        self.act = nn.LeakyReLU(0.3, inplace=how != 'plain')
        self.how, self.drop, self.pool = how, nn.Dropout(inplace=how == 'dropout in place'), nn.MaxPool2d(2, 1, 1)

    def forward(self, x):
        x = self.stem(x)
        if self.how == 'function':
            F.leaky_relu_(x, 0.3)
        elif self.how != 'after':
            x = self.act(x)
        y = self.block(torch.tanh(x) if self.how == 'after' else self.pool(x)[:, :, :-1, :-1])
        if self.how == 'after':
            self.act(x)
        if self.how == 'dropout in place':
            y = y + self.drop(x)
        return self.fc(x + y)


@pytest.mark.parametrize('how', ['plain', 'module', 'function', 'after'])
def test_changes_in_place_give_what_whole_passes_give(how):
    torch.manual_seed(0)
    plain = Between(how).double()
    x = torch.randn(2, 3, 4, 4).double().requires_grad_()
    net = RecurrentNetwork(copy.deepcopy(plain), 'block', x.detach(), 'conv1', alpha=0.3, norm_statistics='shared')
    linears = copy.deepcopy(list(net.recurrent_block.adapter.linears))
    expected, _ = iterates(plain, (x,), {'block': (['block.conv1'], 'block')}, [linears], 3, 0.3)
    outputs = net.forward_iterates(x)
    torch.testing.assert_close(list(outputs), expected)
    ours, theirs = (
        [x, net.stem.weight, *net.recurrent_block.adapter.parameters()],
        [x, plain.stem.weight, linears[0].weight],
    )
    torch.testing.assert_close(gradients(outputs, ours), gradients(expected, theirs))


def test_changes_in_place_in_training_alone_are_refused_in_training():
    net = RecurrentNetwork(Between('dropout in place'), 'block', torch.randn(2, 3, 4, 4), 'conv1')
    with pytest.raises(
        RuntimeError, match="Between changes the output of 'stem' in place, but each iterate of 'block'"
    ):
        net.forward_iterates(torch.randn(2, 3, 4, 4))
    assert len(net.eval().forward_iterates(torch.randn(2, 3, 4, 4))) == 3


class Random(Chain):
    def forward(self, x):
        return super().forward(x) + torch.rand(())


def test_a_network_that_draws_random_numbers_in_evaluation_is_refused_and_left_as_it_was():
    plain = Random()
    names, modules = list(plain.state_dict()), list(plain.modules())
    with pytest.raises(ValueError, match='Random cannot go on from .*layer1.1.* draws random numbers'):
        RecurrentNetwork(plain, 'layer1.1', torch.randn(1, 3, 5, 5), 'conv1')
    assert list(plain.state_dict()) == names and list(plain.modules()) == modules
    assert all(p.requires_grad for p in plain.parameters()) and type(plain.layer1[1].conv1) is nn.Conv2d


def test_dropout_before_the_block_is_drawn_once_and_after_it_for_each_iterate():
    plain = nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 16), nn.Dropout(0.5))
    nn.init.eye_(plain[1].weight)
    nn.init.zeros_(plain[1].bias)
    net = RecurrentNetwork(plain, '1', torch.ones(1, 16), '', alpha=0.0)
    seen = []
    net.wrapped[0].register_forward_hook(lambda m, x, y: seen.append(y))
    outputs = net.forward_iterates(torch.ones(4, 16))
    assert all(torch.equal(y, seen[0]) for y in seen) and len({y.count_nonzero().item() for y in outputs}) > 1


def test_the_modes_of_modules_stay():
    plain = Chain()
    plain.stem.eval()
    plain.layer1[1].bn1.eval()
    net = RecurrentNetwork(plain, 'layer1.1', torch.randn(1, 3, 5, 5), 'conv1')
    assert {plain_name(name) for name, m in net.named_modules() if not m.training} == {
        'stem',
        'stem.0',
        'stem.1',
        'stem.2',
        'layer1.1.bn1',
        'layer1.1.bn1.iterates',
    }


def test_nothing_is_kept_after_a_call():
    case = CASES['middle']
    net, (x,) = recurrent(case, case.plain(training=True)), case.inputs()
    kept = []
    for module in (net.stem, net.recurrent_block.wrapped, net.layer1[0]):
        module.register_forward_hook(lambda m, x, y: kept.append(weakref.ref(y)))
    handles = [list(module._forward_hooks) for module in net.modules()]
    outputs = net.forward_iterates(x)
    assert [list(module._forward_hooks) for module in net.modules()] == handles
    assert len(kept) == 9 and kept[0]() is not None  # the graph has them
    del outputs
    gc.collect()
    assert all(ref() is None for ref in kept)
    assert not any('forward' in module.__dict__ for module in net.modules())


@pytest.mark.parametrize('where', ['stem', 'layer1.1.wrapped.conv2', 'norm'])
def test_a_pass_that_fails_leaves_the_network_as_it_was(where):
    case = CASES['middle']
    net, (x,) = recurrent(case, case.plain(training=True)), case.inputs()
    expected, own, seen = net.eval().forward_iterates(x), net.norm.running_mean, []
    net.train()

    def fail_later(module, inputs):
        seen.append(net.norm.running_mean)
        if len(seen) == 2:
            raise RuntimeError('the second time')

    handle = net.wrapped.get_submodule(where).register_forward_pre_hook(fail_later)
    with pytest.raises(RuntimeError, match='the second time'):
        net.forward_iterates(x)
    handle.remove()
    assert (seen[1] is own) == (where == 'layer1.1.wrapped.conv2')  # all iterates of a block run in the first pass
    assert not forwards(net) and net.norm.running_mean is own
    net.eval()
    for name, buffer in net.named_buffers():
        if 'num_batches' not in name:
            assert buffer.isfinite().all()
    with torch.no_grad():
        net.load_state_dict(recurrent(case, case.plain()).state_dict())
    torch.testing.assert_close(net.forward_iterates(x), expected)
    torch.testing.assert_close(net(x), expected[-1])


def test_a_forward_of_the_users_own_on_a_module_stays():
    case = CASES['middle']
    plain = case.plain()
    original = plain.stem.forward
    plain.stem.forward = own = lambda x: 2 * original(x)
    (x,) = case.inputs()
    net = RecurrentNetwork(plain, 'layer1.1', x, 'conv1', alpha=0.0)
    expected = plain(x)
    torch.testing.assert_close(net.forward_iterates(x)[1], expected)
    assert plain.stem.__dict__['forward'] is own and not torch.allclose(expected, case.plain()(x))


def test_the_fused_kernel_of_transformer_layers_does_not_pass_over_dynamic_layers():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.fc = nn.Linear(16, 5)

        def forward(self, x):
            return self.fc(self.layer(x).mean(dim=1))

    torch.manual_seed(0)
    tokens = torch.randn(2, 7, 16)
    plain = Encoder().eval()
    expected = plain(tokens)
    net = RecurrentNetwork(
        plain,
        'layer',
        dynamic='linear1',
        feedback='linear2',
        example_input=tokens,
        feedback_layout='channels_last',
        pool_kernel=7,
        alpha=0.1,
    )
    with_gradients = copy.deepcopy(net).forward_iterates(tokens)
    with torch.no_grad():
        outputs = net.forward_iterates(tokens)
    torch.testing.assert_close(outputs, with_gradients)
    torch.testing.assert_close(outputs[0], expected)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4
