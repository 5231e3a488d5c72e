"""Early exit of whole recognizers and classifiers equals choosing among their iterates, sample by sample."""

import mmaction.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.calibration import Calibration
from kaizen_mm.openmmlab.early_exit import predict_with_early_exit
from tests.openmmlab.samples import batch

SMALL = dict(widths=(8, 8, 8, 16), units=(1, 1, 1, 2), groups=4, alpha=1.0, pool_kernel=1, num_iterations=3)
RESNET = dict(
    type='AdaptiveRecurrentBackbone',
    input_shape=(3, 32, 32),
    block='layer4.1',
    dynamic='conv1.conv',
    feedback='conv2',
    num_iterations=3,
    alpha=0.3,
    pool_kernel=1,
)
TSN = dict(type='TSNHead', num_classes=4, in_channels=512, dropout_ratio=0.0, average_clips='prob')
I3D = dict(type='I3DHead', num_classes=4, dropout_ratio=0.0, average_clips='prob')
BAGNET = dict(
    type='AdaptiveRecurrentBackbone',
    backbone=dict(type='BagNet3d', widths=(8, 8), stem=(8, 4, 4)),
    input_shape=(3, 4, 32, 32),
    block=['block1', 'block2'],
    dynamic=['block1.conv1', 'block2.conv1'],
    adapter='global',
    num_iterations=3,
)


def _recognizer(kind, backbone, head, frames='NCTHW', neck=None, **test_cfg):
    recognizer = dict(
        type=kind,
        backbone=backbone,
        cls_head=dict(type='AdaptiveRecurrentHead', head=head, num_iterations=3),
        data_preprocessor=dict(type='ActionDataPreprocessor', mean=[127.0] * 3, std=[60.0] * 3, format_shape=frames),
    )
    return dict(recognizer, test_cfg=test_cfg or None, **({} if neck is None else dict(neck=neck)))


def _classifier(backbone, head, neck=None):
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=backbone,
        neck=neck,
        head=dict(type='mmpretrain.AdaptiveRecurrentClsHead', head=head, num_iterations=3),
        data_preprocessor=dict(mean=[127.0], std=[60.0]),
    )


def _linear(channels):
    return dict(type='mmpretrain.LinearClsHead', num_classes=4, in_channels=channels)


POOLING = dict(type='AdaptiveRecurrentNeck', neck=dict(type='mmpretrain.GlobalAveragePooling'))
# by name: the scope, the model, the shape of a sample's inputs
MODELS_OF = {
    'RecurrentMFNet3d, clips': (
        'mmaction',
        _recognizer(
            'Recognizer3D',
            dict(type='RecurrentMFNet3d', input_size=(4, 32, 32), **SMALL),
            dict(I3D, in_channels=16),
        ),
        (3, 3, 4, 32, 32),
    ),
    'BagNet3d, several blocks as one': (
        'mmaction',
        _recognizer('Recognizer3D', BAGNET, dict(I3D, in_channels=8)),
        (2, 3, 4, 32, 32),
    ),
    'frames in the batch': (
        'mmaction',
        _recognizer(
            'Recognizer2D', dict(RESNET, backbone=dict(type='mmaction.ResNet', depth=18, pretrained=None)), TSN, 'NCHW'
        ),
        (5, 3, 32, 32),
    ),
    'frames that are shifted into one another': (
        'mmaction',
        _recognizer(
            'Recognizer2D',
            dict(
                RESNET,
                backbone=dict(type='ResNetTSM', depth=18, pretrained=None, num_segments=8),
                dynamic='conv2.conv',
                input_batch=8,
            ),
            dict(type='TSMHead', num_segments=8, num_classes=4, in_channels=512, dropout_ratio=0.0),
            'NCHW',
        ),
        (8, 3, 32, 32),
    ),
    'RecurrentMFNet2d': (
        'mmpretrain',
        _classifier(dict(type='mmpretrain.RecurrentMFNet2d', input_size=(32, 32), **SMALL), _linear(16), POOLING),
        (3, 32, 32),
    ),
    'a neck with norms': (
        'mmpretrain',
        _classifier(
            dict(RESNET, backbone=dict(type='mmpretrain.ResNet', depth=18), dynamic='conv1', feedback='bn2'),
            _linear(8),
            dict(
                type='AdaptiveRecurrentNeck',
                num_iterations=3,
                neck=dict(
                    type='mmpretrain.LinearNeck',
                    in_channels=512,
                    out_channels=8,
                    gap_dim=2,
                    norm_cfg=dict(type='BN1d'),
                ),
            ),
        ),
        (3, 32, 32),
    ),
    'MnistCNN': (
        'mmpretrain',
        _classifier(
            dict(type='mmpretrain.MnistCNN', num_iterations=3, alpha=0.5),
            dict(type='mmpretrain.ClsHead', cal_acc=False),
        ),
        (1, 28, 28),
    ),
}
every_model = pytest.mark.parametrize('name', MODELS_OF)


