"""The pages that a reader may copy from, and the blocks of code in them."""

import re
from pathlib import Path
from typing import Iterator, List, NamedTuple

from tests.conftest import ROOT

PAGES = [
    Path('README.md'),
    Path('CONTRIBUTING.md'),
    Path('SECURITY.md'),
    Path('configs', 'README.md'),
    *(path.relative_to(ROOT) for path in sorted((ROOT / 'docs').rglob('*.md'))),
]
LANGUAGES = {'bash', 'python', 'bibtex', ''}  # what stands in no language is output


class Block(NamedTuple):
    """A fenced block: where it begins, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def blocks(page: Path, language: str) -> List[Block]:
    """The blocks of a page in one language, in their order."""
    return [block for block in all_blocks(page) if block.language == language]


def all_blocks(page: Path) -> Iterator[Block]:
    text = (ROOT / page).read_text(encoding='utf-8')
    for found in re.finditer(r'^ *```(\S*)[^\n]*\n(.*?)^ *```', text, flags=re.MULTILINE | re.DOTALL):
        yield Block(page, text.count('\n', 0, found.start()) + 1, found[1], found[2])
