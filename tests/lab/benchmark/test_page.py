"""Tables of the pages are drawn from records, and say under what load those were made."""

import json

import pytest

from kaizen_mm.lab.benchmark import page, plans
from kaizen_mm.lab.benchmark.goals import GOALS
from kaizen_mm.lab.benchmark.goals import table as goals
from kaizen_mm.lab.benchmark.records import markdown, number, read_record, spread, write_record
from tests.conftest import ROOT

ABOUT = dict(
    command='python tools/benchmark.py data',
    processor='a CPU',
    cores=2,
    threads=2,
    torch='2.0',
    load_before=0.5,
    load_after=1.0,
)


def record(folder, name, rows, **about):
    folder.mkdir(exist_ok=True)
    (folder / f'{name}.json').write_text(json.dumps(dict(about={**ABOUT, **about}, rows=rows)))


def clips(source, reader, milliseconds):
    return [
        dict(
            kind='clips',
            source=source,
            reader=reader,
            stage=stage,
            size='320x240',
            mib_per_video=0.25,
            frames="PyAV's",
            rounds=5,
            cpu_ms=dict(median=milliseconds, low=milliseconds - 1, high=milliseconds + 1),
            per_second_and_core=1000 / milliseconds,
        )
        for stage in ('decoding', 'to 224 px', 'to 112 px')
    ]


def units(authors, ours=10.0, case='MFNet-2D, C = 768, 7x7', work='train'):
    ratios = dict(authors=dict(ours=authors / ours), ours=dict(authors=ours / authors))
    return [
        dict(
            case=case,
            batch=32,
            K=3,
            work=work,
            layout='channels-last',
            precision='float32',
            device='cpu',
            side=side,
            ms_per_item=1.0,
            multiply_adds=count,
            share_of_product_rate=0.5,
            peak_mib=1.0,
            ratios={other: dict(median=value, low=value, high=value) for other, value in ratios[side].items()},
        )
        for side, count in (('authors', 300), ('ours', 200))
    ]


def test_a_page_is_filled_and_filled_again(tmp_path):
    text = [
        '# Page',
        '',
        '<!-- measured clips -->',
        'old',
        '<!-- end -->',
        '',
        'Text.',
        '<!-- measured block -->',
        '<!-- end -->',
    ]
    (tmp_path / 'benchmarks.md').write_text('\n'.join(text))
    record(tmp_path / 'records', 'data', clips('originals', 'decord', 20.0))
    for _ in range(2):
        page.draw(tmp_path, tmp_path / 'records')
        lines = (tmp_path / 'benchmarks.md').read_text().splitlines()
        assert lines[:4] == ['# Page', '', '<!-- measured clips -->', '']
        time = '20.0 (19.0-21.0)'
        assert f"| originals | 320x240 | 0.25 | decord | PyAV's | {time} | {time} | 50.0 | {time} | 50.0 |" in lines
        assert 'Not measured.' in lines and 'old' not in lines and 'Text.' in lines
        assert any(
            '`python tools/benchmark.py data`; a CPU, 2 cores, 2 threads, torch 2.0, load' in line for line in lines
        )
        assert 'busy' not in '\n'.join(lines)


def test_a_record_of_a_busy_machine_says_so(tmp_path):
    (tmp_path / 'benchmarks.md').touch()
    (tmp_path / 'scaling.md').write_text('<!-- measured cores -->\n<!-- end -->\n')
    record(tmp_path / 'records', 'data', clips('originals', 'decord', 20.0), load_before=7.5)
    page.draw(tmp_path, tmp_path / 'records')
    text = ' '.join((tmp_path / 'scaling.md').read_text().split())
    assert 'load of the machine 7.5 before and 1.0 after: **it was busy with other work**' in text
    # 9,537 videos at 50 a second and core; a GPU that takes 200 a second wants four cores
    assert '| originals | decord | 50.0 | 191 | 1.00 | 4.00 | 16.0 |' in text


