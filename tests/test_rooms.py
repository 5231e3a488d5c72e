"""The rooms of the package and the libraries that they need."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'kaizen_mm'
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


@pytest.mark.parametrize('room', [*TORCH_ONLY, *FREE_OF_TIMM, *FREE_OF_OPENMMLAB])
def test_a_room_keeps_to_its_libraries(room):
    libraries = {name.split('.')[0] for name in imported(room)}
    openmmlab = {'mmengine', 'mmcv', 'mmaction', 'mmpretrain'}
    if room in TORCH_ONLY:
        assert not libraries & {*openmmlab, 'timm', 'torchvision', 'matplotlib', 'sklearn', 'rich'}
    elif room in FREE_OF_OPENMMLAB:
        assert not libraries & openmmlab
    else:
        assert 'timm' not in libraries and not {'kaizen_mm.timm_models', 'kaizen_mm.timm_comparators'} & set(
            imported(room)
        )
