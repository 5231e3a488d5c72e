"""Predictions as a table on the terminal, as JSON and as CSV."""

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import List, Sequence

from rich.markup import escape
from rich.table import Table

from kaizen_mm.files import write_lines
from kaizen_mm.inference import Prediction

SUFFIXES = ('.csv', '.json')
FIELDS = ('file', 'kind', 'seconds', 'iterate', 'clip', 'rank', 'label', 'name', 'probability', 'annotated', 'error')
_FILE = 26  # columns of text for a file's name


def check_outputs(files: Sequence[Path], folders: Sequence[Path] = ()) -> None:
    """Raises ValueError or OSError where something could not be written in the end.

    Args:
        files: Files to be written, of one of ``SUFFIXES``.
        folders: Folders to be written to. Nothing is made here.
    """
    for file in files:
        if file.suffix not in SUFFIXES:
            raise ValueError(f'an output file must end in {" or ".join(SUFFIXES)}, got {file}')
        if file.is_dir():
            raise IsADirectoryError(f'{file} is a folder; give the name of a file')
    for folder in [*(file.parent for file in files), *folders]:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            raise type(error)(f'cannot write to {folder}: {error.strerror or error}') from error


def table(predictions: Sequence[Prediction], top: int = 3, width: int = 120) -> Table:
    """One row for each file and iterate; files that could not be used are left out.

    The last column tells of a video how many of its clips have its first class as theirs. Names are cut so that the
    table fits into ``width`` columns of text, or wrapped where it is too narrow for that.
    """
    done = [p for p in predictions if not p.error]
    clips, iterates = any(p.clips is not None for p in done), any(len(p.probabilities) > 1 for p in done)
    top = min([top, *(len(p.names) for p in done)])
    room = (width - _FILE - 29) // top - 12  # for a name; the rest is for seconds, iterate, clips, percent and lines
    wrap = room < 8
    columns = [
        'file',
        's',
        *(['iterate'] if iterates else []),
        *(f'top {i + 1}' for i in range(top)),
        *(['clips'] if clips else []),
    ]
    result = Table()
    for column in columns:
        result.add_column(column, no_wrap=not wrap, justify='right' if column in ('s', 'iterate') else 'left')
    for p in done:
        agreeing = p.agreeing_clips() if p.clips is not None else None
        for i, classes in enumerate(p.top(top)):
            cells = [escape(_cut(os.fspath(p.file)[::-1], _FILE)[::-1]), f'{p.seconds:.2f}'] if i == 0 else ['', '']
            cells += [str(i + 1)] if iterates else []
            cells += [
                f'{100 * ranked.probability:5.1f} % {escape(ranked.name if wrap else _cut(ranked.name, room))}'
                for ranked in classes
            ]
            if clips:
                cells.append(f'{agreeing[i]} of {p.clips.shape[1]}' if agreeing else '')
            result.add_row(*cells, end_section=i + 1 == len(p.probabilities))
    return result


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f'{text[: length - 1]}…'


def write(predictions: Sequence[Prediction], path: Path, top: int = 3) -> None:
    """Writes all predictions as JSON or as CSV, by the file's suffix; whole or not at all.

    JSON: a list with, for each file, ``iterates``, each with its ``top`` classes and those of each of its ``clips``.
    CSV: a line for each file, iterate, clip (empty: the whole video, or the image) and rank.
    """
    if path.suffix == '.json':
        write_lines(path, [json.dumps([_entry(p, top) for p in predictions], indent=2, ensure_ascii=False)])
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator='\n')
    writer.writeheader()
    for p in predictions:
        writer.writerows(_rows(p, top))
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