@pytest.mark.parametrize(
    'text, message',
    [
        ('<!-- measured nothing -->\n<!-- end -->', "a table must be one of block, .* goals, got 'nothing'"),
        ('<!-- measured clips -->\n', 'the last table has no <!-- end -->'),
        (
            '<!-- measured clips -->\n<!-- measured block -->\n<!-- end -->',
            'comes before the end of the table before it',
        ),
    ],
)
def test_pages_that_cannot_be_filled(tmp_path, text, message):
    (tmp_path / 'benchmarks.md').write_text(text)
    with pytest.raises(ValueError, match=message):
        page.draw(tmp_path, tmp_path / 'records')
    with pytest.raises(ValueError, match='drawn in docs/benchmarks.md, which a checkout of the repository has'):
        page.draw(tmp_path / 'elsewhere', tmp_path)


def test_goals_are_judged_by_what_was_measured(tmp_path):
    lines = goals(tmp_path)
    assert len(lines) == 2 + len(GOALS) and all(
        '| not measured |' in line and line.endswith('| - |') for line in lines[2:]
    )
    record(tmp_path, 'block', units(23.0) + units(9.0, work='inference'))
    record(tmp_path, 'block_contiguous', units(30.0))
    lines = goals(tmp_path)
    assert lines[2].endswith(
        '| >= 2.20 | 2.30 | 1.50 | MFNet-2D, C = 768, 7x7, K = 3, train, channels-last | reached |'
    )
    # the count may be why
    record(tmp_path, 'block', units(15.0))
    assert goals(tmp_path)[2].endswith('| **not reached**; the count does not allow it |')
    assert lines[3].endswith(
        '| >= 1.00 | 0.90 | 1.50 | MFNet-2D, C = 768, 7x7, K = 3, inference, channels-last | **not reached** |'
    )


def test_a_plan_is_made_of_rates_and_sizes(tmp_path):
    rows = clips('originals', 'decord', 20.0) + clips('--short-side 256, size kept', 'pyav', 10.0)
    lines = plans.plan(rows)
    ucf101, kinetics = lines[2:]
    # 9,537 videos x 260 epochs x 3 x 1.33 G; at 5e12 a second; loaded at 50 a second
    work = 9537 * 260 * 3 * 1.33e9
    assert (
        f'| {work:.1e} |' in ucf101
        and f'| {work / 5e12 / 3600:.2f} |' in ucf101
        and f'| {9537 * 260 / 50 / 3600:.1f} |' in ucf101
    )
    assert 'Kinetics-400' in kinetics and '| pyav | 100 |' in kinetics


def test_records(tmp_path):
    write_record(tmp_path / 'a.json', dict(ABOUT), [dict(side='a')])
    content = read_record(tmp_path / 'a.json')
    assert content['rows'] == [dict(side='a')] and content['about']['load_after'] >= 0
    for text in ('{', '{}', '{"about": {"command": ""}, "rows": []}'):
        (tmp_path / 'b.json').write_text(text)
        with pytest.raises(ValueError, match=r'b.json is no record of tools/benchmark.py'):
            read_record(tmp_path / 'b.json')


def test_cells():
    assert [number(value) for value in (None, 0.123, 12.34, 1234.5)] == ['-', '0.12', '12.3', '1,234']
    assert spread(dict(median=2.0, low=1.5, high=3.25)) == '2.00 (1.50-3.25)'
    assert markdown([('a', lambda row: row), ('b', lambda row: row * 2)], ['x']) == [
        '| a | b |',
        '| --- | --- |',
        '| x | xx |',
    ]


@pytest.mark.parametrize('name', page.PAGES)
def test_the_pages_show_what_the_records_hold(name, tmp_path):
    drawn = '\n'.join(page._filled(ROOT / 'docs' / name, page.RECORDS)) + '\n'
    assert (ROOT / 'docs' / name).read_text() == drawn, 'python tools/benchmark.py page'