def data_of(scope, shape, samples=6):
    """A batch of random inputs whose contrast differs from sample to sample, so that confidences do."""
    generator = torch.Generator().manual_seed(0)
    inputs = [
        (127 + torch.randn(shape, generator=generator) * (2 + 12 * n)).clamp(0, 255).to(torch.uint8)
        for n in range(samples)
    ]
    if scope == 'mmaction':
        return dict(inputs=inputs, data_samples=batch(1, labels=[n % 4 for n in range(samples)])['data_samples'])
    return dict(inputs=torch.stack(inputs), data_samples=[DataSample().set_gt_label(n % 4) for n in range(samples)])


def build(name):
    """A model in double precision whose iterates differ, in evaluation mode, and preprocessed data for it."""
    scope, cfg, shape = MODELS_OF[name]
    init_default_scope(scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg).double()
    for module in model.modules():
        if hasattr(module, 'global_rows'):
            for linear in module.linears:
                nn.init.normal_(linear.weight, std=0.5)
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)) and module.weight.shape[0] == 4:
            nn.init.normal_(module.weight, std=0.4)
    data = model.data_preprocessor(data_of(scope, shape), False)
    data['inputs'] = data['inputs'].double()
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model.extract_feat(data['inputs'])
    for norm in model.modules():
        if isinstance(norm, _BatchNorm) and norm.weight is not None and norm.weight.numel():
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    return model.eval(), data['inputs'], data['data_samples']


def copies(samples):
    return [sample.clone() for sample in samples]


def of_iterates(samples):
    """The probabilities of all iterates, ``[N, K, C]``."""
    found = [s.iterate_clip_scores.mean(dim=1) if 'iterate_clip_scores' in s else s.iterate_scores for s in samples]
    return torch.stack(found)


@every_model
@torch.no_grad()
def test_it_equals_choosing_among_the_iterates(name):
    model, inputs, samples = build(name)
    all_passes = model(inputs, copies(samples), mode='predict')
    scores = of_iterates(all_passes)
    confidences = scores.amax(dim=2)
    assert (scores[:, 0] - scores[:, -1]).abs().max() > 1e-4
    ordered = confidences[:, 0].sort().values
    seen = set()
    for threshold in (0.0, 1.0, *((ordered[1:] + ordered[:-1]) / 2).tolist()):
        found = predict_with_early_exit(model, inputs, copies(samples), Calibration(threshold))
        for n, sample in enumerate(found):
            passes = next(i for i in (1, 2, 3) if confidences[n, i - 1] >= threshold or i == 3)
            assert sample.passes == passes
            torch.testing.assert_close(of_iterates([sample])[0, 0], scores[n, passes - 1], rtol=1e-9, atol=1e-10)
            assert torch.equal(sample.pred_score.argmax(), scores[n, passes - 1].argmax())
            assert sample.gt_label == samples[n].gt_label
            seen.add(passes)
    assert {1, 3} <= seen
    again = of_iterates(model(inputs, copies(samples), mode='predict'))
    assert torch.equal(again, scores), 'nothing stays behind'


