"""Records and tables; and the pages on benchmarks, which show what committed records hold."""

import json

import pytest

from kaizen_mm.lab.benchmark.records import cell, number, print_table, spread, write_record
from tests.conftest import ROOT

RECORDS = ROOT / 'results' / 'benchmarks'


def test_a_record_holds_what_was_measured_and_the_load_at_its_end(tmp_path):
    write_record(tmp_path / 'a.json', dict(command='a command', load_before=0.5), [dict(side='a')])
    content = json.loads((tmp_path / 'a.json').read_text())
    assert content['rows'] == [dict(side='a')]
    assert content['about']['command'] == 'a command' and content['about']['load_after'] >= 0


def test_cells():
    assert [number(value) for value in (None, 0.123, 12.34, 1234.5)] == ['-', '0.12', '12.3', '1,234']
    assert spread(dict(median=2.0, low=1.5, high=3.25)) == '2.00 (1.50-3.25)' and spread(None) == '-'
    assert [cell(value) for value in (True, 'a', 1234, 0.5, None, dict(median=2.0, low=1.5, high=3.25))] == [
        'yes',
        'a',
        '1,234',
        '0.50',
        '-',
        '2.00 (1.50-3.25)',
    ]


def test_a_table_is_one_of_markdown_and_not_cut_off(capsys):
    print_table('Title', [dict(an_a='[b]'), dict(an_a='x' * 200, c=0)])
    title, *lines = capsys.readouterr().out.strip().splitlines()
    assert title == 'Title'
    assert [[cell.strip(' -') for cell in line.strip('|').split('|')] for line in lines if line.strip()] == [
        ['an a', 'c'],
        ['', ''],
        ['[b]', ''],
        ['x' * 200, '0'],
    ]


@pytest.mark.parametrize('path', sorted(RECORDS.glob('*.json')), ids=lambda path: path.stem)
def test_the_pages_show_what_the_records_hold(path):
    about, rows = json.loads(path.read_text()).values()
    text = (ROOT / 'docs' / ('scaling.md' if path.stem == 'scaling' else 'benchmarks_in_full.md')).read_text()
    words = ' '.join(text.split())
    assert f'`{about["command"]}`; ' in words and f'results/benchmarks/{path.name}.' in words
    lines = [set(line.strip('| ').split(' | ')) for line in text.splitlines() if line.startswith('| ')]
    shown = [cells for cells in (cells_of(row, rows) for row in rows) if cells]
    assert shown
    for cells in shown:
        assert any(cells <= line for line in lines), cells


def cells_of(row: dict, rows: list) -> set:
    """What one line of a page must have of a row."""
    if 'axis' in row:
        times = {number(row['plain_ms']), number(row['ours_ms']), spread(row['ratio']), number(row['counted'])}
        return {row['axis'], str(row['value']), row['work'], *times}
    if 'clips_each' in row:
        return {str(row['clips_each']), spread(row['step_ms']), spread(row['step_without_exchange_ms'])}
    if 'reader' in row:
        return {row['source'], row['reader'], spread(row['cpu_ms'])}
    if 'checkpointing' in row:
        plain = next(
            o
            for o in rows
            if o.get('K') == 1 and (o['case'], o.get('checkpointing')) == (row['case'], row['checkpointing'])
        )
        share = number(row['peak_mib'] / plain['peak_mib'])
        return {row['case'], 'yes' if row['checkpointing'] else 'no', f'{number(row["peak_mib"])} ({share})'}
    if 'stage' in row:
        own = {number(row['ms_per_video']['median'])} if row['side'] in ('one', 'ten') else set()
        return {row['case'], row['stage'], *own}
    work = row['work'] if row['precision'] == 'float32' else f'{row["work"]}, {row["precision"]}'
    head = {row['case'], str(row['batch']), str(row['K']), work}
    if row['side'] == 'ours, compiled' and 'authors' in row['ratios']:
        return {*head, *(spread(row['ratios'][side]) for side in ('ours', 'authors'))}
    if row['side'] == 'ours' and not row['compile']:
        ratio = 'plain' if 'plain' in row['ratios'] else 'original'
        return {*head, number(row['ms_per_item']), *([spread(row['ratios'][ratio])] if ratio == 'plain' else [])}
    if row['side'] == 'original':
        return {*head, spread(row['ratios']['ours'])}
    return set()
