"""W_1 that is frozen and was never loaded is told, and only that."""

import copy
import warnings
from collections import OrderedDict

import pytest
import timm
import torch
from torch import nn

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.layers.first_weights import untrained_first_weights
from kaizen_mm.models import RecurrentNetwork


def plain(norm=True) -> nn.Module:
    torch.manual_seed(0)
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 4, 3, padding=1), act=nn.ReLU()))
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 4, 3),
            norm=nn.BatchNorm2d(4) if norm else nn.Identity(),
            block=block,
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(4, 2),
        )
    )


def recurrent(network=None, **kwargs) -> RecurrentNetwork:
    return RecurrentNetwork(
        network or plain(), 'block', torch.zeros(1, 3, 8, 8), dynamic='conv', num_iterations=2, pool_kernel=2, **kwargs
    )


def trained(network) -> nn.Module:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    return network


FROZEN = 'W_1 of .*conv is frozen, but its weights were never loaded: they stay random'


def step(network):
    """What a training step warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        network.train()
        for _ in range(2):
            network.forward_iterates(torch.randn(2, 3, 8, 8))[-1].sum().backward()
    return [str(warning.message) for warning in caught]


def test_random_frozen_weights_are_warned_of_once_in_training():
    network = recurrent()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        network.eval()(torch.randn(2, 3, 8, 8))
        with torch.no_grad():
            network.train()(torch.randn(2, 3, 8, 8))
    said = step(network)
    assert len(said) == 1 and 'W_1 of block.conv is' in said[0]
    with pytest.warns(UserWarning, match=FROZEN):
        recurrent(plain(norm=False)).train()(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    'make',
    [
        lambda: recurrent(freeze_dynamic=False),
        lambda: recurrent(trained(plain())),  # the norm tells
        lambda: RecurrentNetwork(plain(), 'block', torch.zeros(1, 3, 8, 8), dynamic='conv', num_iterations=1),
    ],
)
def test_nothing_is_said_where_the_weights_are_trained_or_will_be(make):
    network = make()
    assert untrained_first_weights(network) == [] == step(network)


def test_a_network_without_values_runs():
    network = recurrent().to('meta')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        network(torch.empty(2, 3, 8, 8, device='meta'))


def test_nothing_is_said_once_weights_are_loaded():
    network = recurrent()
    state = trained(plain()).state_dict()
    network.load_state_dict({key: value for key, value in state.items() if key != 'block.conv.weight'}, strict=False)
    network.wrapped.norm.reset_parameters()
    assert len(untrained_first_weights(network)) == 1, 'other weights are not W_1'
    network.load_state_dict(state, strict=False)
    assert untrained_first_weights(copy.deepcopy(network)) == [] == step(network)
    network = recurrent(trained(plain(norm=False)))
    assert untrained_first_weights(network)
    network.load_state_dict(network.state_dict())  # as the warning says
    assert not untrained_first_weights(network)


def test_timm_s_networks(tmp_path):
    arguments = dict(num_classes=2, img_size=32, pool_padding=1)
    frozen = timm.create_model('kaizen_mfnet2d_n9', freeze_dynamic=True, **arguments)
    with pytest.warns(UserWarning, match=r'W_1 of conv5.B02.conv_i1.conv, conv5.B02.conv_i2.conv is frozen'):
        frozen.train()(torch.randn(2, 3, 32, 32))
    torch.save(timm.create_model('mfnet2d_n9', num_classes=2).state_dict(), tmp_path / 'plain.pth')
    loaded = timm.create_model(
        'kaizen_mfnet2d_n9',
        freeze_dynamic=True,
        pretrained=True,
        pretrained_cfg_overlay=dict(file=str(tmp_path / 'plain.pth'), num_classes=2),
        **arguments,
    )
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loaded.train()(torch.randn(2, 3, 32, 32))
        timm.create_model('kaizen_mfnet2d_n9', **arguments).train()(torch.randn(2, 3, 32, 32))
    assert torch.jit.script(loaded).eval()(torch.randn(2, 3, 32, 32)).shape == (2, 2)
