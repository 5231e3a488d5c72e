"""The comparison networks for videos as mmaction2's backbones."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from kaizen_mm.models.comparators import STCBlock


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


def test_ltc_gives_what_the_head_takes():
    backbone = MODELS.build(dict(type='LTC', input_size=(16, 32, 32), hidden=8, width=0.0625))
    assert backbone(torch.randn(2, 3, 16, 32, 32)).shape == (2, 8, 1, 1, 1)


@pytest.mark.parametrize('depth, features, blocks', [(18, 32, 8), (101, 128, 33)])
def test_stc_stands_in_every_residual_block(depth, features, blocks):
    backbone = MODELS.build(dict(type='STCResNet3d', depth=depth, base_channels=4, inflate_style='3x3x3'))
    plain = MODELS.build(dict(type='ResNet3d', depth=depth, base_channels=4, pretrained=None, inflate_style='3x3x3'))
    backbone.eval(), plain.eval()  # they give no network back
    backbone.init_weights()
    stc = [module for module in backbone.modules() if isinstance(module, STCBlock)]
    assert len(stc) == blocks and backbone(torch.randn(1, 3, 8, 32, 32)).shape[1] == features
    # a block whose weights are all one is not there
    for block in stc:
        for branch in (block.spatial, block.temporal):
            torch.nn.init.zeros_(branch[2].weight)
            torch.nn.init.constant_(branch[2].bias, 50.0)
    convolution = 'conv2' if depth < 50 else 'conv3'
    plain.load_state_dict(
        {
            key.replace(f'{convolution}.0.', f'{convolution}.'): value
            for key, value in backbone.state_dict().items()
            if f'{convolution}.1.' not in key
        }
    )
    x = torch.randn(1, 3, 8, 32, 32)
    torch.testing.assert_close(backbone(x), plain(x))


def test_what_stc_cannot_take_is_named():
    with pytest.raises(ValueError, match=r'depth must be one of \(18, 34, 50, 101, 152\), got 77'):
        MODELS.build(dict(type='STCResNet3d', depth=77))
    with pytest.raises(ValueError, match='zero_init_residual must be False for STCResNet3d, got True'):
        MODELS.build(dict(type='STCResNet3d', zero_init_residual=True))
    with pytest.raises(ValueError, match="pretrained must be None for STCResNet3d, got 'a.pth'"):
        MODELS.build(dict(type='STCResNet3d', pretrained='a.pth'))
