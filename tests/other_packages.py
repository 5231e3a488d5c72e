"""What ``import kaizen_mm`` changes in other packages: prints a line each; run in a process of its own."""

import importlib
import inspect
import pkgutil
import sys
import types
from typing import Any, Dict

import torch

PACKAGES = ('mmengine', 'mmaction', 'mmpretrain', 'timm')
# of the language, made anew or filled in by looking
_PASSED_OVER = ('__builtins__', '__warningregistry__', '__weakref__', '__dict__', '_abc_impl', '__abstractmethods__')


def import_all() -> None:
    """Imports every module of these packages that can be imported here."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f'{package}.', lambda name: None
        ):
            try:
                importlib.import_module(module.name)
            except BaseException:
                continue


def stand_in_for_drn() -> None:
    """So that ``mmaction.models`` can be imported before; kaizen_mm leaves it alone then."""
    importlib.import_module('mmaction')
    name = 'mmaction.models.localizers.drn'
    package, module = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    package.__path__, package.drn, module.DRN = [], module, type('DRN', (), {})
    sys.modules.update({name: package, f'{name}.drn': module})


def attributes() -> Dict[str, Any]:
    """Every attribute of these packages' modules and of their classes, with what it is and what it holds."""
    found = {}
    for name, module in list(sys.modules.items()):
        if module is None or name.split('.')[0] not in PACKAGES:
            continue
        for key, value in list(vars(module).items()):
            if key in _PASSED_OVER or inspect.ismodule(value):
                continue
            found[f'{name}.{key}'] = _state(value)
            if inspect.isclass(value) and value.__module__.split('.')[0] in PACKAGES:
                owner = f'{value.__module__}.{value.__qualname__}'
                entries = [(entry, of) for entry, of in vars(value).items() if entry not in _PASSED_OVER]
                found.update({f'{owner}.{entry}': _state(of) for entry, of in entries})
    return found


def _state(value: Any) -> tuple:
    if isinstance(value, dict):
        return value, tuple(value), tuple(id(item) for item in value.values())
    if isinstance(value, (list, set, tuple)):
        return value, tuple(id(item) for item in value), ()
    return value, (), ()


def changes(before: Dict[str, Any], after: Dict[str, Any]) -> list:
    lines = []
    for name, (value, *content) in after.items():
        if name not in before:
            lines.append(f'new {name}')
        elif before[name][0] is not value:
            lines.append(f'replaced {name}')
        elif before[name][1:] != tuple(content):
            lines.append(f'filled {name}')
    return lines + [f'gone {name}' for name in before if name not in after]


if __name__ == '__main__':
    if 'without drn' not in sys.argv:
        stand_in_for_drn()
    import_all()
    known, types_allowed = attributes(), list(torch.serialization.get_safe_globals())
    from kaizen_mm.openmmlab import compat

    print(*sorted(changes(known, attributes())), sep='\n')
    compat.undo()
    print('--- undone')
    print(*sorted(changes(known, attributes())), sep='\n')
    assert torch.serialization.get_safe_globals() == types_allowed
