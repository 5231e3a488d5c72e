"""The configs that the package brings, by name: ``kaizen_mm::kaizen_mfnet_ucf101.py``.

They lie where OpenMMLab's packages keep theirs, under ``.mim/configs`` of the installed package.
"""

import ast
import difflib
from pathlib import Path
from typing import Optional, Union

PREFIX = 'kaizen_mm::'
CONFIGS = Path(__file__).resolve().parent / '.mim' / 'configs'


def config_path(name: str) -> str:
    """The file of a config of this package.

    Args:
        name: ``kaizen_mm::`` and the path in the folder of configs, such as ``kaizen_mm::kaizen_mfnet_ucf101.py``.

    Raises:
        FileNotFoundError: There is none of that name.
    """
    relative = name.removeprefix(PREFIX)
    path = CONFIGS / relative
    inside = path.suffix == '.py' and path.resolve().is_relative_to(CONFIGS.resolve())
    if not inside or not path.is_file():
        names = [str(file.relative_to(CONFIGS)) for file in CONFIGS.rglob('*.py')]
        near = difflib.get_close_matches(relative, names, n=3)
        raise FileNotFoundError(
            f'kaizen_mm has no config {relative!r}'
            + (f'; near it: {", ".join(near)}' if near else f'; they are in {CONFIGS}')
        )
    return str(path)


def written_entry(text: Union[str, bytes], name: str) -> Optional[ast.expr]:
    """What a config, as mmengine writes it into a work folder, says of an entry; None where it has none.

    Nothing of the text is run.
    """
    try:
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
                return statement.value
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # no config that a training has written
        pass
    return None
