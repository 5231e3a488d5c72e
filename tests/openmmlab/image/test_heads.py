"""The head over iterates against mmpretrain's own heads."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS

from tests.openmmlab.image.samples import features, samples

LINEAR = dict(type='LinearClsHead', num_classes=4, in_channels=8)
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
HEADS = {
    'linear': LINEAR,
    'stacked': dict(type='StackedLinearClsHead', num_classes=4, in_channels=8, mid_channels=[6, 5]),
    'transformer': dict(type='VisionTransformerClsHead', num_classes=4, in_channels=8, hidden_dim=6),
    'multi-label': dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=8),
    'no layers': dict(type='ClsHead'),
}
every_head = pytest.mark.parametrize('head', HEADS.values(), ids=HEADS)


def build(head=LINEAR, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='AdaptiveRecurrentClsHead', head=head, **kwargs)).double()


def alone(head, ours):
    """The wrapped head by itself, with the same weights; that they load shows that the names are the same."""
    plain = MODELS.build(head).double()
    plain.load_state_dict(ours.state_dict())
    return plain


def gradients(head, loss):
    head.zero_grad()
    loss.backward(retain_graph=True)
    return {name.replace('wrapped.', ''): p.grad.clone() for name, p in head.named_parameters()}


def eq_5(losses, weight=0.1):
    """By hand, for two or three iterates."""
    total = losses[-1] + 3e-3 * losses[0] + 1e-3 * sum(losses[1:-1])
    return total + weight * sum(max(b - a, 0 * b) for a, b in zip(losses, losses[1:]))


def assert_eq_5(log, losses):
    """The logged loss and criteria are those of the iterates; at least one hinge is open, and the loss is the only
    key that mmengine sums up."""
    assert any(b > a for a, b in zip(losses, losses[1:])), 'the case has an open hinge'
    dtype = log['loss'].dtype  # mmpretrain's sigmoid loss is in float32
    torch.testing.assert_close(log['loss'], eq_5(losses).to(dtype))
    for i, loss in enumerate(losses, start=1):
        torch.testing.assert_close(log[f'iterate_{i}_criterion'], loss.detach().to(dtype))
        assert not log[f'iterate_{i}_criterion'].requires_grad
    assert [key for key in log if 'loss' in key] == ['loss']


@every_head
def test_one_iterate_gives_the_wrapped_head(head):
    ours, feats = build(head), features(1)
    feats[0].requires_grad_()
    plain = alone(head, ours)
    log, expected = ours.loss(feats, samples()), plain.loss(feats, samples())
    assert log.keys() - {'top1_acc'} == expected.keys() == {'loss'}
    assert torch.equal(log['loss'], expected['loss'])
    assert torch.equal(*(torch.autograd.grad(x['loss'], feats[0], retain_graph=True)[0] for x in (log, expected)))
    grads = gradients(plain, expected['loss'])
    assert gradients(ours, log['loss']).keys() == grads.keys() == dict(plain.named_parameters()).keys()
    assert all(torch.equal(g, grads[name]) for name, g in gradients(ours, log['loss']).items())
    assert torch.equal(ours(feats), plain(feats))


def test_accuracies_and_which_iterate_is_worse_are_logged():
    head, (first, second) = build(dict(type='ClsHead')), torch.zeros(2, 3, 4).double()
    labels = samples(labels=(0, 1, 2))
    first[:, 3], second[0, 0], second[1, 1] = 1.0, 1.0, 1.0
    first[2, 2] = 2.0
    log = head.loss([first, second], labels)
    assert log['iterate_1_top1_acc'] == pytest.approx(1 / 3) and log['top1_acc'] == pytest.approx(2 / 3)
    assert log['iterate_2_worse'] == (log['iterate_2_criterion'] > log['iterate_1_criterion']) == 0
    assert head.loss([second, first], labels)['iterate_2_worse'] == 1
    assert 'iterate_1_worse' not in log and not [key for key in head.loss([first], labels) if 'iterate' in key]


def test_soft_labels_have_no_accuracy():
    mixed = [sample.set_gt_score(torch.full((4,), 0.25).double()) for sample in samples()]
    log = build().loss(features(2), mixed)
    assert not [key for key in log if 'acc' in key] and 'iterate_2_worse' in log


@every_head
def test_the_loss_is_eq_5_of_the_wrapped_head_s_losses(head):
    ours, feats = build(head), features(3)
    plain = alone(head, ours)
    losses = [plain.loss((f.requires_grad_(),), samples())['loss'] for f in feats]
    losses, feats = zip(*sorted(zip(losses, feats), key=lambda pair: -pair[0]))
    # the middle one, the worst, the best: the first hinge is open, the second closed
    losses, feats = (losses[1], losses[0], losses[2]), (feats[1], feats[0], feats[2])
    log = ours.loss(feats, samples())
    assert_eq_5(log, losses)
    expected = gradients(plain, eq_5(losses))
    for name, gradient in gradients(ours, log['loss']).items():
        torch.testing.assert_close(gradient, expected[name])
    for ours, expected in zip(*(torch.autograd.grad(loss, feats) for loss in (log['loss'], eq_5(losses)))):
        torch.testing.assert_close(ours, expected)


def test_label_smoothing_holds_for_every_iterate():
    ours, feats = build(dict(LINEAR, loss=SMOOTH)), features(3)
    target = torch.tensor([0, 3, 1])
    losses = [F.cross_entropy(ours.wrapped.fc(f), target, label_smoothing=0.1) for f in feats]
    assert_eq_5(ours.loss(feats, samples()), losses)


@pytest.mark.parametrize('loss', [dict(type='CrossEntropyLoss'), SMOOTH], ids=['plain', 'smooth'])
@pytest.mark.parametrize('augment', ['Mixup', 'CutMix'])
def test_soft_labels_of_batch_augmentations_hold_for_every_iterate(augment, loss):
    torch.manual_seed(0)
    np.random.seed(0)
    preprocessor = MODELS.build(
        dict(type='ClsDataPreprocessor', num_classes=4, batch_augments=dict(augments=dict(type=augment, alpha=1.0)))
    )
    inputs = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    data = preprocessor(dict(inputs=inputs, data_samples=samples()), training=True)
    soft = torch.stack([sample.gt_score for sample in data['data_samples']]).double()
    assert ((soft > 0) & (soft < 1)).any(), 'labels are mixed'
    ours, feats = build(dict(LINEAR, loss=loss)), features(3)
    smoothing = 0.1 if loss is SMOOTH else 0
    wanted = soft * (1 - smoothing) + smoothing / 4
    losses = [-(wanted * ours.wrapped.fc(f).log_softmax(dim=1)).sum(dim=1).mean() for f in feats]
    assert_eq_5(ours.loss(feats, data['data_samples']), losses)


def test_multi_label_losses_hold_for_every_iterate():
    ours, feats = build(HEADS['multi-label']), features(3)
    target = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 1]]).double()
    losses = [F.binary_cross_entropy_with_logits(ours.wrapped.fc(f), target, reduction='sum') / 3 for f in feats]
    assert_eq_5(ours.loss(feats, samples([[0, 2], [3], [1, 2, 3]])), losses)


def test_accuracy_of_every_iterate_is_logged():
    ours = build(dict(type='ClsHead', cal_acc=True, topk=(1, 2)))
    right, second, wrong = ([[3.0, 2, 1]], [[2.0, 3, 1]], [[1.0, 3, 2]])  # for class 0
    feats = tuple(torch.tensor(rows) for rows in (second + wrong, right + second, right + right))
    log = ours.loss(feats, samples((0, 0)))
    logged = {
        key: float(value[0] if isinstance(value, list) else value) for key, value in log.items() if 'accuracy' in key
    }
    assert logged == {
        'iterate_1_accuracy_top-1': 0,
        'iterate_1_accuracy_top-2': 50,
        'iterate_2_accuracy_top-1': 50,
        'iterate_2_accuracy_top-2': 100,
        'accuracy_top-1': 100,
        'accuracy_top-2': 100,
    }


def test_all_losses_of_a_head_are_summed_up():

    @MODELS.register_module(force=True)
    class HeadOfTwoLosses(LinearClsHead):
        def loss(self, feats, data_samples, **kwargs):
            scores = self(feats)
            return dict(
                loss_cls=super().loss(feats, data_samples)['loss'], loss_norm=scores.square().mean(), norm=scores.norm()
            )

    ours, feats = build(dict(LINEAR, type='HeadOfTwoLosses')), features(3)
    target = torch.tensor([0, 3, 1])
    scores = [ours.wrapped.fc(f) for f in feats]
    log = ours.loss(feats, samples())
    assert_eq_5(log, [F.cross_entropy(s, target) + s.square().mean() for s in scores])
    assert log['norm'] == scores[2].norm() and log['iterate_1_norm'] == scores[0].norm()


@every_head
def test_predictions_are_those_of_the_wrapped_head_on_the_last_iterate(head):
    ours, feats = build(head), features(3, channels=4 if head['type'] == 'ClsHead' else 8)
    plain, given = alone(head, ours), samples()
    predictions = ours.predict(feats, given)
    assert all(a is b for a, b in zip(predictions, given, strict=True))
    for i, feat in enumerate(feats):
        expected = plain.predict((feat,), samples())
        for mine, other in zip(predictions, expected, strict=True):
            assert mine.iterate_scores.shape == (3, 4) and torch.equal(mine.iterate_scores[i], other.pred_score)
            if i == 2:
                assert torch.equal(mine.pred_score, other.pred_score) and torch.equal(mine.pred_label, other.pred_label)
                assert torch.equal(mine.gt_label, other.gt_label)
    without = ours.predict(feats)
    assert all(torch.equal(a.iterate_scores, b.iterate_scores) for a, b in zip(without, predictions, strict=True))
    assert build(head).predict(feats[:1])[0].iterate_scores.shape == (1, 4)


@every_head
def test_scores_and_features_of_the_last_iterate_and_of_all(head):
    ours, feats = build(head), features(3)
    plain = alone(head, ours)
    assert torch.equal(ours(feats), plain(feats[2:])) and torch.equal(
        ours.pre_logits(feats), plain.pre_logits(feats[2:])
    )
    assert all(torch.equal(a, plain((b,))) for a, b in zip(ours.iterate_scores(feats), feats, strict=True))
    assert ours.num_classes == getattr(plain, 'num_classes', None)


def test_the_state_dict_is_that_of_the_wrapped_head():
    assert set(build().state_dict()) == {'fc.weight', 'fc.bias'}


def test_the_wrapped_head_starts_from_its_own_weights():
    head = build(dict(LINEAR, num_classes=100, in_channels=200))
    head.init_weights()
    assert head.state_dict()['fc.weight'].std().item() == pytest.approx(0.01, rel=0.05)  # torch's own: 0.04
    assert not head.state_dict()['fc.bias'].any()


def test_batch_norm_in_the_head_keeps_statistics_per_iterate():
    head, feats = dict(HEADS['stacked'], norm_cfg=dict(type='BN1d')), features(3)
    with pytest.raises(
        ValueError, match='num_iterations must be given .* StackedLinearClsHead has batch norm and there are 3'
    ):
        build(head).loss(feats, samples())
    build(head).loss(feats[:1], samples())
    ours = build(head, num_iterations=3).train()
    ours.loss(feats, samples())
    means = [0.1 * ours.wrapped.layers[0].fc(f).mean(dim=0) for f in feats]
    state = ours.state_dict()
    torch.testing.assert_close(state['layers.0.norm.running_mean'], means[0])
    torch.testing.assert_close(state['layers.0.norm.iterates.running_mean'], torch.stack(means[1:]))
    # in evaluation each iterate is normalized by its own, whichever way it is asked for
    ours.eval()
    every = ours.iterate_scores(feats)
    for i, feat in enumerate(feats):
        plain = MODELS.build(head).double().eval()
        for name in plain.state_dict():
            value = state[name]
            if i and 'running' in name:
                value = state[name.replace('.running', '.iterates.running')][i - 1]
            plain.state_dict()[name].copy_(value)
        torch.testing.assert_close(every[i], plain((feat,)))
        torch.testing.assert_close(ours.predict(feats)[0].iterate_scores[i], plain.predict((feat,))[0].pred_score)
    torch.testing.assert_close(ours(feats), plain(feats[2:]))
    torch.testing.assert_close(ours.pre_logits(feats), plain.pre_logits(feats[2:]))


@pytest.mark.parametrize(
    'loss, message',
    [
        (dict(label_smoothing=0.1), 'loss.label_smoothing must be 0, got 0.1.* set it in head.loss'),
        (dict(class_weight=[1.0, 2.0, 3.0, 4.0]), 'loss.class_weight must be None, got tensor'),
        (dict(hinge='sample'), "loss.hinge must be 'batch', got 'sample'"),
        (dict(type='CrossEntropyLoss'), 'loss must be a KaizenLoss, got CrossEntropyLoss; .* head.loss'),
        (dict(kaizen_weight=-1), 'kaizen_weight must be a finite number >= 0, got -1'),
    ],
)
def test_settings_of_the_loss_that_would_have_no_effect_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        build(loss={'type': 'KaizenLoss', **loss})


def test_weights_of_the_loss_have_their_effect():
    feats, given = features(3), samples()
    plain = build(loss=dict(type='KaizenLoss', gammas=(0.0, 0.0), kaizen_weight=0.0)).loss(feats, given)
    assert torch.equal(plain['loss'], plain['iterate_3_criterion'])
    log = build(loss=dict(type='KaizenLoss', gammas=(0.5, 0.25), kaizen_weight=0.0)).loss(feats, given)
    one, two, three = (log[f'iterate_{i}_criterion'] for i in (1, 2, 3))
    torch.testing.assert_close(log['loss'], three + 0.5 * one + 0.25 * two)


@pytest.mark.parametrize('num_iterations', [0, -1, 2.0])
def test_a_number_of_iterations_that_cannot_be_is_refused(num_iterations):
    head = dict(type='LinearClsHead', num_classes=3, in_channels=4)
    with pytest.raises(ValueError, match='num_iterations must be an int from 1 to 1000, got'):
        MODELS.build(dict(type='AdaptiveRecurrentClsHead', head=head, num_iterations=num_iterations))
