"""Windows of a stream: the clips that a network looks at, one after the other."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from kaizen_mm.arguments import check_flag, check_int
from kaizen_mm.streams.cuts import CutMeter
from kaizen_mm.streams.sources import Event, Frame, FrameSource


@dataclass(eq=False)
class Window:
    """Frames of a stream that are looked at together.

    Attributes:
        frames: uint8 RGB ``[T, H, W, 3]``.
        start: Number of its first frame in the stream, from 0.
        time: Seconds from the first frame of the stream to that of the window.
        end: Number of the frame after its last one.
        duration: Seconds from its first frame to its last.
        cut: The frame with which another scene begins, where one does that among the frames that the window before had
            not reached; of several the last one. None where none does.
        change: The highest score of these frames, see :class:`~kaizen_mm.streams.cuts.CutMeter`.
        events: What was wrong with the stream since the window before.
    """

    frames: np.ndarray
    start: int
    time: float
    end: int
    cut: int | None = None
    change: float = 0.0
    duration: float = 0.0
    events: list[Event] = field(default_factory=list)

    @property
    def begins(self) -> int | None:
        """``cut`` as a frame of ``frames``, as :meth:`~kaizen_mm.streams.StreamRecognizer.window` takes it; 0 where the
        scene has begun between the windows."""
        if self.cut is None:
            return None
        interval = (self.end - self.start - 1) // max(len(self.frames) - 1, 1) or 1
        return max(-((self.start - self.cut) // interval), 0)


def windows(
    source,
    length: int = 16,
    stride: int | None = None,
    interval: int = 1,
    tail: bool = True,
    cuts: CutMeter | None = None,
    watch: Callable[[Frame], None] | None = None,
    **options,
) -> Iterator[Window]:
    """Windows of a source, each as soon as its last frame is there.

    A window has exactly the frames that a file has which holds just that window. Of the stream only the frames of one
    window and a few that are decoded ahead are held.

    Where the size of the picture changes, windows start anew, and that is an event.

    Args:
        source: See :class:`~kaizen_mm.streams.sources.FrameSource`, or one.
        length: Frames of a window, ``T``. Default 16.
        stride: Frames from the start of one window to that of the next. Default: windows follow each other without a
            gap.
        interval: Frames from one frame of a window to the next. Default 1.
        tail: Whether frames at the end that fill no window are looked at in a last one that ends with the stream and
            overlaps the one before. Default True.
        cuts: Finds other scenes. Default ``CutMeter()``.
        watch: Called with each frame, before the window that it completes is given. Default None.
        options: Those of ``FrameSource``.

    Raises:
        ValueError, TypeError: An argument is not as said above, at once; the stream is shorter than a window, at its
            end.
    """
    check_int('length', length)
    check_int('interval', interval)
    span = (length - 1) * interval + 1
    if stride is None:
        stride = span
    check_int('stride', stride)
    check_flag('tail', tail)
    if not isinstance(source, FrameSource):
        source = FrameSource(source, **options)
    elif options:
        raise TypeError(f'{sorted(options)} belong to the FrameSource that is given as source')
    return _windows(source, span, stride, interval, tail, CutMeter() if cuts is None else cuts, watch)


def _windows(source, span, stride, interval, tail, cuts, watch):
    held: deque = deque(maxlen=span)  # the last frames
    following = reached = 0  # where the next window starts, and what the last one has reached
    any_window, cut, change, said = False, None, 0.0, source.said

    def window():
        nonlocal any_window, cut, change, reached, said
        pixels = np.stack([frame.pixels for frame in list(held)[::interval]])
        new = source.said - said
        events = list(source.events)[-new:] if new else []
        duration = held[-1].time - held[0].time
        made = Window(pixels, held[0].index, held[0].time, held[-1].index + 1, cut, change, duration, events)
        any_window, cut, change, reached, said = True, None, 0.0, made.end, source.said
        return made

    def last_window():
        if tail and len(held) == span and held[-1].index >= reached:
            yield window()

    for frame in source:
        if held and frame.pixels.shape != held[-1].pixels.shape:
            yield from last_window()
            sizes = [f'{width} x {height}' for height, width, _ in (held[-1].pixels.shape, frame.pixels.shape)]
            left = f'; the {len(held)} frames before it fill no window' if len(held) < span else ''
            source.event(frame, f'the size changes from {sizes[0]} to {sizes[1]}; windows start anew{left}')
            held.clear()
            following = frame.index
        held.append(frame)
        if watch is not None:
            watch(frame)
        if cuts(frame.pixels):
            cut = frame.index
        change = max(change, cuts.score)
        if len(held) == span and held[0].index == following:
            yield window()
            following += stride
    yield from last_window()
    if not any_window:
        count = held[-1].index + 1 if held else 0  # none where it was stopped at once
        raise ValueError(
            f'{source.name}: there is no window of {span} frames, the stream has {count}'
            f'{"" if len(held) == count else " of different sizes"}'
        )
