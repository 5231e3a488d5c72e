"""Networks made recurrent under autocast, checkpoints, the compiler, several processes, and copied."""

import copy
import io
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.utils.checkpoint
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kaizen_mm.surgery.network import RecurrentNetwork
from tests.surgery.surgery_reference import Chain, Residual


def network(training=True, seed=0, **options):
    """A recurrent network for images of 5 px, in single precision."""
    torch.manual_seed(seed)
    net = RecurrentNetwork(Chain(), 'layer1.1', torch.randn(1, 3, 5, 5), 'conv1', 'bn2', alpha=3.0, **options)
    net.forward_iterates(2 * torch.randn(4, 3, 5, 5) + 1)
    return net.train(training)


def images(samples=4, seed=1, size=5):
    torch.manual_seed(seed)
    return torch.randn(samples, 3, size, size)


def loss(outputs):
    return sum(
        i * (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum() for i, y in enumerate(outputs, 1)
    )


def equal(outputs, expected):
    assert len(outputs) == len(expected)
    for a, b in zip(outputs, expected):
        assert torch.equal(a, b)


def test_autocast_is_near_single_precision():
    net, x = network(), images()
    with torch.no_grad():
        net.fc.weight *= 10
    expected = copy.deepcopy(net).forward_iterates(x)
    with torch.autocast('cpu', torch.bfloat16):
        outputs = net.forward_iterates(x)
    assert outputs[0].dtype == torch.bfloat16 and (expected[0] - expected[2]).abs().max() > 0.5
    for y, z in zip(outputs, expected):
        torch.testing.assert_close(y.float(), z, rtol=0.05, atol=0.15)
    loss([y.float() for y in outputs]).backward()
    for name, p in net.named_parameters():
        assert (p.grad is not None) == p.requires_grad and (p.grad is None or p.grad.isfinite().all()), name
    assert next(net.recurrent_block.adapter.parameters()).grad.any()


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode):
    net, x = network(training=False), images()
    expected = net.forward_iterates(x)
    with mode():
        equal(net.forward_iterates(x), expected)
        assert torch.equal(net(x), expected[-1])
    net.forward_iterates(x)[-1].sum().backward()  # nothing of it stays


def by_deepcopy(net):
    return copy.deepcopy(net)


def by_pickle(net):
    return pickle.loads(pickle.dumps(net))


def by_torch_save(net):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize('copied', [by_deepcopy, by_pickle, by_torch_save])
def test_copies_give_the_same_and_are_independent(copied):
    net, x = network(training=False), images()
    expected = net.forward_iterates(x)
    other = copied(net)
    equal(other.forward_iterates(x), expected)
    assert other.recurrent_block is not net.recurrent_block and other.num_features == 4
    before = copy.deepcopy(net.state_dict())
    other.train().forward_iterates(3 * x)
    with torch.no_grad():
        next(other.recurrent_block.adapter.parameters()).add_(1)
    assert not torch.equal(other.eval().forward_iterates(x)[1], expected[1])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    other.num_iterations = 4
    assert len(other.forward_iterates(x)) == 4 and net.num_iterations == 3
    missing, unexpected = other.load_state_dict(Chain().state_dict(), strict=False)
    assert len(missing) == 1 and 'adapter' in missing[0] and not unexpected


@pytest.mark.slow
@pytest.mark.parametrize('backend, training', [('eager', False), ('aot_eager', True)])
def test_compiled(backend, training):
    net, x = network(training), images()
    plain = copy.deepcopy(net)
    torch._dynamo.reset()
    compiled = torch.compile(net, backend=backend)
    for _ in range(2):
        outputs, expected = compiled(x, return_iterates=True), plain.forward_iterates(x)
        torch.testing.assert_close(outputs, expected)
        torch.testing.assert_close(compiled(x), plain(x))
    loss(outputs).backward()
    loss(expected).backward()
    for (name, a), b in zip(net.named_parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, msg=lambda text, name=name: f'{name}: {text}')
    torch.testing.assert_close(net.state_dict(), plain.state_dict())
    assert not any('forward' in module.__dict__ for module in net.modules())
    torch._dynamo.reset()


def test_conversion_to_sync_batch_norm():
    net, x = network(training=False), images()
    expected = net.forward_iterates(x)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))
    assert isinstance(synced.norm, nn.SyncBatchNorm) and set(synced.state_dict()) == set(net.state_dict())
    torch.testing.assert_close(synced.forward_iterates(x), expected)
    plain = Chain()
    plain.norm.running_mean += 3
    missing, unexpected = synced.load_state_dict(plain.state_dict(), strict=False)
    assert len(missing) == 1 and 'adapter' in missing[0] and not unexpected
    assert torch.equal(synced.norm.iterates.running_mean, plain.norm.running_mean.expand(2, -1))
    synced.num_iterations = 4
    assert len(synced.norm.iterates) == 3


