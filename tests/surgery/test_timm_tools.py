"""What timm's tools and others do with a network by the names of its parts, done to one that was made recurrent."""

import copy
from types import SimpleNamespace

import pytest
import timm
import torch
from timm.layers.norm_act import FrozenBatchNorm2d
from timm.optim import create_optimizer_v2, param_groups_layer_decay
from timm.utils import freeze, unfreeze
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, build_adapter, make_dynamic
from kaizen_mm.surgery import RecurrentNetwork
from kaizen_mm.surgery.parameter_groups import network_name
from kaizen_mm.surgery.weights_check import check_trained_weights

SIZE = 32


def resnet():
    return timm.create_model('test_resnet', num_classes=5, zero_init_last=False)


def vit():
    return timm.create_model('test_vit', num_classes=5, img_size=SIZE)


NETWORKS = {
    'resnet': (resnet, 'layer3.0', dict(dynamic='conv1', feedback='bn2')),
    'resnet, two stages': (resnet, ['layer3', 'layer4'], dict(dynamic=['layer3.0.conv1', 'layer4.0.conv1'])),
    'vit': (vit, 'blocks.3', dict(dynamic='mlp.fc1', feedback_layout='channels_last')),
    'vit, two blocks': (
        vit,
        ['blocks.2', 'blocks.3'],
        dict(dynamic=['2.mlp.fc1', '3.mlp.fc1'], feedback_layout='channels_last'),
    ),
}


def recurrent(kind, **options):
    torch.manual_seed(0)
    make, block, own = NETWORKS[kind]
    plain = make()
    own = {**dict(num_iterations=2, adapter='global', freeze_dynamic=False), **own, **options}
    return RecurrentNetwork(copy.deepcopy(plain), block, torch.randn(2, 3, SIZE, SIZE), **own), plain


def scales(network):
    """The factor of the learning rate and the weight decay of each parameter."""
    named = {id(p): name for name, p in network.named_parameters()}
    optimizer = create_optimizer_v2(network, 'sgd', lr=1.0, weight_decay=0.1, layer_decay=0.5)
    return {
        named[id(p)]: (group['lr_scale'], group['weight_decay'])
        for group in optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize('kind', NETWORKS)
def test_layer_decay_is_that_of_the_network(kind):
    net, plain = recurrent(kind)
    expected, found = scales(plain), scales(net)
    assert len({scale for scale, _ in expected.values()}) > 4
    ours = {network_name(name, net.span): value for name, value in found.items() if '.adapter.' not in name}
    assert ours == expected
    of_h = [value for name, value in found.items() if '.adapter.' in name]
    assert of_h and all(decay == 0 and scale in {s for s, _ in expected.values()} for scale, decay in of_h)


def test_patterns_that_are_functions():
    net, plain = recurrent('resnet')
    net.wrapped.group_matcher = lambda coarse=False: lambda name: (int(name.startswith('layer3')),)
    groups = [group['lr_scale'] for group in param_groups_layer_decay(net, layer_decay=0.5)]
    assert sorted(set(groups)) == [0.5, 1.0]


def test_names_that_the_network_leaves_without_decay():
    net, plain = recurrent('vit')
    names = net.no_weight_decay()
    assert {network_name(name) for name in names if '.adapter.' not in name} == {'pos_embed', 'cls_token'}
    assert {name for name, _ in net.named_parameters() if '.adapter.' in name} < names


def test_networks_without_groups_have_none():
    net = RecurrentNetwork(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), '0', torch.randn(2, 4), '')
    assert not hasattr(net, 'group_matcher') and all('.adapter.' in name for name in net.no_weight_decay())


@pytest.mark.parametrize('names', [['bn1'], ['layer1', 'bn1', 'layer3.0.bn1'], ['layer4.0.bn1', 'conv1'], []])
def test_freeze_by_the_names_of_the_network(names):
    net, _ = recurrent('resnet')
    x = torch.randn(4, 3, SIZE, SIZE)
    net.forward_iterates(x + 1)
    with torch.no_grad():
        expected = net.eval().forward_iterates(x)
    freeze(net, names)
    for name in names or ['']:
        part = net.get_submodule(name) if name else net
        assert not any(p.requires_grad for p in part.parameters())
        assert not any(isinstance(m, nn.BatchNorm2d) for m in part.modules() if not hasattr(m, 'rows'))
    if 'bn1' in names:
        assert isinstance(net.wrapped.bn1, FrozenBatchNorm2d) and 'bn1' not in net._modules
    with torch.no_grad():
        torch.testing.assert_close(net.forward_iterates(x), expected)
    unfreeze(net, names)
    assert all(p.requires_grad for p in net.get_submodule(names[0] if names else '').parameters())
    with torch.no_grad():
        torch.testing.assert_close(net.eval().forward_iterates(x), expected)


