"""Draws the tables and plots of docs/benchmarks.md and docs/scaling.md from the records of measurements."""

import statistics
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaizen_mm.files import write_lines

from . import goals, tables
from .growth_plot import plot_growth
from .plans import cluster, cores_for_gpus, plan
from .records import Row, markdown, number, read_record

ROOT = Path(__file__).resolve().parents[3]
RECORDS = ROOT / 'results' / 'benchmarks'
PAGES = ('benchmarks.md', 'scaling.md')
_START, _END = '<!-- measured ', '<!-- end -->'


def _comparison(columns) -> Callable[[list[Row]], list[str]]:
    return lambda rows: markdown(columns, tables.comparison(rows))


def _networks(rows: list[Row]) -> list[str]:
    return markdown(tables.NETWORK, [row for row in tables.comparison(rows) if 'plain' in row['sides']])


def _compiled(rows: list[Row]) -> list[str]:
    return markdown(tables.COMPILED, [row for row in tables.comparison(rows) if 'plain' in row['sides']])


def _original(rows: list[Row]) -> list[str]:
    return markdown(tables.ORIGINAL, [row for row in tables.comparison(rows) if 'original' in row['sides']])


def _memory(rows: list[Row]) -> list[str]:
    held = [row for row in rows if row['side'] == 'memory']
    return markdown([*tables.memory_columns(held), tables.GPU], tables.memory(held))


def _ten_clips(rows: list[Row]) -> list[str]:
    return markdown(tables.TEN_CLIPS, tables.ten_clips(rows))


def _part(name: str, columns, prepare=lambda rows: rows) -> Callable[[list[Row]], list[str]]:
    return lambda rows: markdown(columns, prepare([row for row in rows if row['part'] == name]))


def _growth(rows: list[Row]) -> list[str]:
    return ['![cost over K, N, C and R](images/growth.png)', '', *_part('growth', tables.GROWTH)(rows)]


# what a page asks for: the record, and the table of its rows
TABLES: dict[str, Any] = {
    'block': ('block', _comparison(tables.BLOCK)),
    'block contiguous': ('block_contiguous', _comparison(tables.BLOCK)),
    'block bf16': ('bf16', _comparison(tables.BLOCK)),
    'compiled': ('compiled', _comparison(tables.COMPILED)),
    'network': ('network', _networks),
    'train': ('train', lambda rows: _networks([row for row in rows if row['side'] != 'memory'])),
    'network original': ('network', _original),
    'train original': ('train', lambda rows: _original([row for row in rows if row['side'] != 'memory'])),
    'compiled network': ('compiled_network', _compiled),
    'network compiled original': ('compiled_network', _original),
    'train compiled original': ('compiled_train', _original),
    'memory': ('train', _memory),
    'memory counted': (
        'memory',
        lambda rows: markdown(tables.counted_memory_columns(rows), tables.memory(rows)),
    ),
    'test': ('test', _ten_clips),
    'test kept': ('test_kept', _ten_clips),
    'clips': ('data', lambda rows: markdown(tables.CLIPS, tables.clips(rows))),
    'photos': ('data', lambda rows: markdown(tables.PHOTOS, tables.photos(rows))),
    'processes': ('scaling', _part('processes', tables.PROCESSES, tables.processes)),
    'growth': ('scaling', _growth),
    'cores': ('data', cores_for_gpus),
    'cluster': ('data', cluster),
    'plan': ('data', plan),
}


def draw(pages: Path = ROOT / 'docs', records: Path = RECORDS) -> None:
    """Fills what stands between ``<!-- measured NAME -->`` and ``<!-- end -->``, and draws the plot of growth.

    A table whose record is missing says that it is not measured; ``goals`` is the table of goals, from all records.

    Raises:
        ValueError: A page asks for a table that there is none of, or a table has no end; a file is no record.
    """
    if not (pages / PAGES[0]).exists():
        raise ValueError(
            f'the tables are drawn in docs/{PAGES[0]}, which a checkout of the repository has; '
            f'there is no {pages / PAGES[0]}'
        )
    if (records / 'scaling.json').exists():
        rows = [row for row in read_record(records / 'scaling.json')['rows'] if row['part'] == 'growth']
        plot_growth(rows, pages / 'images' / 'growth.png')
    for page in (pages / name for name in PAGES):
        if page.exists():
            write_lines(page, _filled(page, records))


def _filled(page: Path, records: Path) -> list[str]:
    lines: list[str] = []
    inside = False
    for line in page.read_text(encoding='utf-8').splitlines():
        if line.startswith(_START):
            if inside:
                raise ValueError(f'{page}: {line!r} comes before the end of the table before it')
            inside = True
            lines += [line, '', *_table(line.removeprefix(_START).removesuffix(' -->'), records, page), '']
        inside = inside and line != _END
        if not inside:
            lines.append(line)
    if inside:
        raise ValueError(f'{page}: the last table has no {_END}')
    return lines


def _table(name: str, records: Path, page: Path) -> list[str]:
    if name == 'goals':
        return goals.table(records)
    if name not in TABLES:
        raise ValueError(f'{page}: a table must be one of {", ".join([*TABLES, "goals"])}, got {name!r}')
    record, drawn = TABLES[name]
    lines: list[str] = []
    for path in (records / f'{record}.json', records / f'{record}_cuda.json'):
        if path.exists():
            content = read_record(path)
            lines += [*([''] if lines else []), *drawn(content['rows']), '', *_about(content, path.name)]
    return lines or ['Not measured.']


def _about(content: dict[str, Any], name: str) -> list[str]:
    """How a record came about, in lines of at most a hundred columns."""
    about, rates = content['about'], [row['product_rates'] for row in content['rows'] if 'product_rates' in row]
    busy = max(about['load_before'] or 0, about['load_after'] or 0)
    load = f'load of the machine {about["load_before"]} before and {about["load_after"]} after'
    if about['load_before'] is not None and busy > 1.5 * about['cores']:
        load += ': **it was busy with other work**'
    machine = f'{about.get("gpu") or about["processor"]}, {about["cores"]} cores, {about["threads"]} threads'
    text = f'`{about["command"]}`; {machine}, torch {about["torch"]}, {load}; results/benchmarks/{name}.'
    if rates:
        found = [f'{number(statistics.median(row[kind] for row in rates))} by {kind}' for kind in rates[0]]
        text += f' Matrix products, 10^9 multiply-adds a second: {", ".join(found)}.'
    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
