"""Chains of windows that a network goes on writing, against a plain loop with weights that are added up by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, chain_passes, rewriting, set_decay, written_weights
from kaizen_mm.layers.chains import ChainPass
from kaizen_mm.models import BagNet
from kaizen_mm.streams import StreamRecognizer
from kaizen_mm.surgery import RecurrentNetwork

DOUBLE = dict(dtype=torch.float64)


class Block(nn.Module):
    """``[N, 4] -> [N, 4]``; without norms, so that samples are alone in training too."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6, **DOUBLE), nn.Linear(6, 4, **DOUBLE)

    def forward(self, u):
        return u + self.second(torch.tanh(self.first(u)))


def block(decay=1.0, adapter='global', iterations=2, **options):
    torch.manual_seed(0)
    made = AdaptiveRecurrentBlock(
        Block(), ['first', 'second'], (4,), num_iterations=iterations, freeze_dynamic=False, adapter=adapter, **options
    )
    with torch.no_grad():
        for parameter in made.adapter.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    set_decay(made, decay)
    return made


def plain_pass(net, u, increments):
    """One sample through the block with weights written out in full."""
    parameters = dict(net.wrapped.named_parameters())
    weights = {name: parameters[f'{name}.weight'] + dw for name, dw in zip(net.dynamic, increments)}
    hidden = torch.tanh(F.linear(u, weights['first'], parameters['first.bias']))
    return u + F.linear(hidden, weights['second'], parameters['second.bias'])


def change(net, z):
    """``alpha h(z)`` of one sample, in full."""
    shapes = [net.wrapped.get_submodule(name).weight.shape for name in net.dynamic]
    return [inc.dense()[0].reshape(shape) for inc, shape in zip(net.adapter.update(net.adapter.initial(), z), shapes)]


def plain_chain(net, windows, begins, decay, every, truncate):
    """Outputs of the windows ``[L, 4]`` of one chain: of a window that begins those of K passes."""
    outputs, dw, age = [], [], 0
    for index, u in enumerate(windows[:, None]):
        if truncate and index and index % truncate == 0:
            dw = [increment.detach() for increment in dw]
        if begins[index]:
            dw, of_window = [0.0, 0.0], []
            for _ in range(net.num_iterations):
                of_window.append(plain_pass(net, u, dw))
                written, dw = dw, [old + new for old, new in zip(dw, change(net, of_window[-1]))]
            dw, age = written, 0
            outputs.append(of_window)
            continue
        z = plain_pass(net, u, dw)
        outputs.append([z])
        age += 1
        if age >= every:
            dw, age = [decay * old + new for old, new in zip(dw, change(net, z))], 0
    return outputs


def case(chains=3, windows=5, seed=1):
    torch.manual_seed(seed)
    x = torch.randn(chains, windows, 4, **DOUBLE)
    begins = torch.zeros(chains, windows, dtype=torch.bool)
    begins[:, 0] = True
    return x, begins


def cost(outputs):
    """One number to which all windows and iterates add, each with a weight of its own."""
    return sum((y * (1 + index) * torch.arange(1, 5)).square().sum() for index, y in enumerate(outputs))


def of_chains(net, x, begins, **options):
    """The outputs by chain and window, as :func:`plain_chain` gives them for one."""
    found = {}
    for part in chain_passes(net, lambda u: net(u), x, begins, **options):
        assert isinstance(part, ChainPass)
        assert len(part.result) == (1 if part.held else net.num_iterations)
        for place, key in enumerate(zip(part.samples.tolist(), part.windows.tolist())):
            assert key not in found
            found[key] = [y[place : place + 1] for y in part.result]
    assert len(found) == begins.numel()
    return [[found[chain, window] for window in range(x.shape[1])] for chain in range(len(x))]


