"""A stream through a network into all that is wanted: the terminal, lines of JSON, a picture, an annotated copy."""

import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaizen_mm.extras import naming_extras
from kaizen_mm.inference.output import check_outputs
from kaizen_mm.streams.display import Display
from kaizen_mm.streams.lines import JsonLines
from kaizen_mm.streams.prediction import StreamPredictor
from kaizen_mm.streams.sources import FrameSource
from kaizen_mm.text import printable

FINE, SAID, FAILED = 0, 1, 2  # exit status


class StreamRun:
    """What becomes of a stream. Where one output fails, that is said, and the others go on.

    Args:
        source: What is predicted, see :class:`~kaizen_mm.streams.FrameSource`.
        top: Classes of a window. Default 3.
        lines: ``.jsonl`` to write. Default none, as the next two.
        timeline: ``.png`` to write.
        annotate: ``.mp4`` to write.
        patience: Seconds without a frame after which the stream counts as ended. Default 60.

    Raises:
        ValueError, OSError, TypeError: A file that cannot be written, or is there already; a source that cannot be
            used.
        MissingPart: matplotlib, which draws, is not installed.
    """

    def __init__(
        self,
        source: Any,
        top: int = 3,
        lines: Path | None = None,
        timeline: Path | None = None,
        annotate: Path | None = None,
        patience: float = 60.0,
    ):
        for file, suffix in ((lines, '.jsonl'), (timeline, '.png'), (annotate, '.mp4')):
            if file is not None:
                check_outputs([file], suffixes=(suffix,))
                if file.is_file():
                    raise FileExistsError(f'{file} is there already; what a stream has given is not written over')
        if timeline is not None or annotate is not None:
            with naming_extras():
                import matplotlib  # noqa: F401  which draws, and is no part of every installation
        self._top, self._lines, self._timeline, self._annotate = top, lines, timeline, annotate
        self._source = FrameSource(source, stall=min(5.0, patience), patience=patience, say=self._event)
        self._sinks: list = []
        self._status, self._signal = FINE, 0

    def __call__(self, predictor: StreamPredictor) -> int:
        """Predicts until the stream ends.

        Ctrl-C and SIGTERM end it as well: what has been seen by then is written. A second Ctrl-C does not wait.

        Returns:
            0; 1 where something was wrong with the stream, and the rest is done; 2 for an error; 128 and the signal's
            number where one has ended it.
        """
        watching = self._open(predictor)
        try:
            with self._signals():
                for window in predictor(self._source, watching):
                    for sink in list(self._sinks):
                        self._guarded(sink, sink.add, window)
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            if not self._signal:  # a stream that was ended before the first window
                self._fail(error)
        finally:
            for sink in list(self._sinks):
                self._guarded(sink, sink.close)
        return 128 + self._signal if self._signal else self._status

    @contextmanager
    def _signals(self):
        """Signals that end the stream between two frames; each of them once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(number, _):
            self._signal = number
            self._source.stop()
            signal.signal(number, before[number])

        try:
            for number in before:
                signal.signal(number, stop)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _open(self, predictor):
        """Makes all that takes windows; returns what takes frames."""
        self._sinks.append(Display(self._source.name, self._top))
        if self._lines is not None:
            self._sinks.append(JsonLines(self._lines, self._top))
        if self._timeline is not None:
            from kaizen_mm.streams.timeline import Timeline  # which needs matplotlib

            self._sinks.append(Timeline(self._timeline))
        if self._annotate is None:
            return None
        from kaizen_mm.streams.annotated import AnnotatedStream

        copy = AnnotatedStream(self._annotate, predictor.length, min(self._top, predictor.num_classes))
        self._sinks.append(copy)
        return lambda frame: self._guarded(copy, copy.watch, frame)

    def _guarded(self, sink, act, *arguments):
        """Lets an output do something, as long as it can."""
        if sink not in self._sinks:
            return
        try:
            act(*arguments)
        except (OSError, ValueError) as error:
            self._sinks.remove(sink)
            self._fail(error)

    def _event(self, event):
        self._status = self._status or SAID
        for sink in list(self._sinks):
            if hasattr(sink, 'event'):
                self._guarded(sink, sink.event, event)

    def _fail(self, error):
        self._status = FAILED
        print('error:', printable(' '.join(str(error).split())), file=sys.stderr)  # noqa: T201  it is for the terminal
