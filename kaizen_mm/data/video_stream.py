"""Which video stream of a file is read, by every reader.

FFmpeg's own choice differs between its versions, and so between decord and PyAV. Here it is: no cover picture; of what
is left the streams that the file marks as default, if any; of these the largest picture; of equal ones the first.
"""

import os
import warnings
from pathlib import Path

from kaizen_mm.data.containers import video_tracks
from kaizen_mm.extras import naming_extras

with naming_extras():
    import av
    from av.stream import Disposition


def video_stream(container):
    """The stream of an open container of PyAV that is read, decoded in one thread.

    Raises:
        ValueError: There is none; a cover picture of a song is none.
    """
    streams = moving_streams(container)
    if not streams:
        raise ValueError('no video stream')
    stream = max(streams, key=_rank)
    stream.codec_context.thread_count = 1
    return stream


def moving_streams(container) -> list:
    """The video streams of an open container that are no cover pictures."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _rank(stream):
    marked = bool(stream.disposition & Disposition.default)
    return marked, (stream.width or 0) * (stream.height or 0), -stream.index


def _choose(path: str):
    if video_tracks(path) == 1:  # nothing to choose
        return None, 1
    try:
        with av.open(path) as container:
            streams = moving_streams(container)
            return (video_stream(container).index, len(streams)) if streams else (None, 0)
    except (av.FFmpegError, OSError, ValueError):  # the reader says what is wrong
        return None, 0


def chosen_stream(path: str | Path):
    """Index of the stream of a file that is read, None where there is but one, and how many there are to choose from.

    Where there are several, a warning says which one is read.
    """
    index, count = _choose(os.fspath(path))
    if count > 1:
        warnings.warn(f'{path}: {_choice(index, count)}', stacklevel=1)
    return index, count


def choice_among_streams(path: str | Path) -> str | None:
    """Which of several video streams of a file is read; None where there are not several."""
    index, count = _choose(os.fspath(path))
    return _choice(index, count) if count > 1 else None


def _choice(index, count):
    return f'{count} video streams; stream {index} is read: the one marked as default, else the largest, else the first'
