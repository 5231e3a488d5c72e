"""The tables that records become, on a terminal and on a page."""

from collections.abc import Callable, Sequence
from typing import Any

from .records import Column, Row, number, spread

NOT_MEASURED = 'not measured'


def _gpu(row: Row) -> str:
    return NOT_MEASURED if row.get('device', 'cpu') == 'cpu' else 'this row'


GPU: Column = ('GPU', _gpu)


def grouped(rows: Sequence[Row], *keys: str) -> list[Row]:
    """One row for each value of ``keys``, with the record of each side by its name."""
    groups: dict[tuple, Row] = {}
    for row in rows:
        group = groups.setdefault(tuple(row.get(key) for key in keys), {**row, 'sides': {}})
        group['sides'][row['side']] = row
    return list(groups.values())


def comparison(rows: Sequence[Row]) -> list[Row]:
    """The rows of a comparison of blocks or networks, one for each case, K, kind of work and conditions."""
    return grouped(rows, 'case', 'K', 'work', 'layout', 'precision', 'device')


def ratio_of(side: str, to: str) -> Callable[[Row], str]:
    """A cell: how many times as long one side takes as another."""

    def cell(row: Row) -> str:
        record = row['sides'].get(side)
        return spread(record['ratios'][to]) if record and to in record['ratios'] else '-'

    return cell


def of_side(side: str, value: Callable[[Row], Any], text: Callable[[Any], str] = number) -> Callable[[Row], str]:
    """A cell: a value of one side."""

    def cell(row: Row) -> str:
        record = row['sides'].get(side)
        found = value(record) if record else None
        return '-' if found is None else text(found)

    return cell


def _work(row: Row) -> str:
    return row['work'] if row['precision'] == 'float32' else f'{row["work"]}, {row["precision"]}'