def _train_in_a_process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    net = _without_joint_statistics()
    ddp = DistributedDataParallel(net)
    x = images()[2 * rank : 2 * rank + 2]
    iterates = ddp(x, return_iterates=True)
    loss_of_mean(iterates).backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.requires_grad}
    last = ddp(x)
    torch.save((iterates, last, gradients, {n: b.clone() for n, b in net.named_buffers()}), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def _without_joint_statistics():
    """Batch norms that take no statistics of the batch: two halves give what the whole batch gives."""
    net = network()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net


def loss_of_mean(outputs):
    return sum(i * (y * torch.tensor([1.0, -2.0])).mean() for i, y in enumerate(outputs, 1))


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path):
    mp.spawn(_train_in_a_process, (str(tmp_path),), nprocs=2)
    results = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    net = _without_joint_statistics()
    expected = net.forward_iterates(images())
    loss_of_mean(expected).backward()
    for i in range(3):
        torch.testing.assert_close(torch.cat([iterates[i] for iterates, *_ in results]), expected[i])
    torch.testing.assert_close(torch.cat([last for _, last, *_ in results]), expected[-1])
    for _, _, gradients, buffers in results:
        assert len(gradients) == len([p for p in net.parameters() if p.requires_grad])
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, net.get_parameter(name).grad, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(buffers, dict(net.named_buffers()))


class WithCheckpoints(nn.Module):
    """A residual block that checkpoints as OpenMMLab's do, counting the runs of its computation."""

    def __init__(self, with_cp=True):
        super().__init__()
        self.inner, self.with_cp, self.runs = Residual(), with_cp, 0

    def forward(self, x):

        def inner(x):
            self.runs += 1
            return self.inner(x)

        if self.with_cp and x.requires_grad:
            return torch.utils.checkpoint.checkpoint(inner, x, use_reentrant=False)
        return inner(x)


def openmmlab(with_cp):
    """Blocks before, around and after the recurrent one that may checkpoint."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 1),
        WithCheckpoints('before' in with_cp),
        WithCheckpoints('block' in with_cp),
        WithCheckpoints('after' in with_cp),
    ).double()
    return RecurrentNetwork(plain, '2', torch.randn(1, 3, 5, 5).double(), 'inner.conv1', 'inner.bn2', alpha=0.3)


def step(net, x, training=True):
    """Outputs, gradients, and buffers after an update of the running statistics and a step."""
    net.train(training)
    if not training:  # statistics of each iterate that differ
        net.train().forward_iterates(3 * x)
        net.eval()
    outputs = net.forward_iterates(x)
    net.zero_grad()
    loss(outputs).backward()
    gradients = {n: p.grad.clone() for n, p in net.named_parameters() if p.requires_grad}
    return [y.detach() for y in outputs], gradients, {n: b.clone() for n, b in net.named_buffers()}


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('with_cp', [('block',), ('after',), ('block', 'after')], ids=str)
def test_with_cp_gives_what_no_checkpoints_give(with_cp, training):
    net, plain, x = openmmlab(with_cp), openmmlab(()), images().double()
    modules = {'block': net.recurrent_block.wrapped, 'after': net.wrapped[3]}
    for module in modules.values():
        module.runs = 0
    torch.testing.assert_close(step(net, x, training), step(plain, x, training))
    for name, module in modules.items():
        extra = 3 if name in with_cp else 0
        assert module.runs == 3 * (1 if training else 2) + extra  # the second computation took place
        assert module.with_cp == (name in with_cp)
    assert not any('forward' in module.__dict__ for module in net.modules())


def test_with_cp_before_the_block_gives_the_same_gradients():
    net, plain, x = openmmlab(('before',)), openmmlab(()), images().double()
    (outputs, gradients, _), (expected, plain_gradients, _) = step(net, x), step(plain, x)
    torch.testing.assert_close((outputs, gradients), (expected, plain_gradients))


def test_with_cp_may_be_set_later_and_backward_run_twice():
    net, plain, x = openmmlab(()), openmmlab(()), images().double()
    net.recurrent_block.wrapped.with_cp = net.wrapped[3].with_cp = True
    for n in (net, plain):
        total = loss(n.forward_iterates(x))
        total.backward(retain_graph=True)
        total.backward()
    for (name, a), b in zip(net.named_parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, msg=lambda text, name=name: f'{name}: {text}')
    torch.testing.assert_close(net.state_dict(), plain.state_dict())


def timm_model(name, **options):
    return pytest.importorskip('timm').create_model(name, num_classes=5, **options)


CONVNEXT = dict(dims=(4, 8, 12, 16), depths=(1, 1, 3, 1))
TIMM = {
    'vit': (
        lambda: timm_model('vit_tiny_patch16_224', img_size=32, embed_dim=12, depth=4, num_heads=3),
        dict(block='blocks.2', dynamic=('attn.proj', 'mlp.fc2'), feedback_layout='channels_last'),
    ),
    'resnet': (lambda: timm_model('resnet10t'), dict(block='layer3.0', dynamic='conv2', feedback='bn2')),
    'resnet, last': (lambda: timm_model('resnet10t'), dict(block='layer4.0', dynamic='conv1')),
    'convnext, around': (
        lambda: timm_model('convnext_atto', **CONVNEXT),
        dict(block='stages.2.blocks.1', dynamic=('conv_dw', 'mlp.fc1')),
    ),
    'convnext, a stage': (
        lambda: timm_model('convnext_atto', **CONVNEXT),
        dict(block='stages.2', dynamic='blocks.1.conv_dw'),
    ),
}
BEFORE = {'vit': 'blocks.1.mlp', 'resnet': 'layer1.0', 'convnext': 'stages.1.blocks.0.mlp'}
AFTER = {'vit': 'blocks.3.mlp', 'resnet': 'layer4.0', 'resnet, last': 'fc', 'convnext': 'head'}


def timm_network(kind):
    """A recurrent network whose branches are not switched off at the start, as timm's are."""
    make, options = TIMM[kind]
    torch.manual_seed(0)
    plain = make()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if name.endswith(('weight', 'gamma')) and parameter.dim() == 1:
                parameter.fill_(1)
        plain.get_classifier().weight *= 5
    return RecurrentNetwork(plain, example_input=images(2, size=32), alpha=0.1, **options)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('kind', TIMM)
