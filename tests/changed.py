"""The tests of what has changed since the last common commit with ``origin/main``: ``make check`` runs them.

A test file is chosen where it has changed itself, where it lies at the changed module's place (``tests/layers`` for
``kaizen_mm/layers``) and has its name, or where it imports the module or a name of it by its room. Pages and configs
have tests of their own. It is a choice for a minute's check; ``make test`` runs all.
"""

import ast
import functools
import re
import subprocess
from pathlib import Path
from typing import Dict, Iterable, List, Set

ROOT = Path(__file__).resolve().parent.parent
# what stands for files that no test imports, by the start of their path
OTHERS = {
    'README.md': ('tests/docs/test_pages.py',),
    'CONTRIBUTING.md': ('tests/docs/test_pages.py', 'tests/docs/test_developers.py'),
    'docs/': ('tests/docs/test_pages.py', 'tests/docs/test_developers.py'),
    'configs/': ('tests/test_configs_readme.py',),
    'tools/': ('tests/tools/test_commands.py',),
    'pyproject.toml': ('tests/tools/test_commands.py',),
    'kaizen_mm/': ('tests/test_rooms.py', 'tests/docs/test_developers.py'),
}


def changed_files() -> List[str]:
    """Paths that differ from the last commit shared with ``origin/main``, and those that git does not know."""

    def git(*words: str) -> List[str]:
        done = subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.splitlines() if done.returncode == 0 else []

    since = (git('merge-base', 'HEAD', 'origin/main') or ['HEAD'])[0]
    return sorted({*git('diff', '--name-only', since), *git('ls-files', '--others', '--exclude-standard')})


def modules_imported(file: Path) -> Set[str]:
    """The modules that a file imports, and ``module.name`` for each name that it takes from one."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f'{node.module}.{alias.name}' for alias in node.names)
    return found


def tests_of(changed: Iterable[str]) -> List[str]:
    """The test files for changed files, as paths from the root."""
    imports = _imports()
    chosen: Set[str] = set()
    for path in changed:
        for start, tests in OTHERS.items():
            if path.startswith(start):
                chosen.update(tests)
        if not path.endswith('.py') or not path.startswith(('kaizen_mm/', 'tests/')):
            continue
        if Path(path).name.startswith('test_'):
            chosen.add(path)
            continue
        names = _names(path)
        chosen.update(test for test, modules in imports.items() if modules & names)
        place = Path('tests', *Path(path).parts[1:-1], f'test_{Path(path).stem}')
        chosen.update(test for test in imports if re.match(rf'{re.escape(str(place))}(_\w+)?\.py$', test))
    return sorted(path for path in chosen if Path(path).name.startswith('test_') and (ROOT / path).is_file())


@functools.cache
def _imports() -> Dict[str, Set[str]]:
    return {str(file.relative_to(ROOT)): modules_imported(file) for file in sorted((ROOT / 'tests').rglob('*.py'))}


def _names(path: str) -> Set[str]:
    """A module, and what it defines under the name of its room, which tests import it by."""
    parts = Path(path).with_suffix('').parts
    module = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
    names, file = {module}, ROOT / path
    if path.startswith('kaizen_mm/') and file.is_file():
        room = '.'.join(parts[:-1])
        body = ast.parse(file.read_text(encoding='utf-8')).body
        names |= {f'{room}.{node.name}' for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return names


if __name__ == '__main__':
    print(*tests_of(changed_files()))