def _counted(side: str, to: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        sides = row['sides']
        counts = [sides.get(name, {}).get('multiply_adds') for name in (side, to)]
        return number(counts[0] / counts[1]) if all(counts) else '-'

    return cell


def _share(record: Row) -> Any:
    return record.get('share_of_product_rate')


def _item(record: Row) -> Any:
    return record['ms_per_item']


_HEAD: list[Column] = [
    ('', lambda row: row['case']),
    ('N', lambda row: str(row['batch'])),
    ('K', lambda row: str(row['K'])),
    ('work', _work),
]

BLOCK: list[Column] = [
    *_HEAD,
    ('layout', lambda row: row['layout']),
    ('ours, ms per sample', of_side('ours', _item)),
    ('authors / ours', ratio_of('authors', 'ours')),
    ('before / ours', ratio_of('before', 'ours')),
    ('ours / plain', ratio_of('ours', 'plain')),
    ('the same, counted', _counted('ours', 'plain')),
    (
        'share of the product rate: plain, authors, ours',
        lambda row: ', '.join(of_side(side, _share)(row) for side in ('plain', 'authors', 'ours')),
    ),
    (
        'peak MiB: plain, authors, ours',
        lambda row: ', '.join(
            of_side(side, lambda record: record.get('peak_mib'))(row) for side in ('plain', 'authors', 'ours')
        ),
    ),
    GPU,
]

NETWORK: list[Column] = [
    *_HEAD,
    ('ours, ms per sample', of_side('ours', _item)),
    ('ours / plain', ratio_of('ours', 'plain')),
    ('the same, counted', _counted('ours', 'plain')),
    ('before / plain', ratio_of('before', 'plain')),
    ('authors / plain', ratio_of('authors', 'plain')),
    ('all iterates asked for / the last', ratio_of('ours, all iterates', 'ours')),
    ('peak memory, ours / plain', lambda row: _memory(row)),
    GPU,
]

ORIGINAL: list[Column] = [
    *_HEAD,
    ('ours, ms per clip', of_side('ours', _item)),
    ('original / ours', ratio_of('original', 'ours')),
    ('original / before', ratio_of('original', 'before')),
    ('original / ours, compiled', ratio_of('original', 'ours, compiled')),
    GPU,
]

COMPILED: list[Column] = [
    *_HEAD,
    ('ours, compiled / ours', ratio_of('ours, compiled', 'ours')),
    ('ours, compiled / authors', ratio_of('ours, compiled', 'authors')),
    GPU,
]


def _memory(row: Row) -> str:
    sides = row['sides']
    if 'plain' not in sides:
        return '-'
    return number(sides['ours']['peak_mib'] / sides['plain']['peak_mib'])


def memory_columns(rows: Sequence[Row]) -> list[Column]:
    """Of the memory of a step of training: each K in MiB and relative to K = 1."""
    counts = sorted({row['K'] for row in rows})

    def cell(k: int) -> Callable[[Row], str]:
        def text(row: Row) -> str:
            peaks = [row['sides'][count]['peak_mib'] for count in (k, 1)]
            return f'{number(peaks[0])} ({number(peaks[0] / peaks[1])})'

        return text

    return [
        ('', lambda row: row['case']),
        ('N', lambda row: str(row['batch'])),
        ('gradient checkpointing', lambda row: 'yes' if row['checkpointing'] else 'no'),
        *((f'K = {k}' if k > 1 else 'plain', cell(k)) for k in counts),
    ]


def counted_memory_columns(rows: Sequence[Row]) -> list[Column]:
    """The same of what was counted, for any device."""
    weights = ('weights and optimizer, K = 3', lambda row: number(row['sides'][3]['weights_mib']))
    return [*memory_columns(rows), ('precision', lambda row: row['precision']), weights]


def memory(rows: Sequence[Row]) -> list[Row]:
    """One row for each way of checkpointing."""
    return grouped([dict(row, side=row['K']) for row in rows], 'case', 'checkpointing')


def ten_clips(rows: Sequence[Row]) -> list[Row]:
    """One row for each config and stage."""
    return grouped(rows, 'case', 'stage')


def _video(side: str) -> Callable[[Row], str]:
    return of_side(side, lambda record: record['ms_per_video']['median'])


def _to_one(side: str) -> Callable[[Row], str]:
    return of_side(side, lambda record: record['ratio_to_one'], spread)


TEN_CLIPS: list[Column] = [
    ('config', lambda row: row['case']),
    ('', lambda row: row['stage']),
    ('one clip, ms a video', _video('one')),
    ('ten clips, ms a video', _video('ten')),
    ('ten / one', _to_one('ten')),
    ('ten, each decoded alone / one', _to_one('ten, each alone')),
    GPU,
]


def clips(rows: Sequence[Row]) -> list[Row]:
    """One row for each source and reader."""
    return grouped([dict(row, side=row['stage']) for row in rows if row['kind'] == 'clips'], 'source', 'reader')


def photos(rows: Sequence[Row]) -> list[Row]:
    """One row for each decoder."""
    return grouped([dict(row, side=row['stage']) for row in rows if row['kind'] == 'photos'], 'source', 'reader')


def _milliseconds(record: Row) -> Any:
    return record['cpu_ms']


def _rate(record: Row) -> Any:
    return record['per_second_and_core']


CLIPS: list[Column] = [
    ('videos', lambda row: row['source']),
    ('pixels', lambda row: row['size']),
    ('MiB a video', lambda row: number(row['mib_per_video'])),
    ('reader', lambda row: row['reader']),
    ('frames', lambda row: row['frames']),
    ('decoding, ms a clip', of_side('decoding', _milliseconds, spread)),
    ('pipeline to 224 px, ms', of_side('to 224 px', _milliseconds, spread)),
    ('clips a second and core', of_side('to 224 px', _rate)),
    ('pipeline to 112 px, ms', of_side('to 112 px', _milliseconds, spread)),
    ('clips a second and core', of_side('to 112 px', _rate)),
]

PHOTOS: list[Column] = [
    ('photos', lambda row: row['source']),
    ('MiB', lambda row: number(row['mib_per_video'])),
    ('decoder', lambda row: row['reader']),
    ('decoding, ms', of_side('decoding', _milliseconds, spread)),
    ('pipeline to 224 px, ms', of_side('to 224 px', _milliseconds, spread)),
    ('photos a second and core', of_side('to 224 px', _rate)),
]


def processes(rows: Sequence[Row]) -> list[Row]:
    """The rows, each with the time of one process with as many clips in all, and with as many each."""
    alone = next(row for row in rows if row['processes'] == 1)['step_ms']['median']
    return [dict(row, alone=alone) for row in rows]


def _efficiency(row: Row) -> str:
    if row['kind'] == 'both':
        return '-'
    faster = row['alone'] / row['step_ms']['median']
    return f'{number(100 * faster if row["kind"] == "weak" else 100 * faster / row["processes"])} %'


PROCESSES: list[Column] = [
    ('processes', lambda row: str(row['processes'])),
    ('clips each', lambda row: str(row['clips_each'])),
    ('scaling', lambda row: '-' if row['kind'] == 'both' else row['kind']),
    ('step, ms', lambda row: spread(row['step_ms'])),
    ('without exchange, ms', lambda row: spread(row['step_without_exchange_ms'])),
    ('efficiency', _efficiency),
    ('gradients reduced a step, MiB', lambda row: number(row['gradient_bytes'] / 2**20)),
    ('else, bytes', lambda row: f'{row["other_bytes"]:,}'),
    ('weights after a step, difference to one process', lambda row: f'{row["difference_to_one_process"]:.0e}'),
    GPU,
]

GROWTH: list[Column] = [
    ('', lambda row: row['axis']),
    ('value', lambda row: str(row['value'])),
    ('work', _work),
    ('plain, ms a sample', lambda row: number(row['plain_ms'])),
    ('recurrent, ms a sample', lambda row: number(row['ours_ms'])),
    ('recurrent / plain', lambda row: spread(row['ratio'])),
    ('the same, counted', lambda row: number(row['counted'])),
    GPU,
]
