"""Predictions of a stream on the terminal: a table that lives, or a line a window where the output is no terminal."""

import time
from collections import deque

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from kaizen_mm.streams.prediction import WindowPrediction
from kaizen_mm.streams.sources import Event
from kaizen_mm.text import printable

ROWS = 8  # the last windows that the table shows, and over which frames per second are counted


class Display:
    """Shows each window as it comes.

    Args:
        name: Of the stream.
        top: Classes of a window. Default 3.
        console: Where windows go. Default standard output.
        messages: Where events go where ``console`` is no terminal. Default standard error.
    """

    def __init__(self, name: str, top: int = 3, console: Console | None = None, messages: Console | None = None):
        self.name, self._top = name, top
        self._console, self._messages = console or Console(), messages or Console(stderr=True)
        self._recent: deque = deque(maxlen=ROWS)
        self._ends: deque = deque([(time.perf_counter(), 0)], maxlen=ROWS + 1)  # when a window was done, and its end
        self.windows = self.passes = self.writes = self.frames = 0
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        if self._live:
            self._live.start()

    def add(self, window: WindowPrediction) -> None:
        """Shows a window."""
        self._ends.append((time.perf_counter(), window.end))
        self._recent.append(window)
        self.windows += 1
        self.passes += window.passes
        self.writes += window.wrote
        self.frames = window.end
        if self._live:
            self._live.update(self._table(), refresh=True)
        else:
            self._line(self._console, _text(window, self._top, self.rate))

    def event(self, event: Event) -> None:
        """Says what is wrong with the stream."""
        self._line(self._console if self._live else self._messages, f'{self.name}: {event}')

    def close(self) -> None:
        """Ends with a line on the whole stream, where there was a window."""
        if self._live:
            self._live.stop()
        if self.windows:
            self._line(self._console, self.summary)

    @property
    def rate(self) -> float:
        """Frames per second over the last windows."""
        (begun, first), (now, last) = self._ends[0], self._ends[-1]
        return (last - first) / max(now - begun, 1e-9)

    @property
    def summary(self) -> str:
        """The whole stream in a line."""
        times = {0: 'no weights written', 1: 'weights written once'}
        return (
            f'{self.frames} frames, {self.windows} windows, {self.passes / self.windows:.2f} passes a window, '
            f'{times.get(self.writes, f"weights written {self.writes} times")}'
        )

    def _line(self, console, text):
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _table(self):
        table = Table(
            title=escape(printable(self.name)), caption=f'{self.summary}, {self.rate:.1f} fps', title_justify='left'
        )
        recent = list(self._recent)
        for name in ('window', 'time', 'passes'):
            table.add_column(name, justify='right', no_wrap=True)
        for rank in range(len(recent[0].top(self._top))):
            table.add_column(f'top {rank + 1}', overflow='fold')
        for window in recent:
            table.add_row(
                str(window.index),
                f'{window.time:.1f} s',
                f'{window.passes}{" wrote" if window.wrote else ""}',
                *(
                    f'{100 * ranked.probability:5.1f} % {escape(printable(ranked.name))}'
                    for ranked in window.top(self._top)
                ),
                style='bold' if window is recent[-1] else None,
            )
        return table


def _text(window, top, rate):
    """A window as a line."""
    classes = ', '.join(f'{100 * ranked.probability:.1f} % {ranked.name}' for ranked in window.top(top))
    passes = f'{window.passes} {"pass" if window.passes == 1 else "passes"}'
    wrote = ', weights written' if window.wrote else ''
    return (
        f'window {window.index}, frames {window.start}-{window.end - 1}, {window.time:.1f} s: {classes} '
        f'({passes}{wrote}, {rate:.1f} fps)'
    )