@pytest.mark.parametrize('options', [{}, {'adapter': 'paper', 'shared_rows': False, 'alpha': 0.5}, {'iterations': 3}])
@pytest.mark.parametrize('decay', [0, 0.5, 1])
@pytest.mark.parametrize('every', [1, 2])
def test_outputs_and_gradients_are_those_of_a_plain_loop(options, decay, every):
    net = block(decay, **options).train()
    x, begins = case()
    begins[1, 2] = begins[2, 1] = begins[2, 4] = True
    found = of_chains(net, x, begins, every=every)
    wanted = [plain_chain(net, own, marks, decay, every, None) for own, marks in zip(x, begins)]
    pairs = [(a, b) for one, two in zip(found, wanted) for of_a, of_b in zip(one, two) for a, b in zip(of_a, of_b)]
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)
    gradients = [torch.autograd.grad(cost(side), list(net.parameters()), retain_graph=True) for side in zip(*pairs)]
    for a, b in zip(*gradients):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('truncate', [1, 2])
def test_truncation_cuts_the_gradients_of_what_was_written(truncate):
    net = block(0.5, 'paper', shared_rows=False, alpha=0.5).train()  # dW itself is what is written
    x, begins = case(chains=2)
    x.requires_grad_()
    found = of_chains(net, x, begins, truncate=truncate)
    wanted = [plain_chain(net, own, marks, 0.5, 1, truncate) for own, marks in zip(x, begins)]
    for side in (found, wanted):
        last = torch.cat([y for chain in side for y in chain[4]]).sum()
        (gradient,) = torch.autograd.grad(last, [x], retain_graph=True)
        reached = (gradient.abs().sum(dim=(0, 2)) > 0).tolist()
        assert reached == [False] * 4 + [True]  # window 5 is the first after a cut for 1 and 2
    parameters = [p for p in net.parameters() if p.requires_grad]
    gradients = []
    for side in (found, wanted):
        outputs = [y for chain in side for window in chain for y in window]
        gradients.append(torch.autograd.grad(cost(outputs), parameters, retain_graph=True))
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_a_weight_of_h_gets_gradients_across_a_truncation():
    net = block().train()
    x, begins = case(windows=2)
    *_, (part) = chain_passes(net, lambda u: net(u), x, begins, truncate=1)
    basis, first = net.adapter.linears[0].weight, net.adapter.global_rows.bottlenecks[0][0].weight
    gradients = torch.autograd.grad(part.result[0].sum(), [basis, first], allow_unused=True)
    assert gradients[0].abs().max() > 0 and gradients[1] is None


def test_a_told_cut_forgets_and_an_untold_one_does_not():
    net = block().eval()
    x, begins = case(chains=1, windows=4)
    told = begins.clone()
    told[0, 2] = True
    with torch.no_grad():
        alone = of_chains(net, x[:, 2:], begins[:, :2])[0]
        after = of_chains(net, x, told)[0][2:]
        on = of_chains(net, x, begins)[0][2:]
    for a, b, c in zip(alone, after, on):
        torch.testing.assert_close(a[-1], b[-1], rtol=1e-12, atol=1e-14)
        assert (a[-1] - c[-1]).abs().max() > 1e-3


def test_a_chain_of_one_window_is_an_ordinary_pass():
    net = block(iterations=3).train()
    x, begins = case(windows=1)
    (part,) = chain_passes(net, lambda u: net(u), x, begins)
    for a, b in zip(part.result, net(x[:, 0])):
        assert torch.equal(a, b)


def test_one_pass_writes_what_is_left_and_what_h_adds():
    net = block().eval()
    x, _ = case()
    with torch.no_grad():
        held = written_weights(net, x[:, 0])
        for decay in (None, 0.25, 0):
            with rewriting(net, held, decay) as written:
                (z,) = net(x[:, 1])
            assert torch.equal(z, net(x[:, 1], fast_weights=held)[0])
            for name, old in held.dense()[0].items():
                new = net.adapter.update(net.adapter.initial(), z)[net.dynamic.index(name)].dense()
                kept = 1 if decay is None else decay
                torch.testing.assert_close(written.weights.dense()[0][name], kept * old + new, rtol=1e-12, atol=1e-13)
        alone = held[1]
        with rewriting(net, alone) as written:
            net(x[1:2, 1])
        torch.testing.assert_close(written.weights.norm(), _written(net, held, x)[1:2], rtol=1e-6, atol=0)


def _written(net, held, x):
    with rewriting(net, held) as written:
        net(x[:, 1])
    return written.weights.norm()


