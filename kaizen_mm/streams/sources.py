"""Frames of whatever gives frames, one after the other: files, folders, cameras, addresses, programs.

What is wrong with a stream is said, and the rest is given.
"""

import os
import queue
import re
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kaizen_mm.arguments import check_number
from kaizen_mm.data.file_check import file_fault, size_fault
from kaizen_mm.data.isolation import brief
from kaizen_mm.data.video_readers import upright
from kaizen_mm.data.video_stream import video_stream
from kaizen_mm.extras import naming_extras

with naming_extras():
    import av

AHEAD = 8  # frames that are decoded before they are asked for
STEPS = 16  # from frame to frame, that are remembered
GAP = 2.5  # times the longest of them, from which on frames count as lost
WAKE = 0.2  # seconds after which one who waits looks whether to stop
EVENTS = 1000  # that are remembered


class Frame(NamedTuple):
    """A frame: its number from 0, seconds since the first one, and uint8 RGB ``[H, W, 3]``."""

    index: int
    time: float
    pixels: np.ndarray


class Event(NamedTuple):
    """Something that is wrong with a stream: the number of the first frame after it, its time in seconds, and what."""

    frame: int
    time: float
    text: str

    def __str__(self):
        return f'frame {self.frame} ({self.time:.2f} s): {self.text}'


class FrameSource:
    """The frames of a source, each decoded once, in a thread that is a few frames ahead.

    Said, and passed over, are: a stream that stalls, one that ends before its end, packets that cannot be decoded,
    damaged frames, frames that are lost (by their times), pictures of a folder that cannot be read.

    Args:
        source: A video file; a folder of pictures, in the order of their names, in which numbers count as numbers; the
            number of a camera; an address (``rtsp://...``) or anything else that FFmpeg opens (``pipe:0``); or an
            iterable of uint8 RGB arrays ``[H, W, 3]``. Of several video streams that of
            :mod:`kaizen_mm.data.video_stream` is read. Frames are turned as the container says.
        rate: Frames per second where the source has no times, as a folder. Default 25.
        stall: Seconds without a frame after which that is said. Default 5.
        patience: Seconds without a frame after which the stream counts as ended. Default 60.
        say: Called with each :class:`Event`. Default: a warning.

    Attributes:
        name: What was opened.
        events: The last 1000 events.
        said: How many there were.

    Raises:
        FileNotFoundError, ValueError: There is no such file, folder or camera, or it is no video; an address that does
            not open, and a stream without frames, when frames are asked for.
        TypeError: ``source`` is none of these.
    """

    def __init__(
        self,
        source: str | os.PathLike | int | Iterable[np.ndarray],
        rate: float = 25.0,
        stall: float = 5.0,
        patience: float = 60.0,
        say: Callable[[Event], None] | None = None,
    ):
        for name, value in dict(rate=rate, stall=stall, patience=patience).items():
            check_number(name, value)
            if not value:
                raise ValueError(f'{name} must be more than 0, got {value}')
        self.rate, self.stall, self.patience = rate, stall, patience
        self.events: deque = deque(maxlen=EVENTS)
        self.said = 0
        self._stopped = False
        self._say = say or (lambda event: warnings.warn(f'{self.name}: {event}', stacklevel=2))
        self.name, self._read = self._opened(source)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order in which they are shown."""
        items: queue.Queue = queue.Queue(AHEAD)
        ended = threading.Event()
        thread = threading.Thread(target=_fill, args=(items, ended, self._read), daemon=True, name=f'read {self.name}')
        thread.start()
        times, frame = _Times(), Frame(0, 0.0, None)  # the next one
        try:
            while True:
                item = self._next(items, frame)
                if item is None:
                    break
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    self.event(frame, item)
                    continue
                pixels, shown, rate = item
                time, fault = times(shown, 1 / rate)
                frame = Frame(frame.index, time, pixels)
                if fault:
                    self.event(frame, fault)
                yield frame
                frame = Frame(frame.index + 1, time + 1 / rate, None)
            if not frame.index and not self._stopped:
                raise ValueError(f'{self.name}: no frames')
        finally:
            ended.set()

    def stop(self) -> None:
        """The stream counts as ended, though more frames may come; may be called from a signal's handler."""
        self._stopped = True

    def event(self, frame: Frame, text: str) -> None:
        """Says that something is wrong before a frame."""
        self.said += 1
        self.events.append(Event(frame.index, frame.time, text))
        self._say(self.events[-1])

    def _next(self, items, frame):
        """What the thread has read: a frame, an event's text, an error, or None at the end."""
        waited, limit = 0.0, min(self.stall, self.patience)
        while not self._stopped:
            step = min(limit - waited, WAKE)
            try:
                return items.get(timeout=step)
            except queue.Empty:
                waited += step
            if waited < limit - 1e-6:
                continue
            if limit == self.patience:
                self.event(frame, f'none came for {limit:g} s; the stream counts as ended')
                return None
            self.event(frame, f'none came for {limit:g} s; it is waited for, up to {self.patience:g} s')
            limit = self.patience
        return None

    def _opened(self, source):
        """A name of the source, and a function that gives frames with time and rate, and texts of events."""
        if isinstance(source, bool) or not isinstance(source, (str, os.PathLike, int, Iterable)):
            raise TypeError(
                'source must be a file, a folder, the number of a camera, an address or an iterable of frames, got '
                f'{source!r}'
            )
        if isinstance(source, int):
            name, form = _camera(source)
            return name, lambda: self._container(name, format=form)
        if not isinstance(source, (str, os.PathLike)):
            return 'frames', lambda: self._arrays(source)
        name = os.fspath(source)
        if re.match('[A-Za-z0-9+]{2,}:', name) and not os.path.exists(name):
            return name, lambda: self._container(name, timeout=self.patience)
        if os.path.isdir(name):
            files = [file for file in Path(name).iterdir() if file.is_file() and not file.name.startswith('.')]
            if not files:
                raise ValueError(f'{name}: no pictures in this folder')
            return name, lambda: self._pictures(sorted(files, key=_natural))
        fault = file_fault(name)
        if fault == 'missing':
            raise FileNotFoundError(f'no file or folder {name}')
        if fault and not Path(name).is_fifo():
            raise ValueError(f'{name}: {fault}')
        if fault:  # a pipe, which opens once
            return name, lambda: self._container(name)
        fault = size_fault(name)
        if fault and not fault.startswith('truncated'):
            raise ValueError(f'{name}: {fault}')
        with _open(name) as container:
            _video(name, container)
        return name, lambda: self._container(name, fault)

    def _container(self, name, fault=None, **options):
        if fault:
            yield fault
        with _open(name, **options) as container:
            stream = _video(name, container)
            stream.codec_context.thread_count = 0  # as many as there are processors
            rate = float(stream.average_rate or stream.guessed_rate or self.rate)
            damaged = False
            for packet in _packets(container, stream):
                if isinstance(packet, str):
                    yield packet
                    continue
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    if not damaged:
                        yield f'a packet before it cannot be decoded: {error.strerror}'
                    damaged = True
                    continue
                for frame in frames:
                    if frame.is_corrupt and not damaged:
                        yield 'it does not decode whole'
                    damaged = frame.is_corrupt
                    # AVI has no times of being shown, and those of decoding come in order
                    ticks = frame.dts if container.format.name == 'avi' else frame.pts
                    yield upright(frame), None if ticks is None else float(ticks * frame.time_base), rate

    def _pictures(self, files):
        from kaizen_mm.data.pictures import read_picture  # which needs Pillow

        for file in files:
            try:
                pixels = np.asarray(read_picture(file))
            except Exception as error:  # decoders raise many kinds
                yield f'{file.name} cannot be read, and is left out: {brief(error)}'
                continue
            yield pixels, None, self.rate

    def _arrays(self, frames):
        for frame in frames:
            frame = np.asarray(frame)
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                raise ValueError(
                    f'source must give frames of uint8 [H, W, 3], got one of {frame.dtype} {list(frame.shape)}'
                )
            yield frame, None, self.rate


