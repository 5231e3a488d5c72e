"""An earlier state of this package beside the present one, in one process."""

import importlib
import io
import subprocess
import sys
import tarfile
import tempfile
import types
from pathlib import Path

import kaizen_mm

PACKAGE = 'kaizen_mm'
_PARTS = ('layers', 'losses', 'models')  # what needs torch alone


class Version(types.SimpleNamespace):
    """The modules ``layers``, ``losses`` and ``models`` of one state of the package, and its name."""


def this_version() -> Version:
    """The package as it is."""
    return Version(name='now', **{part: importlib.import_module(f'{PACKAGE}.{part}') for part in _PARTS})


def earlier_version(name: str | None) -> Version | None:
    """The package as it was.

    Args:
        name: A commit of the repository that the package is run from, or a folder that holds a package ``kaizen_mm``.
            None gives None.

    Raises:
        ValueError: There is no such commit or folder.
    """
    if name is None:
        return None
    if Path(name, PACKAGE, '__init__.py').is_file():
        return _imported(Path(name), name)
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ['git', 'archive', name, PACKAGE], capture_output=True, check=False, cwd=Path(kaizen_mm.__file__).parents[1]
        )
        if archive.returncode:
            raise ValueError(
                f'--before must be a commit of the repository of {PACKAGE} or a folder with that package, got '
                f'{name!r}: {archive.stderr.decode().strip()}'
            )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as file:
            file.extractall(folder, filter='data')
        return _imported(Path(folder), name)


def _imported(folder: Path, name: str) -> Version:
    """Imports the parts under the package's own name, past its ``__init__``, which would register everything twice."""
    present = {
        key: sys.modules.pop(key) for key in list(sys.modules) if key == PACKAGE or key.startswith(f'{PACKAGE}.')
    }
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(folder / PACKAGE)]
    sys.modules[PACKAGE] = package
    try:
        return Version(name=name, **{part: importlib.import_module(f'{PACKAGE}.{part}') for part in _PARTS})
    finally:
        for key in [key for key in sys.modules if key == PACKAGE or key.startswith(f'{PACKAGE}.')]:
            del sys.modules[key]
        sys.modules.update(present)
