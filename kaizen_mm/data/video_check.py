"""Whether a video is what training will read: every frame is decoded twice and compared.

Videos are read with the reader that training uses and with PyAV. What decord 0.6.0 does with damaged files was tried
out:

- An ``.avi`` cut anywhere after its header opens without an error and simply has fewer frames, since decord counts the
  packets that it finds; frames of a packet cut in two are silently replaced by their neighbour.
- An ``.mp4`` whose index stands at the end does not open when cut; one whose index stands first opens and fails (or
  not) depending on the frame asked for.
- ``get_batch`` can spin for ever, holding the interpreter lock, where a file promises more frames than it has
  (https://github.com/dmlc/decord/issues/373), and a broken stream can end the process
  (https://github.com/dmlc/decord/issues/25).
- A cut made without re-encoding (``ffmpeg -c copy``) hides frames by an edit list. decord counts the hidden ones, and
  gives other frames in their place.
- An MPEG program stream reads well from its beginning, but positions that are sought are up to a dozen frames off.
- Not damage, but found the same way: `get_batch` fails on some frames narrower than 80 pixels (widths 16, 48 and 72 do,
  32, 64 and 80 do not).

Hence `check_video` compares the size that the container declares with that of the file, every frame of the reader with
that of PyAV, and the frames at sought positions with those read in a row. Decoders hide what is damaged as well as they
can; PyAV tells which frames it was. Such calls belong into a process of their own, see `isolation`.
"""

import av
import numpy as np

from kaizen_mm.data.file_check import file_fault, size_fault
from kaizen_mm.data.isolation import brief
from kaizen_mm.data.video_readers import REMEDY, SPARE_PACKETS, UnreadableVideo, open_video, upright

# Largest mean difference of two decoders' pictures, of 255: conversions of colours differ a little.
TOLERANCE = 10.0
SAME = 1.0  # the same for one decoder that reads a picture twice
STEP = 8  # every eighth pixel of a row and of a column is compared
SOUGHT = 24  # positions


def check_video(path, reader='decord'):
    """Decode a video with the reader of training and with PyAV, and count its frames.

    Args:
        path (str or Path): The file.
        reader (str): See `video_readers.open_video`. Default 'decord'.

    Returns:
        int: Number of frames that can be decoded, at least 1.

    Raises:
        ValueError: The file is missing, empty, cut short, damaged or not read well by the reader; the message is the
            reason.
    """
    try:
        opened = open_video(path, reader)
    except UnreadableVideo as error:
        raise ValueError(error.reason) from None
    try:
        found = np.concatenate(
            [
                small(opened.get_batch(range(first, min(first + 32, len(opened)))).asnumpy())
                for first in range(0, len(opened), 32)
            ]
            or [[]]
        )
    except Exception as error:  # decord raises its own errors and plain RuntimeError
        count_frames(path)  # it may know the reason better
        raise ValueError(f'{reader} cannot decode it: {brief(error)}; {REMEDY}') from None
    expected = decode(path, like=found)
    compare(found, expected, reader)
    order = np.random.default_rng(0).permutation(len(found))[:SOUGHT]
    sought = small(open_video(path, reader).get_batch(order.tolist()).asnumpy())
    if differences(sought, found[order]).max() > SAME:
        raise ValueError(f'{reader} gives other frames at positions that it seeks than in a row; {REMEDY}')
    return len(expected)


def compare(found, expected, reader):
    """ValueError unless the reader's pictures are those of PyAV; both are `[frames, height, width]`."""
    if found.shape[1:] != expected.shape[1:]:
        raise ValueError(f'{reader} gives another size of picture than PyAV; {REMEDY}')
    repeated = repeats(found) - repeats(expected)
    if abs(len(found) - len(expected)) > SPARE_PACKETS or repeated > SPARE_PACKETS:
        raise ValueError(
            f'{reader} gives {len(found)} frames, {repeats(found)} of them the same as the one before, where '
            f'{len(expected)} are to be shown: cut without re-encoding, or damaged; {REMEDY}'
        )
    shorter = min(len(found), len(expected))
    differing = int((differences(found[:shorter], expected[:shorter]) > TOLERANCE).sum())
    if differing:
        raise ValueError(f'{differing} of {shorter} frames of {reader} are not those of PyAV; {REMEDY}')


def differences(one, other):
    """Mean absolute difference of each pair of pictures, `[frames]`."""
    return np.abs(one - other).mean(axis=(1, 2))


def repeats(pictures):
    """How many pictures equal the one before."""
    return int((pictures[1:] == pictures[:-1]).all(axis=(1, 2)).sum())


def small(frames):
    """Grey pictures of every eighth pixel: `[frames, height, width, 3]` uint8 to `[frames, h, w]` float32."""
    return frames[:, ::STEP, ::STEP].mean(axis=-1, dtype=np.float32)


def count_frames(path):
    """Number of frames that PyAV decodes.

    Raises:
        ValueError: The file is missing, empty, cut short or damaged; the message is the reason.
    """
    fault = file_fault(path) or size_fault(path)
    if fault:
        raise ValueError(fault)
    return len(decode(path))


def decode(path, like=None):
    """Small pictures of every frame, `[frames, h, w]`, as PyAV decodes them.

    Args:
        path (str or Path): The file.
        like (ndarray, optional): Pictures of the reader. Of several video streams, that one is taken that begins
            with the most similar picture. Default: the one that FFmpeg holds for the best.

    Raises:
        ValueError: There is no video, or it is damaged; the message is the reason.
    """
    pictures, damaged = [], 0
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container, like)
            for frame in container.decode(stream):
                damaged += frame.is_corrupt
                pictures.append(small(upright(frame)[None])[0])
    except av.FFmpegError as error:
        raise ValueError(f'decoding fails after {len(pictures)} frames: {error.strerror}') from None
    if not pictures:
        raise ValueError('no frames')
    if damaged:
        raise ValueError(f'damaged: {damaged} of {len(pictures)} frames do not decode whole')
    if len({picture.shape for picture in pictures}) > 1:
        raise ValueError(f'the size of the picture changes; {REMEDY}')
    return np.stack(pictures)


def video_stream(container, like=None):
    """The video stream that a reader has chosen, see `decode`; ValueError where there is none."""
    streams = container.streams.video
    best = container.streams.best('video')
    if best is None:
        raise ValueError('no video stream')
    for stream in streams:
        stream.codec_context.thread_count = 1
    if like is not None and len(streams) > 1:
        best = min(streams, key=lambda stream: first_difference(container, stream, like))
        container.seek(0)
    return best


def first_difference(container, stream, like):
    """How much the first picture of a stream differs from the first of `like`; infinite for one of another size."""
    container.seek(0)
    for frame in container.decode(stream):
        picture = small(upright(frame)[None])
        return differences(picture, like[:1])[0] if picture.shape[1:] == like.shape[1:] else float('inf')
    return float('inf')
