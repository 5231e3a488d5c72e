"""Moving digits seen by a camera that moves: today's clips at 0, one scene that moves as one, and no new cue in a
frame."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kaizen_mm.data.moving_digits import CLASSES, MOTIONS, MovingDigits
from kaizen_mm.data.moving_scene import moved
from tests.data.test_moving_scene import CHANCE_BOUND, accuracy, first_harmonic, turns

SMALL = MovingDigits(num_train=10, num_val=5, num_frames=7, frame_rate=10, size=32, seed=3)
CAMERA = MovingDigits(num_train=480, num_val=240, num_frames=12, size=32, clutter=1, distractor=0, noise=0, camera=1)


@pytest.fixture(scope='module')
def scenes():
    return [CAMERA.scene(split, index) for split, count in (('train', 480), ('val', 240)) for index in range(count)]


@pytest.fixture(scope='module')
def labels(scenes):
    return np.array([scene.label for scene in scenes])


def tracked(scenes):
    """Steps of the target in the frame [N, T - 1, 2], the scene being dark."""
    clips = np.stack([replace(scene, background=0 * scene.background).frames()[..., 0] for scene in scenes]) / 255
    place = first_harmonic(clips)
    return np.angle(place[:, 1:] / place[:, :-1]) / (2 * np.pi)


def tracked_background(scenes):
    """Steps of the scene in the frame [N, T - 1, 2], the target being dark."""
    dark = [replace(scene, target=replace(scene.target, image=0 * scene.target.image)) for scene in scenes]
    place = first_harmonic(np.stack([scene.frames()[..., 0] for scene in dark]) / 255.0)
    return np.angle(place[:, 1:] / place[:, :-1]) / (2 * np.pi)


def motion_features(steps):
    (x, y), speed = steps.mean(1).T, np.linalg.norm(steps, axis=-1)
    gain = speed[:, -1] - speed[:, 0]
    return np.stack([x, y, turns(steps), gain, np.minimum(abs(x), abs(y))], axis=1)


def test_a_camera_at_rest_is_the_default_and_draws_nothing():
    assert MovingDigits().camera == 0 and SMALL.scene('train', 0).camera is None
    for index in range(10):
        still, seen = SMALL.scene('train', index), replace(SMALL, camera=0.5).scene('train', index)
        for name in ('target', 'distractor'):
            one, two = getattr(still, name), getattr(seen, name)
            assert (one.label, one.middle, one.heading, one.speed) == (two.label, two.middle, two.heading, two.speed)
            np.testing.assert_array_equal(one.image, two.image)
        for name in ('background', 'noise', 'times'):
            np.testing.assert_array_equal(getattr(still, name), getattr(seen, name))
        resting = replace(seen, camera=np.zeros((7, 2)))
        np.testing.assert_array_equal(resting.frames(), still.frames())


def test_the_whole_scene_moves_as_one():
    scene = replace(SMALL, clutter=1, distractor=1, noise=0, num_train=32).scene('train', 5)
    ways = np.array([[0, 0], [3, 1], [-40, 7], [31, 32], [5, -9], [0, 2], [1, 0]])
    frames = replace(scene, camera=ways / 32).frames()
    for frame, still, (x, y) in zip(frames, scene.frames(), ways):
        # fractions of a pixel are rounded otherwise
        assert abs(np.roll(still, (y, x), (0, 1)).astype(int) - frame).max() <= 1


def test_fractions_of_a_pixel_are_interpolated():
    image = np.zeros((8, 8), np.float32)
    image[3, 2] = 1
    expected = np.zeros((8, 8))
    expected[1:3, 4:6] = [[0.5 * 0.75, 0.5 * 0.25], [0.5 * 0.75, 0.5 * 0.25]]
    np.testing.assert_allclose(moved(image, (2.25, -1.5)), expected)
    assert moved(image, (2.25, -1.5)).dtype == np.float32


@pytest.mark.parametrize('label', range(len(MOTIONS)), ids=CLASSES)
def test_reversed_frames_are_a_clip_of_the_paired_class(label):
    data = replace(SMALL, num_train=32, clutter=1, distractor=1, noise=0.5, camera=1, speed=(0.3, 0.8))
    for index in np.flatnonzero(data.labels('train') == label):
        scene = data.scene('train', index)
        backwards = scene.reversed()
        assert CLASSES[backwards.label] == MOTIONS[label].reversal
        np.testing.assert_array_equal(backwards.frames(), scene.frames()[::-1])


def test_the_path_of_the_camera_is_as_likely_as_its_reversal(scenes):
    ways = np.stack([scene.camera for scene in scenes])  # [N, T, 2]
    steps = np.diff(ways, axis=1)
    pans = ways[:, -1] - ways[:, 0]
    # a mean over 720 clips lies within 4.5 standard errors
    for values in (pans[:, 0], pans[:, 1], steps[:, 0, 0] - steps[:, -1, 0], steps[:, 0, 1] - steps[:, -1, 1]):
        assert abs(values.mean()) < 4.5 * values.std() / math.sqrt(len(values))


def test_the_camera_is_as_fast_as_the_digits(scenes):
    low, high = CAMERA.speed
    speeds = np.linalg.norm(np.diff([scene.camera for scene in scenes], axis=1), axis=-1) * CAMERA.frame_rate
    assert speeds.max() <= 2 * high and low < speeds.mean() < 1.5 * high
    half = np.stack([replace(CAMERA, camera=0.5).scene('train', index).camera for index in range(5)])
    np.testing.assert_allclose(2 * half, [scene.camera for scene in scenes[:5]])


@pytest.mark.parametrize('frame', [0, 6, 11])
def test_single_frame_does_not_tell_the_class(frame, scenes, labels):
    frames = np.stack([scene.frames()[frame, ..., 0] for scene in scenes]) / 255
    pooled = frames.reshape(-1, 16, 2, 16, 2).mean((2, 4)).reshape(-1, 256)
    assert accuracy(pooled, labels) < CHANCE_BOUND
    harmonic = first_harmonic(frames)
    place = np.concatenate([(harmonic / abs(harmonic)).view(float), abs(harmonic)], axis=1)
    assert accuracy(place, labels) < CHANCE_BOUND


def test_the_camera_does_not_tell_the_class(scenes, labels):
    ways = np.stack([scene.camera - scene.camera.mean(0) for scene in scenes]).reshape(len(scenes), -1)
    assert accuracy(np.concatenate([ways, ways**2], axis=1), labels) < CHANCE_BOUND


def test_motion_relative_to_the_scene_tells_the_class_and_motion_in_the_frame_does_not(scenes, labels):
    digit, scene = tracked(scenes), tracked_background(scenes)
    relative = accuracy(motion_features(digit - scene), labels)
    assert relative > 0.9
    assert accuracy(motion_features(digit), labels) < relative - 0.3


def test_a_folder_without_the_parameter_is_one_of_a_camera_at_rest(tmp_path):
    data = replace(SMALL, num_train=1, num_val=1)
    data.write(tmp_path, progress=False)
    file = tmp_path / 'moving_digits.json'
    earlier = ''.join(line for line in file.read_text().splitlines(True) if 'camera' not in line)
    file.write_text(earlier)
    data.write(tmp_path, progress=False)
    assert file.read_text() == earlier
    with pytest.raises(FileExistsError, match=r'camera=None \(asked for: 0.5\)'):
        replace(data, camera=0.5).write(tmp_path, progress=False)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(camera=-0.5), 'camera=-0.5 is not valid; expected a finite number of at least 0'),
        (dict(camera=math.inf), 'camera=inf is not valid'),
        (dict(camera=True), 'camera=True is not valid'),
        (dict(camera=1, clutter=0), 'clutter=0.0 is not valid; expected more than 0 where the camera moves'),
        (dict(camera=1, speed=(1.0, 2.1)), r'high <= 2.08333 \(frame_rate / 4 / \(1 \+ 2 camera\)\)'),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MovingDigits(**options)
