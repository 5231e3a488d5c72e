"""The comparison networks for videos as mmaction2's backbones."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torchvision.models.video import r3d_18

from kaizen_mm.models.comparators import STCBlock
from tests.models.comparators import reference

CONFIGS = Path(__file__).resolve().parents[3] / 'configs' / 'comparators'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


def test_ltc_gives_what_the_head_takes():
    backbone = MODELS.build(dict(type='LTC', input_size=(16, 32, 32), hidden=8, width=0.0625))
    assert backbone(torch.randn(2, 3, 16, 32, 32)).shape == (2, 8, 1, 1, 1)


def backbone_of(name):
    """A quarter as wide, with weights and statistics of all kinds."""
    torch.manual_seed(0)
    backbone = MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model.backbone | dict(base_channels=16))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm3d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, 0.0, 0.3)
    return backbone.eval() or backbone


def test_resnet18_3d_is_that_of_its_release():
    backbone, clips = backbone_of('resnet18_3d_list'), torch.randn(2, 3, 16, 48, 48)
    with torch.no_grad():
        ours, expected = backbone(clips), reference.resnet18_3d(backbone.state_dict(), clips)
    assert ours.shape == (2, 128, 1, 2, 2)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_every_frame_counts_in_the_networks_that_pool_in_time():
    for name in ('resnet18_3d_list', 'stc_resnet101_list'):
        backbone = MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model.backbone | dict(base_channels=4))
        pooled = backbone.maxpool(torch.eye(8)[:, None, :, None, None].expand(-1, 1, -1, 4, 4))
        assert pooled.flatten(1).amax(dim=1).eq(1).all()


@pytest.mark.parametrize('depth, features, blocks', [(18, 32, 8), (101, 128, 33)])
def test_stc_stands_in_every_residual_block(depth, features, blocks):
    backbone = MODELS.build(dict(type='STCResNet3d', depth=depth, base_channels=4, inflate_style='3x3x3'))
    plain = MODELS.build(
        dict(type='ResNet3dHara', depth=depth, base_channels=4, pretrained=None, inflate_style='3x3x3')
    )
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


def test_res3d_is_torchvision_s():
    theirs = r3d_18().eval()
    ours = MODELS.build(Config.fromfile(CONFIGS / 'res3d_list.py').model.backbone)
    names = {'stem.0': 'conv1.conv', 'stem.1': 'conv1.bn'}
    for layer in range(1, 5):
        for block in range(2):
            place = f'layer{layer}.{block}'
            for conv in ('conv1', 'conv2'):
                names.update({f'{place}.{conv}.0': f'{place}.{conv}.conv', f'{place}.{conv}.1': f'{place}.{conv}.bn'})
            names.update(
                {f'{place}.downsample.0': f'{place}.downsample.conv', f'{place}.downsample.1': f'{place}.downsample.bn'}
            )
    weights = {}
    for key, value in theirs.state_dict().items():
        module, leaf = key.rsplit('.', 1)
        if module != 'fc':
            weights[f'{names[module]}.{leaf}'] = value
    ours.load_state_dict(weights)
    ours.eval()
    x = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        y = x
        for stage in (theirs.stem, theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            y = stage(y)
        torch.testing.assert_close(ours(x), y, atol=1e-5, rtol=1e-4)
