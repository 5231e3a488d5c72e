"""Copies of images and videos with the top classes of each iterate as bars."""

from fractions import Fraction
from pathlib import Path
from typing import List, Optional

import av
import matplotlib
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont, ImageOps

from kaizen_mm.data.pictures import read_picture
from kaizen_mm.data.video_readers import upright
from kaizen_mm.data.video_stream import video_stream
from kaizen_mm.files import whole_file
from kaizen_mm.inference import Prediction, Ranked
from kaizen_mm.text import printable

_FONT = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
TICK = Fraction(1, 90000)  # seconds, in which times of frames are told
_WIDTH = 600  # of a copy, at least
BACKGROUND, _TEXT, _TRACK = (255, 255, 255), (30, 30, 30), (230, 230, 230)


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
    image = scaled(read_picture(prediction.file))
    _stacked(image, panel(prediction.top(top), image.width)).save(part, format='PNG')


def _write_video(prediction, part, top):
    with av.open(str(prediction.file)) as source, VideoCopy(part, 'mp4') as copy:
        video, below = video_stream(source), None
        for frame in source.decode(video):
            image = scaled(Image.fromarray(upright(frame)))
            below = below or panel(prediction.top(top), image.width)
            copy.write(image, below, rate=video.average_rate)


class VideoCopy:
    """An H.264 video, without sound, of frames with something below them.

    Args:
        path: File to write.
        form: Of the container, as FFmpeg names it.
        container: Options of the container.
        coding: Options of x264.
    """

    def __init__(self, path: Path, form: str, container: Optional[dict] = None, coding: Optional[dict] = None):
        self._file = av.open(str(path), 'w', format=form, options=container or {})
        self._coding, self._stream, self._size, self._shown = coding or {}, None, None, -1

    def __enter__(self) -> 'VideoCopy':
        return self

    def __exit__(self, *_):
        self.close()

    def write(
        self, image: Image.Image, below: Image.Image, time: Optional[float] = None, rate: Optional[Fraction] = None
    ) -> None:
        """Adds a frame; one of another size than the first is fitted into it.

        Args:
            image: As :func:`scaled` gives it.
            below: As wide, of even height, of the same height each time.
            time: In seconds; None for one after the other.
            rate: Frames per second, of the first frame. Default 25.
        """
        if self._stream is None:
            self._size = image.size
            self._stream = self._file.add_stream('libx264', rate=rate or 25, options={'crf': '20', **self._coding})
            self._stream.width, self._stream.height = image.width, image.height + below.height
            self._stream.pix_fmt = 'yuv420p'
            if time is not None:
                self._stream.codec_context.time_base = TICK
        if image.size != self._size:
            image = ImageOps.pad(image, self._size, color=BACKGROUND)
        frame = av.VideoFrame.from_image(_stacked(image, below))
        if time is not None:
            self._shown = max(self._shown + 1, round(time / TICK))  # times may go back, those of a file must not
            frame.pts, frame.time_base = self._shown, TICK
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what has not been written yet, and closes the file."""
        try:
            if self._stream is not None:
                self._file.mux(self._stream.encode())
                self._stream = None
        finally:
            self._file.close()


def scaled(image: Image.Image) -> Image.Image:
    """Large enough for bars and text, and of even size, which H.264 of this pixel format wants."""
    factor = max(1, _WIDTH / image.width)
    size = [2 * max(1, round(factor * side / 2)) for side in image.size]
    return image if list(image.size) == size else image.resize(size, Image.Resampling.BICUBIC)


def _stacked(image, below):
    both = Image.new('RGB', (image.width, image.height + below.height), BACKGROUND)
    both.paste(image, (0, 0))
    both.paste(below, (0, image.height))
    return both


def panel(
    iterates: List[List[Ranked]], width: int, title: Optional[str] = None, colors: Optional[dict] = None
) -> Image.Image:
    """The top classes of each iterate, side by side: name, bar and percent; one colour a class. Its height is even.

    Args:
        iterates: As :meth:`~kaizen_mm.inference.Prediction.top` gives them.
        width: In pixels.
        title: Of a single iterate. Default none.
        colors: By label, of panels before, so that classes keep theirs; new ones are added.
    """
    unit = max(12, min(width // 40, width // len(iterates) // 11))  # height of the text
    font = ImageFont.truetype(str(_FONT), unit)
    gap, row = unit // 2, round(2.6 * unit)
    colors = _colors(iterates, {} if colors is None else colors)
    titles = [f'iterate {index + 1}' for index in range(len(iterates))] if len(iterates) > 1 else [title or '']
    height = 2 * ((2 * gap + 2 * unit + row * len(iterates[0])) // 2)
    image = Image.new('RGB', (width, height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    column = width // len(iterates)
    for index, classes in enumerate(iterates):
        left, right = index * column + gap, (index + 1) * column - gap
        draw.text((left, gap), titles[index], _TEXT, font)
        for rank, (label, name, probability) in enumerate(classes):
            y = 2 * gap + unit + rank * row
            percent = f'{100 * probability:.1f} %'
            room = right - left - draw.textlength(percent, font) - gap
            draw.text((left, y), _fitting(printable(name), room, draw, font), _TEXT, font)
            draw.text((right, y), percent, _TEXT, font, anchor='ra')
            box = (left, y + round(1.35 * unit), right, y + round(1.8 * unit))
            draw.rectangle(box, _TRACK)
            length = round(probability * (right - left))
            if length:
                draw.rectangle((left, box[1], left + length, box[3]), colors[label])
    return image


def _colors(iterates, colors):
    palette = colormaps['tab10'].colors
    for label in dict.fromkeys(ranked.label for classes in reversed(iterates) for ranked in classes):
        colors.setdefault(label, tuple(round(255 * c) for c in palette[len(colors) % len(palette)]))
    return colors


def _fitting(text: str, room: float, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont) -> str:
    if draw.textlength(text, font) <= room:
        return text
    while text and draw.textlength(f'{text}…', font) > room:
        text = text[:-1]
    return f'{text.rstrip(" ,")}…'
