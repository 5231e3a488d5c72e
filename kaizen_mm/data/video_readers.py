"""The readers that training can decode videos with, behind one function.

decord is the default, torchcodec can be had instead. decord reads from a path here: from bytes in memory, as mmaction2's ``DecordInit`` has it read, a
truncated ``.avi`` ends the process with a segmentation fault, while the same file opened by its path gives an error
or its frames.
"""
import importlib
from pathlib import Path
from typing import Iterable, Optional

import numpy as np

from kaizen_mm.extras import naming_extras

from .file_check import declared_frames, file_fault, size_fault
from .isolation import brief

with naming_extras():
    import av

REMEDY = 're-encode it, as with ffmpeg -i FILE -c:v libx264 -crf 20 OUT.mp4'

# streams with packed B-frames hold a packet or two that show no new picture
SPARE_PACKETS = 2
MPEG_PROGRAM = b'\x00\x00\x01\xba'


class UnreadableVideo(ValueError):
    """A video that cannot be opened; ``reason`` is the message without the file's name."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f'{path}: {reason}')
        self.path, self.reason = path, reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)


def open_video(path: str | Path, reader: str = 'decord', num_threads: int = 1):
    """Opens a video file for random access to its frames.

    Args:
        path: A file on a local disk.
        reader: A name of ``READERS``. Default ``'decord'``.
        num_threads: Threads that decode. Default 1.

    Returns:
        A reader with decord's interface: ``len(reader)`` frames, ``get_avg_fps()`` and ``get_batch(indices)``, whose
        ``asnumpy()`` is uint8 RGB ``[len(indices), height, width, 3]``, turned as the container says.

    Raises:
        UnreadableVideo: There is no such file, it is no regular file, shorter or of fewer frames than its
            container says, or the reader cannot open it; the message names the file, and the codec where that is the cause.
        ValueError, ImportError: See :func:`check_reader`.
    """
    check_reader(reader)
    fault = file_fault(path) or size_fault(path)
    if fault:
        raise UnreadableVideo(path, fault)
    try:
        video = READERS[reader](str(path), num_threads)
    except Exception as error:  # decord raises its own errors and plain RuntimeError
        reason = f'{reader} cannot open it: {brief(error)}'
        codec = _codec(path)
        if codec and 'cannot find video stream' in reason:
            reason = f'{reader} does not know its codec, {codec}'
        raise UnreadableVideo(path, f'{reason}; {REMEDY}' if codec else reason) from error
    declared = declared_frames(path)
    if declared is not None and len(video) < declared - SPARE_PACKETS:
        raise UnreadableVideo(path, f'damaged: {len(video)} of the {declared} frames that its headers count are there')
    return video


def _open_decord(path: str, num_threads: int):
    with open(path, 'rb') as file:
        if file.read(4) == MPEG_PROGRAM:
            raise ValueError('it gives wrong frames of MPEG program streams, where it seeks')
    import decord
    return decord.VideoReader(path, num_threads=num_threads)


class TorchCodecReader:
    """torchcodec's decoder with decord's interface.

    It needs the package ``torchcodec`` and FFmpeg's shared libraries (Debian: ``ffmpeg``). With torchcodec 0.17 and
    FFmpeg 5.1 it reads AV1 and cuts made without re-encoding, which decord 0.6.0 does not, and gives other frames of
    UCF101's ``.avi`` files than decord and PyAV do.
    """

    def __init__(self, path: str, num_threads: int = 1):
        from torchcodec.decoders import VideoDecoder
        self._decoder = VideoDecoder(path, dimension_order='NHWC', num_ffmpeg_threads=num_threads)

    def __len__(self) -> int:
        return len(self._decoder)

    def get_avg_fps(self) -> float:
        return self._decoder.metadata.average_fps

    def get_batch(self, indices: Iterable[int]) -> 'Frames':
        return Frames(self._decoder.get_frames_at([int(index) for index in indices]).data)


class Frames:
    """Frames that are turned into an array as decord's are."""

    def __init__(self, frames):
        self._frames = frames

    def asnumpy(self) -> np.ndarray:
        return self._frames.numpy()


READERS = dict(decord=_open_decord, torchcodec=TorchCodecReader)


def check_reader(reader: str) -> None:
    """Looks whether a reader can be used.

    Raises:
        ValueError: There is none of that name.
        ImportError: It is not installed, or lacks its libraries.
    """
    if reader not in READERS:
        raise ValueError(f'reader must be one of {tuple(READERS)}, got {reader!r}')
    if reader == 'decord':
        with naming_extras():
            importlib.import_module('decord')
    if reader == 'torchcodec':
        try:
            importlib.import_module('torchcodec.decoders')
        except Exception as error:  # RuntimeError where FFmpeg is missing
            raise ImportError('reader "torchcodec" needs the package torchcodec (pip install torchcodec) and FFmpeg\'s '
                              f'shared libraries (Debian: apt-get install ffmpeg): {brief(error)}') from error


def _codec(path: str) -> Optional[str]:
    """What a video is coded with, by another reader; None where that cannot tell."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.best('video')
            return stream and stream.codec_context.codec.canonical_name
    except (av.FFmpegError, OSError, ValueError):
        return None
