"""Pages name files that exist, their lines are short, and they have blocks in known languages."""

import re

import pytest

from tests.conftest import ROOT
from tests.docs.pages import LANGUAGES, PAGES, all_blocks

NAMED = r'(?<![\w/.])(?:configs|tools|docs|results|tests|kaizen_mm)/[\w./-]+\.(?:py|sh|md|json|png|svg|ipynb|yml)'


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_files_that_a_page_names_exist(page):
    for path in re.findall(NAMED, (ROOT / page).read_text(encoding='utf-8')):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_lines_wrap_at_100_columns(page):
    prose = re.sub(r'```.*?```', '', (ROOT / page).read_text(encoding='utf-8'), flags=re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > 100 and not line.startswith(('|', '!['))]
    assert not long  # tables and pictures have lines of any length


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_code_is_not_cut_off_on_the_site(page):
    """At 1280 pixels, beside both side bars, a hundred columns are seen."""
    code = [block for block in all_blocks(page) if block.language]
    assert not [line for block in code for line in block.text.splitlines() if len(line) > 100]


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_code_is_in_a_language_that_is_run(page):
    assert {block.language for block in all_blocks(page)} <= LANGUAGES
