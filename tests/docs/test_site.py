"""The site's own conversions: equations and the roles of docstrings."""

import json

import pytest

from tests.conftest import ROOT

pytest.importorskip('mkdocs', reason='the documentation is not installed')
pytest.importorskip('latex2mathml', reason='the documentation is not installed')

from docs import hooks

RESULTS = sorted((ROOT / 'results').rglob('*.md'))


def test_equations_become_mathml():
    html = hooks.equations(r'<span class="arithmatex">\(i &lt; K\)</span> <div class="arithmatex">\[W_{i+1}\]</div>')
    assert html.count('<math') == 2 and 'arithmatex' not in html
    assert '&lt;' in html or '&#x0003C;' in html  # not a tag
    assert 'display="block"' in html and '<msub>' in html


@pytest.mark.parametrize(
    'role, identifier, text',
    [
        (':class:<code>~kaizen_mm.layers.PerIterate</code>', 'kaizen_mm.layers.PerIterate', 'PerIterate'),
        (
            ':func:<code>kaizen_mm.data.lists.read_list</code>',
            'kaizen_mm.data.lists.read_list',
            'kaizen_mm.data.lists.read_list',
        ),
    ],
)
def test_roles_become_references(role, identifier, text):
    assert hooks.cross_references(role) == f'<autoref identifier="{identifier}" optional><code>{text}</code></autoref>'


def test_code_without_a_role_stays():
    assert hooks.cross_references('a <code>name</code>: <code>x</code>') == 'a <code>name</code>: <code>x</code>'


def test_a_table_has_a_page_of_its_own_and_is_listed():
    record = dict(rows={'a': {}, 'b': {}}, seeds=[0, 1], command='make it', hardware='CPU', torch='2', core_hours=0.25)
    page = hooks.table_page('digits', record, '| a |\n| --- |\n')
    assert page.startswith('# digits\n\nSeeds 0, 1. `make it`; CPU, torch 2; 0.2 hours') and '| a |\n' in page
    assert '| [digits](results/digits.md) | 2 | 2 | 0.2 |' in hooks.list_of_tables({'digits': record}, {})


def test_a_table_of_weights_that_were_there_has_no_seeds():
    record = dict(rows={'a': {}}, command='make it', hardware='CPU', torch='2')
    page = hooks.table_page('exits', record, '| a |\n| --- |\n')
    assert page.startswith('# exits\n\n`make it`; CPU, torch 2. [The record](exits.json)')
    assert '| [streams/exits](results/streams/exits.md) | 1 | - | - |' in hooks.list_of_tables(
        {'streams/exits': record}, {}
    )


@pytest.mark.parametrize('table', RESULTS, ids=lambda path: path.stem)
def test_each_record_of_the_repository_has_a_page(table):
    record = json.loads(table.with_suffix('.json').read_text())
    assert table.read_text() in hooks.table_page(table.stem, record, table.read_text())
    assert f'](results/{table.stem}.md) |' in hooks.list_of_tables({table.stem: record}, {})


def test_a_benchmark_has_a_page_with_all_that_its_record_holds():
    spread = dict(median=2.5, low=2.0, high=3.0)
    rows = [
        dict(case='net', side='plain', cpu_ms=spread, ratios={}, count=3),
        dict(case='net', side='ours', cpu_ms=spread, ratios=dict(plain=spread), count=4, peak=0.125),
    ]
    record = dict(about=dict(command='make it', processor='CPU', threads=1, torch='2'), rows=rows)
    page = hooks.benchmark_page('digits', record).splitlines()
    assert page[0] == '# digits' and page[2].startswith(
        '`make it`; CPU, 1 threads, torch 2. In all rows case: net; cpu_ms: 2.5'
    )
    assert page[4:] == [
        '| side | count | time / plain | peak |',
        '| --- | --- | --- | --- |',
        '| plain | 3 | - | - |',
        '| ours | 4 | 2.5 (2-3) | 0.125 |',
    ]
    assert '| [digits](results/benchmarks/digits.md) | 2 |' in hooks.list_of_tables({}, {'digits': record})
