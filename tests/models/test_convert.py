"""Published checkpoints are told apart by their names."""

import pytest
import torch

from kaizen_mm.models import CifarResNet
from kaizen_mm.models.convert import RELEASES, release_of
from kaizen_mm.models.mfnet import mfnet2d_n9, mfnet3d_n9
from tests.models.test_cifar_resnet import released_checkpoint

PUBLISHED = {
    'mfnet': lambda: mfnet3d_n9(num_classes=3).state_dict(),
    'resnet20': released_checkpoint,
    'resnet20_base': lambda: CifarResNet().state_dict(),
}


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('kind', RELEASES)
def test_each_kind_is_known_and_taken_for_no_other(kind, prefix):
    state_dict = {prefix + name: value for name, value in PUBLISHED[kind]().items()}
    assert release_of(state_dict) == kind
    converted = RELEASES[kind].convert(state_dict)
    assert not any(name.startswith('module.') for name in converted)
    for other in RELEASES:
        if other != kind:
            with pytest.raises(ValueError, match=rf'none of {other} \(.*\): .* It is one of {kind} \('):
                RELEASES[other].convert(state_dict)


@pytest.mark.parametrize('kind', RELEASES)
@pytest.mark.parametrize(
    'state_dict',
    [
        {},
        {'fc.weight': torch.zeros(2, 2)},
        mfnet2d_n9(num_classes=0, num_iterations=2, input_size=(32, 32), pool_padding=1).state_dict(),
        {f'backbone.{name}': value for name, value in CifarResNet().state_dict().items()},
    ],
    ids=['empty', 'something', 'recurrent', 'converted'],
)
def test_other_checkpoints_are_none_of_them(kind, state_dict):
    assert release_of(state_dict) is None
    with pytest.raises(ValueError, match=rf'none of {kind} \(.*\): .* Its names: \['):
        RELEASES[kind].convert(state_dict)


def test_the_base_file_fills_the_network():
    torch.manual_seed(0)
    source = CifarResNet()
    net = CifarResNet()
    net.load_state_dict(RELEASES['resnet20_base'].convert({f'module.{n}': v for n, v in source.state_dict().items()}))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net.eval()(x), source.eval()(x))