def test_a_part_that_is_put_in_by_name_is_the_one_that_runs():
    net, _ = recurrent('resnet')
    net.eval()
    net.fc = nn.Linear(net.num_features, 7)
    assert net(torch.randn(2, 3, SIZE, SIZE)).shape == (2, 7) and 'fc.weight' in net.state_dict()
    net.add_module('fc', nn.Linear(net.num_features, 3))
    assert net(torch.randn(2, 3, SIZE, SIZE)).shape == (2, 3)
    net.set_submodule('layer3.0.bn1', nn.Identity())
    assert isinstance(net.wrapped.layer3[0].wrapped.bn1, nn.Identity)
    vit, _ = recurrent('vit')
    vit.pos_embed = nn.Parameter(torch.zeros_like(vit.pos_embed))
    assert vit.wrapped.pos_embed.abs().max() == 0 and 'pos_embed' not in vit._parameters
    net.extra = nn.Linear(2, 2)  # what the network does not have is the wrapper's own
    assert 'extra' in net._modules and not hasattr(net.wrapped, 'extra')


class Masked(nn.Module):
    """Masks its features in place, in training alone, as SpecAugment does."""

    def __init__(self, **config):
        super().__init__()
        self.stem, self.block, self.config = nn.Linear(4, 4), nn.Linear(4, 4), SimpleNamespace(**config)

    def forward(self, x):
        x = self.stem(x)
        if self.training and getattr(self.config, 'apply_spec_augment', True):
            x[torch.rand(x.shape) < 0.5] = 0.0
        return self.block(x) + x


@pytest.mark.parametrize(
    'config, way', [(dict(apply_spec_augment=True), 'SpecAugment masks .*apply_spec_augment=False'), ({}, 'inplace')]
)
def test_masks_in_training_are_named(config, way):
    net = RecurrentNetwork(Masked(**config), 'block', torch.randn(2, 4), '').train()
    with pytest.raises(RuntimeError, match=f"Masked changes the output of 'stem' in place, .*{way}"):
        net.forward_iterates(torch.randn(2, 4))
    net.config.apply_spec_augment = False
    assert len(net.forward_iterates(torch.randn(2, 4))) == 3


@pytest.mark.parametrize('dtype', [torch.complex64, torch.complex128, torch.int64])
def test_weights_that_are_no_real_numbers_are_refused(dtype):
    layer = nn.Linear(4, 4, bias=False)
    layer.weight = nn.Parameter(layer.weight.to(dtype), requires_grad=False)
    message = f'has weights of {dtype}; a dynamic layer must have real floating-point ones'
    for make in (
        lambda: make_dynamic(layer, 'fc'),
        lambda: AdaptiveRecurrentBlock(layer, '', (4,)),
        lambda: RecurrentNetwork(nn.Sequential(layer), '0', torch.zeros(2, 4, dtype=dtype), ''),
    ):
        with pytest.raises(TypeError, match=message):
            make()
    assert type(layer) is nn.Linear


def test_maps_that_are_no_real_numbers_are_refused():
    adapter = build_adapter((4,), {'fc': (4, 4)})
    for z in (torch.zeros(2, 4, dtype=torch.complex64), torch.zeros(2, 4, dtype=torch.long)):
        with pytest.raises(ValueError, match=f'feedback map must be of real floating-point numbers, got {z.dtype}'):
            adapter.changes(z)

    class Fourier(nn.Sequential):
        def forward(self, x):
            return torch.fft.fft(super().forward(x))

    net = nn.Sequential(Fourier(nn.Linear(4, 4)))
    with pytest.raises(ValueError, match="feedback: '0' gives numbers of torch.complex64; .* real floating-point"):
        RecurrentNetwork(net, '0', torch.randn(2, 4), '0')
    assert type(net[0][0]) is nn.Linear
    block = AdaptiveRecurrentBlock(net[0], '0', (4,))
    with pytest.raises(ValueError, match="feedback '' of Fourier: the feedback map must be of real"):
        block(torch.randn(2, 4))


def test_complex_weights_of_a_checkpoint_are_those_of_another_network():
    net, _ = recurrent('resnet')
    state = net.state_dict()
    check_trained_weights(net, state)
    state['fc.weight'] = state['fc.weight'].to(torch.complex64)
    with pytest.raises(ValueError, match="of another network: .*'fc.weight torch.complex64 for torch.float32'"):
        check_trained_weights(net, state)
