"""Pages are read to their end, notes as well: sentences are short, on the average and each of them."""

import re

import pytest

from tests.conftest import ROOT

DOCS = ROOT / 'docs'
PAGES = ['README', 'CONTRIBUTING', 'CHANGELOG', 'configs/README', *sorted(f'docs/{p.stem}' for p in DOCS.glob('*.md'))]
MEAN, MOST = 19, 38  # words
# what is no prose: code, comments, tables, headings, pictures; code within a line counts as a word
LEFT_OUT = (
    r'^ *```.*?^ *```',
    r'^\$\$.*?^\$\$',
    r'<!--.*?-->',
    r'^ *\|[^\n]*',
    r'^#[^\n]*',
    r'!\[[^]]*\]\([^)]*\)',
    r'^    [^\n]*',
)
WITHIN = ((r'`[^`]*`|\$[^$]*\$', 'X'), (r'\[([^]]*)\]\([^)]*\)', r'\1'), (r'</?[a-z][^>]*>', ''), (r'\*\*', ''))


def sentences(text: str) -> list:
    """The numbers of words of a page's sentences, each with its text."""
    for pattern in LEFT_OUT:
        text = re.sub(pattern, '\n', text, flags=re.DOTALL | re.MULTILINE)
    for pattern, word in WITHIN:
        text = re.sub(pattern, word, text)
    parts = re.split(r'\n\s*\n|^ *[*+-] |^ *\d+\. ', text, flags=re.MULTILINE)
    found = [s for part in parts for s in re.split(r'(?<=[.!?:])\s+(?=[A-Z0-9"(])', ' '.join(part.split()))]
    return [(len(words), s) for s in found if (words := re.findall(r"\w[\w'.%/-]*", s))]


def test_what_counts_as_a_sentence():
    text = '# A title\n\nOne two `three four`. Five [six\nseven](x.md)\n\n* eight\n* nine ten\n'
    text += '\n```\na b c\n```\n| a | b |\n'
    assert [count for count, _ in sentences(text)] == [3, 3, 1, 2]


@pytest.mark.parametrize('page', PAGES)
def test_sentences_are_short(page):
    found = sentences((ROOT / f'{page}.md').read_text(encoding='utf-8'))
    assert len(found) > 5
    assert not [sentence for count, sentence in found if count > MOST]
    assert sum(count for count, _ in found) / len(found) <= MEAN
