"""Streams of moving digits for measurements: long clips, clips in which another scene begins, and clips in which the
digit changes its motion while the camera goes on."""

import math
from dataclasses import dataclass, replace
from typing import Iterator, List, Tuple

import numpy as np
import torch
from torch import Tensor

from kaizen_mm.data.moving_digits import MovingDigits
from kaizen_mm.data.moving_scene import MOTIONS, Digit

LENGTH = 16  # frames of a window
TOLD = 6  # the classes before this one can be told in one window: all but speeding up and slowing down
SEED = 78  # of the streams of the result; choices are made with another one


@dataclass(frozen=True, eq=False)
class ChangingDigit(Digit):
    """A digit that goes on with the motion of ``then`` from the middle of the clip on, where it is by then."""

    then: Digit = None  # type: ignore[assignment]

    def positions(self, times: np.ndarray) -> np.ndarray:
        before, after = super().positions(times), self.then.positions(times)
        around = np.array([-1.0, 0.0, 1.0])  # the middle is time 0
        moved = super().positions(around)[1] - self.then.positions(around)[1]
        return np.where(times[:, None] < 0, before, after + moved)


def digits(clips: int, windows: int, seed: int = SEED) -> MovingDigits:
    """The data set whose clips of ``val`` are the streams; neither a training nor a test has its seed."""
    return MovingDigits(
        num_train=1,
        num_val=clips,
        num_frames=LENGTH * windows,
        size=32,
        seed=seed,
        clutter=1.0,
        distractor=0.0,
        camera=1.0,
    )


def streams(
    clips: int, windows: int, batch: int = 100, seed: int = SEED, changing: bool = False
) -> Iterator[Tuple[List[Tensor], Tensor]]:
    """Batches of streams: their windows, uint8 ``[N, 1, 16, 32, 32]`` each, and their labels, ``[windows, N]``.

    Args:
        clips: How many are drawn; those of the classes that a window tells are taken.
        windows: Of each, 16 frames each.
        batch: Streams of a batch. Default 100.
        seed: Of the streams. Default that of the result.
        changing: Whether the digit takes up another motion in the middle. Default False.
    """
    data = digits(clips, windows, seed)
    told = np.flatnonzero(data.labels('val') < TOLD)
    for begin in range(0, len(told), batch):
        drawn = [_clip(data, int(index), changing) for index in told[begin : begin + batch]]
        frames = torch.from_numpy(np.stack([clip for clip, _, _ in drawn]))[:, None]
        first, last = (torch.tensor(labels) for labels in zip(*[pair for _, *pair in drawn]))
        half = windows // 2
        yield list(frames.split(LENGTH, dim=2)), torch.stack([first] * half + [last] * (windows - half))


def cut(windows: List[Tensor], labels: Tensor) -> Tuple[List[Tensor], Tensor]:
    """The same streams, each of which goes on as the next one from the middle on."""
    half = len(windows) // 2
    shifted = [window.roll(-1, dims=0) for window in windows[half:]]
    return [*windows[:half], *shifted], torch.cat([labels[:half], labels[half:].roll(-1, dims=1)])


def _clip(data: MovingDigits, index: int, changing: bool) -> Tuple[np.ndarray, int, int]:
    """Gray frames ``[T, H, W]``, and the labels of both halves."""
    scene = data.scene('val', index)
    label = last = scene.label
    if changing:
        rng = np.random.default_rng([index, data.seed])
        last = (label + int(rng.integers(1, TOLD))) % TOLD
        angle = rng.uniform(0, 2 * math.pi)
        target = scene.target
        then = replace(target, label=last, heading=MOTIONS[last].heading or (math.cos(angle), math.sin(angle)))
        scene = replace(scene, target=ChangingDigit(**vars(target), then=then))
    return scene.frames()[..., 0], label, last
