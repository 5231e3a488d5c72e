"""Records of measurements: JSON files, and tables of them on a terminal and on a page."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kaizen_mm.files import write_lines

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def write_record(path: Path, about: dict[str, Any], rows: Sequence[Row]) -> None:
    """Writes a measurement.

    Args:
        path: A .json file.
        about: What it was made on, see :func:`~kaizen_mm.lab.benchmark.conditions.hardware`; the load at the end is
            added.
        rows: What was measured.
    """
    about = dict(about, load_after=round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None)
    write_lines(path, [json.dumps(dict(about=about, rows=list(rows)), indent=1)])


def read_record(path: Path) -> dict[str, Any]:
    """``about`` and ``rows``.

    Raises:
        ValueError: The file holds no such record.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        content['about']['command'], content['rows'][0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f'{path} is no record of tools/benchmark.py: {error!r}') from error
    return content


def number(value: float) -> str:
    """With three digits that count."""
    if value is None:
        return '-'
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.1f}' if value >= 10 else f'{value:.2f}'


def spread(values: dict[str, float]) -> str:
    """Median, and quartiles in brackets."""
    return f'{number(values["median"])} ({number(values["low"])}-{number(values["high"])})'


def markdown(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """The lines of a table."""
    lines = [f'| {" | ".join(title for title, _ in columns)} |', f'|{" --- |" * len(columns)}']
    return lines + [f'| {" | ".join(cell(row) for _, cell in columns)} |' for row in rows]


def print_table(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """A table on the terminal; plain lines where it is none."""
    console = Console()
    if not console.is_terminal:
        console.print(
            title, '', *markdown(columns, rows), '', sep='\n', markup=False, highlight=False, soft_wrap=True, crop=False
        )
        return
    table = Table(title=title)
    for name, _ in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*(cell(row) for _, cell in columns))
    console.print(table)
