"""Fast weights and specialized networks of every way into a recurrence."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.layers import AdaptiveRecurrentBlock, holding, recurrent_blocks, specialized, written_weights
from kaizen_mm.models import MFNet, MnistCNN
from kaizen_mm.surgery import RecurrentNetwork
from tests.layers.test_fast_weights import traces

LIMITS = {torch.float32: 1e-6, torch.float64: 1e-12}


def same(found, expected):
    """Equal to what rounding leaves: 1e-6 of the largest value in float32, 1e-12 in float64."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert (found - expected).abs().max() <= LIMITS[expected.dtype] * expected.abs().max()


SMALL = dict(widths=(8, 8, 8, 16), units=(1, 1, 1, 2), groups=4, num_classes=5)


class Plain(nn.Module):
    """A network with norms before, in and after what becomes recurrent."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, 4, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        for name in ('one', 'two', 'three'):
            self.add_module(
                name, nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
            )
        self.norm, self.linear = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.three(self.two(self.one(self.stem(x))))
        return self.linear(self.norm(x).mean(dim=(2, 3)))


def _mfnet(dims, num_iterations=3, **options):
    size = (32, 32) if dims == 2 else (4, 32, 32)
    return MFNet(dims, num_iterations=num_iterations, input_size=size, **SMALL, **options)


def _wrapped(block, dynamic='0', num_iterations=3, **options):
    return RecurrentNetwork(
        Plain(), block, torch.randn(2, 3, 32, 32), dynamic, num_iterations=num_iterations, **options
    )


PAPER = dict(alpha=1.0, pool_kernel=1)
SPAN = dict(dynamic=['one.0', 'two.0'], alpha=0.1)
# by name: the plain network, the recurrent one, the shape of one input
NETWORKS = {
    'mfnet2d': (lambda: MFNet(2, **SMALL), lambda: _mfnet(2, **PAPER), (3, 32, 32)),
    'mfnet2d, global': (lambda: MFNet(2, **SMALL), lambda: _mfnet(2, adapter='global'), (3, 32, 32)),
    'mfnet2d, not of low rank': (lambda: MFNet(2, **SMALL), lambda: _mfnet(2, bound='tanh', **PAPER), (3, 32, 32)),
    'mfnet3d': (lambda: MFNet(3, **SMALL), lambda: _mfnet(3, alpha=1.0, pool_kernel=1), (3, 4, 32, 32)),
    'mnist': (MnistCNN, lambda: MnistCNN(num_iterations=3, alpha=0.5), (1, 28, 28)),
    'any': (Plain, lambda: _wrapped('two', alpha=0.1), (3, 32, 32)),
    'any, global': (Plain, lambda: _wrapped('two', adapter='global'), (3, 32, 32)),
    'any, not of low rank': (Plain, lambda: _wrapped('two', bound='tanh', alpha=0.1), (3, 32, 32)),
    'two blocks': (Plain, lambda: _wrapped({'one': {}, 'three': {}}, alpha=0.1), (3, 32, 32)),
    'two blocks, global': (Plain, lambda: _wrapped({'one': {}, 'three': {}}, adapter='global'), (3, 32, 32)),
    'two blocks, not of low rank': (
        Plain,
        lambda: _wrapped({'one': {}, 'three': {}}, bound='tanh', alpha=0.1),
        (3, 32, 32),
    ),
    'several as one': (Plain, lambda: _wrapped(['one', 'two', 'three'], **SPAN), (3, 32, 32)),
}
every_network = pytest.mark.parametrize('name', NETWORKS)


def build(name, dtype=torch.float64):
    """A recurrent network whose iterates differ, in evaluation mode, and an input of three samples."""
    torch.manual_seed(0)
    _, make, shape = NETWORKS[name]
    net = make().to(dtype)
    for module in net.modules():
        if hasattr(module, 'global_rows'):
            for linear in module.linears:
                nn.init.normal_(linear.weight, std=0.3)
    net.train()
    for i in range(2):
        net.forward_iterates(torch.randn(6, *shape, dtype=dtype) * (i + 1))
    for norm in net.modules():
        if isinstance(norm, _BatchNorm) and norm.weight is not None and norm.weight.numel():
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    return net.eval(), torch.randn(3, *shape, dtype=dtype)


every_precision = pytest.mark.parametrize('dtype', list(LIMITS))


@every_precision
@every_network
@torch.no_grad()
def test_a_pass_with_written_weights_is_the_last_iterate(name, dtype):
    net, x = build(name, dtype)
    iterates = net.forward_iterates(x)
    w = net.written_weights(x)
    assert len(w) == 3 and (iterates[0] - iterates[-1]).abs().max() > 1e-4
    same(net(x, fast_weights=w), iterates[-1])
    with holding(net, w):
        (alone,) = net.forward_iterates(x)
    same(alone, iterates[-1])
    for n in range(3):
        last = net(x[n : n + 1])
        same(net(x[n : n + 1], fast_weights=w[n]), last)
        same(net.specialized(w[n])(x[n : n + 1]), last)
        with torch.enable_grad():
            same(net(x[n : n + 1], fast_weights=w[n]).detach(), last)
    scores, state = net.step(x)
    assert torch.equal(scores, net(x)) and not state.distance(w).any()
    assert all(torch.equal(a, b) for a, b in zip(net.forward_iterates(x), iterates)), 'nothing stays behind'


@every_precision
@torch.no_grad()
def test_blocks_alone(dtype):
    for name in (
        'mfnet2d',
        'mfnet2d, global',
        'mfnet2d, not of low rank',
        'any',
        'any, global',
        'any, not of low rank',
    ):
        net, x = build(name, dtype)
        seen = []
        net.recurrent_block.register_forward_hook(lambda module, inputs, y: seen.append(inputs[0]))
        net(x)
        unit, u = copy.deepcopy(net.recurrent_block), seen[0]
        unit._forward_hooks.clear()
        if not name.startswith('mfnet'):
            unit.__class__ = AdaptiveRecurrentBlock  # not that of a whole network, which gives one iterate
        w, last = unit.written_weights(u), unit(u)[-1]
        same(unit(u, fast_weights=w)[0], last)
        for n in range(3):
            same(unit(u[n : n + 1], fast_weights=w[n])[0], last[n : n + 1])
            same(unit.specialized(w[n])(u[n : n + 1]), last[n : n + 1])


@every_precision
@every_network
def test_a_specialized_network_is_the_plain_one(name, dtype):
    net, x = build(name, dtype)
    w = net.written_weights(x)
    other = torch.randn_like(x)
    plain = NETWORKS[name][0]().to(dtype).eval()
    with torch.no_grad():
        for n in range(3):
            found = net.specialized(w[n])
            assert traces(found) == traces(plain) and list(found.state_dict()) == list(plain.state_dict())
            expected = net(other, fast_weights=w[n].expand(3))
            same(found(other), expected)
            plain.load_state_dict(found.state_dict())
            same(plain(other), expected)
    found.train()(x).sum().backward()
    assert all(p.grad is not None for p in found.parameters())
    assert all(p.grad is None for p in net.parameters()), 'it has weights of its own'


@pytest.mark.parametrize('name', ['mfnet2d', 'any', 'several as one'])
def test_a_specialized_network_is_exported_scripted_compiled_and_quantized(name):
    net, x = build(name, torch.float32)
    with torch.no_grad():
        found = net.specialized(net.written_weights(x)[0])
        expected = found(x)
        batch = torch.export.Dim('batch', min=1)
        exported = torch.export.export(found, (x,), dynamic_shapes=({0: batch},)).module()
        for way in (
            exported,
            torch.jit.script(found) if name != 'mfnet2d' else torch.jit.trace(found, x),
            torch.compile(found, backend='aot_eager', fullgraph=True),
        ):
            torch.testing.assert_close(way(x), expected, rtol=1e-4, atol=1e-5)
        quantized = torch.ao.quantization.quantize_dynamic(copy.deepcopy(found), {nn.Linear}, dtype=torch.qint8)
        torch.testing.assert_close(quantized(x), expected, rtol=0.2, atol=0.2)
        pytest.importorskip('onnxruntime')
        import onnxruntime

        file = io.BytesIO()
        torch.onnx.export(found, (x,), file, dynamo=False, input_names=['x'])
        session = onnxruntime.InferenceSession(file.getvalue(), providers=['CPUExecutionProvider'])
        (y,) = session.run(None, {'x': x.numpy()})
        torch.testing.assert_close(torch.from_numpy(y), expected, rtol=1e-4, atol=1e-5)


@every_network
def test_they_train_through_a_pair_of_windows(name):
    net, x = build(name)
    net.train()
    net(torch.randn_like(x), fast_weights=net.written_weights(x)).square().sum().backward()
    for _, block in recurrent_blocks(net):
        assert all(p.grad is not None and p.grad.any() for p in block.adapter.linears.parameters())


def test_weights_written_by_another_network_are_refused_by_every_network():
    written = {name: (build(name)[0], build(name)[1]) for name in NETWORKS}
    for name, (net, x) in written.items():
        for other, (source, theirs) in written.items():
            if other == name:
                continue
            with torch.no_grad(), pytest.raises(ValueError, match='fast_weights: they were written by another network'):
                net(x, fast_weights=source.written_weights(theirs))


def test_timm_names(tmp_path):
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    net = timm.create_model('kaizen_mfnet2d_n9', num_classes=4, adapter='global').eval()
    nn.init.normal_(net.recurrent_block.adapter.linears[0].weight)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        w = net.written_weights(x)
        same(net(x, fast_weights=w), net(x))
        found = net.specialized(w[0])
        same(found(x[:1]), net(x[:1]))
    plain = timm.create_model('mfnet2d_n9', num_classes=4)
    assert type(found) is type(plain) and traces(found.eval()) == traces(plain.eval())
    plain.load_state_dict(found.state_dict())


@pytest.mark.parametrize('library', ['mmaction', 'mmpretrain'])
def test_openmmlab(library):
    registry = pytest.importorskip(f'{library}.registry')
    from mmengine.registry import init_default_scope

    init_default_scope(library)
    torch.manual_seed(0)
    dims = 3 if library == 'mmaction' else 2
    size, x = ((4, 32, 32), torch.randn(2, 3, 4, 32, 32)) if dims == 3 else ((32, 32), torch.randn(2, 3, 32, 32))
    small = {key: value for key, value in SMALL.items() if key != 'num_classes'}
    own = dict(type=f'RecurrentMFNet{dims}d', num_iterations=2, input_size=size, **PAPER, **small)
    backbone = dict(type='BagNet3d' if dims == 3 else 'BagNet2d', widths=(8, 8), stem=(8, 4, 4))
    if dims == 2:
        backbone = dict(type='CifarResNet', depth=8)
    wrapped = dict(
        type='AdaptiveRecurrentBackbone',
        backbone=backbone,
        block='block2' if dims == 3 else 'layer3.0',
        dynamic='conv1',
        feedback='bn2',
        input_shape=(3, *size),
        alpha=0.1,
    )
    everywhere = dict(wrapped, adapter='global')
    del everywhere['alpha']
    for cfg in (own, dict(own, bound='tanh'), wrapped, dict(wrapped, bound='tanh'), everywhere):
        net = registry.MODELS.build(cfg).eval()
        with torch.no_grad():
            w = net.written_weights(x)
            (held,) = net(x, fast_weights=w)
            (last,) = [net(x)[-1]]
            same(_map(held), _map(last))
            found = net.specialized(w[1])
            same(_map(found(x))[1], _map(last)[1])
        plain = registry.MODELS.build(
            dict(type=f'MFNet{dims}d', **small) if cfg['type'] == own['type'] else backbone
        ).eval()
        assert traces(found) == traces(plain)


def _map(output):
    return output[-1] if isinstance(output, tuple) else output


def test_a_whole_recognizer_of_mmaction2():
    registry = pytest.importorskip('mmaction.registry')
    from mmengine.registry import init_default_scope

    init_default_scope('mmaction')
    torch.manual_seed(0)
    head = dict(type='I3DHead', num_classes=4, in_channels=8, dropout_ratio=0.0)
    cfg = dict(
        type='Recognizer3D',
        backbone=dict(
            type='AdaptiveRecurrentBackbone',
            backbone=dict(type='BagNet3d', widths=(8, 8), stem=(8, 4, 4)),
            block='block2',
            dynamic='conv1',
            feedback='bn2',
            input_shape=(3, 4, 16, 16),
            num_iterations=2,
            alpha=0.1,
        ),
        cls_head=dict(type='AdaptiveRecurrentHead', head=head),
    )
    net = registry.MODELS.build(cfg).eval()
    x = torch.randn(3, 1, 3, 4, 16, 16)
    with torch.no_grad():
        scores = net.cls_head(net.extract_feat(x)[0])
        w = written_weights(net, x)
        with holding(net, w):
            held = net.cls_head(net.extract_feat(x)[0])
        same(held, scores)
        found = specialized(net, w[2])
        same(found.cls_head(found.extract_feat(x)[0])[2], scores[2])
    cfg.update(backbone=cfg['backbone']['backbone'], cls_head=head)
    plain = registry.MODELS.build(cfg).eval()
    assert traces(found) == traces(plain)
