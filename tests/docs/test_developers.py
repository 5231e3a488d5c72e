"""The map on the page for developers is that of the package."""

import ast
import re
from typing import Iterator, List, Set

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / 'kaizen_mm'


def rooms() -> List[Set[str]]:
    """The rooms of each line of the map, from the bottom up."""
    page = (ROOT / 'docs' / 'developers.md').read_text(encoding='utf-8')
    lines = re.search(r'^\| rooms of `kaizen_mm` .*?\n\n', page, flags=re.MULTILINE | re.DOTALL)[0].splitlines()[2:]
    return [set(re.findall(r'`(\w+)`', line.split('|')[1])) for line in lines if line]


def imported(room: str) -> Iterator[str]:
    """What the modules of a room import of the package, within functions too."""
    path = PACKAGE / room
    for file in [path.with_suffix('.py')] if path.with_suffix('.py').exists() else path.rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            names = (
                [node.module or '']
                if isinstance(node, ast.ImportFrom)
                else ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
            )
            for name in names:
                if name == 'kaizen_mm' and isinstance(node, ast.ImportFrom):
                    yield from (alias.name for alias in node.names if not alias.name.startswith('_'))
                elif name.startswith('kaizen_mm.'):
                    yield name.split('.')[1]


def test_every_room_is_on_the_map():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or (path / '__init__.py').exists()}
    assert set().union(*rooms()) == there - {'__init__', '__main__', 'registration'}


@pytest.mark.parametrize('level', range(len(rooms())), ids=lambda level: ', '.join(sorted(rooms()[level])))
def test_imports_go_down_only(level):
    below = set().union(*rooms()[: level + 1])
    for room in rooms()[level]:
        assert set(imported(room)) <= below, room