@torch.no_grad()
def test_temperatures_decide_who_leaves_and_not_what_is_predicted():
    model, inputs, samples = build('RecurrentMFNet2d')
    scores = of_iterates(model(inputs, copies(samples), mode='predict'))
    logits = scores.log()
    hot = (0.3, 0.5, 1.0)
    confidences = torch.stack([(logits[:, i] / hot[i]).softmax(dim=1).amax(dim=1) for i in range(3)], dim=1)
    threshold = confidences[:, 0].sort().values[2:4].mean().item()
    found = predict_with_early_exit(model, inputs, copies(samples), Calibration(threshold, hot))
    expected = [next(i for i in (1, 2, 3) if row[i - 1] >= threshold or i == 3) for row in confidences.tolist()]
    plain = predict_with_early_exit(model, inputs, copies(samples), Calibration(threshold))
    assert [s.passes for s in found] == expected and expected != [s.passes for s in plain]
    for n, sample in enumerate(found):
        torch.testing.assert_close(sample.pred_score, scores[n, expected[n] - 1], rtol=1e-9, atol=1e-10)


@torch.no_grad()
def test_what_has_left_is_not_computed():
    model, inputs, samples = build('RecurrentMFNet3d, clips')
    first = of_iterates(model(inputs, copies(samples), mode='predict'))[:, 0].amax(dim=1)
    seen = []
    model.cls_head.wrapped.register_forward_pre_hook(lambda head, given: seen.append(len(given[0])))
    ordered = first.sort().values
    found = predict_with_early_exit(model, inputs, copies(samples), Calibration(ordered[2:4].mean().item()))
    passes = [sample.passes for sample in found]
    assert seen == [3 * sum(p >= i for p in passes) for i in range(1, max(passes) + 1)]
    assert seen[0] == 18 and seen[1] == 9, 'three clips of each sample, which leave together'


@pytest.mark.parametrize(
    'case, message',
    [
        ('threshold', 'threshold must be a number from 0 to 1, got 1.5'),
        ('K = 1', 'early_exit: Recognizer3D has num_iterations=1'),
        ('temperatures', 'temperatures must be one for each of 3 iterates, got 2'),
        ('training', 'early_exit: the network is in training mode'),
        ('plain', 'early_exit: Recognizer3D has no recurrent block'),
        ('foreign', 'has a Sequential for its backbone, whose later iterates cannot be run alone'),
        ('views', 'calls its backbone more than once for a batch, .* leave test_cfg.max_testing_views out'),
        ('labels', 'early_exit: a I3DHead gives labels that do not exclude each other'),
    ],
)
def test_what_cannot_leave_early_is_said(case, message):
    init_default_scope('mmaction')
    cfg = Config(MODELS_OF['BagNet3d, several blocks as one'][1])
    calibration, samples = Calibration(1.0), 2
    if case == 'threshold':
        calibration = Calibration(1.5)
    if case == 'temperatures':
        calibration = Calibration(0.5, (1.0, 1.0))
    if case == 'K = 1':
        cfg.model = dict(backbone=dict(num_iterations=1))
        cfg.backbone.num_iterations = 1
    if case == 'plain':
        cfg.backbone = cfg.backbone.backbone
    if case == 'views':
        cfg.test_cfg, samples = dict(max_testing_views=1), 1
    cfg.pop('model', None)
    model = MODELS.build(cfg.to_dict()).eval()
    if case == 'training':
        model.train()
    if case == 'foreign':
        model.backbone = nn.Sequential(model.backbone)
    if case == 'labels':
        model.cls_head.wrapped.multi_class = True
    data = model.data_preprocessor(data_of('mmaction', (2, 3, 4, 32, 32), samples), False)
    with pytest.raises(ValueError, match=message):
        predict_with_early_exit(model, data['inputs'], data['data_samples'], calibration)
