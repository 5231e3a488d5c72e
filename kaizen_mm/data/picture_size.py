"""Whether all pictures of a video are of one size: decord scales those of another to that of the first, without a
word."""

import functools
import os
from pathlib import Path
from typing import Optional

import numpy as np

from kaizen_mm.data.video_stream import video_stream
from kaizen_mm.extras import naming_extras

with naming_extras():
    import av

MOST = 64  # key frames that are looked at


def size_change(path: str | Path) -> Optional[str]:
    """Where the size of the picture changes, such as ``'from 64 x 64 to 96 x 96 at 0.40 s'``; None where it does not,
    or where that cannot be told.

    Key frames are decoded, all of them up to 64, else so many from the first to the last; H.264, HEVC, MPEG-4 and VP8
    change their size nowhere else. A file is looked at once in a process.
    """
    try:
        state = os.stat(path)
        return _size_change(os.fspath(path), state.st_size, state.st_mtime_ns)
    except (av.FFmpegError, OSError, ValueError):  # the reader says what is wrong
        return None


@functools.lru_cache(maxsize=4096)
def _size_change(path: str, size: int, time: int) -> Optional[str]:
    with av.open(path) as container:
        stream = video_stream(container)
        keys = [packet for packet in container.demux(stream) if packet.is_keyframe and packet.size]
        chosen = np.linspace(0, len(keys) - 1, min(len(keys), MOST)).round().astype(int)
        first, decoder = None, stream.codec_context
        for packet in (keys[index] for index in chosen):
            pictures = [*decoder.decode(packet), *decoder.decode(None)]
            decoder.flush_buffers()
            for picture in pictures:
                found = picture.width, picture.height
                first = first or found
                if found != first:
                    at = f' at {picture.time:.2f} s' if picture.time is not None else ''
                    return f'from {first[0]} x {first[1]} to {found[0]} x {found[1]}{at}'
    return None
