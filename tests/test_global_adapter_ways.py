"""The ways into the global adapter, each at two sizes of input: Python, timm, TorchScript, mmaction2 and mmpretrain."""

from pathlib import Path

import pytest
import torch
from torch import nn

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.layers.adapters import any_size_adapters
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import MnistCNN, RecurrentNetwork, kaizen_mfnet2d_n9, kaizen_mfnet3d_n9

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'


def moved(net):
    """The network after some training: ``A`` is no longer zero."""
    for module in net.modules():
        if getattr(module, 'global_rows', None) is not None:
            for linear in module.linears:
                nn.init.normal_(linear.weight, std=0.3)
    return net


@pytest.mark.parametrize(
    'build, sizes', [(kaizen_mfnet2d_n9, [(64, 64), (97, 70)]), (kaizen_mfnet3d_n9, [(4, 64, 64), (6, 33, 97)])]
)
def test_mfnet_in_python_and_as_torchscript(build, sizes):
    torch.manual_seed(0)
    net = build(adapter='global', num_classes=5)
    scripted = torch.jit.script(net)
    for size in sizes:
        x = torch.randn(2, 3, *size)
        net.eval()
        plain = net.forward_iterates(x)
        assert all(torch.equal(y, plain[0]) for y in plain), 'A starts at zero'
    moved(net)
    for mode in (net.eval, net.train):
        mode()
        scripted.train(net.training)
        for size in sizes:
            x = torch.randn(2, 3, *size)
            state = {name: value.clone() for name, value in net.state_dict().items()}
            y = net(x)
            net.load_state_dict(state)
            torch.testing.assert_close(scripted(x), y, rtol=1e-4, atol=1e-5)
    net.eval()
    first, *_, last = net.forward_iterates(x)
    assert (first - last).abs().max() > 1e-3


def test_the_mnist_network():
    net = moved(MnistCNN(num_iterations=3, adapter='global'))
    first, *_, last = net.forward_iterates(torch.randn(2, 1, 28, 28))
    assert not torch.equal(first, last)


@pytest.mark.parametrize('name', ['kaizen_mfnet2d_n9', 'kaizen_mfnet3d_n9'])
def test_timm(name):
    timm = pytest.importorskip('timm')
    net = timm.create_model(name, adapter='global', num_classes=5)
    assert net.pretrained_cfg['fixed_input_size'] is False and net.default_cfg['fixed_input_size'] is False
    assert timm.create_model(name, num_classes=5).pretrained_cfg['fixed_input_size'] is True
    moved(net)
    for size in ((64, 64), (96, 80)):
        x = torch.randn(2, 3, *((4,) if '3d' in name else ()), *size)
        net.zero_grad()
        KaizenLoss()(net.forward_iterates(x), torch.tensor([0, 3])).backward()
        assert all(p.grad.any() for p in net.recurrent_block.adapter.parameters())


@pytest.mark.parametrize('kind, sizes', [('rgb', [(2, 64, 64), (5, 80, 48)]), ('frames', [(64, 64), (80, 48)])])
def test_mmaction2_without_input_shape(kind, sizes):
    registry = pytest.importorskip('mmaction.registry')
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope('mmaction')
    cfg = Config.fromfile(
        CONFIGS / ('kaizen_slowonly_r18_list_global.py' if kind == 'rgb' else 'kaizen_tsn_r18_list_global.py')
    )
    assert 'input_shape' not in cfg.model.backbone
    cfg.model.backbone.num_iterations = 2
    net = moved(registry.MODELS.build(cfg.model.backbone)).eval()
    for size in sizes:
        with torch.no_grad():
            first, second = net(torch.randn(2, 3, *size))
        assert first.shape[:2] == second.shape[:2] and not torch.equal(first, second)


def test_mmpretrain_without_input_shape():
    registry = pytest.importorskip('mmpretrain.registry')
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from tests.openmmlab.image.samples import samples

    init_default_scope('mmpretrain')
    cfg = Config.fromfile(CONFIGS / 'kaizen_resnet18_tiny_imagenet_k2_stages.py')
    assert 'input_shape' not in cfg.model.backbone
    net = moved(registry.MODELS.build(cfg.model)).eval()
    for size in (48, 64):
        data = dict(inputs=torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8), data_samples=samples(range(2)))
        scores = net.test_step(data)[0].iterate_scores
        assert scores.shape[0] == 2 and not torch.equal(scores[0], scores[1])


@pytest.mark.parametrize('adapter', any_size_adapters())
def test_every_kind_that_takes_any_size_needs_no_input_shape(adapter):
    registry = pytest.importorskip('mmpretrain.registry')
    from mmengine.registry import init_default_scope

    init_default_scope('mmpretrain')
    backbone = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
    cfg = dict(type='AdaptiveRecurrentBackbone', backbone=backbone, block='layer4.1', dynamic='conv1', feedback='bn2')
    net = registry.MODELS.build(dict(cfg, adapter=adapter)).eval()
    for size in ((48, 64), (96, 80)):
        with torch.no_grad():
            assert len(net(torch.randn(2, 3, *size))) == 2


@pytest.mark.parametrize('adapter', any_size_adapters())
def test_an_mfnet_with_any_of_them_takes_any_size(adapter):
    net = kaizen_mfnet2d_n9(num_classes=5, adapter=adapter, input_size=(64, 64))
    for size in ((64, 64), (96, 80)):
        assert [y.shape for y in net.forward_iterates(torch.randn(2, 3, *size))] == [(2, 5)] * net.num_iterations


class Fixed(nn.Module):
    """Takes images of 48 px alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 2, 3), nn.Linear(2 * 46 * 46, 4)

    def forward(self, x):
        return self.linear(self.conv(x).flatten(1))


@pytest.mark.parametrize(
    'options, message',
    [
        ({}, r"input_shape must be .* unless adapter is one of \('global', 'slots', 'experts'\); got None"),
        (dict(adapter='global'), 'input_shape must be given: Fixed takes none of the shapes that were tried'),
    ],
)
def test_backbones_that_must_be_told_their_size(options, message):
    registry = pytest.importorskip('mmengine.registry')
    cfg = dict(type='AdaptiveRecurrentBackbone', backbone=dict(type=Fixed), block='linear', dynamic='', **options)
    with pytest.raises(ValueError, match=message):
        registry.MODELS.build(cfg)
    if options:
        assert len(registry.MODELS.build(dict(cfg, input_shape=(3, 48, 48)))(torch.randn(1, 3, 48, 48))) == 2


def test_any_network_with_rows_that_divide_nothing():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 11, 3), nn.Sequential(nn.Conv2d(11, 877, 1), nn.ReLU(), nn.Conv2d(877, 5, 1)), nn.Flatten(2)
    )
    net = moved(
        RecurrentNetwork(plain, '1', torch.randn(1, 3, 8, 8), dynamic=['0'], adapter='global', num_iterations=2)
    )
    for size in (8, 13):
        first, second = net.forward_iterates(torch.randn(2, 3, size, size))
        assert not torch.equal(first, second)
