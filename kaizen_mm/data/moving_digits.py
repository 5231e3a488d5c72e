"""Moving digits: a small video data set whose classes are motions.

A clip shows a handwritten digit (8x8, ``sklearn.datasets.load_digits``) that
moves over a background. The label is the motion and never the digit.

One frame tells nothing about the class. The frame is a torus: what leaves on the right comes in on the left. The place
around which a digit moves is uniform on it. So in each single frame the digit is uniform on the torus for every class.
All else is drawn independently of the class, and each frame of a file is coded by itself, so that it carries no trace
of its neighbours.

With `camera` above 0 the camera moves too: the whole scene pans and shakes, and
the class is the motion of the digit relative to the scene. The path of the
camera is drawn independently of the class and as often as its reversal.

The classes come in pairs under reversal of time, see `MOTIONS`: a clip played
backwards is a clip of the paired class, so that only the order of the frames
tells the two apart.

    >>> MovingDigits(seed=0).write('data/moving_digits')
"""

from __future__ import annotations

import json
import math
import operator
import os
from dataclasses import asdict, dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from kaizen_mm.data.moving_scene import CLASSES, MOTIONS, Digit, Scene, scale, stamp
from kaizen_mm.extras import naming_extras
from kaizen_mm.files import whole_file, write_lines

with naming_extras():
    import av
    from rich.progress import track
    from sklearn.datasets import load_digits

SPLITS = ('train', 'val')
GENERATOR = 1  # to be raised when equal parameters come to give other pixels
ORBIT_RADIUS = (0.12, 0.20)  # range, in frame sides
SHAKES = (2.0, 5.0)  # range of the camera's frequencies, per second
MAX_STEP = 0.25  # sides per frame; beyond 0.27 (0.5 / 1.8) speed_up aliases
DISTRACTOR_PEAK = 0.7  # brightness at distractor = 1; the target has 1
CLUTTER_PEAK = 0.5  # brightness at clutter = 1
NOISE_STD = 0.2  # standard deviation at noise = 1, for pixels in [0, 1]
QUANTISER = 18  # of H.264: 0 is lossless, 51 is worst
# decord 0.6 takes the rows of these widths, padded to a multiple of 32 pixels,
# for four channels: https://github.com/dmlc/decord/issues/336
UNREADABLE_SIZES = (48, 72)


