"""Networks of other libraries with a factor of their channels."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from kaizen_mm.models.comparators import narrow


def channels(network):
    return [(m.in_channels, m.out_channels, m.groups) for m in network.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    'make',
    [
        lambda: torchvision.models.resnet18(num_classes=5),
        lambda: torchvision.models.squeezenet1_1(num_classes=8).features,
        lambda: torchvision.models.googlenet(num_classes=5, aux_logits=False, init_weights=False),
        lambda: timm.create_model('mobilenetv1_100', num_classes=0, global_pool=''),
    ],
    ids=['resnet18', 'squeezenet', 'googlenet', 'mobilenet'],
)
def test_every_convolution_but_the_inputs_has_a_quarter_of_its_channels(make):
    wide, net = make(), narrow(make(), 0.25)
    for (one, out, groups), (narrow_in, narrow_out, narrow_groups) in zip(channels(wide), channels(net)):
        assert narrow_in == (3 if one == 3 else one / 4) and narrow_out == out / 4
        assert narrow_groups == (narrow_in if groups > 1 else 1)
    norms = [(a.num_features, b) for a, b in zip(wide.modules(), net.modules()) if isinstance(b, nn.BatchNorm2d)]
    for features, norm in norms:
        assert len(norm.weight) == len(norm.running_var) == norm.num_features == features / 4
        assert bool((norm.weight == 1).all() and (norm.running_mean == 0).all())
    if hasattr(net, 'fc'):
        net.fc = nn.Linear(net.fc.in_features // 4, 5)
    out = net(torch.randn(2, 3, 64, 64))
    out.square().mean().backward()
    assert torch.isfinite(out).all() and all(p.grad is not None for p in net.parameters())


def test_a_factor_of_one_changes_nothing():
    net = torchvision.models.resnet18()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    after = narrow(net, 1.0).state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_what_cannot_be_made_narrower_is_named():
    with pytest.raises(ValueError, match='width must be a factor of the channels above 0, got 0'):
        narrow(nn.Conv2d(3, 4, 1), 0)
    with pytest.raises(
        ValueError, match='width must leave the 3 groups of 0 with equal channels, got 0.25: 4 and 4 channels'
    ):
        narrow(nn.Sequential(nn.Conv2d(18, 18, 3, groups=3)), 0.25)


def test_depthwise_convolutions_start_at_the_scale_of_others():
    net = narrow(timm.create_model('mobilenetv1_100', num_classes=0), 0.5)
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.out_channels >= 256]
    for conv in convs:  # each input has a part in so many outputs
        outputs = 9 if conv.groups > 1 else conv.out_channels
        assert float(conv.weight.detach().std()) == pytest.approx((2 / outputs) ** 0.5, rel=0.1)
    assert {conv.groups > 1 for conv in convs} == {True, False}