def _open(name, **options):
    try:
        return av.open(name, **options)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f'{name}: cannot be opened: {getattr(error, "strerror", None) or error}') from error


def _video(name, container):
    try:
        return video_stream(container)
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error


def _fill(items, ended, read):
    """Puts what is read into a queue until nobody asks any more; runs in a thread."""

    def put(item):
        while not ended.is_set():
            with suppress(queue.Full):
                return items.put(item, timeout=0.1)
        return None

    try:
        for item in read():
            put(item)
            if ended.is_set():
                return
        put(None)
    except Exception as error:  # raised again where frames are asked for
        put(error)


def _packets(container, stream):
    """Packets of a stream, the last one empty, and a text where it ends in the middle."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            yield f'the stream ends in the middle: {getattr(error, "strerror", None) or error}'
            packet = av.Packet()
            packet.stream = stream
            yield packet
            return
        if packet is None:
            return
        yield packet


class _Times:
    """Seconds since the first frame; and what is wrong with them, where steps have been smaller so far."""

    def __init__(self):
        self._first, self._last, self._steps = None, None, deque(maxlen=STEPS)

    def __call__(self, shown, usual):
        steps = sorted(self._steps)
        if steps:
            usual = steps[len(steps) // 2]
        if self._last is None:
            self._first, self._last = shown or 0.0, 0.0
            return 0.0, None
        step = usual if shown is None else shown - self._first - self._last
        self._last += step
        if step < 0:
            return self._last, f'its time is {-step:.2f} s before that of the last one'
        lost = len(steps) >= STEPS // 2 and step >= GAP * max(steps)
        if step:
            self._steps.append(step)
        return self._last, f'about {round(step / usual) - 1} frames are lost before it' if lost else None


def _camera(number):
    if number < 0:
        raise ValueError(f'source: the number of a camera must be at least 0, got {number}')
    if sys.platform.startswith('linux'):
        device = f'/dev/video{number}'
        if not os.path.exists(device):
            raise FileNotFoundError(f'source: no camera {number}: there is no {device}')
        return device, 'v4l2'
    if sys.platform == 'darwin':
        return str(number), 'avfoundation'
    raise ValueError(f'source: cameras have no numbers on {sys.platform}; give what FFmpeg opens, or frames')


def _natural(file):
    """Names in whose order numbers count as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split('([0-9]+)', file.name)]
