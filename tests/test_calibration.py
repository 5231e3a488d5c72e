"""Temperatures and thresholds against plain loops, and limits."""

import json

import numpy as np
import pytest

from kaizen_mm.calibration import (
    Calibration,
    choose_threshold,
    exit_curve,
    fit_temperatures,
    passes_at,
    probabilities,
    read_calibration,
    write_calibration,
)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_temperatures_that_made_the_labels_are_found_again():
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((20_000, 2, 1, 4))
    labels = np.array([rng.choice(4, p=p) for p in softmax(logits[:, 0, 0] / 2.5)])
    first, second = fit_temperatures(logits, labels)
    assert first == pytest.approx(2.5, rel=0.06)
    assert second > 20, 'labels that have nothing to do with the second iterate leave nothing to be sure of'


def test_probabilities_are_those_of_the_views():
    logits = np.random.default_rng(0).standard_normal((5, 3, 2, 4))
    expected = np.stack([softmax(logits[:, i] / t).mean(axis=1) for i, t in enumerate((1.0, 2.0, 0.5))], axis=1)
    np.testing.assert_allclose(probabilities(logits, (1.0, 2.0, 0.5)), expected)
    np.testing.assert_allclose(probabilities(1e4 * logits).sum(axis=2), 1)


RIGHT = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [0, 1], [1, 1]], dtype=bool)
SURE = np.array([[0.9, 0.9], [0.8, 0.9], [0.5, 0.9], [0.4, 0.9], [0.3, 0.9], [0.85, 0.2]])


def test_the_curve_is_that_of_a_plain_loop():
    curve = exit_curve(RIGHT, SURE)
    assert curve.thresholds[0] == 0 and curve.thresholds[-1] == 1 and (np.diff(curve.thresholds) > 0).all()
    for threshold, passes, accuracy in zip(*curve):
        taken = [1 if sure[0] >= threshold else 2 for sure in SURE]
        assert passes_at(SURE, threshold).tolist() == taken
        assert passes == pytest.approx(np.mean(taken))
        assert accuracy == pytest.approx(np.mean([right[p - 1] for right, p in zip(RIGHT, taken)]))
    assert curve.passes[0] == 1 and curve.passes[-1] == 2
    assert curve.accuracy[0] == RIGHT[:, 0].mean() and curve.accuracy[-1] == RIGHT[:, 1].mean()


def test_the_threshold_of_the_fewest_passes_that_loses_nothing():
    # all passes get 4 of 6 right, as does 0.4; at 0.8 it is one more, at 0.3 one less
    assert choose_threshold(RIGHT, SURE) == pytest.approx(0.4)
    assert choose_threshold(RIGHT, SURE, tolerance=1.0) == 0.0, 'all leave at once'
    worse = np.array([[0, 1]] * 6, dtype=bool)
    assert choose_threshold(worse, SURE) > 0.9, 'none leaves'


def test_what_is_written_is_read(tmp_path):
    chosen = Calibration(0.7, (1.1, 0.9), 'abc')
    write_calibration(tmp_path / 'e.json', chosen, dict(samples=3))
    assert read_calibration(tmp_path / 'e.json', 'abc') == chosen == read_calibration(tmp_path / 'e.json')
    with pytest.raises(ValueError, match='e.json was chosen for another checkpoint'):
        read_calibration(tmp_path / 'e.json', 'abd')


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(threshold=1.5), r'e.json is damaged: threshold must be a number from 0 to 1, got 1.5'),
        (dict(threshold=None), r'e.json is damaged: threshold'),
        (dict(temperatures=[0.0]), r'e.json is damaged: temperatures must be a number'),
        (dict(temperatures=3), 'e.json is damaged'),
        (dict(format='other'), 'e.json has no threshold for early exit; kaizen-calibrate writes such files'),
    ],
)
def test_other_files_are_refused(tmp_path, change, message):
    file = tmp_path / 'e.json'
    write_calibration(file, Calibration(0.7, (1.1, 0.9)), {})
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        read_calibration(file)
    for content in ('', '[]', 'threshold', '{}'):
        file.write_text(content)
        with pytest.raises(ValueError, match='e.json'):
            read_calibration(file)
