"""Predictions of a stream as lines of JSON, each in the file as soon as it is there."""

import json
from pathlib import Path

from kaizen_mm.streams.prediction import WindowPrediction
from kaizen_mm.streams.sources import Event
from kaizen_mm.text import for_json


class JsonLines:
    """Writes a line for each window, and one for each :class:`~kaizen_mm.streams.Event`; a kill loses none.

    Args:
        path: File to write, made, with its folder, with the first line.
        top: Classes of a window. Default 3.
    """

    def __init__(self, path: Path, top: int = 3):
        self.path, self._top, self._file = path, top, None

    def add(self, window: WindowPrediction) -> None:
        """Writes a window."""
        self._write(
            dict(
                window=window.index,
                start=window.start,
                end=window.end,
                time=round(window.time, 4),
                duration=round(window.duration, 4),
                top=[ranked._asdict() for ranked in window.top(self._top)],
                passes=window.passes,
                wrote=window.wrote,
                cut=window.cut,
            )
        )

    def event(self, event: Event) -> None:
        """Writes what is wrong with the stream."""
        self._write(dict(frame=event.frame, time=round(event.time, 4), event=event.text))

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, entry):
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            pipe = self.path.exists() and not self.path.is_file()
            self._file = open(self.path, 'w' if pipe else 'x', encoding='utf-8')  # noqa: SIM115  closed by close()
        self._file.write(for_json(json.dumps(entry, ensure_ascii=False)) + '\n')
        self._file.flush()