def test_checkpoints_of_timm_give_what_no_checkpoints_give(kind, training):
    net = timm_network(kind)
    plain = copy.deepcopy(net)
    net.set_grad_checkpointing()
    runs, family = [], kind.split(',')[0]
    for n, name in ((net, 'checkpoints'), (plain, 'none')):
        for place, path in (('before', BEFORE[family]), ('after', AFTER.get(kind, AFTER[family]))):
            n.wrapped.get_submodule(path).register_forward_pre_hook(
                lambda m, x, word=f'{name}, {place}': runs.append(word)
            )
    ours, expected = step(net, images(2, size=32), training), step(plain, images(2, size=32), training)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)
    assert (expected[0][0] - expected[0][2]).abs().max() > 1e-3
    assert runs.count('checkpoints, before') == runs.count('none, before') + 1
    more = 3 if kind in ('vit', 'resnet') else 0  # what comes after the block is computed again for each iterate
    assert runs.count('checkpoints, after') == runs.count('none, after') + more
    assert not any('forward' in module.__dict__ for module in net.modules())

    net.set_grad_checkpointing(False)
    runs.clear()
    step(net, images(2, size=32), training)
    assert runs.count('checkpoints, before') == (1 if training else 2)


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_the_last_iterate_alone_under_checkpoints(kind):
    net = timm_network(kind)
    plain, results = copy.deepcopy(net), []
    net.set_grad_checkpointing()
    for n in (net, plain):
        loss([n(images(2, size=32))]).backward()
        results.append(({name: p.grad for name, p in n.named_parameters()}, n.state_dict()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)


class Around(nn.Sequential):
    """Checkpoints all that it holds, without saying so."""

    def forward(self, x):
        return torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=False)


def test_other_checkpoints_around_the_block_are_refused_in_the_backward_pass():
    torch.manual_seed(0)
    net = RecurrentNetwork(
        Around(nn.Conv2d(3, 4, 1), Residual(norm=nn.Identity), nn.Tanh(), nn.Conv2d(4, 2, 1)),
        '1',
        images(),
        'conv1',
        alpha=0.3,
    )
    with pytest.raises(RuntimeError, match='a gradient checkpoint around a recurrent block cannot compute'):
        loss(net.forward_iterates(images())).backward()
    plain = copy.deepcopy(net)
    plain.wrapped.__class__ = nn.Sequential
    for n in (net, plain):  # the last iterate alone is computed again as it was
        n.zero_grad()
        loss([n(images())]).backward()
    for a, b in zip(net.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize('kind', TIMM)
def test_timm_networks_load_plain_weights_and_delegate(kind):
    make, options = TIMM[kind]
    plain = make().eval()
    net = RecurrentNetwork(copy.deepcopy(plain), example_input=images(1, size=32), **options).eval()
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and missing and all('.adapter.linears.' in name for name in missing)
    x = images(2, size=32)
    torch.testing.assert_close(net.forward_iterates(x)[0], plain(x))
    assert net.num_features == plain.num_features and net.get_classifier() is net.wrapped.get_classifier()
    torch.testing.assert_close(net.forward_head(net.forward_features(x)), net(x))
