"""Records of measurements: JSON files, and tables of them on a terminal."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from kaizen_mm.files import write_lines


def write_record(path: Path, about: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Writes a measurement.

    Args:
        path: A .json file.
        about: How it was made, see :func:`~kaizen_mm.lab.benchmark.conditions.circumstances`; the load at the end is
            added.
        rows: What was measured.
    """
    about = dict(about, load_after=round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None)
    write_lines(path, [json.dumps(dict(about=about, rows=list(rows)), indent=1)])


def number(value: float | None) -> str:
    """With three digits that count."""
    if value is None:
        return '-'
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.1f}' if value >= 10 else f'{value:.2f}'


def spread(values: dict[str, float] | None) -> str:
    """Median, and quartiles in brackets."""
    return f'{number(values["median"])} ({number(values["low"])}-{number(values["high"])})' if values else '-'


def cell(value: Any) -> str:
    """What a table shows of a value of a row."""
    if isinstance(value, dict):
        return spread(value)
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, str):
        return value
    return f'{value:,}' if isinstance(value, int) else number(value)


def print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """A table of all that the rows hold, in Markdown; as wide as it is where there is no terminal."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*(name.replace('_', ' ') for name in names), box=box.MARKDOWN)
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in names))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = console.measure(table, options=console.options.update(width=10**4)).maximum
    console.print(title, table, sep='\n')
