"""Pictures inside a page: figures and thumbnails, as ``data:`` addresses."""

import base64
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from kaizen_mm.data.pictures import read_picture
from kaizen_mm.data.video_readers import open_video
from kaizen_mm.report.outcomes import Outcomes
from kaizen_mm.text import for_figure, printable

FRAMES = 5
_NAMED = 40  # classes up to which axes name them
_NUMBERED = 25  # classes up to which cells have numbers in them


def accuracy_figure(outcomes: Outcomes) -> str:
    """Accuracy against the iterate, with its interval."""
    figure = Figure(figsize=(4.6, 3), layout='constrained')
    axis = figure.subplots()
    numbers = np.arange(1, outcomes.iterates + 1)
    share, low, high = 100 * np.array(outcomes.accuracy()).T
    axis.errorbar(numbers, share, [share - low, high - share], marker='o', capsize=4, color='#1f5f8b')
    axis.set(xlabel='iterate', ylabel='top-1 [%]', xticks=numbers)
    axis.margins(x=0.15)
    axis.grid(alpha=0.25)
    return _address(figure)


def exit_figure(outcomes: Outcomes, threshold: Optional[float] = None) -> str:
    """Accuracy against mean passes, where confident samples leave early; the point of a threshold is marked."""
    figure = Figure(figsize=(4.6, 3), layout='constrained')
    axis = figure.subplots()
    curve = outcomes.exit_curve()
    axis.plot(curve.passes, 100 * curve.accuracy, color='#1f5f8b', label='early exit')
    numbers = np.arange(1, outcomes.iterates + 1)
    axis.plot(numbers, [100 * interval.share for interval in outcomes.accuracy()], 'o', color='#888', label='iterates')
    if threshold is not None:
        found = outcomes.exit_at(threshold)
        label = f'threshold {threshold:.3g}'
        axis.plot(found.passes, 100 * found.accuracy.share, 'D', color='#b3372f', label=label)
    axis.set(xlabel='mean passes', ylabel='top-1 [%]', xticks=numbers)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8)
    return _address(figure)


def confusion_figure(outcomes: Outcomes, iterate: int) -> str:
    """The confusion matrix of an iterate, each row in shares of its true class."""
    counts, classes = outcomes.confusion(iterate), len(outcomes.names)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = min(max(3.2, 1.6 + 0.3 * classes), 12)
    figure = Figure(figsize=(size, size), layout='constrained')
    axis = figure.subplots()
    axis.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    if classes <= _NAMED:
        shown = [printable(name) for name in outcomes.names]
        names = [for_figure(name if len(name) <= 18 else f'{name[:17]}…') for name in shown]
        axis.set_xticks(range(classes), names, rotation=90, fontsize=8)
        axis.set_yticks(range(classes), names, fontsize=8)
    if classes <= _NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                axis.text(
                    column,
                    row,
                    count,
                    ha='center',
                    va='center',
                    fontsize=7,
                    color='white' if shares[row, column] > 0.5 else 'black',
                )
    axis.set(xlabel='predicted', ylabel='true')
    return _address(figure)


class Thumbnail(NamedTuple):
    """The address of a small picture, ``''`` where the file cannot be read, and how many frames are in it."""

    address: str
    frames: int


def thumbnail(file: Path, pixels: Optional[np.ndarray] = None, height: int = 96) -> Thumbnail:
    """A photo, or a strip of frames of a video, made small; ``pixels``, ``[H, W, 3]`` or ``[T, H, W, 3]``, where they
    are given."""
    try:
        if pixels is None:
            pictures = [read_picture(file)]
        else:
            frames = pixels if pixels.ndim == 4 else pixels[None]
            pictures = [Image.fromarray(frames[index]) for index in _spread(len(frames))]
    except (OSError, ValueError):
        try:
            pictures = _frames(file)
        except Exception:  # decoders raise many kinds; the page is worth having without this picture
            return Thumbnail('', 0)
    pictures = [
        picture.resize((max(round(height * picture.width / picture.height), 1), height), Image.Resampling.BILINEAR)
        for picture in pictures
    ]
    strip = Image.new('RGB', (sum(p.width for p in pictures) + 2 * (len(pictures) - 1), height), 'white')
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, 0))
        left += picture.width + 2
    content = BytesIO()
    strip.save(content, 'JPEG', quality=85)
    return Thumbnail(_data('jpeg', content.getvalue()), len(pictures))


def _frames(file) -> list:
    reader = open_video(file)
    return [Image.fromarray(frame) for frame in reader.get_batch(_spread(len(reader))).asnumpy()]


def _spread(length: int) -> np.ndarray:
    """Positions of the frames of a strip."""
    return np.linspace(0, length - 1, min(FRAMES, length)).round().astype(int)


def _address(figure) -> str:
    content = BytesIO()
    figure.savefig(content, dpi=110, format='png')
    return _data('png', content.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
