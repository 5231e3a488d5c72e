"""What a clip of moving digits shows: motions, digits on their paths, frames.

The frame is a torus: what leaves on the right comes in on the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np


@dataclass(frozen=True)
class Motion:
    """One class; `reversal` is the one it becomes when played backwards.

    `heading` is its direction (x, y), y downwards, None where drawn at random;
    `turn` is 0 for a straight path, 1 for a clockwise orbit as seen on the
    screen, -1 for a counter-clockwise one; `gain` is 1 where the speed grows
    linearly, -1 where it falls, 0 where it is constant.
    """

    name: str
    reversal: str
    heading: tuple[float, float] | None = None
    turn: int = 0
    gain: int = 0


# The label of a clip is the position of its motion in this table.
MOTIONS = (
    Motion('drift_right', 'drift_left', heading=(1.0, 0.0)),
    Motion('drift_left', 'drift_right', heading=(-1.0, 0.0)),
    Motion('drift_down', 'drift_up', heading=(0.0, 1.0)),
    Motion('drift_up', 'drift_down', heading=(0.0, -1.0)),
    Motion('orbit_clockwise', 'orbit_counterclockwise', turn=1),
    Motion('orbit_counterclockwise', 'orbit_clockwise', turn=-1),
    Motion('speed_up', 'slow_down', gain=1),
    Motion('slow_down', 'speed_up', gain=-1),
)
CLASSES = tuple(motion.name for motion in MOTIONS)

SPEED_CHANGE = 0.8  # speed_up goes from 1 - 0.8 to 1 + 0.8 times its mean
BLACK, WHITE = 0.15, 0.9  # pixel values of brightness 0 and 1


@dataclass(frozen=True, eq=False)
class Digit:
    """A digit and its path on the torus; lengths are in frame sides.

    Args:
        sample: Number of the handwriting in ``load_digits``.
        image: Brightness [h, h].
        label: Position of the motion in `MOTIONS`.
        middle: Where the digit (its top left corner) is in the middle of the
            clip, (x, y); for an orbit, the middle of the circle.
        heading: Unit vector of the motion; for an orbit, from `middle` to
            where the digit is in the middle of the clip.
        speed: Mean over the clip, in sides per second.
        radius: Of the circle; of use to orbits only.
    """

    sample: int
    image: np.ndarray
    label: int
    middle: tuple[float, float]
    heading: tuple[float, float]
    speed: float
    radius: float

    def reversed(self) -> Digit:
        """The same path run backwards: a path of the paired class."""
        motion, (x, y) = MOTIONS[self.label], self.heading
        return replace(self, label=CLASSES.index(motion.reversal), heading=(x, y) if motion.turn else (-x, -y))

    def positions(self, times: np.ndarray) -> np.ndarray:
        """Positions (x, y) [T, 2] before wrapping, at `times` [T] in seconds.

        `times` is symmetric about 0, which is the middle of the clip.
        """
        motion, heading = MOTIONS[self.label], np.array(self.heading)
        times = times[:, None]
        if motion.turn:
            angle = motion.turn * self.speed / self.radius * times
            across = np.array([-heading[1], heading[0]])  # clockwise of it
            way = np.cos(angle) * heading + np.sin(angle) * across
            return self.middle + self.radius * way
        change = motion.gain * SPEED_CHANGE * times**2 / np.ptp(times)
        return self.middle + self.speed * (times + change) * heading


@dataclass(frozen=True, eq=False)
class Scene:
    """What a clip shows.

    The motion of `target` is the label; `distractor` is dimmer and has one of
    its own. `background` is brightness [H, W], `noise` [T, H, W] is added to
    pixel values, `times` [T] are those of the frames, in seconds about 0.
    `camera` [T, 2] is how far (x, y) the scene is moved across the frame, in
    frame sides; None for a camera at rest.
    """

    target: Digit
    distractor: Digit
    background: np.ndarray
    noise: np.ndarray
    times: np.ndarray
    camera: np.ndarray | None = None

    @property
    def label(self) -> int:
        return self.target.label

    def reversed(self) -> Scene:
        """The scene of the paired class that shows these frames backwards."""
        return replace(
            self,
            target=self.target.reversed(),
            distractor=self.distractor.reversed(),
            noise=self.noise[::-1],
            camera=None if self.camera is None else self.camera[::-1],
        )

    def frames(self) -> np.ndarray:
        """Pixels, uint8 RGB (grey) [T, H, W, 3]."""
        size = len(self.background)
        if self.camera is None:
            shifts = 0
            clip = np.repeat(self.background[None], len(self.times), axis=0)
        else:
            shifts = self.camera * size
            clip = np.stack([moved(self.background, shift) for shift in shifts])
        for digit in (self.distractor, self.target):
            way = digit.positions(self.times) * size + shifts
            for frame, position in zip(clip, way):
                stamp(frame, digit.image, position)
        clip = BLACK + (WHITE - BLACK) * clip + self.noise
        clip = np.rint(255 * clip.clip(0, 1)).astype(np.uint8)
        return np.repeat(clip[..., None], 3, axis=-1)  # [T, H, W, 3]


def scale(image: np.ndarray, side: int) -> np.ndarray:
    """Scale `image` [h, h] with values in [0, 1] to [side, side]."""
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def moved(image: np.ndarray, shift) -> np.ndarray:
    """The torus `image` [H, H] moved by `shift` (x, y) in pixels.

    Fractions of a pixel are interpolated linearly, as by `stamp`.
    """
    left, top = (math.floor(s) for s in shift)
    x, y = shift[0] - left, shift[1] - top
    image = np.roll(image, (top, left), axis=(0, 1))
    image = (1 - x) * image + x * np.roll(image, 1, axis=1)
    return ((1 - y) * image + y * np.roll(image, 1, axis=0)).astype(image.dtype)


def stamp(frame: np.ndarray, image: np.ndarray, position) -> None:
    """Lay `image` [h, h] on the torus `frame` [H, H], in place, by maximum.

    `position` is (x, y) of its top left corner in pixels; fractions of a pixel
    are interpolated linearly.
    """
    left, top = (math.floor(p) for p in position)
    x, y = position[0] - left, position[1] - top
    image = np.pad(image, 1)
    image = (1 - x) * image[:, 1:] + x * image[:, :-1]
    image = (1 - y) * image[1:] + y * image[:-1]  # [h + 1, h + 1]
    steps = np.arange(len(image))
    place = np.ix_((top + steps) % len(frame), (left + steps) % len(frame))
    frame[place] = np.maximum(frame[place], image)
