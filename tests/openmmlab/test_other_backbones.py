"""Backbones of OpenMMLab that are unlike others: tokens in the first dimension, lists changed in place."""

import mmaction.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import pytest
import torch
from mmengine.registry import MODELS

UNIFORMER_V2 = dict(
    type='mmaction.UniFormerV2',
    input_resolution=32,
    patch_size=8,
    width=16,
    layers=4,
    heads=2,
    t_size=4,
    dw_reduction=1.5,
    no_lmhra=True,
    double_lmhra=True,
    return_list=[2, 3],
    n_layers=2,
    n_dim=16,
    n_head=2,
    mlp_factor=2.0,
    drop_path_rate=0.0,
    mlp_dropout=[0.5, 0.5],
    clip_pretrained=False,
)


@pytest.mark.parametrize('batch', [1, 2])
def test_uniformer_v2_is_refused(batch):
    with pytest.raises(
        ValueError,
        match=r"block: 'transformer.resblocks.3' must have the samples in the first dimension, .* "
        r'from shape \(17, \d+, 16\) to \(17, \d+, 16\)\. Samples would mix',
    ):
        MODELS.build(
            dict(
                type='AdaptiveRecurrentBackbone',
                backbone=UNIFORMER_V2,
                input_shape=(3, 4, 32, 32),
                input_batch=batch,
                block='transformer.resblocks.3',
                dynamic='mlp.c_fc',
                feedback='mlp',
                feedback_layout='channels_last',
            )
        )


def test_hrnet_which_puts_maps_into_the_list_that_it_gets():
    stage = dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=(4, 8))
    extra = dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(4,)),
        stage2=stage,
        stage3=dict(stage, num_branches=3, num_blocks=(1,) * 3, num_channels=(4, 8, 16)),
        stage4=dict(stage, num_modules=2, num_branches=4, num_blocks=(1,) * 4, num_channels=(4, 8, 16, 32)),
    )
    torch.manual_seed(0)
    net = MODELS.build(
        dict(
            type='AdaptiveRecurrentBackbone',
            backbone=dict(type='mmpretrain.HRNet', extra=extra),
            input_shape=(3, 64, 64),
            block='stage4.1.branches.3',
            dynamic='0.conv1',
            feedback='0.bn2',
            num_iterations=3,
            alpha=1.0,
        )
    ).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        iterates = net(x)
        net.recurrent_block.adapter.alpha = 0.0
        plain = net(x)
        once = net.wrapped(x)
    for maps in plain:
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(maps, once)), 'alpha = 0 is the plain network'
    assert all(torch.equal(a, b) for a, b in zip(iterates[0], plain[0])), 'so is the first iterate'
    assert all((a - b).abs().max() > 1e-5 for a, b in zip(iterates[1], iterates[0])), 'which all branches feel'
    net.recurrent_block.adapter.alpha = 1.0
    net.train()(x)[-1][0].square().sum().backward()
    assert net.recurrent_block.adapter.linears[0].weight.grad.abs().sum() > 0
