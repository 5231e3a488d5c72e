"""The rooms of the package: imports go down only."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'kaizen_mm'
# from the ground to the top; a room knows those below it
ROOMS = ['arguments', 'files', 'extras', 'checkpoint_files', 'layers', 'losses', 'models', 'introspection', 'multiply_adds', 'data',
         'timm_comparators', 'timm_models', 'export', 'inference', 'openmmlab', 'lab', 'report', 'commands', 'registration']
TORCH_ONLY = ('layers', 'losses', 'models')
FREE_OF_TIMM = ('openmmlab', 'lab')
FREE_OF_OPENMMLAB = ('timm_models', 'timm_comparators', 'data', 'export', 'inference')


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


def test_every_room_has_its_place():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or (path / '__init__.py').is_file()}
    assert found - {'__init__'} == set(ROOMS)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_knows_those_below_it(room):
    own = {name.split('.')[1]: file for name, file in imported(room).items() if name.startswith('kaizen_mm.')}
    above = {name: file for name, file in own.items() if name in ROOMS[ROOMS.index(room) + 1:]}
    assert not above


@pytest.mark.parametrize('room', [*TORCH_ONLY, *FREE_OF_TIMM, *FREE_OF_OPENMMLAB])
def test_a_room_keeps_to_its_libraries(room):
    libraries = {name.split('.')[0] for name in imported(room)}
    openmmlab = {'mmengine', 'mmcv', 'mmaction', 'mmpretrain'}
    if room in TORCH_ONLY:
        assert not libraries & {*openmmlab, 'timm', 'torchvision', 'matplotlib', 'sklearn', 'rich'}
    elif room in FREE_OF_OPENMMLAB:
        assert not libraries & openmmlab
    else:
        assert 'timm' not in libraries and not {'kaizen_mm.timm_models', 'kaizen_mm.timm_comparators'} & set(imported(room))
