"""MFNet as mmaction2's backbone: registry, starting weights, memory format."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from kaizen_mm.models import mfnet2d_n9, mfnet3d_n9


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


def build(**kwargs):
    return MODELS.build(dict(type='MFNet3d', variant='mfnet3d_n9', **kwargs))


def save(network, path, prefix=''):
    torch.save(dict(state_dict={prefix + k: v for k, v in network.state_dict().items()}), path)
    return str(path)


def test_plain_gives_a_map_and_recurrent_a_tuple():
    x = torch.randn(1, 3, 10, 96, 96)
    assert build()(x).shape == (1, 192, 5, 3, 3)
    recurrent = MODELS.build(
        dict(type='RecurrentMFNet3d', variant='mfnet3d_n9', num_iterations=3, input_size=(10, 96, 96))
    )
    assert [y.shape for y in recurrent(x)] == [(1, 192, 5, 3, 3)] * 3
    assert not any('classifier' in name for name in recurrent.state_dict())


def test_the_block_is_in_the_registry():
    block = MODELS.build(
        dict(
            type='AdaptiveRecurrentBlock',
            block=dict(type='ConvModule', in_channels=4, out_channels=4, kernel_size=3, padding=1),
            dynamic=['conv'],
            feedback_shape=(4, 5, 5),
        )
    )
    assert len(block(torch.randn(2, 4, 5, 5))) == 2
    assert MODELS.build(dict(type='KaizenLoss', kaizen_weight=0.0)).kaizen_weight == 0


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_3d_weights_of_the_original_names_load(tmp_path, prefix):
    source = mfnet3d_n9(num_classes=7)
    path = save(source, tmp_path / 'net.pth', prefix)
    for backbone in (
        build(init_cfg=dict(type='Pretrained', checkpoint=path)),
        build(pretrained=path, pretrained2d=False),
    ):
        backbone.init_weights()
        for name, value in backbone.state_dict().items():
            assert torch.equal(value, source.state_dict()[name]), name


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_2d_weights_are_inflated(tmp_path, prefix):
    source = mfnet2d_n9(num_classes=7)
    backbone = build(pretrained=save(source, tmp_path / 'net.pth', prefix))
    backbone.init_weights()
    flat, solid = source.state_dict(), backbone.state_dict()
    assert set(solid) <= set(flat)
    for name, value in solid.items():
        torch.testing.assert_close(value.sum(dim=2) if value.dim() == 5 else value, flat[name])


def test_3d_weights_taken_for_2d_ones_are_refused(tmp_path):
    torch.save(dict(state_dict={'conv1.conv.weight': torch.zeros(16, 3, 7, 5, 5)}), tmp_path / 'net.pth')
    with pytest.raises(ValueError, match='set pretrained2d=False'):
        build(pretrained=str(tmp_path / 'net.pth')).init_weights()


def test_channels_last_changes_the_memory_format_alone():
    torch.manual_seed(0)
    plain = build().eval()
    last = build(channels_last=True).eval()
    last.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        y = last(x)
        torch.testing.assert_close(y, plain(x), atol=1e-4, rtol=1e-4)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


def test_bad_arguments():
    with pytest.raises(ValueError, match="variant must be one of .* got 'mfnet'"):
        MODELS.build(dict(type='MFNet3d', variant='mfnet'))
    with pytest.raises(ValueError, match='pretrained and init_cfg exclude each other'):
        build(pretrained='a.pth', init_cfg=dict(type='Pretrained', checkpoint='b.pth'))
