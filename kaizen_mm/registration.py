"""Registers this package's names with timm and OpenMMLab's libraries.

Each library is waited for: where it is imported already its part is registered at once, and otherwise right after it
has been imported. So ``import kaizen_mm.layers`` imports torch alone, and neither the order of ``import kaizen_mm`` and
``import timm`` matters nor which of the libraries is installed.

Waiting takes a finder in ``sys.meta_path``, twenty lines. Three other ways were weighed. To register only with what is
imported already, or by an import of its own for each library, leaves out mmpretrain's ``tools/train.py``: it reads
``custom_imports`` of a config before it imports mmpretrain. To import all libraries at once makes ``import kaizen_mm``
slow, and the core need them. ``wrapt``'s post-import hooks put a finder there too, and are a library more for a core
that needs torch alone.
"""

import importlib.abc
import sys
from functools import partial
from importlib import import_module
from typing import Callable, Dict

from kaizen_mm.multiply_adds import count_with_fvcore

# what is done when a library is imported: the modules register what they define
PARTS: Dict[str, Callable] = {
    'timm': partial(import_module, 'kaizen_mm.timm_names'),
    'fvcore.nn': count_with_fvcore,
    'mmengine': partial(import_module, 'kaizen_mm.openmmlab'),
    'mmaction': partial(import_module, 'kaizen_mm.openmmlab.video'),
    'mmpretrain': partial(import_module, 'kaizen_mm.openmmlab.image'),
}


def register() -> None:
    """Registers with the libraries that are imported, and waits for the others."""
    waiting = {}
    for library, action in PARTS.items():
        if library in sys.modules:
            action()
        else:
            waiting[library] = action
    sys.meta_path.insert(0, _AfterImport(waiting))


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls an action right after the first import of a module; it finds what the finders behind it find.

    Args:
        actions: By the module's name.
    """

    def __init__(self, actions: Dict[str, Callable]):
        self.actions = actions

    def find_spec(self, name, path, target=None):
        if name not in self.actions:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, 'find_spec')]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._execute, spec.loader.exec_module)
        return spec

    def _execute(self, exec_module, module):
        exec_module(module)
        self.actions.pop(module.__name__, lambda: None)()
