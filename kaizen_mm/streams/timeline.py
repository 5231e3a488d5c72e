"""What a network has said of a stream over time, as a picture."""

from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter

from kaizen_mm.files import whole_file
from kaizen_mm.streams.prediction import WindowPrediction
from kaizen_mm.text import for_figure

COLUMNS = 2048  # that are kept, however long the stream
SHOWN = 8  # classes with a colour of their own
_OTHER = '0.75'


class Timeline:
    """The probabilities of the classes over time, with marks where weights were written and where scenes began.

    Of a stream of more windows than ``columns``, neighbours are put together, so that what is kept does not grow.

    Args:
        path: PNG to write.
        columns: Of the picture, at most; an even number. Default 2048.
    """

    def __init__(self, path: Path, columns: int = COLUMNS):
        self.path, self._columns = path, columns
        # of each column: its time, mean probabilities, whether weights were written, whether a scene began
        self._done: list = []
        self._begun: list = []  # windows of the column to come
        self._windows = 1  # in a column
        self._last = None

    def add(self, window: WindowPrediction) -> None:
        """Takes the next window."""
        self._last = window
        self._begun.append((window.time, window.probabilities.astype(np.float32), window.wrote, window.cut is not None))
        if len(self._begun) == self._windows:
            self._done.append(_joined(self._begun))
            self._begun = []
        if len(self._done) == self._columns:
            self._done = [_joined(self._done[place : place + 2]) for place in range(0, self._columns, 2)]
            self._windows *= 2

    def close(self) -> None:
        """Draws it, whole or not at all; nothing where there was no window."""
        if self._last is None:
            return
        columns = self._done + ([_joined(self._begun)] if self._begun else [])
        times, probabilities, wrote, cut = (np.array(values) for values in zip(*columns))
        step = np.median(np.diff(times)) if len(times) > 1 else 1.0
        edges = np.append(times, max(self._last.time + (self._last.duration or step), times[-1] + 1e-3))
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(10, 4.5), sharex=True, layout='constrained', height_ratios=(9, 1)
        )
        _draw_probabilities(above, below, edges, probabilities, self._last.names)
        for place, time in enumerate(times[cut]):
            label = None if place else 'another scene begins'
            above.axvline(time, color='0.3', linestyle='--', linewidth=0.8, label=label)
        above.plot(
            times[wrote], np.full(wrote.sum(), 104), 'kv', markersize=4, clip_on=False, label='weights are written'
        )
        above.set(ylabel='probability [%]', ylim=(0, 108), xlim=(edges[0], edges[-1]))
        below.set(yticks=[], ylim=(0, 1), xlabel='time')
        below.set_ylabel('first', rotation=0, ha='right', va='center')
        below.xaxis.set_major_formatter(FuncFormatter(_clock if edges[-1] >= 120 else lambda time, _: f'{time:g} s'))
        figure.legend(*above.get_legend_handles_labels(), loc='outside right upper', fontsize='small')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole_file(self.path) as part:
                figure.savefig(part, dpi=150, format='png')
        finally:
            plt.close(figure)


def _joined(columns):
    times, probabilities, wrote, cut = zip(*columns)
    return times[0], np.mean(probabilities, axis=0), any(wrote), any(cut)


def _draw_probabilities(above, below, edges, probabilities, names):
    """Lines of the classes that are first most often, and a band with the colour of the first class."""
    first = probabilities.argmax(axis=1)
    widths = np.diff(edges)
    weights = np.bincount(first, widths, len(names)) + probabilities.mean(axis=0) * 1e-6  # of equals the likelier one
    shown = [int(label) for label in np.argsort(-weights)[:SHOWN]]
    colors = dict(zip(shown, plt.get_cmap('tab10').colors))
    for label in shown:
        name = for_figure(names[label])
        name = name if len(name) <= 30 else f'{name[:29]}…'
        above.stairs(
            100 * probabilities[:, label], edges, baseline=None, color=colors[label], label=name, linewidth=1.5
        )
    for label in np.unique(first):
        spans = [(edges[place], widths[place]) for place in np.flatnonzero(first == label)]
        below.broken_barh(spans, (0, 1), color=colors.get(int(label), _OTHER), linewidth=0)


def _clock(seconds, _):
    """``1:02:03`` or ``2:03``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
