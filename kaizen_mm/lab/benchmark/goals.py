"""The goals that the package has set itself, beside what was measured and what the arithmetic allows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional

from . import tables
from .counted_memory import CASES
from .records import Column, Row, markdown, number, read_record
from .units import UNITS

_N9 = (UNITS['mfnet3d_n9_112'].title, UNITS['mfnet3d_n9_224'].title)
COUNTED = CASES[-1]
# measured value, what the count says, and a note
Found = Optional[tuple[float, float | None, str]]


def _rows(records: Path, *names: str) -> list[Row]:
    found = []
    for name in names:
        if (records / f'{name}.json').exists():
            found += [row for row in read_record(records / f'{name}.json')['rows'] if row.get('side') != 'memory']
    return tables.comparison(found)


def _counts(row: Row, of: str, to: str) -> float:
    return row['sides'][of]['multiply_adds'] / row['sides'][to]['multiply_adds']


def _least_faster(rows: Sequence[Row]) -> Found:
    """Of the units the one that is least faster than the authors' formulation."""
    if not rows:
        return None
    least = min(rows, key=lambda row: row['sides']['authors']['ratios']['ours']['median'])
    return (
        least['sides']['authors']['ratios']['ours']['median'],
        _counts(least, 'authors', 'ours'),
        f'{least["case"]}, K = {least["K"]}, {least["work"]}, {least["layout"]}',
    )


def _units(records: Path, cases: Sequence[str], work: str | None = None, names=('block', 'block_contiguous')) -> Found:
    return _least_faster(
        [row for row in _rows(records, *names) if (not cases or row['case'] in cases) and work in (None, row['work'])]
    )


def _network(records: Path, record: str, start: str) -> Found:
    for row in _rows(records, record):
        if row['case'].startswith(start) and 'plain' in row['sides']:
            return row['sides']['ours']['ratios']['plain']['median'], _counts(row, 'ours', 'plain'), f'K = {row["K"]}'
    return None


def _original(
    records: Path, record: str, start: str, side: str = 'ours', where: str = 'contiguous input, nothing set by the user'
) -> Found:
    for row in _rows(records, record):
        if row['case'].startswith(start) and side in row['sides']:
            return row['sides']['original']['ratios'][side]['median'], None, where
    return None


def _compiled(records: Path, record: str) -> Found:
    return _original(records, record, 'mfnet2d', 'ours, compiled', '`torch.compile(network)`')


def _ten_clips(records: Path, size: str, record: str = 'test') -> Found:
    path = records / f'{record}.json'
    rows = (
        {(row['case'].split(', ')[1], row['stage'], row['side']): row for row in read_record(path)['rows']}
        if path.exists()
        else {}
    )
    if (size, 'both', 'ten') not in rows:
        return None
    counts = [rows[size, 'network', clips].get('multiply_adds') for clips in ('one', 'ten')]
    times = counts[1] / counts[0] if all(counts) else 10
    (decoding, one, both) = (
        rows[size, stage, clips]['ms_per_video']['median']
        for stage, clips in (('decoding', 'ten'), ('network', 'one'), ('both', 'one'))
    )
    return (
        rows[size, 'both', 'ten']['ratio_to_one']['median'],
        (decoding + times * one) / both,
        f'decoding {number(rows[size, "decoding", "ten"]["ratio_to_one"]["median"])}; '
        f'the network, by its count, {number(times)}',
    )


def _memory(records: Path) -> Found:
    path = records / 'train.json'
    held = (
        [row for row in read_record(path)['rows'] if row['side'] == 'memory' and not row['checkpointing']]
        if path.exists()
        else []
    )
    peaks = {row['K']: row['peak_mib'] for row in held}
    return (peaks[3] / peaks[1], None, held[0]['case']) if 3 in peaks else None


def _fits(records: Path) -> Found:
    path = records / 'memory.json'
    for row in read_record(path)['rows'] if path.exists() else []:
        if row['case'] == COUNTED.title and row['K'] == 3 and row['checkpointing']:
            held = (row['peak_mib'] + row['weights_mib']) / 1024
            return held, None, 'counted, with weights and optimizer'
    return None


