"""Where modules and names of the package were before they moved: the old places go on working.

Programs that import them and files in which whole networks are pickled name the old place.
"""

import importlib.abc
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from typing import Any

MODULES = {
    'kaizen_mm.lab.uncertainty': 'kaizen_mm.uncertainty',
    'kaizen_mm.models.inputs': 'kaizen_mm.surgery.inputs',
    'kaizen_mm.models.replay': 'kaizen_mm.surgery.replay',
    'kaizen_mm.models.samples': 'kaizen_mm.surgery.samples',
    'kaizen_mm.models.span': 'kaizen_mm.surgery.span',
    'kaizen_mm.models.surgery': 'kaizen_mm.surgery.network',
    'kaizen_mm.models.surgery_arguments': 'kaizen_mm.surgery.arguments',
    'kaizen_mm.models.weights_check': 'kaizen_mm.surgery.weights_check',
    'kaizen_mm.timm_comparators': 'kaizen_mm.timm_names.comparators',
    'kaizen_mm.timm_models': 'kaizen_mm.timm_names.mfnet',
}
NAMES = {
    'kaizen_mm.models.RecurrentNetwork': 'kaizen_mm.surgery',
    'kaizen_mm.openmmlab.log.tidy_log.TidyLogRunner': 'kaizen_mm.openmmlab.runner',
}


class FormerPlaces(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the package that have moved under their former names, and nothing else."""

    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name in MODULES else None

    def exec_module(self, module):
        sys.modules[module.__name__] = import_module(MODULES[module.__name__])


def former_name(module: str, name: str) -> Any:
    """What ``module.name`` was, for the ``__getattr__`` of a module."""
    place = NAMES.get(f'{module}.{name}')
    if place is None:
        raise AttributeError(f'module {module!r} has no attribute {name!r}')
    return getattr(import_module(place), name)
