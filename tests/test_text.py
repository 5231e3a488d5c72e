"""Text from outside, for each place where it is shown."""

import json
import os
from pathlib import Path

import pytest
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

from kaizen_mm.text import for_csv, for_figure, for_json, printable


@pytest.mark.parametrize(
    'text, expected',
    [
        ('Prügelei, 猫 \u200d', 'Prügelei, 猫 \u200d'),
        ('\x1b[2J\x07', r'\x1b[2J\x07'),
        ('\x9b31m', r'\x9b31m'),
        ('a\nb\r', r'a\x0ab\x0d'),
        ('\u202egpj.exe\u2066', r'\u202egpj.exe\u2066'),
        (os.fsdecode(b'a\xff.png'), r'a\xff.png'),
        ('\ud800', r'\ud800'),
    ],
)
def test_nothing_that_is_obeyed_is_left(text, expected):
    assert printable(text) == printable(Path(text)) == expected
    expected.encode('utf-8')


def test_what_is_kept():
    assert printable('a\n\tb\x1b', keep='\n\t') == 'a\n\tb\\x1b'


@pytest.mark.parametrize('start', '=+-@|%')
def test_no_spreadsheet_computes_a_name(start):
    assert for_csv(f'{start}cmd') == f"'{start}cmd" and for_csv(f'  {start}cmd') == f"'  {start}cmd"
    assert for_csv(f'a{start}') == f'a{start}' and for_csv('\t=1') == r'\x09=1'


def test_a_name_that_is_no_text_survives_json():
    name = os.fsdecode(b'a\xff"\\.png')
    content = for_json(json.dumps([name], ensure_ascii=False))
    assert json.loads(content.encode('utf-8')) == [name]


@pytest.mark.parametrize('text', ['$', '$a$', r'\$a$', r'$\frac{1}$', 'a$b$c$', r'\\$$'])
def test_matplotlib_draws_dollars(text):
    label = Figure().text(0, 0, for_figure(text))
    assert label._preprocess_math(label.get_text()) == (text, False)
    assert is_math_text('$a$')
