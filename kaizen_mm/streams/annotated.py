"""A copy of a stream with what a network says of it below the picture."""

import math
from collections import deque
from pathlib import Path
from typing import Any

from PIL import Image

from kaizen_mm.inference import Ranked
from kaizen_mm.inference.overlay import BACKGROUND, VideoCopy, panel, scaled
from kaizen_mm.streams.prediction import WindowPrediction
from kaizen_mm.streams.sources import Frame

# written in pieces of some seconds, each of which can be seen without the next
CONTAINER = dict(movflags='frag_keyframe+empty_moov+default_base_moof', flush_packets='1')
CODING = dict(g='50', bf='0', preset='veryfast')


class AnnotatedStream:
    """A copy of a stream, each frame once, with the top classes of its window as bars.

    It is written as the stream comes, without sound; after a kill, what has been written can be seen. Of windows that
    overlap, a frame shows the first; frames between windows, the one before them.

    Args:
        path: MP4 to write; its folder is made.
        length: Frames of a window.
        top: Classes, at most as many as the network has. Default 3.
    """

    def __init__(self, path: Path, length: int, top: int = 3):
        self.path, self._length, self._top = path, length, top
        self._waiting: deque = deque()  # frames whose window is not there yet
        self._copy: Any = None
        self._width = 0
        self._window: Any = None  # what is said of frames now
        self._below: Any = None  # the same, drawn
        self._colors: dict = {}

    def watch(self, frame: Frame) -> None:
        """Takes the next frame."""
        self._waiting.append(frame)
        if len(self._waiting) > self._length:  # it is in no window to come
            self._write(self._waiting.popleft())

    def add(self, window: WindowPrediction) -> None:
        """Takes the next window, whose frames have come."""
        self._write_before(window.start)
        self._window, self._below = window, None
        self._write_before(window.end)

    def close(self) -> None:
        """Writes the frames that have come, and ends the file; there is none where there was no window."""
        try:
            if self._window is not None:
                self._write_before(math.inf)
        finally:
            if self._copy is not None:
                self._copy.close()

    def _write_before(self, end):
        while self._waiting and self._waiting[0].index < end:
            self._write(self._waiting.popleft())

    def _write(self, frame):
        image = scaled(Image.fromarray(frame.pixels))
        if self._copy is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(exist_ok=False)  # no other process writes it
            self._copy, self._width = VideoCopy(self.path, 'mp4', CONTAINER, CODING), image.width
        if self._below is None:
            self._below = self._panel()
        self._copy.write(image, self._below, frame.time)

    def _panel(self):
        window = self._window
        if window is None:  # frames that are in no window, before the first
            blank = panel([[Ranked(label, '', 0.0) for label in range(self._top)]], self._width)
            return Image.new('RGB', blank.size, BACKGROUND)
        said = 'weights are written' if window.wrote else 'weights are held' if window.recurrent else ''
        title = f'window {window.index}, {window.time:.1f} s{said and ": "}{said}'
        return panel([window.top(self._top)], self._width, title, self._colors)
