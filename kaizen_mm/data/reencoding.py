"""Re-encoding of videos to a small H.264 that every reader can seek in."""
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .video_check import check_video, count_frames, upright, video_stream


def output_size(width, height, short_side):
    """Even (width, height) in pixels with the given short side."""
    scale = short_side / min(width, height)
    return tuple(
        max(2, 2 * round(side * scale / 2)) for side in (width, height))


def reencode_video(source, target, short_side, reader='decord'):
    """Re-encode a video to H.264 in MP4 (CRF 20, no audio), atomically.

    Every frame that is to be shown is kept, turned as the container says, at the source's average frame rate: a
    variable rate becomes a constant one. A target that is readable, has the wanted size and the source's number of
    frames is kept as it is. The source is read with PyAV alone, so that videos that the reader of training cannot
    read can be made readable.

    Args:
        source (str or Path): Video to read; never written to.
        target (str or Path): File to write; its folder is made.
        short_side (int): Pixels of the shorter side, even and at least 2.
        reader (str): What the target is checked with, see `video_check.check_video`. Default 'decord'.

    Returns:
        int: Number of frames of the target.

    Raises:
        ValueError: Source or target cannot be decoded.
    """
    source, target = Path(source), Path(target)
    frames = count_frames(source)
    size = output_size(*shown_size(source), short_side)
    if is_reencoded(target, size, frames, reader):
        return frames
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + '.part')
    try:
        with av.open(str(source)) as container, \
                av.open(str(partial), 'w', format='mp4') as writer:
            video = video_stream(container)
            rate = Fraction(video.average_rate or 25).limit_denominator(1001)
            stream = writer.add_stream(
                'libx264', rate=rate, options={'crf': '20'})
            stream.codec_context.thread_count = 1
            stream.width, stream.height = size
            stream.pix_fmt = 'yuv420p'
            for index, frame in enumerate(container.decode(video)):
                if frame.rotation % 360:
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(upright(frame)), format='rgb24')
                frame = frame.reformat(*size, 'yuv420p', interpolation='BICUBIC')
                frame.pts, frame.time_base = index, 1 / rate
                writer.mux(stream.encode(frame))
            writer.mux(stream.encode())
        check_reencoded(partial, size, frames, reader)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return frames


def shown_size(path):
    """(width, height) in pixels of a video as it is shown, that is, turned as the container says."""
    with av.open(str(path)) as container:
        height, width, _ = upright(next(container.decode(video_stream(container)))).shape
    return width, height


def check_reencoded(path, size, frames, reader='decord'):
    """ValueError unless a readable video of this (width, height) and length."""
    try:
        found = check_video(path, reader)
    except ValueError as error:
        raise ValueError(f're-encoded to {size[0]} x {size[1]}: {error}') from None
    found_size = shown_size(path)
    if (found_size, found) != (size, frames):
        raise ValueError(f're-encoded to {found_size[0]} x {found_size[1]} and {found} frames, expected '
                         f'{size[0]} x {size[1]} and {frames}')


def is_reencoded(path, size, frames, reader='decord'):
    """Whether `path` exists and passes `check_reencoded`."""
    try:
        check_reencoded(path, size, frames, reader)
    except (OSError, ValueError):
        return False
    return True
