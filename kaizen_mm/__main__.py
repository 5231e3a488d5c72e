"""``python -m kaizen_mm`` lists the commands; ``python -m kaizen_mm train ...`` runs one."""

import ast
import pkgutil
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Dict, Optional, Sequence

from kaizen_mm import commands


def found() -> Dict[str, str]:
    """By the name of each command, what it does in one sentence; none is imported."""
    there = {}
    for module in pkgutil.iter_modules(commands.__path__):
        loader: Any = find_spec(f'{commands.__name__}.{module.name}').loader  # type: ignore[union-attr]
        source = ast.parse(loader.get_source(f'{commands.__name__}.{module.name}'))
        if any(isinstance(part, ast.FunctionDef) and part.name == 'main' for part in source.body):
            text = (ast.get_docstring(source) or '').split('\n\n')[0]
            there[module.name.replace('_', '-')] = ' '.join(text.split())
    return there


def main(argv: Optional[Sequence[str]] = None) -> Optional[int]:
    name, *words = (sys.argv[1:] if argv is None else argv) or ['--help']
    there = found()
    if name in there:
        sys.argv[0] = f'kaizen-{name}'
        run = import_module(f'{commands.__name__}.{name.replace("-", "_")}').main
        if argv is not None:
            return run(words)
        sys.argv[1:] = words
        return run()  # as from a shell: what is wrong is said in one line
    listed = '\n'.join(f'  kaizen-{name:<20} {text}' for name, text in there.items())
    if name in ('-h', '--help'):
        print(f'The commands, each with --help and an example:\n\n{listed}')
        return 0
    print(f'error: no command {name!r}; there are {", ".join(there)}', file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main())
