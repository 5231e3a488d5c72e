"""Norms that others exchange after statistics per iterate have been added: timm's frozen norms, folded norms."""

import copy
import io

import pytest
import timm
import torch
from timm.layers.norm_act import freeze_batch_norm_2d, unfreeze_batch_norm_2d
from timm.utils import freeze, unfreeze
from torch import nn

from kaizen_mm.models import RecurrentNetwork
from kaizen_mm.models.mfnet import mfnet2d_n9

SIZE = 32


def mfnet():
    return mfnet2d_n9(num_classes=5, num_iterations=3, input_size=(SIZE, SIZE), pool_padding=1, alpha=1.0)


def resnet():
    plain = timm.create_model('test_resnet', num_classes=5, zero_init_last=False)
    return RecurrentNetwork(plain, 'layer4.0', torch.randn(1, 3, SIZE, SIZE), 'conv1', 'bn2', alpha=1.0)


def with_activations():
    """Timm's norms with an activation in them."""
    return RecurrentNetwork(
        timm.create_model('test_efficientnet', num_classes=5),
        'blocks.4.0',
        torch.randn(1, 3, SIZE, SIZE),
        'conv_pw',
        'bn3',
        alpha=1.0,
        shared_rows=False,
    )


@pytest.fixture(params=[mfnet, resnet, with_activations], ids=lambda build: build.__name__)
def trained(request):
    """A network in evaluation mode whose iterates have statistics of their own."""
    torch.manual_seed(0)
    net = request.param()
    for i in range(3):
        net.forward_iterates((1 + i) * torch.randn(4, 3, SIZE, SIZE) + i)
    return net.eval()


def statistics(net):
    return {
        name: value.clone()
        for name, value in net.state_dict().items()
        if '.running_' in name or '.iterates.num_batches_tracked' in name
    }


@torch.no_grad()
def assert_same_iterates(net, expected):
    for got, wanted in zip(net.forward_iterates(IMAGES), expected):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


IMAGES = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_frozen_norms_keep_every_iterate(trained):
    expected, before = trained.forward_iterates(IMAGES), statistics(trained)
    assert (expected[1] - expected[2]).abs().max() > 1e-3, 'iterates that differ'
    frozen = freeze_batch_norm_2d(copy.deepcopy(trained))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())
    assert {name: value for name, value in frozen.state_dict().items() if name in before}.keys() == before.keys()
    for module in (frozen, frozen.train(), copy.deepcopy(frozen)):
        assert_same_iterates(module, expected)
    after = statistics(frozen)
    assert all(torch.equal(after[name], before[name]) for name in before), 'nothing moves in training mode'


def test_frozen_norms_load_and_thaw(trained):
    with torch.no_grad():
        expected = trained.forward_iterates(IMAGES)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    fresh = copy.deepcopy(trained)
    for value in fresh.state_dict().values():
        if value.is_floating_point():
            nn.init.ones_(value)
    frozen = freeze_batch_norm_2d(fresh)
    missing = frozen.load_state_dict(torch.load(file, weights_only=True), strict=False).missing_keys
    assert not missing
    assert_same_iterates(frozen, expected)
    thawed = unfreeze_batch_norm_2d(frozen).eval()
    assert_same_iterates(thawed, expected)
    before = statistics(thawed)
    thawed.train().forward_iterates(IMAGES + 3)
    after = statistics(thawed)
    assert any(not torch.equal(after[name], before[name]) for name in before if name.endswith('.iterates.running_mean'))


def test_freeze_of_named_parts_keeps_them():
    torch.manual_seed(0)
    net = mfnet()
    net.forward_iterates(IMAGES)
    net.eval()
    with torch.no_grad():
        expected = net.forward_iterates(IMAGES)
    freeze(net, ['conv5', 'tail'])
    assert_same_iterates(net, expected)
    unfreeze(net, ['conv5', 'tail'])
    assert_same_iterates(net.eval(), expected)


def test_more_iterations_on_frozen_norms():
    torch.manual_seed(0)
    net = mfnet()
    net.forward_iterates(IMAGES)
    frozen = freeze_batch_norm_2d(net)
    frozen.num_iterations = 5
    iterates = frozen.forward_iterates(IMAGES)
    assert len(iterates) == 5 and len(frozen.tail.state_dict()['bn.iterates.running_mean']) == 4


def test_a_norm_that_is_folded_away_is_an_error():
    net = mfnet()
    net.tail.wrapped.bn = nn.Identity()
    with pytest.raises(RuntimeError, match="batch norm 'bn' has running statistics for each iterate, .* a Identity"):
        net(IMAGES)
    with pytest.raises(RuntimeError, match="norm_statistics='shared'"):
        net.state_dict()


def test_a_norm_of_shared_statistics_may_be_folded_away():
    net = mfnet2d_n9(num_classes=5, num_iterations=3, input_size=(SIZE, SIZE), pool_padding=1, norm_statistics='shared')
    net.tail.wrapped.bn = nn.Identity()
    assert net(IMAGES).shape == (2, 5)


def test_prune_still_takes_the_tail_away():
    net = mfnet()
    net.prune_intermediate_layers([3])
    assert net.forward_intermediates(IMAGES, [3], intermediates_only=True)[0].shape[1] == 96
