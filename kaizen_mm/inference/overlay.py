"""Copies of images and videos with the top classes of each iterate as bars."""

from pathlib import Path
from typing import List

import av
import matplotlib
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

from kaizen_mm.data.video_check import upright
from kaizen_mm.files import whole_file
from kaizen_mm.inference import Prediction, Ranked

_FONT = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
_WIDTH = 600  # of a copy, at least
_BACKGROUND, _TEXT, _TRACK = (255, 255, 255), (30, 30, 30), (230, 230, 230)


def annotated_copy(prediction: Prediction, folder: Path, top: int = 3) -> Path:
    """Writes a copy of a file with the top classes of each iterate below it; whole or not at all.

    Args:
        prediction: Of the file.
        folder: Where the copy goes, as PNG or MP4 (H.264, without sound); made if need be. Its name is the file's, with
            a number where that is taken.
        top: How many classes of each iterate.

    Raises:
        OSError: The folder or the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = prediction.kind == 'image'
    suffix, number = '.png' if image else '.mp4', 1
    target = folder / f'{prediction.file.stem}{suffix}'
    while target.exists():
        number += 1
        target = folder / f'{prediction.file.stem}_{number}{suffix}'
    with whole_file(target) as part:
        (_write_image if image else _write_video)(prediction, part, top)
    return target


def _write_image(prediction, part, top):
    with Image.open(prediction.file) as image:
        _joined(_scaled(ImageOps.exif_transpose(image).convert('RGB')), prediction, top).save(part, format='PNG')


def _write_video(prediction, part, top):
    with av.open(str(prediction.file)) as source, av.open(str(part), 'w', format='mp4') as file:
        video, stream, below = source.streams.video[0], None, None
        for frame in source.decode(video):
            image = _scaled(Image.fromarray(upright(frame)))
            if stream is None:
                below = panel(prediction, image.width, top)
                stream = file.add_stream('libx264', rate=video.average_rate or 25, options={'crf': '20'})
                # H.264 of this pixel format wants even sizes
                stream.width, stream.height = image.width, image.height + below.height
                stream.pix_fmt = 'yuv420p'
            file.mux(
                stream.encode(
                    av.VideoFrame.from_image(
                        _stacked(image.resize((stream.width, stream.height - below.height)), below)
                    )
                )
            )
        file.mux(stream.encode())


def _scaled(image: Image.Image) -> Image.Image:
    """Large enough for bars and text, and of even size."""
    factor = max(1, _WIDTH / image.width)
    size = [2 * max(1, round(factor * side / 2)) for side in image.size]
    return image if list(image.size) == size else image.resize(size, Image.Resampling.BICUBIC)


def _joined(image, prediction, top):
    return _stacked(image, panel(prediction, image.width, top))


def _stacked(image, below):
    both = Image.new('RGB', (image.width, image.height + below.height), _BACKGROUND)
    both.paste(image, (0, 0))
    both.paste(below, (0, image.height))
    return both


def panel(prediction: Prediction, width: int, top: int = 3) -> Image.Image:
    """The top classes of each iterate, side by side: name, bar and percent; one colour a class. Its height is even."""
    iterates = prediction.top(top)
    unit = max(12, min(width // 40, width // len(iterates) // 11))  # height of the text
    font = ImageFont.truetype(str(_FONT), unit)
    gap, row = unit // 2, round(2.6 * unit)
    colors = _colors(iterates)
    height = 2 * ((2 * gap + 2 * unit + row * len(iterates[0])) // 2)
    image = Image.new('RGB', (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    column = width // len(iterates)
    for index, classes in enumerate(iterates):
        left, right = index * column + gap, (index + 1) * column - gap
        if len(iterates) > 1:
            draw.text((left, gap), f'iterate {index + 1}', _TEXT, font)
        for rank, (label, name, probability) in enumerate(classes):
            y = 2 * gap + unit + rank * row
            percent = f'{100 * probability:.1f} %'
            room = right - left - draw.textlength(percent, font) - gap
            draw.text((left, y), _fitting(name, room, draw, font), _TEXT, font)
            draw.text((right, y), percent, _TEXT, font, anchor='ra')
            box = (left, y + round(1.35 * unit), right, y + round(1.8 * unit))
            draw.rectangle(box, _TRACK)
            length = round(probability * (right - left))
            if length:
                draw.rectangle((left, box[1], left + length, box[3]), colors[label])
    return image


def _colors(iterates: List[List[Ranked]]) -> dict:
    labels = dict.fromkeys(ranked.label for classes in reversed(iterates) for ranked in classes)
    palette = colormaps['tab10'].colors
    return {label: tuple(round(255 * c) for c in palette[i % len(palette)]) for i, label in enumerate(labels)}


def _fitting(text: str, room: float, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont) -> str:
    if draw.textlength(text, font) <= room:
        return text
    while text and draw.textlength(f'{text}…', font) > room:
        text = text[:-1]
    return f'{text.rstrip(" ,")}…'
