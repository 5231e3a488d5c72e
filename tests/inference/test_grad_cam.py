"""Grad-CAM of a chosen iterate: against its definition, through mmaction2's tool and pytorch-grad-cam."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, init_default_scope
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.inference.grad_cam import iterate_layer, submodule
from kaizen_mm.models import RecurrentNetwork, mfnet2d_n9
from tests.openmmlab.samples import batch
from tests.openmmlab.trained import image_config, stock_video_config, video_config

LAYER = 'conv5.B01.conv_m2'
SMALL = dict(
    widths=(8, 8, 8, 16),
    units=(1, 1, 1, 1),
    groups=2,
    num_classes=4,
    num_iterations=3,
    input_size=(128, 128),
    alpha=1.0,
)
IMAGES = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mfnet():
    torch.manual_seed(0)
    return mfnet2d_n9(**SMALL).eval()


def by_definition(network, name, iterate, images, label):
    """ReLU of the maps weighted by their mean gradients, ``[N, H, W]``, from all iterates of one pass."""
    outputs = []

    def keep(module, given, output):
        outputs.append(output)
        return output.clone()  # the network adds to it in place

    handle = submodule(network, name).register_forward_hook(keep)
    scores = network.forward_iterates(images)[iterate - 1]
    handle.remove()
    maps = outputs[iterate - 1] if len(outputs) > 1 else outputs[0]
    (gradient,) = torch.autograd.grad(scores[:, label].sum(), maps)
    return F.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)).detach()


def scaled(maps):
    """As pytorch-grad-cam scales its maps: from 0 to 1, each."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax(dim=(1, 2), keepdim=True))


def upsampled(maps, size=128):
    import cv2

    large = np.stack([cv2.resize(m, (size, size)) for m in scaled(maps).numpy()])
    return scaled(torch.from_numpy(large)).numpy()


@pytest.mark.parametrize('iterate', [1, 2, 3])
@pytest.mark.parametrize('name', [LAYER, 'tail.relu', 'conv4.B01.conv_m2'])
def test_pytorch_grad_cam_of_each_iterate(mfnet, name, iterate):
    expected = upsampled(by_definition(mfnet, name, iterate, IMAGES, 1))
    with iterate_layer(mfnet, name, iterate) as layer, GradCAM(mfnet, [layer]) as cam:
        found = cam(IMAGES, [ClassifierOutputTarget(1)] * 2)
        assert torch.equal(cam.outputs, mfnet(IMAGES))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_iterates_differ_and_hooks_on_the_layer_itself_mix_them(mfnet):
    maps = {}
    for iterate in (1, 3):
        with iterate_layer(mfnet, LAYER, iterate) as layer, GradCAM(mfnet, [layer]) as cam:
            maps[iterate] = cam(IMAGES, [ClassifierOutputTarget(1)] * 2)
    with GradCAM(mfnet, [submodule(mfnet, LAYER)]) as cam:
        maps['mixed'] = cam(IMAGES, [ClassifierOutputTarget(1)] * 2)
    assert np.abs(maps[1] - maps[3]).max() > 0.01 and np.abs(maps['mixed'] - maps[3]).max() > 0.01


def test_a_network_made_recurrent():
    torch.manual_seed(0)
    net = timm.create_model('resnet18', num_classes=4, zero_init_last=False)
    net = RecurrentNetwork(
        net,
        'layer4.1',
        dynamic='conv1',
        feedback='bn2',
        example_input=IMAGES,
        num_iterations=3,
        pool_kernel=2,
        alpha=1.0,
    ).eval()
    for iterate in (1, 3):
        expected = upsampled(by_definition(net, 'layer4.1.bn2', iterate, IMAGES, 2))
        with iterate_layer(net, 'layer4.1.bn2', iterate) as layer, GradCAM(net, [layer]) as cam:
            np.testing.assert_allclose(cam(IMAGES, [ClassifierOutputTarget(2)] * 2), expected, atol=1e-4)


def test_a_classifier_of_mmpretrain():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(image_config().model).eval()
    images = torch.randn(1, 3, 64, 64)
    with iterate_layer(model, f'backbone.{LAYER}', 2) as layer, GradCAM(model, [layer]) as cam:
        assert cam(images).shape == (1, 64, 64)
        expected = model.head.iterate_scores(model.extract_feat(images))
    assert torch.allclose(cam.outputs, expected[-1]) and len(expected) == 2


@pytest.mark.parametrize(
    'config, name, size',
    [(video_config, f'backbone.{LAYER}', (16, 32, 32)), (stock_video_config, 'backbone.layer4.2.conv3', (8, 32, 32))],
)
def test_mmaction2s_tool(config, name, size):
    from mmaction.utils import GradCAM as ClipGradCAM

    init_default_scope('mmaction')
    cfg = config()
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    data = batch(2, size, (1,))
    maps, scores = {}, {}
    for iterate in (1, 3):
        with iterate_layer(model, name, iterate) as layer:
            tool = ClipGradCAM(model, layer.path)
            blended, scores[iterate] = tool(data)
            assert blended.shape == (2, *size, 3) and scores[iterate].requires_grad
            maps[iterate] = tool.target_activations
            assert tool.target_gradients.shape == maps[iterate].shape
    with torch.no_grad():
        feats = model.extract_feat(model.data_preprocessor(data)['inputs'], test_mode=True)[0]
        logits = [s.mean(dim=0) for s in model.cls_head.iterate_scores(feats)]
    for iterate in (1, 3):  # the tool works on scores before the softmax
        torch.testing.assert_close(scores[iterate][0].detach(), logits[iterate - 1], atol=1e-4, rtol=1e-4)
    assert not torch.equal(maps[1], maps[3])


def test_afterwards_the_network_is_as_it_was(mfnet):
    before, keys, expected = list(mfnet._modules), list(mfnet.state_dict()), mfnet.forward_iterates(IMAGES)
    with iterate_layer(mfnet, LAYER, 2):
        assert len(mfnet.forward_iterates(IMAGES)) == 2 and list(mfnet.state_dict()) == keys
    assert list(mfnet._modules) == before and mfnet.num_iterations == 3
    assert all(torch.equal(a, b) for a, b in zip(mfnet.forward_iterates(IMAGES), expected))
    assert not mfnet._forward_pre_hooks and not submodule(mfnet, LAYER)._forward_hooks


def test_names_of_state_dicts_and_of_modules(mfnet):
    assert submodule(mfnet, LAYER) is submodule(mfnet, 'conv5.B01.wrapped.conv_m2') is mfnet.conv5.B01.wrapped.conv_m2
    assert submodule(mfnet, 'conv5.B01.adapter') is mfnet.conv5.B01.adapter
    with pytest.raises(ValueError, match="no submodule 'conv5.B01.conv_m3'; did you mean .*conv5.B01.conv_m2"):
        submodule(mfnet, 'conv5.B01.conv_m3')


def test_what_cannot_be_looked_at(mfnet):
    with pytest.raises(ValueError, match='iterate must be an int from 1 to 3, got 4'), iterate_layer(mfnet, LAYER, 4):
        pass
    plain = mfnet2d_n9(**{**SMALL, 'num_iterations': 1})
    with pytest.raises(ValueError, match='must have a recurrent block'), iterate_layer(plain, LAYER, 1):
        pass
    with iterate_layer(mfnet, 'conv5.B01.conv_i1.conv'), pytest.raises(ValueError, match='runs 1 times .* 3 iterates'):
        mfnet(IMAGES)
    with iterate_layer(mfnet, 'conv5.B01'), pytest.raises(TypeError, match='must give a tensor, it gives a tuple'):
        mfnet(IMAGES)
