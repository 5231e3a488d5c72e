"""The comparison networks as mmpretrain's backbones."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from kaizen_mm.models import comparators
from tests.openmmlab.image.samples import samples

KINDS = {'CORnetS': 2, 'CORnetZ': 1, 'CORnetRT': 2, 'ShaResNet': 1, 'IamNN': 3, 'FeedbackNet': 4, 'ConvRNN': 7}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def images(count=2, size=64):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('kind', KINDS)
def test_iterates_and_names_are_those_of_the_network(kind, tmp_path):
    torch.manual_seed(0)
    network = getattr(comparators, kind)(width=0.125, num_classes=0).eval()
    torch.save(network.state_dict(), tmp_path / 'weights.pth')
    backbone = MODELS.build(
        dict(type=kind, width=0.125, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth')))
    )
    assert backbone.state_dict().keys() == network.state_dict().keys()
    backbone.init_weights()
    backbone.eval()
    iterates = backbone(images())
    assert isinstance(iterates, tuple) and len(iterates) == KINDS[kind]
    for ours, expected in zip(iterates, network.forward_feature_iterates(images())):
        assert torch.equal(ours, expected)


def classifier(backbone, kind='ImageClassifier', channels=64, **kwargs):
    return MODELS.build(
        dict(
            type=kind,
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='AdaptiveRecurrentClsHead',
                head=dict(
                    type='LinearClsHead', num_classes=5, in_channels=channels, loss=dict(type='CrossEntropyLoss')
                ),
            ),
            **kwargs,
        )
    )


@pytest.mark.parametrize('kind', [kind for kind, iterates in KINDS.items() if iterates > 1])
def test_iterates_go_through_head_and_kaizen_loss(kind):
    torch.manual_seed(0)
    net = classifier(dict(type=kind, width=0.125), channels=getattr(comparators, kind)(width=0.125).num_features)
    log = net.loss(images(), samples(range(2)))
    count = KINDS[kind]
    ours = [float(log[f'iterate_{i}_criterion']) for i in range(1, count + 1)]
    gammas = [3e-3, *[1e-3] * (count - 2)]
    expected = (
        ours[-1]
        + sum(g * one for g, one in zip(gammas, ours))
        + 0.1 * sum(max(0.0, after - before) for before, after in zip(ours, ours[1:]))
    )
    assert float(log['loss'].detach()) == pytest.approx(expected, rel=1e-5)
    net.eval()
    assert net.predict(images(), samples(range(2)))[0].iterate_scores.shape == (count, 5)


def test_the_ponder_cost_is_added_to_the_loss():
    torch.manual_seed(0)
    net = classifier(dict(type='IamNN', width=0.125), 'PonderingClassifier', 256, ponder_weight=0.5)
    log = net.loss(images(), samples(range(2)))
    assert (
        float(log['loss_ponder'].detach()) == pytest.approx(0.5 * float(log['ponder_cost']))
        and float(log['ponder_cost']) > 4
    )
    total, shown = net.parse_losses(log)
    assert float(total) == pytest.approx(float(log['loss']) + float(log['loss_ponder'])) and 'ponder_cost' in shown
    total.backward()
    assert all(stage.halting.weight.grad.abs().sum() > 0 for stage in net.backbone.stages)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='ponder_weight must be a finite number >= 0, got -1'):
        classifier(dict(type='IamNN', width=0.125), 'PonderingClassifier', 256, ponder_weight=-1)
    with pytest.raises(ValueError, match='backbone must have a ponder_cost, as IamNN does; CORnetZBackbone has none'):
        classifier(dict(type='CORnetZ', width=0.125), 'PonderingClassifier')
    with pytest.raises(ValueError, match="model_name must be one of torchvision.models.list_models.*, got 'googlenot'"):
        MODELS.build(dict(type='TorchvisionBackbone', model_name='googlenot'))
    with pytest.raises(ValueError, match="model_name must be a network with 'features' or 'fc', got 'maxvit_t'"):
        MODELS.build(dict(type='TorchvisionBackbone', model_name='maxvit_t'))
    with pytest.raises(ValueError, match='aux_logits must be False for googlenet'):
        MODELS.build(dict(type='TorchvisionBackbone', model_name='googlenet', init_weights=False))
    with pytest.raises(ValueError, match='num_iterations must be an int >= 1, got 0'):
        MODELS.build(dict(type='ConvRNN', num_iterations=0))


@pytest.mark.parametrize(
    'model_name, channels, kwargs',
    [('googlenet', 1024, dict(aux_logits=False, init_weights=False)), ('squeezenet1_1', 512, {})],
)
def test_torchvision_networks_give_their_last_map(model_name, channels, kwargs):
    config = dict(type='TorchvisionBackbone', model_name=model_name, **kwargs)
    full = MODELS.build(config).eval()
    (full_map,) = full(images())
    assert full_map.shape[:2] == (2, channels)
    if model_name == 'googlenet':
        import torchvision

        network = torchvision.models.googlenet(num_classes=5, **kwargs).eval()
        network.load_state_dict({k.removeprefix('features.'): v for k, v in full.state_dict().items()}, strict=False)
        torch.testing.assert_close(network(images()), network.fc(full_map.mean(dim=(2, 3))))
    (narrow_map,) = MODELS.build(dict(type='NarrowBackbone', backbone=config, width=0.25)).eval()(images())
    assert narrow_map.shape[:2] == (2, channels // 4)
