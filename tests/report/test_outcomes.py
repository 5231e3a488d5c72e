"""Figures of a test set, by hand."""

import math

import numpy as np
import pytest

from kaizen_mm.report import Outcomes


def outcomes(right, labels, classes=3) -> Outcomes:
    """Samples of which each iterate is right or predicts the class after the true one."""
    right, labels = np.array(right, dtype=bool), np.array(labels)
    scores = np.full((*right.shape, classes), 0.1)
    for n, k in np.ndindex(right.shape):
        scores[n, k, labels[n] if right[n, k] else (labels[n] + 1) % classes] = 0.8
    return Outcomes(scores, labels, [f'class {c}' for c in range(classes)], [f'{n}.png' for n in range(len(labels))])


def wilson(right, n, z=1.959964):
    p = right / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


RIGHT = [[0, 1], [0, 1], [1, 0], [1, 1], [0, 0], [0, 1]]
LABELS = [0, 0, 1, 1, 1, 0]


def test_accuracy_has_wilson_s_interval():
    first, last = outcomes(RIGHT, LABELS).accuracy()
    assert first.share == pytest.approx(2 / 6) and last.share == pytest.approx(4 / 6)
    for interval, right in ((first, 2), (last, 4)):
        assert (interval.low, interval.high) == pytest.approx(wilson(right, 6), abs=1e-5)
    (everything,) = outcomes([[1]] * 50, [0] * 50).accuracy()
    assert (
        everything.share == 1 and everything.low == pytest.approx(wilson(50, 50)[0], abs=1e-5) and everything.high == 1
    )


def test_what_an_iterate_corrects_and_breaks():
    step = outcomes(RIGHT, LABELS).step(0, 1)
    assert (step.corrected, step.broken) == (3, 1) and step.gain == pytest.approx(2 / 6)
    changes = np.array([1, 1, -1, 0, 0, 1])
    assert step.error == pytest.approx(changes.std() / math.sqrt(6))
    assert step.p == pytest.approx(2 * (math.comb(4, 0) + math.comb(4, 1)) / 2**4)
    same = outcomes([[1, 1], [0, 0]], [0, 1]).step(0, 1)
    assert (same.corrected, same.broken, same.gain, same.error, same.p) == (0, 0, 0, None, 1), (
        'a spread that is 0 by construction is none'
    )


def test_classes_and_confusion():
    found = outcomes(RIGHT, LABELS)
    first, last = found.class_accuracy(0), found.class_accuracy(-1)
    assert [c and c.share for c in first] == pytest.approx([0, 2 / 3, None]) and [
        c and c.share for c in last
    ] == pytest.approx([1, 1 / 3, None])
    assert found.confusion(0).tolist() == [[0, 3, 0], [0, 2, 1], [0, 0, 0]]
    assert found.confusion(1).tolist() == [[3, 0, 0], [0, 1, 2], [0, 0, 0]]


def test_corrected_and_broken_samples_come_by_how_much_they_change():
    found = outcomes(RIGHT, LABELS)
    found.scores[1, 1] = [0.98, 0.01, 0.01]
    found.scores[5, 1] = [0.5, 0.25, 0.25]
    assert found.corrected().tolist() == [1, 0, 5] and found.broken().tolist() == [2]
    assert outcomes([[1], [0]], [0, 0]).corrected().tolist() == []


@pytest.mark.parametrize(
    'scores, labels, names, message',
    [
        (np.ones((2, 1, 3)), [0], 'abc', 'one for each of at least one label, got'),
        (np.ones((0, 1, 3)), [], 'abc', 'at least one label'),
        (np.ones((1, 3)), [0], 'abc', 'of shape'),
        (np.ones((1, 1, 3)), [3], 'abc', 'labels must be from 0 to 2'),
        (np.ones((1, 1, 3)), [-1], 'abc', 'labels must be'),
        (np.ones((1, 1, 3)), [0], 'ab', 'each with a name'),
        (np.full((1, 1, 3), np.nan), [0], 'abc', 'NaN or infinity'),
    ],
)
def test_what_does_not_fit_together_is_refused(scores, labels, names, message):
    with pytest.raises(ValueError, match=message):
        Outcomes(scores, labels, names, labels)