Goal = tuple[str, str, float, Callable[[Path], Found]]
GOALS: Sequence[Goal] = (
    (
        "unit C = 768, 2D, N = 32, training: faster than the authors' formulation, the least of K = 3, 4",
        '>=',
        2.2,
        lambda records: _units(records, (UNITS['mfnet2d'].title,), 'train', ('block',)),
    ),
    ('every unit and layout: never slower than it', '>=', 1.0, lambda records: _units(records, ())),
    ('units of `mfnet3d_n9`: faster than it', '>=', 1.15, lambda records: _units(records, _N9)),
    (
        'resnet18, layer4.1, K = 3, train step over plain',
        '<=',
        1.12,
        lambda records: _network(records, 'train', 'RecurrentNetwork'),
    ),
    ('the same, inference', '<=', 1.12, lambda records: _network(records, 'network', 'RecurrentNetwork')),
    (
        '`kaizen_mfnet3d_n9`, K = 3, 112 px, train step over plain',
        '<=',
        1.06,
        lambda records: _network(records, 'train', 'kaizen_mfnet3d_n9, 16x112'),
    ),
    ('the same, inference', '<=', 1.08, lambda records: _network(records, 'network', 'kaizen_mfnet3d_n9, 16x112')),
    (
        '`kaizen_mfnet2d`, K = 4, 224 px, train step over plain',
        '<=',
        1.10,
        lambda records: _network(records, 'train', 'kaizen_mfnet2d'),
    ),
    ('the same, inference', '<=', 1.08, lambda records: _network(records, 'network', 'kaizen_mfnet2d')),
    (
        'MFNet-3D as a user builds it: faster than the original implementation, train step',
        '>=',
        1.5,
        lambda records: _original(records, 'train', 'mfnet3d'),
    ),
    ('the same, inference', '>=', 1.5, lambda records: _original(records, 'network', 'mfnet3d')),
    ('MFNet-2D, the same, train step', '>=', 1.5, lambda records: _original(records, 'train', 'mfnet2d')),
    ('MFNet-2D, the same, inference', '>=', 1.5, lambda records: _original(records, 'network', 'mfnet2d')),
    ('MFNet-2D with one line, train step', '>=', 1.5, lambda records: _compiled(records, 'compiled_train')),
    ('the same, inference', '>=', 1.5, lambda records: _compiled(records, 'compiled_network')),
    ('ten clips of a video over one, 224 px', '<=', 5.0, lambda records: _ten_clips(records, '224 px')),
    ('the same, 112 px', '<=', 5.0, lambda records: _ten_clips(records, '112 px')),
    (
        'ten clips, 224 px, memory kept by one line',
        '<=',
        5.0,
        lambda records: _ten_clips(records, '224 px', 'test_kept'),
    ),
    ('the same, 112 px', '<=', 5.0, lambda records: _ten_clips(records, '112 px', 'test_kept')),
    ('peak memory of a train step over plain, K = 3', '<=', 1.10, _memory),
    ('`mfnet3d`, K = 3, 32 clips of 16x224x224, bf16, checkpointing: GiB of a GPU', '<=', 24.0, _fits),
)


def table(records: Path) -> list[str]:
    """The lines of the table of goals."""
    columns: list[Column] = [
        ('goal', lambda row: row['goal']),
        ('wanted', lambda row: f'{row["sign"]} {row["wanted"]:.2f}'),
        ('measured', lambda row: number(row['found'][0]) if row['found'] else 'not measured'),
        (
            'by the count of multiply-adds',
            lambda row: number(row['found'][1]) if row['found'] and row['found'][1] else '-',
        ),
        ('where', lambda row: row['found'][2] if row['found'] else '-'),
        ('', _verdict),
    ]
    return markdown(
        columns, [dict(goal=text, sign=sign, wanted=wanted, found=find(records)) for text, sign, wanted, find in GOALS]
    )


def _verdict(row: Row) -> str:
    if row['found'] is None:
        return '-'
    measured, counted, _ = row['found']
    if _good(row, measured):
        return 'reached'
    return '**not reached**' + ('; the count does not allow it' if counted and not _good(row, counted) else '')


def _good(row: Row, value: float) -> bool:
    return round(value, 2) >= row['wanted'] if row['sign'] == '>=' else round(value, 2) <= row['wanted']
