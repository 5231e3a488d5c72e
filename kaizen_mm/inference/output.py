"""Predictions as a table on the terminal, as JSON and as CSV."""

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import List, Sequence, Tuple

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from kaizen_mm.files import write_lines
from kaizen_mm.inference import Prediction
from kaizen_mm.text import for_csv, for_json, printable

SUFFIXES = ('.csv', '.json')
FIELDS = ('file', 'kind', 'seconds', 'iterate', 'clip', 'rank', 'label', 'name', 'probability', 'annotated', 'error')
_FILE = 26  # columns of text for a file's name


def check_outputs(files: Sequence[Path], folders: Sequence[Path] = (), suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raises ValueError or OSError where something could not be written in the end.

    Args:
        files: Files to be written.
        folders: Folders to be written to. Nothing is made here.
        suffixes: What the names of files must end in. Default ``SUFFIXES``.
    """
    for file in files:
        if file.suffix not in suffixes:
            raise ValueError(f'an output file must end in {" or ".join(suffixes)}, got {file}')
        if file.is_dir():
            raise IsADirectoryError(f'{file} is a folder; give the name of a file')
    for folder in [*(file.parent for file in files), *folders]:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise type(error)(f'cannot write to {folder}: {error.strerror or error}') from error


def table(predictions: Sequence[Prediction], top: int = 3, all_iterates: bool = True) -> Table:
    """One row for each file and iterate, or for each file, of its last iterate; files that could not be used are left
    out.

    The last column tells of a video how many of its clips have its first class as theirs. Names of classes are whole:
    where a line is too short for them they are wrapped. :func:`fitting_table` leaves classes out there.
    """
    done = [p for p in predictions if not p.error]
    clips = any(p.clips is not None for p in done)
    iterates = all_iterates and any(len(p.probabilities) > 1 for p in done)
    top = min([top, *(len(p.names) for p in done)])
    columns = [
        'file',
        's',
        *(['iterate'] if iterates else []),
        *(f'top {i + 1}' for i in range(top)),
        *(['clips'] if clips else []),
    ]
    result = Table()
    for column in columns:
        result.add_column(
            column,
            no_wrap=not column.startswith('top'),
            overflow='fold',
            justify='right' if column in ('s', 'iterate') else 'left',
        )
    for p in done:
        agreeing = p.agreeing_clips() if p.clips is not None else None
        rows = list(enumerate(p.top(top)))
        for i, classes in rows if all_iterates else rows[-1:]:
            first, last = i == 0 or not all_iterates, i == rows[-1][0]
            cells = [escape(_cut(printable(p.file)[::-1], _FILE)[::-1]), f'{p.seconds:.2f}'] if first else ['', '']
            cells += [str(i + 1)] if iterates else []
            cells += [f'{100 * ranked.probability:5.1f} % {escape(printable(ranked.name))}' for ranked in classes]
            if clips:
                cells.append(f'{agreeing[i]} of {p.clips.shape[1]}' if agreeing else '')
            result.add_row(*cells, end_section=all_iterates and last)
    return result


def fitting_table(
    predictions: Sequence[Prediction], console: Console, top: int = 3, all_iterates: bool = True
) -> Tuple[Table, int]:
    """The table with as many of the ``top`` classes as a line of the console holds, at least one, and their number."""
    unbounded = console.options.update(max_width=10**6)
    for count in range(top, 0, -1):
        shown = table(predictions, count, all_iterates)
        if count == 1 or Measurement.get(console, unbounded, shown).maximum <= console.width:
            break
    return shown, count


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f'{text[: length - 1]}…'


def write(predictions: Sequence[Prediction], path: Path, top: int = 3) -> None:
    """Writes all predictions as JSON or as CSV, by the file's suffix; whole or not at all.

    JSON: a list with, for each file, ``iterates``, each with its ``top`` classes and those of each of its ``clips``.
    CSV: a line for each file, iterate, clip (empty: the whole video, or the image) and rank; names go through
    :func:`kaizen_mm.text.for_csv`, as spreadsheets compute what begins with ``=``.
    """
    if path.suffix == '.json':
        content = json.dumps([_entry(p, top) for p in predictions], indent=2, ensure_ascii=False)
        write_lines(path, [for_json(content)])
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator='\n')
    writer.writeheader()
    for p in predictions:
        writer.writerows({k: for_csv(v) if isinstance(v, str) else v for k, v in row.items()} for row in _rows(p, top))
    write_lines(path, text.getvalue().splitlines())


def _common(p):
    common = dict(file=os.fspath(p.file), kind=p.kind)
    if p.error:
        return dict(common, error=p.error)
    return dict(common, seconds=round(p.seconds, 4), **(dict(annotated=os.fspath(p.annotated)) if p.annotated else {}))


def _entry(p: Prediction, top: int) -> dict:
    entry = _common(p)
    if not p.error:
        entry['iterates'] = [
            dict(
                iterate=i,
                top=[r._asdict() for r in classes],
                **(dict(clips=[[r._asdict() for r in clip] for clip in clips]) if clips else {}),
            )
            for i, (classes, clips) in enumerate(zip(p.top(top), p.top_of_clips(top)), start=1)
        ]
    return entry


def _rows(p: Prediction, top: int) -> List[dict]:
    if p.error:
        return [_common(p)]
    rows = []
    for i, (classes, clips) in enumerate(zip(p.top(top), p.top_of_clips(top)), start=1):
        for clip, ranks in [('', classes), *enumerate(clips, start=1)]:
            rows += [
                dict(_common(p), iterate=i, clip=clip, rank=rank, **r._asdict())
                for rank, r in enumerate(ranks, start=1)
            ]
    return rows
