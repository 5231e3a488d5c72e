"""The rooms of the package and the libraries that they need."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'kaizen_mm'
# commands that are of the laboratory; all others work where it is deleted (tests/tools/test_without_lab.py)
OF_THE_LABORATORY = ('benchmark', 'compare', 'demo', 'plot_run', 'reproduce')
TORCH_ONLY = ('layers', 'losses', 'models', 'surgery', 'recipes')
FREE_OF_TIMM = ('openmmlab', 'lab')
FREE_OF_OPENMMLAB = ('timm_names', 'data', 'export', 'inference', 'streams')


def imported(room: str) -> dict:
    """The names of modules that the files of a room import, anywhere in them, with the file of each."""
    names = {}
    for file in [PACKAGE / f'{room}.py', *(PACKAGE / room).rglob('*.py')]:
        for node in ast.walk(ast.parse(file.read_text())) if file.is_file() else ():
            if isinstance(node, ast.Import):
                names.update({alias.name: file for alias in node.names})
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names[node.module] = file
                if node.module == 'kaizen_mm':
                    names.update({f'kaizen_mm.{alias.name}': file for alias in node.names})
    return names


@pytest.mark.parametrize('room', [*TORCH_ONLY, *FREE_OF_TIMM, *FREE_OF_OPENMMLAB])
def test_a_room_keeps_to_its_libraries(room):
    libraries = {name.split('.')[0] for name in imported(room)}
    openmmlab = {'mmengine', 'mmcv', 'mmaction', 'mmpretrain'}
    if room in TORCH_ONLY:
        assert not libraries & {*openmmlab, 'timm', 'torchvision', 'matplotlib', 'sklearn', 'rich'}
    elif room in FREE_OF_OPENMMLAB:
        assert not libraries & openmmlab
    else:
        names = ('timm', 'kaizen_mm.timm_names')
        assert not any(name == start or name.startswith(f'{start}.') for name in imported(room) for start in names)


def test_no_two_files_know_each_other():
    """Of ``layers``, ``losses`` and ``models``, what a file imports, for types as well, does not lead back to it."""
    known = {}
    for room in TORCH_ONLY:
        for file in (PACKAGE / room).rglob('*.py'):
            if file.name == '__init__.py':
                continue
            tree = ast.parse(file.read_text())
            named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
            known['.'.join(file.relative_to(PACKAGE.parent).with_suffix('').parts)] = named
    for name in known:
        reached, new = set(), {name}
        while new:
            new = {other for one in new for other in known.get(one, ())} - reached
            reached |= new
        assert name not in reached, f'{name} imports, by others, itself'


def test_the_laboratory_can_be_deleted():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or path.is_dir()} - {'lab', 'commands'}
    commands = {path.stem for path in (PACKAGE / 'commands').glob('*.py')} - set(OF_THE_LABORATORY)
    users = {
        (room, name)
        for room in rooms | {f'commands/{command}' for command in commands}
        for name in imported(room)
        if name == 'kaizen_mm.lab' or name.startswith('kaizen_mm.lab.')
    }
    assert not users
