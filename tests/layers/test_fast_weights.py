"""Fast weights as a value, and passes with them, against plain loops."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from kaizen_mm.layers import AdaptiveRecurrentBlock, FastWeights, specialized, written_weights

FORMS = {
    'low rank': dict(alpha=0.05),
    'formed': dict(alpha=0.05, pool_kernel=5),
    'dense': dict(alpha=0.05, bound='tanh'),
    'full': dict(alpha=0.02, shared_rows=False, pool_kernel=3),
    'global': dict(adapter='global', alpha=0.3),
}
each_form = pytest.mark.parametrize('form', FORMS)


class Block(nn.Module):
    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, groups=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.norm = norm(4)

    def forward(self, x):
        return self.norm(self.conv2(torch.relu(self.conv1(x)))) + x.mean(dim=1, keepdim=True)


def block(form='low rank', num_iterations=3, seed=0, norm=nn.BatchNorm2d, **options):
    """A recurrent block whose norms have seen something, in evaluation mode."""
    torch.manual_seed(seed)
    net = AdaptiveRecurrentBlock(
        Block(norm), ['conv1', 'conv2'], (4, 6, 6), 'norm', num_iterations, **FORMS[form], **options
    ).double()
    for linear in net.adapter.linears if num_iterations > 1 else ():
        nn.init.normal_(linear.weight, std=0.5)
    for _ in range(3):
        net(images(5) * 2 + 1)
    return net.eval()


def images(samples=4, seed=1):
    torch.manual_seed(seed)
    return torch.randn(samples, 3, 6, 6, dtype=torch.float64)


@each_form
def test_a_pass_with_written_weights_is_the_last_iterate(form):
    net, x = block(form), images()
    iterates, w = net(x), net.written_weights(x)
    assert len(w) == 4 and w.iterate == 2 and w.dtype == torch.float64
    (y,) = net(x, fast_weights=w)
    torch.testing.assert_close(y, iterates[-1], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(y, iterates[0], atol=1e-3)
    again = net(x)
    assert all(torch.equal(a, b) for a, b in zip(iterates, again)), 'nothing stays behind'


@each_form
def test_a_pass_with_written_weights_is_a_loop_over_plain_blocks(form):
    net, x, other = block(form), images(), images(seed=2)
    w = net.written_weights(x)
    (y,) = net(other, fast_weights=w)
    norm = net.wrapped.norm
    for n, (dense, sample) in enumerate(zip([w[i].dense()[0] for i in range(4)], other)):
        plain = Block().double().eval()
        plain.load_state_dict(net.state_dict(), strict=False)
        plain.norm.running_mean = norm.iterates.running_mean[1].clone()
        plain.norm.running_var = norm.iterates.running_var[1].clone()
        weights = {
            f'{name}.weight': getattr(plain, name).weight + dense[name][0].reshape(getattr(plain, name).weight.shape)
            for name in ('conv1', 'conv2')
        }
        expected = functional_call(plain, weights, (sample[None],))[0]
        torch.testing.assert_close(y[n], expected, rtol=1e-12, atol=1e-12)


@each_form
def test_a_specialized_block_is_plain_and_gives_the_same(form):
    net, x = block(form, num_iterations=2), images()
    w = net.written_weights(x)
    before = copy.deepcopy(net.state_dict())
    for n in range(4):
        plain = net.specialized(w[n])
        assert type(plain) is Block
        torch.testing.assert_close(plain(x), net(x, fast_weights=w[n].expand(4))[0], rtol=1e-12, atol=1e-12)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


def traces(module):
    """What a module and its children are made of, but for the values of their tensors."""
    hooks = ('_forward_pre_hooks', '_forward_hooks', '_state_dict_hooks', '_load_state_dict_pre_hooks')
    return {
        name: (
            type(m),
            sorted(set(m.__dict__) - {'_compiled_call_impl'}),
            [len(m.__dict__[hook]) for hook in (*hooks, '_state_dict_pre_hooks', '_load_state_dict_post_hooks')],
            [(key, p.requires_grad) for key, p in m._parameters.items() if p is not None],
            list(m._buffers),
            m.training,
        )
        for name, m in module.named_modules()
    }


@each_form
def test_nothing_of_the_recurrence_is_left_in_a_specialized_block(form):
    torch.manual_seed(0)
    plain = Block().double()
    net = AdaptiveRecurrentBlock(copy.deepcopy(plain), ['conv1', 'conv2'], (4, 6, 6), 'norm', **FORMS[form]).double()
    found = net.specialized(net.written_weights(images())[0])
    assert traces(found) == traces(plain)
    assert list(found.state_dict()) == list(plain.state_dict())


def test_weights_that_were_frozen_before_stay_so():
    plain = Block().double()
    plain.conv1.weight.requires_grad_(False)
    net = AdaptiveRecurrentBlock(plain, ['conv1', 'conv2'], (4, 6, 6), 'norm').double()
    found = net.specialized(net.written_weights(images())[0])
    assert not found.conv1.weight.requires_grad and found.conv2.weight.requires_grad


def test_hooks_of_a_transformer_layer_go_as_well():
    torch.manual_seed(0)
    plain = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).double()
    net = AdaptiveRecurrentBlock(
        copy.deepcopy(plain), ['linear2'], (8, 5), feedback_layout='channels_last', num_iterations=2
    ).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    found = net.specialized(net.written_weights(x)[1])
    assert traces(found) == traces(plain)
    torch.testing.assert_close(found(x)[1], net(x)[-1][1], rtol=1e-12, atol=1e-12)


@each_form
def test_weights_that_are_zero_give_the_plain_block_to_the_bit(form):
    net = block(form, norm_statistics='shared')
    x = images()
    w = net.written_weights(x)._mapped(torch.zeros_like)
    plain = Block().double().eval()
    plain.load_state_dict(net.state_dict(), strict=False)
    exact = dict(rtol=0, atol=0) if form in ('low rank', 'formed', 'global') else {}  # per-sample kernels differ
    torch.testing.assert_close(net(x, fast_weights=w)[0], plain(x), **exact)
    assert torch.equal(net.specialized(w[0])(x), plain(x)) and not w.norm().any()


def test_without_a_step_nothing_is_written():
    net, x = block(), images()
    net.adapter.alpha = 0.0
    w = net.written_weights(x)
    assert not w.norm().any() and not w.distance(w).any()
    torch.testing.assert_close(net(x, fast_weights=w)[0], net(x)[-1], rtol=0, atol=0)


@each_form
def test_gradients_reach_what_has_written(form):
    net, x, other = block(form, freeze_dynamic=False), images(), images(seed=3)

    def loss(weights):
        return net(other, fast_weights=weights)[0].square().sum()

    loss(net.written_weights(x)).backward()
    through = [p.grad.clone() for p in net.adapter.parameters()]
    assert all(grad.any() for grad in through)
    # by differences, along one direction
    direction = [torch.randn_like(p) for p in net.adapter.parameters()]
    values = []
    for step in (1e-6, -1e-6):
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for p, d in zip(moved.adapter.parameters(), direction):
                p += step * d
            values.append(moved(other, fast_weights=moved.written_weights(x))[0].square().sum())
    expected = (values[0] - values[1]) / 2e-6
    found = sum((g * d).sum() for g, d in zip(through, direction))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    net.zero_grad()
    loss(net.written_weights(x).detach()).backward()
    assert all(p.grad is None or not p.grad.any() for p in net.adapter.parameters())


@each_form
def test_they_are_indexed_averaged_and_put_together(form):
    net, x = block(form), images(6)
    w = net.written_weights(x)
    for index, expected in [(2, [2]), (-1, [5]), (slice(1, 3), [1, 2]), ([4, 0], [4, 0])]:
        part = w[index]
        assert len(part) == len(expected)
        for found, whole in zip(part.dense()[0].values(), w.dense()[0].values()):
            assert torch.equal(found, whole[expected])
    mask = torch.tensor([True, False, True, False, False, False])
    assert len(w[mask]) == 2 and not w[mask].distance(w[[0, 2]]).any()
    mean = w.mean()
    for found, whole in zip(mean.dense()[0].values(), w.dense()[0].values()):
        torch.testing.assert_close(found[0], whole.mean(dim=0))
    assert not FastWeights.cat([w[:2], w[2:]]).distance(w).any()
    with pytest.raises(IndexError, match='sample 6 of fast weights for 6 samples'):
        w[6]
    with pytest.raises(ValueError, match=r'expand\(\) is for fast weights of one sample, these are for 6'):
        w.expand(2)


@each_form
@torch.no_grad()
def test_norm_and_distance_are_those_of_the_dense_weights(form):
    net = block(form)
    a, b = net.written_weights(images()), net.written_weights(images(seed=5))
    for n in range(4):
        one, two = ([layer[n] for layer in w.dense()[0].values()] for w in (a, b))
        norms = [math.sqrt(sum(layer.square().sum() for layer in w)) for w in (one, two)]
        difference = math.sqrt(sum((p - q).square().sum() for p, q in zip(one, two)))
        assert a.norm()[n] == pytest.approx(norms[0], rel=1e-5)
        assert a.distance(b)[n] == pytest.approx(difference / max(norms), rel=1e-5)
    assert not a.distance(a).any()


def test_weights_written_before_and_after_a_training_step_of_h_are_compared_as_they_were():
    net, x = block(), images()
    before = net.written_weights(x).detach()
    kept = copy.deepcopy(before.dense())
    with torch.no_grad():
        for linear in net.adapter.linears:
            linear.weight.mul_(2)
    assert all(torch.equal(a, b) for a, b in zip(before.dense()[0].values(), kept[0].values()))
    after = net.written_weights(x)
    assert after.distance(before).min() > 0 and after.distance(before).max() <= 2
    assert net(x, fast_weights=before)[0].isfinite().all(), 'the same network, whatever it has learned since'
    with pytest.raises(ValueError, match='h has been trained in between'):
        FastWeights.cat([before, after])


@each_form
def test_they_are_saved_and_loaded_for_a_network_loaded_anew(form, tmp_path):
    net, x = block(form), images()
    w = net.written_weights(x)
    w.save(tmp_path / 'folder' / 'w.safetensors')
    loaded = FastWeights.load(tmp_path / 'folder' / 'w.safetensors')
    assert repr(loaded) == repr(w) and not loaded.distance(w).any() and len(loaded) == 4
    again = block(form, seed=7)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(x, fast_weights=loaded)[0], net(x, fast_weights=w)[0])
    assert [p.name for p in (tmp_path / 'folder').iterdir()] == ['w.safetensors']


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'is no safetensors file, or a broken one'),
        (b'hello world, this is text', 'is no safetensors file, or a broken one'),
        ('other', 'has no fast weights: it is another kind of safetensors file'),
        ('cut', 'is no safetensors file, or a broken one'),
        ('lacking', r'the fast weights are incomplete'),
    ],
)
def test_files_that_are_none_are_refused(content, message, tmp_path):
    from safetensors.torch import load_file, safe_open, save_file

    path = tmp_path / 'w.safetensors'
    block().written_weights(images()).save(path)
    if content == 'other':
        save_file({'a': torch.zeros(2)}, path)
    elif content == 'cut':
        path.write_bytes(path.read_bytes()[:-20])
    elif content == 'lacking':
        with safe_open(path, 'pt') as file:
            information = file.metadata()
        tensors = load_file(path)
        save_file({k: v for k, v in tensors.items() if not k.endswith('basis')}, path, information)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        FastWeights.load(path)
    with pytest.raises(FileNotFoundError):
        FastWeights.load(tmp_path / 'none.safetensors')


def test_what_to_install_is_said(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, 'safetensors', None)
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    w = block().written_weights(images())
    with pytest.raises(ImportError, match=r"safetensors is not installed: pip install 'kaizen-mm\[timm\]'"):
        w.save(tmp_path / 'w.safetensors')
    with pytest.raises(ImportError, match='safetensors is not installed'):
        FastWeights.load(tmp_path / 'w.safetensors')


def test_steps_write_once_and_hold():
    net, x, other = block(), images(), images(seed=4)
    scores, state = net.step(x)
    assert all(torch.equal(a, b) for a, b in zip(scores, net(x)))
    (held,), same = net.step(other, state)
    assert same is state and torch.equal(held, net(other, fast_weights=state)[0])


@pytest.mark.parametrize('way', ['call', 'specialized', 'step'])
def test_weights_that_do_not_fit_are_refused(way):
    net, x = block(), images()
    w = net.written_weights(x)
    use = {
        'call': lambda n, weights: n(x, fast_weights=weights),
        'specialized': lambda n, weights: n.specialized(weights),
        'step': lambda n, weights: n.step(x, weights),
    }[way]
    other = block(seed=3)
    with pytest.raises(ValueError, match='fast_weights: they were written by another network'):
        use(other, w[0])
    with pytest.raises(ValueError, match='fast_weights: they were written by another network'):
        use(block('global'), w[0])
    with pytest.raises(ValueError, match=r'fast_weights: they are torch.float32 and the network torch.float64'):
        use(net, w[0].to(torch.float32))
    with pytest.raises(ValueError, match='fast_weights: they are on meta and the network on cpu'):
        use(net, w[0].to('meta'))
    with pytest.raises(ValueError, match='fast_weights must be FastWeights, .* got dict'):
        use(net, {})
    if way != 'specialized':
        with pytest.raises(ValueError, match='they are for 1 samples, but the block gets 4; index them'):
            use(net, w[0])
    else:
        with pytest.raises(ValueError, match='has the weights of one sample, these are of 4; take one'):
            use(net, w)
    assert net.given is None
    reloaded = copy.deepcopy(net)
    reloaded.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match='another network'):
        use(reloaded, w[0])
    net.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match='another network'):
        use(net, w[0])


def test_the_same_weights_in_half_precision_are_known_again():
    net, x = block().float(), images().float()
    w = net.written_weights(x)
    half = copy.deepcopy(net).bfloat16()
    y = half(x.bfloat16(), fast_weights=w.to(torch.bfloat16))[0]
    torch.testing.assert_close(y.float(), net(x)[-1], rtol=0.1, atol=0.1)


@pytest.mark.parametrize('built', [1, 3])
def test_with_one_iteration_nothing_is_written(built):
    net, x = block(num_iterations=built), images()
    w = block().written_weights(x)
    net.num_iterations = 1
    for call in (lambda: net.written_weights(x), lambda: net(x, fast_weights=w), lambda: net.specialized(w[0])):
        with pytest.raises(ValueError, match='AdaptiveRecurrentBlock has num_iterations=1, so that no weights are'):
            call()
    with pytest.raises(ValueError, match='network: Linear has no recurrent block'):
        written_weights(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match='network: Linear has no recurrent block'):
        specialized(nn.Linear(2, 2), w)


def test_in_training_the_statistics_of_the_last_iterate_learn():
    net, x = block().train(), images()
    w = net.written_weights(x)
    before = copy.deepcopy(net.state_dict())
    net(x, fast_weights=w)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f'norm.iterates.{stat}' for stat in ('running_mean', 'running_var', 'num_batches_tracked')}
    rows = net.state_dict()['norm.iterates.running_mean'] != before['norm.iterates.running_mean']
    assert rows[1].all() and not rows[0].any()


class Prepared(Block):
    """A block whose first norm runs once for all iterates."""

    prepared_norms = ('first',)

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(3)

    def prepare(self, x):
        return x, self.first(x)

    def forward_prepared(self, x, normed):
        return self.norm(self.conv2(torch.relu(self.conv1(normed)))) + x.mean(dim=1, keepdim=True)

    def forward(self, x):
        return self.forward_prepared(*self.prepare(x))


def test_norms_that_run_once_keep_the_first_statistics():
    torch.manual_seed(0)
    net = AdaptiveRecurrentBlock(Prepared(), ['conv1'], (4, 6, 6), 'norm', 3, alpha=0.05).double()
    for _ in range(3):
        net(images(5) * 2 + 1)
    net.eval()
    x = images()
    w = net.written_weights(x)
    torch.testing.assert_close(net(x, fast_weights=w)[0], net(x)[-1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(net.specialized(w[0])(x[:1]), net(x)[-1][:1], rtol=1e-12, atol=1e-12)
    del Prepared.prepared_norms
    with pytest.raises(ValueError, match='Prepared has prepare.., but does not say by prepared_norms'):
        net.specialized(w[0])


@each_form
@torch.no_grad()
def test_weights_of_one_sample_are_added_up_once_and_follow_those_of_the_network(form):
    net, x = block(form), images(1)
    w = net.written_weights(x)
    expected = net(x)[-1]
    for _ in range(2):
        torch.testing.assert_close(net(x, fast_weights=w)[0], expected, rtol=1e-11, atol=1e-12)
    kept = [value for _, name, value in w.merged_pass._changes if name == 'weight']
    net(x, fast_weights=w)
    assert len(kept) == 2 and all(
        a is b for a, b in zip(kept, [value for _, name, value in w.merged_pass._changes if name == 'weight'])
    )
    net.wrapped.conv1.weight.mul_(1.1)  # in training W_1 changes in place
    expected = net.specialized(w)(x)
    torch.testing.assert_close(net(x, fast_weights=w)[0], expected, rtol=1e-11, atol=1e-12)
    with torch.enable_grad():
        y = net(x, fast_weights=w)[0]
    torch.testing.assert_close(y.detach(), expected, rtol=1e-11, atol=1e-12)
    assert not net(x, fast_weights=w)[0].requires_grad
