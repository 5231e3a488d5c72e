"""Clip and video accuracy against scikit-learn and hand-made cases."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, top_k_accuracy_score

from kaizen_mm.openmmlab.video.metrics import IterateAccuracy


def evaluate(scores, labels, **kwargs):
    """Metrics of scores ``[videos, K, clips, C]``."""
    metric = IterateAccuracy(**kwargs)
    for score, label in zip(scores, labels):
        metric.process(None, [dict(iterate_clip_scores=score, gt_label=torch.tensor([label]))])
    return metric.evaluate(len(labels))


def test_against_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(60, 3, 4, 7, generator=generator).softmax(dim=-1)
    labels = torch.arange(60).remainder(7).roll(3).numpy()
    labels[:9] = 2  # classes of different size
    values = evaluate(scores, labels)
    for i in range(3):
        video, clip = scores[:, i].mean(dim=1).numpy(), scores[:, i].reshape(-1, 7).numpy()
        for name, score, label in (('video', video, labels), ('clip', clip, labels.repeat(4))):
            prefix = f'acc/iterate_{i + 1}/{name}'
            assert values[f'{prefix}_top1'] == pytest.approx(accuracy_score(label, score.argmax(axis=1)))
            assert values[f'{prefix}_top5'] == pytest.approx(top_k_accuracy_score(label, score, k=5, labels=range(7)))
            assert values[f'{prefix}_mean_class'] == pytest.approx(balanced_accuracy_score(label, score.argmax(axis=1)))
            assert values[f'acc/{name}_top1'] == values[f'acc/iterate_3/{name}_top1']


def test_probabilities_are_summed_over_clips():
    # two clips lean to class 1, one is sure of class 0: the vote of sums goes to class 0
    scores = torch.tensor([[[[0.9, 0.1], [0.45, 0.55], [0.45, 0.55]]]])
    values = evaluate(scores, [0])
    assert values == {
        'acc/video_top1': 1,
        'acc/video_mean_class': 1,
        'acc/clip_top1': pytest.approx(1 / 3),
        'acc/clip_mean_class': pytest.approx(1 / 3),
    }


def test_equal_scores_are_no_hit_by_chance():
    values = evaluate(torch.full((4, 1, 1, 4), 0.25), [0, 1, 2, 3], topk=(1, 2))
    assert values['acc/video_top1'] == 0.25 and values['acc/video_top2'] == 0.5


def test_nan_is_an_error_not_a_result():
    with pytest.raises(ValueError, match='must be finite'):
        evaluate(torch.full((1, 1, 1, 3), np.nan), [0])


def test_bad_arguments():
    with pytest.raises(ValueError, match='topk must be positive'):
        IterateAccuracy(topk=(0,))
    with pytest.raises(KeyError, match='AdaptiveRecurrentHead'):
        IterateAccuracy().process(None, [dict(gt_label=torch.tensor([0]))])
