"""Re-encoding of videos to a small H.264 that every reader can seek in.

A clip of training is read at a random place: what is decoded for it are the frames from the key frame before it on.
With a key frame every :data:`KEY_FRAMES` frames that is at most half a clip too many; x264's own choice is one in 250.
"""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from kaizen_mm.data.video_check import check_video, count_frames
from kaizen_mm.data.video_readers import upright
from kaizen_mm.data.video_stream import video_stream

KEY_FRAMES = 16  # frames from one key frame to the next at most
X264 = {'crf': '20', 'g': str(KEY_FRAMES), 'tune': 'fastdecode'}


def output_size(width, height, short_side):
    """Even (width, height) in pixels with the given short side; nothing is made larger."""
    scale = min(1, short_side / min(width, height))
    return tuple(max(2, min(2 * round(side * scale / 2), side // 2 * 2)) for side in (width, height))


def reencode_video(source, target, short_side, reader='decord'):
    """Re-encode a video to H.264 in MP4 (CRF 20, tuned for fast decoding, many key frames, no audio), atomically.

    Every frame that is to be shown is kept, turned as the container says, at the source's average frame rate: a
    variable rate becomes a constant one. A target that is readable, has the wanted size and the source's number of
    frames is kept as it is. The source is read with PyAV alone, so that videos that the reader of training cannot
    read can be made readable.

    Args:
        source (str or Path): Video to read; never written to.
        target (str or Path): File to write; its folder is made.
        short_side (int): Pixels of the shorter side, even and at least 2. A smaller video keeps its size.
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
        encode(source, partial, size)
        check_reencoded(partial, size, frames, reader)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return frames


def encode(source, target, size, options=X264):
    """Writes every shown frame of a video, upright and of a (width, height), as H.264 in MP4 at a constant rate."""
    with av.open(str(source)) as container, av.open(str(target), 'w', format='mp4') as writer:
        video = video_stream(container)
        rate = Fraction(video.average_rate or 25).limit_denominator(1001)
        stream = writer.add_stream('libx264', rate=rate, options=options)
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
    found_size, apart = shown_size(path), key_frame_distance(path)
    if apart > KEY_FRAMES:
        raise ValueError(
            f're-encoded with {apart} frames from one key frame to the next, expected at most {KEY_FRAMES}'
        )
    if (found_size, found) != (size, frames):
        raise ValueError(
            f're-encoded to {found_size[0]} x {found_size[1]} and {found} frames, expected '
            f'{size[0]} x {size[1]} and {frames}'
        )


def key_frame_distance(path):
    """The most frames from one key frame of a video to the next, or to its end."""
    with av.open(str(path)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video_stream(container)) if packet.size]
    places = [place for place, key in enumerate(keys) if key] + [len(keys)]
    return max(after - before for before, after in zip([0, *places], places))


def is_reencoded(path, size, frames, reader='decord'):
    """Whether `path` exists and passes `check_reencoded`."""
    try:
        check_reencoded(path, size, frames, reader)
    except (OSError, ValueError):
        return False
    return True
