"""The comparison networks under timm's names."""

import pytest
import timm
import torch

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.models.comparators import ImageNetwork

NAMES = {
    'cornet_s': 2,
    'cornet_z': 1,
    'cornet_rt': 2,
    'sharesnet18': 1,
    'sharesnet34': 1,
    'iamnn': 3,
    'feedback_net': 4,
    'conv_rnn': 7,
}


@pytest.mark.parametrize('name', NAMES)
def test_the_network_is_made_and_runs(name, tmp_path):
    assert name in timm.list_models()
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=5, width=0.125, drop_rate=0.1, img_size=64).eval()
    assert isinstance(net, ImageNetwork) and net.num_iterations == NAMES[name] and net.num_classes == 5
    assert (
        net.get_classifier().out_features == 5 and net.get_submodule(net.pretrained_cfg['first_conv']).in_channels == 3
    )
    x = torch.randn(2, 3, 64, 64)
    iterates = net.forward_iterates(x)
    assert len(iterates) == NAMES[name] and torch.equal(net(x), iterates[-1])
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    again = timm.create_model(
        name,
        num_classes=5,
        width=0.125,
        pretrained=True,
        pretrained_cfg_overlay=dict(file=str(tmp_path / 'net.pth'), num_classes=5),
    ).eval()
    assert torch.equal(net(x), again(x))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='input_size must be at least 32 pixels'):
        timm.create_model('conv_rnn', img_size=16)
    with pytest.raises(ValueError, match='input_size and img_size exclude each other, got 64 and 96'):
        timm.create_model('cornet_z', img_size=96, input_size=64)
    with pytest.raises(ValueError, match=r'img_size must be 2 positive ints, or one for both sides, got \(0, 96\)'):
        timm.create_model('cornet_z', img_size=(0, 96))
    with pytest.raises(RuntimeError, match='pretrained'):
        timm.create_model('cornet_z', pretrained=True)
    with pytest.raises(ValueError, match='num_iterations must be an int >= 1, got 0'):
        timm.create_model('feedback_net', num_iterations=0)
