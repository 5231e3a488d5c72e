"""The notebook of the first hour runs, and shows what it printed."""

import json
import warnings

import matplotlib
import pytest

from tests.conftest import ROOT

CELLS = json.loads((ROOT / 'docs' / 'first_hour.ipynb').read_text(encoding='utf-8'))['cells']
CODE = [cell for cell in CELLS if cell['cell_type'] == 'code']
WHOLE, SHORT = 'epochs, seeds = 8, range(5)', 'epochs, seeds = 1, range(2)'


def source(cell: dict) -> str:
    return ''.join(cell['source'])


def test_its_cells_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use('Agg')
    assert [source(cell).count(WHOLE) for cell in CODE].count(1) == 1
    names = {}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')
        for number, cell in enumerate(CODE):
            exec(compile(source(cell).replace(WHOLE, SHORT), f'cell {number}', 'exec'), names)
    assert not [str(warning.message) for warning in warned if 'W_1' in str(warning.message)], (
        'examples follow the advice'
    )
    printed = capsys.readouterr().out
    assert [len(iterates) for _, _, iterates in names['results']] == [3, 3]
    assert 'weight change, layer4.0.conv1' in printed and 'recurrent - control:' in printed
    assert printed.count(' 3 iterates') == 4
    assert 'The iterations help:' in printed, 'its first example is one in which something happens'


def test_it_is_kept_with_the_outputs_of_one_run_from_the_top():
    assert [cell['execution_count'] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell['outputs']]
    assert all(output['output_type'] in ('stream', 'display_data', 'execute_result') for output in outputs)
    text = ''.join(''.join(output.get('text', [])) for output in outputs)
    assert text.count('seed ') == 5 and 'recurrent - control: ' in text
    assert any('image/png' in output.get('data', {}) for output in outputs)
    assert '/home/' not in text and '/root' not in text and 'Warning' not in text


@pytest.mark.parametrize(
    'cell', [cell for cell in CELLS if cell['cell_type'] == 'markdown'], ids=lambda cell: cell['id']
)
def test_lines_wrap_at_100_columns(cell):
    assert all(len(line) <= 100 for line in source(cell).splitlines())
