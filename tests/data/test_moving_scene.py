"""What the clips show: motions, pairs under reversal, nothing in a single frame."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kaizen_mm.data.moving_digits import CLASSES, MOTIONS, MovingDigits, handwriting

SMALL = MovingDigits(num_train=10, num_val=5, num_frames=7, frame_rate=10, size=32, seed=3)
PLAIN = MovingDigits(num_train=480, num_val=240, num_frames=12, size=32, clutter=0, distractor=0, noise=0)


@pytest.fixture(scope='module')
def plain_clips():
    """Frames [N, T, H, W] in [0, 1] and labels [N], training clips first."""
    clips, labels = zip(
        *(PLAIN.render(split, index) for split, count in (('train', 480), ('val', 240)) for index in range(count))
    )
    return np.stack(clips)[..., 0] / 255, np.array(labels)


def first_harmonic(clips):
    """First Fourier coefficient along x and y, complex [..., 2].

    Its phase is the place on the torus, its size depends on the digit.
    """
    wave = np.exp(2j * np.pi * np.arange(clips.shape[-1]) / clips.shape[-1])
    return np.stack([clips.sum(-2) @ wave, clips.sum(-1) @ wave], axis=-1)


def tracked_steps(clips):
    """Steps of the only digit in frame sides, [N, T - 1, 2]."""
    place = first_harmonic(clips)
    return np.angle(place[:, 1:] / place[:, :-1]) / (2 * np.pi)


def turns(steps):
    """Sum of the cross products of successive steps, [N]; y is downwards."""
    (x, y), (u, v) = (np.moveaxis(part, -1, 0) for part in (steps[:, :-1], steps[:, 1:]))
    return (x * v - y * u).sum(1)


def accuracy(features, labels, num_train=480):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    model.fit(features[:num_train], labels[:num_train])
    return model.score(features[num_train:], labels[num_train:])


# The table of classes


def test_motions_come_in_pairs_under_reversal():
    motions = {motion.name: motion for motion in MOTIONS}
    assert len(motions) == len(MOTIONS) >= 8
    for motion in MOTIONS:
        assert motion.reversal != motion.name
        assert motions[motion.reversal].reversal == motion.name


@pytest.mark.parametrize('label', range(len(MOTIONS)), ids=CLASSES)
def test_reversed_frames_are_a_clip_of_the_paired_class(label):
    data = replace(SMALL, num_train=32, clutter=1, distractor=1, noise=0.5)
    for index in np.flatnonzero(data.labels('train') == label):
        scene = data.scene('train', index)
        backwards = scene.reversed()
        assert CLASSES[backwards.label] == MOTIONS[label].reversal
        np.testing.assert_array_equal(backwards.frames(), scene.frames()[::-1])
        assert not np.array_equal(backwards.frames(), scene.frames())


def test_reversed_drift_has_the_heading_of_its_class():
    for index, _ in enumerate(SMALL.labels('train')):
        digit = SMALL.scene('train', index).target.reversed()
        expected = MOTIONS[digit.label].heading
        assert expected is None or digit.heading == expected


@pytest.mark.parametrize('name, sign', [('orbit_clockwise', 1), ('orbit_counterclockwise', -1)])
def test_orbits_turn_as_named(name, sign, plain_clips):
    clips, labels = plain_clips
    steps = tracked_steps(clips[labels == CLASSES.index(name)])
    assert (sign * turns(steps) > 0).all()


@pytest.mark.parametrize(
    'name, axis, sign', [('drift_right', 0, 1), ('drift_left', 0, -1), ('drift_down', 1, 1), ('drift_up', 1, -1)]
)
def test_drifts_go_as_named(name, axis, sign, plain_clips):
    clips, labels = plain_clips
    steps = tracked_steps(clips[labels == CLASSES.index(name)])
    assert (sign * steps[..., axis] > 0.01).all()
    assert abs(steps[..., 1 - axis]).max() < 0.002


def test_mean_speed_is_in_its_range_in_every_class(plain_clips):
    clips, labels = plain_clips
    speed = np.linalg.norm(tracked_steps(clips), axis=-1).mean(1)
    low, high = np.array(PLAIN.speed) / PLAIN.frame_rate
    for label in range(len(MOTIONS)):
        drawn = speed[labels == label]
        assert 0.98 * low < drawn.min() and drawn.max() < 1.02 * high
        assert np.ptp(drawn) > 0.8 * (high - low)


@pytest.mark.parametrize('name, sign', [('speed_up', 1), ('slow_down', -1)])
def test_speed_changes_as_named(name, sign, plain_clips):
    clips, labels = plain_clips
    steps = tracked_steps(clips[labels == CLASSES.index(name)])
    speed = np.linalg.norm(steps, axis=-1)
    assert (sign * (speed[:, -1] - speed[:, 0]) > 0.01).all()


# What the label can be read from


def test_motion_tells_the_class(plain_clips):
    clips, labels = plain_clips
    steps = tracked_steps(clips)
    (x, y), speed = steps.mean(1).T, np.linalg.norm(steps, axis=-1)
    gain = speed[:, -1] - speed[:, 0]
    diagonal = np.minimum(abs(x), abs(y))
    features = np.stack([x, y, turns(steps), gain, diagonal], axis=1)
    assert accuracy(features, labels) > 0.95


# A guess is right in 1 of 8 of the 240 validation clips, give or take 2.1 %;
# 0.22 is 4.4 standard deviations above.
CHANCE_BOUND = 0.22


@pytest.mark.parametrize('frame', [0, 6, 11])
def test_single_frame_does_not_tell_the_class(frame, plain_clips):
    clips, labels = plain_clips
    frames = clips[:, frame]
    pooled = frames.reshape(-1, 16, 2, 16, 2).mean((2, 4)).reshape(-1, 256)
    assert accuracy(pooled, labels) < CHANCE_BOUND

    harmonic = first_harmonic(frames)
    place = np.concatenate([(harmonic / abs(harmonic)).view(float), abs(harmonic)], axis=1)
    assert accuracy(place, labels) < CHANCE_BOUND


@pytest.mark.parametrize('frame', [0, 6, 11])
def test_digit_is_uniform_on_the_torus_in_every_class(frame, plain_clips):
    clips, labels = plain_clips
    harmonic = first_harmonic(clips[:, frame])
    phase = harmonic / abs(harmonic)
    for label in range(len(MOTIONS)):
        chosen = phase[labels == label]
        # The mean of n uniform phases has n |mean|^2 distributed as an
        # exponential of mean 1: above 10 in one of 22 000 cases.
        assert (len(chosen) * abs(chosen.mean(0)) ** 2 < 10).all()


def test_distractor_is_dimmer_and_tells_nothing():
    data = replace(PLAIN, num_train=400, distractor=1)
    pairs = []
    for index in range(400):
        scene = data.scene('train', index)
        # cubic scaling and the writers make peaks differ a little
        assert scene.distractor.image.max() < 0.8 * scene.target.image.max()
        pairs.append((scene.label, scene.distractor.label))
    targets, distractors = np.array(pairs).T
    assert set(distractors) == set(range(len(MOTIONS)))
    # 50 expected, standard deviation 6.6
    assert 20 < (targets == distractors).sum() < 80


@pytest.mark.parametrize('name', ['clutter', 'distractor', 'noise'])
def test_difficulty_changes_pixels_and_not_the_target(name):
    data = replace(PLAIN, **{name: 1.0})
    easy, hard = PLAIN.scene('train', 0), data.scene('train', 0)
    assert abs(easy.frames().astype(int) - hard.frames()).mean() > 2
    np.testing.assert_array_equal(easy.target.image, hard.target.image)
    np.testing.assert_array_equal(easy.target.positions(easy.times), hard.target.positions(hard.times))


def test_clutter_is_static():
    data = replace(PLAIN, clutter=1)
    clip = data.render('train', 0)[0][..., 0].astype(int)
    still = clip.min(0)  # the digit covers no place in all frames
    digit = PLAIN.render('train', 0)[0][..., 0]
    np.testing.assert_array_equal(clip, np.maximum(still, digit))
    assert still.std() > 5


# Splits and seeds


def test_handwriting_of_the_splits_is_disjoint():
    (train, train_images), (val, val_images) = map(handwriting, ('train', 'val'))
    assert len(train) + len(val) == len(set(train) | set(val)) == 1797
    bytes_of = [{image.tobytes() for image in images} for images in (train_images, val_images)]
    assert not bytes_of[0] & bytes_of[1]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_clips_show_handwriting_of_their_split(split):
    data, samples = replace(PLAIN, distractor=1), handwriting(split)[0]
    shown = [
        digit.sample
        for index in range(100)
        for scene in [data.scene(split, index)]
        for digit in (scene.target, scene.distractor)
    ]
    assert set(shown) <= set(samples)
    assert len(set(shown)) > 80


def test_labels_are_balanced_and_shuffled():
    data = MovingDigits()
    for split, count in (('train', 80), ('val', 30)):
        labels = data.labels(split)
        assert (np.bincount(labels, minlength=8) == count).all()
        # neighbours agree by chance in one of eight cases
        assert 0.04 < (labels[1:] == labels[:-1]).mean() < 0.22
    counts = np.bincount(replace(data, num_val=13).labels('val'), minlength=8)
    assert sorted(counts) == [1, 1, 1, 2, 2, 2, 2, 2]


def test_clips_do_not_depend_on_the_order_of_rendering():
    last = SMALL.render('train', 9)[0]
    SMALL.render('train', 0)
    np.testing.assert_array_equal(SMALL.render('train', 9)[0], last)
    assert not np.array_equal(SMALL.render('train', 8)[0], last)
    drawn = {SMALL.scene(split, index).target.middle for split, index in (('train', 0), ('train', 1), ('val', 0))}
    assert len(drawn) == 3


def test_render_gives_rgb_bytes_and_label():
    frames, label = SMALL.render('val', 2)
    assert frames.shape == (7, 32, 32, 3) and frames.dtype == np.uint8
    assert type(label) is int and label == SMALL.labels('val')[2]