def clips(windows, seed=2):
    torch.manual_seed(seed)
    return torch.randn(1, windows, 3, 4, 8, 8, **DOUBLE)


def network():
    torch.manual_seed(0)
    plain = BagNet(dims=3, num_classes=5, stem=(8, 4, 4), widths=(8, 8)).double()
    net = RecurrentNetwork(plain, 'block2', clips(1)[:, 0], 'conv1', 'bn2', 2, alpha=0.5, freeze_dynamic=False)
    net.train()
    for i in range(2):
        net.forward_iterates(clips(4)[0] * (i + 1))
    return net.eval()


@pytest.mark.parametrize('write, rewrite, all_passes, rewritten', [
    ('never', 1, [0], [1, 2, 3, 4, 5, 6]),
    ('never', 2, [0], [2, 4, 6]),
    (4, 1, [0, 4], [1, 2, 3, 5, 6]),
    (3, 2, [0, 3, 6], [2, 5]),
    ('cuts', 1, [0, 3], [1, 2, 4, 5, 6]),
])  # fmt: skip
def test_a_stream_goes_on_writing(write, rewrite, all_passes, rewritten):
    net, x = network(), clips(7)
    set_decay(net, 0.5)
    recognizer = StreamRecognizer(net, 4, write=write, rewrite=rewrite)
    found = [recognizer.window(x[:, n], cut=0 if n == 3 else None) for n in range(7)]
    assert [n for n in range(7) if found[n].passes == 2] == all_passes
    assert [n for n in range(7) if found[n].wrote] == sorted(all_passes + rewritten)
    with torch.no_grad():
        for n in range(7):
            if n in all_passes:
                scores, held = net(x[:, n]), written_weights(net, x[:, n])
            else:
                scores = net(x[:, n], fast_weights=held)
                if n in rewritten:
                    with rewriting(net, held) as written:
                        net(x[:, n])
                    held = written.weights
            torch.testing.assert_close(found[n].scores, scores[0], rtol=1e-10, atol=1e-12)


def test_a_stream_is_a_chain_in_evaluation():
    net, x = network(), clips(5)
    recognizer = StreamRecognizer(net, 4, rewrite=1)
    found = [recognizer.window(x[:, n]).scores for n in range(5)]
    begins = torch.tensor([[True, False, False, False, False]])
    with torch.no_grad():
        parts = list(chain_passes(net, lambda u: net(u), x, begins))
    for scores, part in zip(found, parts):
        torch.testing.assert_close(scores, part.result[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('arguments, message', [
    (dict(every=0), 'every must be an int >= 1, got 0'),
    (dict(truncate=0), 'truncate must be an int >= 1, got 0'),
    (dict(begins=torch.zeros(3, 5, dtype=torch.bool)), 'True for each first window'),
    (dict(begins=torch.ones(3, 4, dtype=torch.bool)), r'begins must be bool of shape \(3, 5\)'),
    (dict(begins=torch.ones(3, 5)), 'got torch.float32'),
])  # fmt: skip
def test_bad_arguments_are_named(arguments, message):
    net = block()
    x, begins = case()
    with pytest.raises(ValueError, match=message):
        list(chain_passes(net, net, x, **{'begins': begins, **arguments}))


def test_bad_decay_is_named():
    net = block()
    held = written_weights(net, torch.randn(2, 4, **DOUBLE))
    for call in (lambda: set_decay(net, 1.5), lambda: rewriting(net, held, -0.1).__enter__()):
        with pytest.raises(ValueError, match='decay must be'):
            call()
    with pytest.raises(ValueError, match='has no recurrent block'):
        set_decay(nn.Linear(2, 2), 0.5)
    with pytest.raises(ValueError, match='rewrite must be an int >= 1, got 0'):
        StreamRecognizer(network(), rewrite=0)


def test_weights_from_before_a_training_of_h_are_refused():
    net = block()
    held = written_weights(net, torch.randn(2, 4, **DOUBLE)).detach()
    with torch.no_grad():
        net.adapter.linears[0].weight.add_(0.1)
    with pytest.raises(ValueError, match='h has been trained since'), rewriting(net, held):
        net(torch.randn(2, 4, **DOUBLE))
