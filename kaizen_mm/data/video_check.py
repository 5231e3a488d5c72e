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
- H.264 with B-frames in an AVI is shown from its second key frame on in another order once it is sought.
- An MPEG program stream reads well from its beginning, but positions that are sought are up to a dozen frames off.
- Not damage, but found the same way: `get_batch` fails on some frames narrower than 80 pixels (widths 16, 48 and 72 do,
  32, 64 and 80 do not).

Hence `check_video` makes three comparisons: the size that the container declares with that of the file, every frame of
the reader with that of PyAV, and the frames at sought positions with those read in a row. Decoders hide damage as well
as they can. PyAV tells of some damaged frames, and checksums of others, see `decoded`. Damage that leaves a stream
valid and has no checksum passes. Such calls belong into a process of their own, see `isolation`.
"""

import av
import numpy as np

from kaizen_mm.data.containers import wrong_checksum
from kaizen_mm.data.file_check import file_fault, size_fault
from kaizen_mm.data.isolation import brief
from kaizen_mm.data.video_readers import (
    REMEDY,
    SPARE_PACKETS,
    UnreadableVideo,
    open_video,
    upright,
    with_remedy,
)
from kaizen_mm.data.video_stream import video_stream

# Largest mean difference of two decoders' pictures, of 255: conversions of colours differ a little.
TOLERANCE = 10.0
SAME = 1.0  # the same for one decoder that reads a picture twice
STEP = 8  # every eighth pixel of a row and of a column is compared
SOUGHT = 24  # positions that are drawn
ENDS = 8  # positions at each end
SHORT = 48  # frames up to which all positions are sought


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
        raise ValueError(with_remedy(f'{reader} cannot decode it: {brief(error, 400)}')) from None
    expected = decode(path)
    compare(found, expected, reader)
    order = sought(len(found))
    video = open_video(path, reader)
    for part in np.split(order, range(32, len(order), 32)):
        apart = differences(small(video.get_batch(part.tolist()).asnumpy()), found[part]) > SAME
        if apart.any():
            raise ValueError(
                f'{reader} gives other frames at positions that it seeks than in a row, first at frame '
                f'{part[apart.argmax()]} of {len(found)}; {REMEDY}'
            )
    return len(expected)


def sought(frames):
    """Positions of a video in the order in which they are sought: all of a short one; of a longer one both ends, in
    turns, and some that are drawn."""
    drawn = np.random.default_rng(0).permutation(frames)
    if frames <= SHORT:
        return drawn
    ends = [place for index in range(ENDS) for place in (frames - 1 - index, index)]
    return np.concatenate([ends, drawn[:SOUGHT]])


def compare(found, expected, reader):
    """ValueError unless the reader's pictures are those of PyAV; both are `[frames, height, width]`."""
    if found.shape[1:] != expected.shape[1:]:
        raise ValueError(f'{reader} gives another size of picture than PyAV; {REMEDY}')
    repeated = repeats(found) - repeats(expected)
    if abs(len(found) - len(expected)) > SPARE_PACKETS or repeated > SPARE_PACKETS:
        raise ValueError(
            f'{reader} gives {len(found)} frames, {repeats(found)} of them the same as the one before, and not the '
            f'{len(expected)} that are to be shown: cut without re-encoding, or damaged; {REMEDY}'
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
    """Number of frames that PyAV decodes, of whatever sizes.

    Raises:
        ValueError: The file is missing, empty, cut short or damaged; the message is the reason.
    """
    fault = file_fault(path) or size_fault(path)
    if fault:
        raise ValueError(fault)
    return len(decoded(path))


def decode(path):
    """Small pictures of every frame, `[frames, h, w]`, as PyAV decodes them.

    Raises:
        ValueError: There is no video, it is damaged, or its size changes; the message is the reason.
    """
    pictures = decoded(path)
    sizes = [picture.shape for picture in pictures]
    if len(set(sizes)) > 1:
        changed = next(index for index, size in enumerate(sizes) if size != sizes[0])
        raise ValueError(f'the size of the picture changes at frame {changed}; {REMEDY}')
    return np.stack(pictures)


def decoded(path):
    """The same as a list, so that sizes may differ.

    Checksums are compared where there are some: in Matroska, as FFmpeg writes it. MPEG transport streams count their
    packets, and a gap is damage. MP4, AVI and WebM have nothing of the kind, nor have H.264, HEVC, MPEG-4, VP8, VP9 and
    AV1: there FFmpeg's ``err_detect`` was seen to find no damage that its decoders do not tell of anyway.
    """
    fault = wrong_checksum(path)
    if fault:
        raise ValueError(f'damaged: {fault}')
    pictures, damaged = [], 0
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container)
            for packet in container.demux(stream):
                damaged += packet.is_corrupt
                for frame in packet.decode():
                    damaged += frame.is_corrupt
                    pictures.append(small(upright(frame)[None])[0])
    except av.FFmpegError as error:
        raise ValueError(f'decoding fails after {len(pictures)} frames: {error.strerror}') from None
    if not pictures:
        raise ValueError('no frames')
    if damaged:
        raise ValueError(f'damaged: {damaged} of {len(pictures)} frames do not decode whole')
    return pictures
