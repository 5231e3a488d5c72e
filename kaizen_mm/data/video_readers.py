"""The readers that training can decode videos with, behind one function.

decord is the default, PyAV and torchcodec can be had instead. decord reads from a path here: from bytes in memory, as
mmaction2's ``DecordInit`` has it read, a truncated ``.avi`` ends the process with a segmentation fault, while the same
file opened by its path gives an error or its frames.
"""

import bisect
import importlib
import itertools
from pathlib import Path
from typing import Iterable, Optional

import numpy as np

from kaizen_mm.data.file_check import declared_frames, file_fault, size_fault
from kaizen_mm.data.isolation import brief
from kaizen_mm.extras import naming_extras

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
            container says, or the reader cannot open it; the message names the file, and the codec where that is the
            cause.
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


class PyAVReader:
    """PyAV's decoder with decord's interface.

    It decodes on from one wanted frame to the next, or seeks to the last key frame before it where that saves decoding,
    and turns only wanted frames into RGB. Frames are counted in the order in which they are shown.
    """

    def __init__(self, path: str, num_threads: int = 1):
        self._container = av.open(path)
        stream = self._container.streams.best('video')
        if stream is None:
            raise ValueError('cannot find video stream')
        stream.codec_context.thread_count = num_threads
        self._stream = stream
        shown = [
            (packet.pts, packet.is_keyframe)
            for packet in self._container.demux(stream)
            if packet.size and not packet.is_discard
        ]
        self._times = [time for time, _ in shown]
        known = None not in self._times and len(set(self._times)) == len(shown)
        if known:
            shown.sort()
            self._times = [time for time, _ in shown]
        # at the first frame decoding begins anyway
        self._keys = [0] + [index for index, (_, key) in enumerate(shown) if key and index and known]
        self._seek(0)

    def __len__(self) -> int:
        return len(self._times)

    def get_avg_fps(self) -> float:
        return float(self._stream.average_rate or 0)

    def get_batch(self, indices: Iterable[int]) -> 'Frames':
        indices = [int(index) for index in indices]
        pictures = {index: upright(self._frame(index)) for index in sorted(set(indices))}
        return Frames(np.stack([pictures[index] for index in indices]))

    def _frame(self, index: int):
        if not 0 <= index < len(self):
            raise IndexError(f'frame {index} of {len(self)}')
        key = self._keys[bisect.bisect_right(self._keys, index) - 1]
        if index < self._next or key > self._next:
            self._seek(key)
        while True:
            frame = next(self._frames, None)
            if frame is None:
                raise ValueError(f'damaged: it ends before frame {index} of {len(self)}')
            self._next += 1
            if self._next > index:
                return frame

    def _seek(self, key: int) -> None:
        """Goes to a key frame; where the file does not lead there, to the beginning, now and from then on."""
        if key:
            self._container.seek(self._times[key], stream=self._stream)
            self._frames = self._container.decode(self._stream)
            first = next((frame for frame in self._frames if frame.pts is None or frame.pts >= self._times[key]), None)
            if first is not None and first.pts == self._times[key]:
                self._frames, self._next = itertools.chain([first], self._frames), key
                return
            self._keys = [0]
        self._container.seek(0)
        self._frames, self._next = self._container.decode(self._stream), 0


def upright(frame) -> np.ndarray:
    """RGB of a frame of PyAV, `[height, width, 3]`, turned as the container says (in quarters)."""
    return np.rot90(frame.to_ndarray(format='rgb24'), round(frame.rotation / 90))


class Frames:
    """Frames that are turned into an array as decord's are."""

    def __init__(self, frames):
        self._frames = frames

    def asnumpy(self) -> np.ndarray:
        return np.asarray(self._frames)


READERS = dict(decord=_open_decord, pyav=PyAVReader, torchcodec=TorchCodecReader)


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
            raise ImportError(
                'reader "torchcodec" needs the package torchcodec (pip install torchcodec) and FFmpeg\'s '
                f'shared libraries (Debian: apt-get install ffmpeg): {brief(error)}'
            ) from error


def _codec(path: str) -> Optional[str]:
    """What a video is coded with, by another reader; None where that cannot tell."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.best('video')
            return stream and stream.codec_context.codec.canonical_name
    except (av.FFmpegError, OSError, ValueError):
        return None
