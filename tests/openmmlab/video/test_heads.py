"""The head over iterates against the stock head."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from tests.openmmlab.samples import batch

I3D = dict(type='I3DHead', num_classes=4, in_channels=8, dropout_ratio=0, average_clips='prob', topk=(1, 2))


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


def build(head=None, **kwargs):
    torch.manual_seed(0)
    built = MODELS.build(dict(type='AdaptiveRecurrentHead', head={**I3D, **(head or {})}, **kwargs))
    built.init_weights()
    return built


def stock(head, **kwargs):
    plain = MODELS.build({**I3D, **kwargs})
    plain.load_state_dict(head.state_dict())
    return plain


def features(iterates, samples=2):
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(samples, 8, 2, 3, 3, generator=generator) for _ in range(iterates))


def samples(**kwargs):
    return batch(1, (1, 2, 2), **kwargs)['data_samples']


def test_the_state_dict_is_that_of_the_wrapped_head():
    assert set(build().state_dict()) == {'fc_cls.weight', 'fc_cls.bias'}


@pytest.mark.parametrize('smoothing', [0, 0.1])
@pytest.mark.parametrize('soft', [0, 4])
@pytest.mark.parametrize('tuple_of_one', [True, False])
def test_one_iterate_gives_the_stock_head_s_loss(smoothing, soft, tuple_of_one):
    head = build(dict(label_smooth_eps=smoothing))
    feats = features(1) if tuple_of_one else features(1)[0]
    log = head.loss(feats, samples(soft_classes=soft))
    expected = stock(head, label_smooth_eps=smoothing).loss(features(1)[0], samples(soft_classes=soft))
    assert log.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.allclose(log[key].float(), value.float()), key


def test_the_loss_is_eq_5_of_the_iterates_and_only_it_is_summed_up():
    head, feats = build(dict(label_smooth_eps=0.1)), features(3)
    log = head.loss(feats, samples())
    single = [stock(head, label_smooth_eps=0.1).loss(f, samples())['loss_cls'] for f in feats]
    total = single[2] + 3e-3 * single[0] + 1e-3 * single[1]
    total = total + 0.1 * sum((b - a).clamp(min=0) for a, b in zip(single, single[1:]))
    assert torch.allclose(log['loss_cls'], total)
    assert [key for key in log if 'loss' in key] == ['loss_cls']
    assert torch.allclose(torch.stack([log[f'iterate_{i}_ce'] for i in (1, 2, 3)]), torch.stack(single))
    worse = [log[f'iterate_{i}_worse'].item() for i in (2, 3)]
    assert worse == [float(b > a) for a, b in zip(single, single[1:])] and 'iterate_1_worse' not in log
    worse = [head.loss(feats[::-1], samples())[f'iterate_{i}_worse'].item() for i in (2, 3)]
    assert worse == [float(b > a) for a, b in zip(single[::-1], single[1::-1])]


def test_soft_labels_of_mixup_reach_every_iterate():
    head, feats = build(), features(2)
    log = head.loss(feats, samples(soft_classes=4))
    single = [stock(head).loss(f, samples(soft_classes=4))['loss_cls'] for f in feats]
    assert torch.allclose(log['iterate_1_ce'], single[0]) and torch.allclose(log['iterate_2_ce'], single[1])


def test_a_single_sample_with_as_many_classes_as_labels():
    head = build()
    log = head.loss(features(2, 1), samples(labels=(3,), soft_classes=4))
    assert torch.isfinite(log['loss_cls'])


def test_forward_gives_the_last_iterate_or_all():
    feats = features(3)
    head, every = build(), build(return_iterates=True)
    assert torch.equal(head(feats), stock(head)(feats[2]))
    assert [torch.equal(a, stock(head)(f)) for a, f in zip(every(feats), feats)] == [True] * 3


@pytest.mark.parametrize('average_clips', ['prob', 'score', None])
def test_predictions_are_those_of_the_stock_head_on_the_last_iterate(average_clips):
    head, feats = build(dict(average_clips=average_clips)), features(3, samples=2 * 5)
    predictions = head.predict(feats, samples())
    expected = stock(head, average_clips=average_clips).predict(feats[2], samples())
    for ours, theirs in zip(predictions, expected):
        assert torch.equal(ours.pred_score, theirs.pred_score)
        assert torch.equal(ours.pred_label, theirs.pred_label)
        assert ours.iterate_clip_scores.shape == (3, 5, 4)
    second = stock(head)(feats[1])[5:].softmax(dim=1)  # clips of the second video
    assert torch.allclose(predictions[1].iterate_clip_scores[1], second)


def test_max_testing_views_changes_nothing():
    model = dict(
        type='Recognizer3D',
        backbone=dict(type='RecurrentMFNet3d', variant='mfnet3d_n9', num_iterations=2, input_size=(10, 96, 96)),
        cls_head=dict(type='AdaptiveRecurrentHead', head={**I3D, 'in_channels': 192}),
        data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
    )
    net = MODELS.build(model).eval()
    data = batch(4, labels=(1,))
    with torch.no_grad():
        whole = net.test_step(data)[0].iterate_clip_scores
        net.test_cfg = dict(max_testing_views=3)
        parts = net.test_step(batch(4, labels=(1,)))[0].iterate_clip_scores
    assert whole.shape == (2, 4, 4) and torch.allclose(whole, parts, atol=1e-5)


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match='head.loss_cls must not be set'):
        build(dict(loss_cls=dict(type='BCELossWithLogits')))
    with pytest.raises(ValueError, match='head.multi_class must be False'):
        build(dict(multi_class=True))


def test_batch_norm_in_the_head_keeps_statistics_per_iterate():

    @MODELS.register_module(force=True)
    class NormHead(type(MODELS.build(I3D))):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.norm = torch.nn.BatchNorm3d(8)

        def forward(self, x, **kwargs):
            return super().forward(self.norm(x))

    with pytest.raises(ValueError, match='num_iterations must be given'):
        build(dict(type='NormHead')).loss(features(2), samples())
    head, feats = build(dict(type='NormHead'), num_iterations=2).train(), features(2)
    head.loss(feats, samples())
    means = [0.1 * f.mean(dim=(0, 2, 3, 4)) for f in feats]
    state = head.state_dict()
    assert torch.allclose(state['norm.running_mean'], means[0], atol=1e-6)
    assert torch.allclose(state['norm.iterates.running_mean'][0], means[1], atol=1e-6)


def pair(samples=2, frames=None, channels=8):
    """Features of two iterates, ``[N, C, T, 3, 3]``, or ``[N * frames, C, 3, 3]``."""
    shape = (samples, channels, 2, 3, 3) if frames is None else (samples * frames, channels, 3, 3)
    return tuple(torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in (1, 2))


@pytest.mark.parametrize(
    'head, feats, kwargs',
    [
        (dict(type='TSNHead', spatial_type='avg'), pair(frames=3), dict(num_segs=3)),
        (dict(type='TSMHead', num_segments=3), pair(frames=3), dict(num_segs=3)),
        (dict(type='X3DHead'), pair(), {}),
        (dict(type='SlowFastHead'), tuple(zip(pair(channels=6), pair(channels=2))), {}),
        (dict(type='TimeSformerHead'), tuple(f.mean(dim=(2, 3, 4)) for f in pair()), {}),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) and 'type' in value else '',
)
def test_other_heads_give_on_each_iterate_what_they_give_alone(head, feats, kwargs):
    settings = {**head, 'num_classes': 4, 'in_channels': 8, 'average_clips': 'prob', 'topk': (1, 2)}
    if 'dropout_ratio' not in settings and head['type'] != 'TimeSformerHead':
        settings['dropout_ratio'] = 0
    ours = MODELS.build(dict(type='AdaptiveRecurrentHead', head=settings)).eval()
    alone = MODELS.build(settings).eval()
    alone.load_state_dict(ours.state_dict())
    log = ours.loss(feats, samples(), **kwargs)
    for i, feat in enumerate(feats, start=1):
        expected = alone.loss(feat, samples(), **kwargs)['loss_cls']
        assert torch.allclose(log[f'iterate_{i}_ce'], expected), i
    expected = alone.predict(feats[-1], samples(), **kwargs)
    for got, wanted in zip(ours.predict(feats, samples(), **kwargs), expected):
        assert torch.equal(got.pred_score, wanted.pred_score)
