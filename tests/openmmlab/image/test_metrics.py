"""Accuracy of every iterate against scikit-learn, mmpretrain and hand-made cases."""

import math

import pytest
import torch
from mmpretrain.evaluation import Accuracy
from mmpretrain.registry import METRICS, MODELS
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from tests.openmmlab.image.samples import features, samples


def evaluate(scores, labels, field='iterate_scores', **kwargs):
    """Metrics of scores ``[images, K, C]``, or of ``pred_score`` ``[images, C]``; in batches of seven."""
    metric = METRICS.build(dict(type='IterateAccuracy', **kwargs))
    data = [{field: score, 'gt_label': torch.tensor([label])} for score, label in zip(scores, labels)]
    for start in range(0, len(data), 7):
        metric.process(None, data[start : start + 7])
    return metric.evaluate(len(data))


def random_scores(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*shape, generator=generator).softmax(dim=-1), torch.randint(
        shape[-1], shape[:1], generator=generator
    )


def test_against_scikit_learn_and_mmpretrain():
    scores, labels = random_scores(60, 3, 9)
    values = evaluate(scores, labels.tolist(), topk=(1, 2, 5))
    names = {'top1', 'top2', 'top5'}
    assert values.keys() == {
        f'accuracy/{prefix}{name}' for name in names for prefix in ('', 'iterate_1/', 'iterate_2/', 'iterate_3/')
    }
    for i in range(3):
        stock = Accuracy.calculate(scores[:, i], labels, topk=(1, 2, 5))
        for k, theirs in zip((1, 2, 5), stock):
            ours = values[f'accuracy/iterate_{i + 1}/top{k}']
            assert ours == pytest.approx(100 * top_k_accuracy_score(labels, scores[:, i], k=k, labels=range(9)))
            assert ours == pytest.approx(theirs[0].item(), rel=1e-5)
        top1 = values[f'accuracy/iterate_{i + 1}/top1']
        assert top1 == pytest.approx(100 * accuracy_score(labels, scores[:, i].argmax(dim=1)))
    assert all(values[f'accuracy/{name}'] == values[f'accuracy/iterate_3/{name}'] for name in names)


def test_plain_heads_are_one_iterate():
    scores, labels = random_scores(30, 9)
    values = evaluate(scores, labels.tolist(), field='pred_score')
    assert values.keys() == {'accuracy/top1', 'accuracy/top5'}
    for k, theirs in zip((1, 5), Accuracy.calculate(scores, labels, topk=(1, 5))):
        assert values[f'accuracy/top{k}'] == pytest.approx(theirs[0].item(), rel=1e-5)
    assert evaluate(scores[:, None], labels.tolist()) == values, 'so is a single iterate'


@pytest.mark.parametrize('iterates', [1, 3])
def test_it_reads_what_the_heads_predict(iterates):
    linear = dict(type='LinearClsHead', num_classes=9, in_channels=8)
    head = MODELS.build(dict(type='AdaptiveRecurrentClsHead', head=linear) if iterates > 1 else linear).double()
    feats, labels = features(iterates, count=40), torch.arange(40) % 9
    metric = METRICS.build(dict(type='IterateAccuracy', topk=(1, 3)))
    metric.process(None, [sample.to_dict() for sample in head.predict(feats, samples(labels.tolist()))])
    values = metric.evaluate(40)
    for i, feat in enumerate(feats, start=1):
        prefix = f'accuracy/iterate_{i}/' if iterates > 1 else 'accuracy/'
        scores = getattr(head, 'wrapped', head)((feat,)).softmax(dim=1)
        for k, theirs in zip((1, 3), Accuracy.calculate(scores, labels, topk=(1, 3))):
            assert values[f'{prefix}top{k}'] == pytest.approx(theirs[0].item(), rel=1e-5)


def test_equal_scores_are_no_hit_by_chance():
    values = evaluate(torch.full((4, 2, 4), 0.25), [0, 1, 2, 3], topk=(1, 2))
    assert values['accuracy/top1'] == 25 and values['accuracy/iterate_1/top2'] == 50


def test_ranks_that_mean_nothing_are_left_out():
    scores, labels = random_scores(8, 2, 5)
    assert set(evaluate(scores, labels.tolist(), topk=(1, 4, 5))) == {
        f'accuracy/{prefix}top{k}' for prefix in ('', 'iterate_1/', 'iterate_2/') for k in (1, 4)
    }
    assert evaluate(torch.ones(3, 1, 1), [0, 0, 0]) == {'accuracy/top1': 100}


def test_a_prefix_of_one_s_own():
    scores, labels = random_scores(8, 2, 5)
    assert all(key.startswith('mine/') for key in evaluate(scores, labels.tolist(), prefix='mine'))


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_network_that_has_blown_up_is_an_error_not_a_result(value):
    scores, labels = random_scores(8, 2, 5)
    scores[3, 0, 1] = value
    with pytest.raises(ValueError, match='iterate_scores must be finite'):
        evaluate(scores, labels.tolist())


def test_bad_arguments_and_labels():
    for topk in ((), (0,), (1, 2.5), ('1',)):
        with pytest.raises(ValueError, match='topk must be positive ints, got '):
            evaluate([], [], topk=topk)
    metric = METRICS.build(dict(type='IterateAccuracy'))
    with pytest.raises(ValueError, match=r'gt_label must be a single label, got \[0, 2\]; .* multi-label'):
        metric.process(None, [dict(pred_score=torch.ones(5), gt_label=torch.tensor([0, 2]))])
