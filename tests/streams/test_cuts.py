"""Cuts that are made here are found, and a moving camera is none."""

import numpy as np
import pytest

from kaizen_mm.data.moving_digits import MovingDigits
from kaizen_mm.streams import CutMeter

FRAMES = 24


def _measured(frames):
    meter = CutMeter()
    return [index for index, frame in enumerate(frames) if meter(frame)]


@pytest.mark.parametrize('options', [dict(size=32, clutter=1.0, distractor=0.0), dict(size=56)])
def test_scenes_of_a_moving_camera(options):
    """Sixty scenes in one stream, which the choice of the measure has not seen."""
    data = MovingDigits(num_train=1, num_val=60, num_frames=FRAMES, seed=9, camera=1.0, **options)
    found = _measured(frame for index in range(60) for frame in data.render('val', index)[0])
    made = set(range(FRAMES, 60 * FRAMES, FRAMES))
    assert len(made & set(found)) >= 0.9 * len(made)
    assert len(set(found) - made) <= 1


def test_light_that_changes_slowly_and_noise_are_no_cuts():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 128, (48, 64, 3))
    assert not _measured((scene + level + rng.integers(0, 9, scene.shape)).astype(np.uint8) for level in range(100))
    assert not _measured(np.full((40, 40, 3), 7, np.uint8) for _ in range(30))


def test_a_cut_is_measured_once_and_the_next_one_after_it_as_well():
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1) for _ in range(4)]
    assert _measured(scene for scene in scenes for _ in range(10)) == [10, 20, 30]
    assert _measured(scenes[0] for _ in range(3)) == []


def test_the_score_by_hand():
    """Two grey levels and the largest difference so far are the unit."""
    meter = CutMeter(threshold=2.0)
    levels = [10, 12, 11, 14, 15, 25, 24]  # differences 2, 1, 3, 1, 10, 1
    scores = []
    for level in levels:
        assert not meter(np.full((16, 24, 3), level, np.uint8)) or level == 25
        scores.append(meter.score)
    assert scores == pytest.approx([0, 0, 0, 0, 0, 10 / (2 + 3), 0])


def test_the_cells_are_means_of_the_picture():
    """Of a size that 8 does not divide, and of one smaller than 8."""
    from kaizen_mm.streams.cuts import _cells

    frame = np.random.default_rng(0).integers(0, 256, (30, 45, 3), np.uint8)
    cells = _cells(frame)
    rows, columns = (np.linspace(0, side, 9).astype(int) for side in (30, 45))
    for row in range(8):
        for column in range(8):
            part = frame[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            assert cells[row, column] == pytest.approx(part[..., 1].mean(), abs=1e-3)
    assert _cells(frame[:3, :5]).shape == (3, 5)
    assert _cells(np.zeros((1080, 1920, 3), np.uint8)).shape == (8, 8)


def test_another_size_is_another_scene():
    meter = CutMeter()
    assert not meter(np.zeros((8, 8, 3), np.uint8)) and meter(np.zeros((8, 9, 3), np.uint8))
    meter.reset()
    assert not meter(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize('threshold', [-1, None, 'x', float('nan'), True])
def test_a_threshold_that_is_none(threshold):
    with pytest.raises(ValueError, match='threshold must be a finite number'):
        CutMeter(threshold)
