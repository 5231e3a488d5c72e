"""The readers that training can decode videos with, behind one function.

decord is the default, PyAV and torchcodec can be had instead. Here decord reads from a path; mmaction2's ``DecordInit``
has it read from bytes in memory. From these a truncated ``.avi`` ends the process with a segmentation fault. The same
file opened by its path gives an error or its frames.
"""

import bisect
import contextlib
import importlib
import itertools
from pathlib import Path
from typing import Iterable, Optional

import numpy as np

from kaizen_mm.data.containers import indexed_packets
from kaizen_mm.data.file_check import file_fault, size_fault
from kaizen_mm.data.isolation import brief
from kaizen_mm.data.picture_size import size_change
from kaizen_mm.data.video_stream import chosen_stream, video_stream
from kaizen_mm.extras import naming_extras

with naming_extras():
    import av

REMEDY = 're-encode it, as with ffmpeg -i FILE -c:v libx264 -crf 20 OUT.mp4'

# streams with packed B-frames hold a packet or two that show no new picture
SPARE_PACKETS = 2
MPEG_PROGRAM = b'\x00\x00\x01\xba'


def with_remedy(reason: str) -> str:
    """A reason with what helps, once."""
    return reason if REMEDY in reason else f'{reason}; {REMEDY}'


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
        ``asnumpy()`` is uint8 RGB ``[len(indices), height, width, 3]``, turned as the container says. Of several video
        streams that of :mod:`kaizen_mm.data.video_stream` is read; since decord chooses its own, PyAV reads such files
        in its place.

    Raises:
        UnreadableVideo: There is no such file, it is no regular file, shorter or of fewer frames than its
            container says, its pictures change their size, or the reader cannot open it; the message names the file,
            and the codec where that is the cause.
        ValueError, ImportError: See :func:`check_reader`.
    """
    check_reader(reader)
    fault = file_fault(path) or size_fault(path)
    if fault:
        raise UnreadableVideo(path, fault)
    changed = size_change(path)
    if changed:
        raise UnreadableVideo(path, f'the size of the picture changes {changed}; {REMEDY}')
    several = chosen_stream(path)[1] > 1
    try:
        video = READERS['pyav' if several and reader == 'decord' else reader](str(path), num_threads)
    except Exception as error:  # decord raises its own errors and plain RuntimeError
        reason = f'{reader} cannot open it: {brief(error)}'
        codec = _codec(path)
        if codec and 'cannot find video stream' in reason:
            reason = f'{reader} does not know its codec, {codec}'
        raise UnreadableVideo(path, with_remedy(reason) if codec else reason) from error
    listed = indexed_packets(path)
    if listed is not None and len(video) < listed - SPARE_PACKETS:
        raise UnreadableVideo(path, f'damaged: {len(video)} of the {listed} frames that its index lists are there')
    return video


def _open_decord(path: str, num_threads: int):
    with open(path, 'rb') as file:
        if file.read(4) == MPEG_PROGRAM:
            raise ValueError('it gives wrong frames of MPEG program streams, where it seeks')
    return _decord().VideoReader(path, num_threads=num_threads)


def _decord():
    """decord, after OpenCV where that is installed: loaded before it, decord 0.6.0 shows its zlib to the whole process,
    and OpenCV then reads no PNG."""
    with contextlib.suppress(ImportError):
        import cv2  # noqa: F401
    import decord

    return decord


class TorchCodecReader:
    """torchcodec's decoder with decord's interface.

    It needs the package ``torchcodec`` and FFmpeg's shared libraries (Debian: ``ffmpeg``). With torchcodec 0.17 and
    FFmpeg 5.1 it reads AV1 and cuts made without re-encoding, which decord 0.6.0 does not, and gives other frames of
    UCF101's ``.avi`` files than decord and PyAV do.
    """

    def __init__(self, path: str, num_threads: int = 1):
        from torchcodec.decoders import VideoDecoder

        self._decoder = VideoDecoder(
            path, stream_index=chosen_stream(path)[0], dimension_order='NHWC', num_ffmpeg_threads=num_threads
        )

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
        self._path, self._num_threads = path, num_threads
        self._open()
        shown = [
            (packet.pts, packet.is_keyframe)
            for packet in self._container.demux(self._stream)
            if packet.size and not packet.is_discard
        ]
        self._times = [time for time, _ in shown]
        known = None not in self._times and len(set(self._times)) == len(shown)
        if known:
            shown.sort()
            self._times = [time for time, _ in shown]
        # seeking to 0 leads past what is shown before 0, or nowhere
        self._begins_at_zero = known and self._times[:1] >= [0]
        # at the first frame decoding begins anyway
        self._keys = [0] + [index for index, (_, key) in enumerate(shown) if key and index and known]
        self._seek(0)

    def _open(self):
        self._container = av.open(self._path)
        self._stream = video_stream(self._container)
        self._stream.codec_context.thread_count = self._num_threads

    def __len__(self) -> int:
        return len(self._times)

    def get_avg_fps(self) -> float:
        return float(self._stream.average_rate or 0)

    def get_batch(self, indices: Iterable[int]) -> 'Frames':
        indices = [int(index) for index in indices]
        pictures, shape = {}, None
        for index in sorted(set(indices)):
            pictures[index] = upright(self._frame(index))
            if pictures[index].shape != (shape or pictures[index].shape):
                raise ValueError(
                    f'the size of the picture changes: {_size(shape)} before frame {index}, then '
                    f'{_size(pictures[index].shape)}; {REMEDY}'
                )
            shape = pictures[index].shape
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
        if self._begins_at_zero:
            self._container.seek(0)
        else:
            self._container.close()
            self._open()
        self._frames, self._next = self._container.decode(self._stream), 0


def upright(frame) -> np.ndarray:
    """RGB of a frame of PyAV, `[height, width, 3]`, turned as the container says (in quarters)."""
    return np.rot90(frame.to_ndarray(format='rgb24'), round(frame.rotation / 90))


def _size(shape):
    return f'{shape[1]} x {shape[0]}'


class Frames:
    """Frames that are turned into an array as decord's are."""

    def __init__(self, frames):
        self._frames = frames

    def asnumpy(self) -> np.ndarray:
        return np.asarray(self._frames)


class FrameReader:
    """Frames that are in memory, uint8 RGB ``[T, H, W, 3]``, with decord's interface."""

    def __init__(self, frames: np.ndarray):
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def get_avg_fps(self) -> float:
        """0: not known."""
        return 0.0

    def get_batch(self, indices: Iterable[int]) -> Frames:
        return Frames(self._frames[np.asarray(indices, int)])


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
            _decord()
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
            return video_stream(container).codec_context.codec.canonical_name
    except (av.FFmpegError, OSError, ValueError):
        return None