@cache
def handwriting(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Sample numbers [N] and images [N, 8, 8] in [0, 1] of a split's digits.

    ``val`` is the last fifth of ``load_digits``, whatever the parameters of
    the data set: handwriting held out from one is held out from all.
    """
    images = load_digits().images.astype(np.float32) / 16
    images.setflags(write=False)  # one copy serves all callers
    cut = len(images) * 4 // 5
    part = slice(cut) if _known(split) == 'train' else slice(cut, None)
    return np.arange(len(images))[part], images[part]


@dataclass(frozen=True)
class MovingDigits:
    """The data set as a function of its parameters.

    Args:
        num_train: Training clips, at least 1. Default 640.
        num_val: Validation clips, at least 1. Default 240.
        num_frames: Frames of a clip, at least 3. Default 24.
        frame_rate: Frames per second, at least 1. Default 25.
        size: Width and height in pixels, even, at least 32, other than 48 and
            72, which decord misreads. A digit takes a third. Default 56.
        seed: At least 0. Default 0.
        clutter: Contrast of texture and pieces of digits in the background,
            from 0 to 1 (half as bright as the target). Default 0.5.
        distractor: Brightness of a second digit with a motion drawn from all
            classes, from 0 (none) to 1 (0.7 of the target). Default 0.5.
        noise: Strength of pixel noise, from 0 to 1 (standard deviation 0.2 of
            the range of pixel values). Default 0.25.
        camera: Strength of the camera's motion, 0 (none) or more. It pans with a
            speed drawn as the digits', times `camera`, and shakes up to that
            speed once more; 1 is as fast as the digits. Above 0 it takes
            clutter, since nothing else shows where the scene is. Default 0.
        speed: Lowest and highest mean speed in frame sides per second, above 0
            and at most ``frame_rate / 4 / (1 + 2 camera)``, since faster motion
            can look as if it went the other way. Default (0.5, 1.25).

    Raises:
        ValueError: For a value that is not as said above.
    """

    num_train: int = 640
    num_val: int = 240
    num_frames: int = 24
    frame_rate: int = 25
    size: int = 56
    seed: int = 0
    clutter: float = 0.5
    distractor: float = 0.5
    noise: float = 0.25
    camera: float = 0.0
    speed: tuple[float, float] = (0.5, 1.25)

    def __post_init__(self):
        for name, least in dict(num_train=1, num_val=1, num_frames=3, frame_rate=1, size=32, seed=0).items():
            value = getattr(self, name)
            ok = isinstance(value, Integral) and not isinstance(value, bool)
            _check(ok and value >= least, name, value, f'an integer of at least {least}')
            object.__setattr__(self, name, int(value))
        _check(
            self.size % 2 == 0 and self.size not in UNREADABLE_SIZES,
            'size',
            self.size,
            'an even integer other than 48 and 72',
        )
        for name in ('clutter', 'distractor', 'noise'):
            value = getattr(self, name)
            _check(isinstance(value, Real) and 0 <= value <= 1, name, value, 'a number from 0 to 1')
            object.__setattr__(self, name, float(value))
        ok = isinstance(self.camera, Real) and not isinstance(self.camera, bool) and 0 <= self.camera < math.inf
        _check(ok, 'camera', self.camera, 'a finite number of at least 0')
        object.__setattr__(self, 'camera', float(self.camera))
        _check(self.clutter > 0 or not self.camera, 'clutter', self.clutter, 'more than 0 where the camera moves')
        highest = MAX_STEP * self.frame_rate / (1 + 2 * self.camera)
        ok = (
            isinstance(self.speed, (tuple, list))
            and len(self.speed) == 2
            and all(isinstance(value, Real) for value in self.speed)
            and 0 < self.speed[0] <= self.speed[1] <= highest
        )
        _check(
            ok,
            'speed',
            self.speed,
            f'a pair (low, high) with 0 < low <= high <= {highest:g} (frame_rate / 4 / (1 + 2 camera))',
        )
        object.__setattr__(self, 'speed', tuple(map(float, self.speed)))

    def labels(self, split: str) -> np.ndarray:
        """Labels [N], shuffled; the class counts differ by at most 1."""
        count = self.num_train if _known(split) == 'train' else self.num_val
        labels = np.arange(count) % len(MOTIONS)
        return self._rng(0, split).permutation(labels)

    def scene(self, split: str, index: int) -> Scene:
        """What clip `index` of ``train`` or ``val`` shows.

        Raises:
            ValueError: For another `split`.
            IndexError: If `index` is negative or too high.
        """
        labels, index = self.labels(split), operator.index(index)
        if not 0 <= index < len(labels):
            raise IndexError(f'index={index} is not in split {split!r}; expected 0 to {len(labels) - 1}')
        rng = self._rng(1, split, index)
        target = self._digit(rng, split, int(labels[index]), 1.0)
        distractor = self._digit(rng, split, int(rng.integers(len(MOTIONS))), DISTRACTOR_PEAK * self.distractor)
        background = self._background(rng, split)
        noise = NOISE_STD * self.noise * rng.standard_normal((self.num_frames, self.size, self.size), np.float32)
        steps = np.arange(self.num_frames) - (self.num_frames - 1) / 2
        times = steps / self.frame_rate
        return Scene(
            target, distractor, background, noise, times, self._camera(split, index, times) if self.camera else None
        )

    def render(self, split: str, index: int) -> tuple[np.ndarray, int]:
        """Frames, uint8 RGB [T, H, W, 3], and label of one clip.

        The same for equal parameters, whatever was rendered before. Raises
        what `scene` raises.
        """
        scene = self.scene(split, index)
        return scene.frames(), scene.label

    def write(self, folder: str | os.PathLike, progress: bool = True) -> None:
        """Write the clips as H.264 files, with lists of them.

        Parameters (``moving_digits.json``) come first, then ``videos/*.mp4``,
        then ``classes.txt`` and, with lines ``train_00000.mp4 label``,
        ``train.txt`` and ``val.txt``. Files that are there are kept: a call
        goes on where an interrupted one stopped, or has nothing to do.

        Args:
            folder: Created if missing.
            progress: Show a progress bar while writing. Default True.

        Raises:
            FileExistsError: If `folder` holds clips of other parameters or of
                unknown origin; nothing is changed then.
        """
        folder = Path(folder)
        self._claim(folder)
        (folder / 'videos').mkdir(exist_ok=True)
        lists = {
            split: [(f'{split}_{index:05d}.mp4', label) for index, label in enumerate(self.labels(split))]
            for split in SPLITS
        }
        missing = [
            (split, index, folder / 'videos' / name)
            for split in SPLITS
            for index, (name, _) in enumerate(lists[split])
            if not (folder / 'videos' / name).exists()
        ]
        if missing:
            for split, index, path in track(missing, 'Writing moving digits', disable=not progress):
                frames, _ = self.render(split, index)
                write_video(path, frames, self.frame_rate)
        _write_missing(folder / 'classes.txt', CLASSES)
        for split in SPLITS:
            _write_missing(folder / f'{split}.txt', [f'{name} {label}' for name, label in lists[split]])

    def _claim(self, folder: Path) -> None:
        """Write the parameters to `folder`, or raise if it is not for them."""
        # In this order, as another process may be writing the same data set.
        present = [name for name in ('videos', 'classes.txt', 'train.txt', 'val.txt') if (folder / name).exists()]
        file = folder / 'moving_digits.json'
        parameters = {'generator': GENERATOR, **asdict(self), 'speed': list(self.speed)}
        if file.exists():
            try:
                found = dict(json.loads(file.read_bytes()))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f'{file} is damaged ({error}); expected that of this data set, or another folder'
                ) from error
            differ = [
                f'{name}={found.get(name)} (asked for: {value})'
                for name, value in parameters.items()
                if found.get(name, 0.0 if name == 'camera' else None) != value
            ]
            if differ:
                raise FileExistsError(
                    f'folder={str(folder)!r} holds moving digits of other '
                    f'parameters: {", ".join(differ)}; expected the same '
                    'parameters or another folder'
                )
        elif present:
            raise FileExistsError(
                f'folder={str(folder)!r} holds {", ".join(present)} but no {file.name}; expected a new or empty folder'
            )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _write_missing(file, [json.dumps(parameters, indent=2)])

    def _rng(self, use: int, split: str, index: int = 0):
        # The seed comes last, since a large one fills more than one word.
        return np.random.default_rng([use, SPLITS.index(split), index, self.seed])

    def _digit(self, rng, split: str, label: int, brightness: float) -> Digit:
        """Draw a digit; all classes use `rng` alike."""
        samples, images = handwriting(split)
        choice = rng.integers(len(samples))
        angle = rng.uniform(0, 2 * math.pi)
        return Digit(
            sample=int(samples[choice]),
            image=brightness * scale(images[choice], self.size // 3),
            label=label,
            middle=tuple(rng.uniform(size=2)),
            heading=(MOTIONS[label].heading or (math.cos(angle), math.sin(angle))),
            speed=rng.uniform(*self.speed),
            radius=rng.uniform(*ORBIT_RADIUS),
        )

    def _camera(self, split: str, index: int, times: np.ndarray) -> np.ndarray:
        """The way of the scene across the frame, [T, 2] in frame sides."""
        rng = self._rng(2, split, index)
        angle, phases = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi, 2)
        pan, shake = self.camera * rng.uniform(*self.speed, size=2)
        heading = np.array([math.cos(angle), math.sin(angle)])
        rates = 2 * math.pi * rng.uniform(*SHAKES, size=2)  # across and down
        # each direction moves at most at shake / sqrt(2), both together at shake
        swing = shake / math.sqrt(2) / rates * np.sin(rates * times[:, None] + phases)
        return pan * times[:, None] * heading + swing

    def _background(self, rng, split: str) -> np.ndarray:
        """Coarse texture and twelve quarters of digits, [H, W]."""
        background = 0.5 * scale(rng.random((6, 6), np.float32), self.size)
        images = handwriting(split)[1]
        for _ in range(12):
            top, left = rng.integers(5, size=2)
            image = images[rng.integers(len(images))]
            piece = scale(image[top : top + 4, left : left + 4], self.size // 6)
            stamp(background, rng.uniform(0.5, 1) * piece, rng.uniform(0, self.size, size=2))
        return CLUTTER_PEAK * self.clutter * background


def write_video(path: Path, frames: np.ndarray, frame_rate: int) -> None:
    """Write `frames`, uint8 RGB [T, H, W, 3] of even size, as H.264 in mp4.

    All frames are key frames, so that each is coded alone and can be sought;
    one thread, so that the bytes do not depend on the machine's load.
    """
    with whole_file(path) as part, av.open(str(part), 'w', format='mp4') as file:
        stream = file.add_stream('libx264', rate=frame_rate, options={'qp': str(QUANTISER), 'preset': 'veryfast'})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        codec = stream.codec_context
        codec.thread_count, codec.gop_size, codec.max_b_frames = 1, 1, 0
        for frame in frames:
            frame = av.VideoFrame.from_ndarray(frame, format='rgb24')
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _write_missing(path: Path, lines) -> None:
    """Write a text file unless it is there."""
    if not path.exists():
        write_lines(path, lines)


def _known(split: str) -> str:
    _check(split in SPLITS, 'split', split, "'train' or 'val'")
    return split


def _check(ok: bool, name: str, value, accepted: str) -> None:
    if not ok:
        raise ValueError(f'{name}={value!r} is not valid; expected {accepted}')
