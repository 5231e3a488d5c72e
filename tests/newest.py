"""The newest of everything in an environment of its own, and what breaks: ``make newest``.

Installs what ``pyproject.toml`` names without its upper bounds, part by part, and runs the tests that neither train nor
start processes, a line for each folder of them. Bounds of :data:`KEPT` stay, unless ``--all`` lifts them too. pip's own
variables hold, such as ``PIP_INDEX_URL`` or ``PIP_PRE`` for what is not released yet.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Dict, Iterable, List

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

# whose upper bounds are known to be needed: pkg_resources, an assertion of mmaction2, a second OpenCV
KEPT = ('setuptools', 'mmcv-lite', 'grad-cam')
NOT_INSTALLED = ('all', 'lint', 'docs')  # the first names the others, what checks the text of the code is no part of it
NAME = 'kaizen-mm'
# tests that are no part: of this file, of faults, and of pages, which the tests of commands and networks cover
PASSED_OVER = ('faults', 'docs', '__pycache__')


def project() -> dict:
    """The table ``project`` of ``pyproject.toml``."""
    return tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']


def parts(lift_all: bool = False) -> Dict[str, List[str]]:
    """What is installed, by extra, ``'core'`` first: requirements without upper bounds."""
    table = project()
    named = {'core': table['dependencies'], **table['optional-dependencies']}
    found = {
        part: [unbounded(text, () if lift_all else KEPT) for text in texts if Requirement(text).name != NAME]
        for part, texts in named.items()
        if part not in NOT_INSTALLED
    }
    return {part: texts for part, texts in found.items() if texts}


def unbounded(text: str, kept: Iterable[str] = KEPT) -> str:
    """A requirement without its upper bounds and exact versions."""
    requirement = Requirement(text)
    if canonicalize_name(requirement.name) not in kept:
        lower = [
            f'>={s.version}' if s.operator == '==' else str(s)
            for s in requirement.specifier
            if s.operator in ('==', '>=', '>', '!=')
        ]
        requirement.specifier = SpecifierSet(','.join(sorted(lower)))
    return str(requirement)


def beyond(installed: Dict[str, str]) -> List[str]:
    """A line for each package whose version ``pyproject.toml`` does not allow.

    Args:
        installed: Versions, by canonical name.
    """
    table = project()
    texts = [*table['dependencies'], *(text for texts in table['optional-dependencies'].values() for text in texts)]
    lines = []
    for requirement in map(Requirement, texts):
        version = installed.get(canonicalize_name(requirement.name))
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            lines.append(f'{requirement.name} {version} is beyond {requirement.specifier}')
    return sorted(set(lines))


def verdict(part: str, output: str, status: int) -> str:
    """One line about the tests of a part, from what pytest printed."""
    counts = re.findall(r'^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s', output, re.MULTILINE)
    said = counts[-1] if counts else 'nothing was counted'
    if status == 0:
        return f'{part}: ok, {said}'
    if status == 5:
        return f'{part}: no quick tests'
    causes = re.findall(r'^(?:FAILED|ERROR) (.+)$', output, re.MULTILINE) or re.findall(
        r'^E +(.+)$', output, re.MULTILINE
    )
    cause = causes[0] if causes else (output.strip().splitlines() or [f'exit status {status}'])[-1]
    return f'{part}: BREAKS, {said}; first: {cause[:300]}'


def test_folders() -> List[str]:
    """The folders of tests, and ``.`` for the files beside them, as names of parts."""
    folders = [path.name for path in (ROOT / 'tests').iterdir() if path.is_dir() and list(path.rglob('test_*.py'))]
    return [*sorted(name for name in folders if name not in PASSED_OVER), '.']


def paths_of(part: str) -> List[str]:
    """What pytest is to run for a part."""
    if part != '.':
        return [f'tests/{part}']
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'tests').glob('test_*.py'))


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.newest', description=__doc__)
    parser.add_argument('--all', action='store_true', help=f'also without the upper bounds of {", ".join(KEPT)}')
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=test_folders(),
        default=test_folders(),
        metavar='PART',
        help='folders of tests; default all',
    )
    parser.add_argument('--folder', type=Path, help='keep the environment there; default a temporary one')
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        python = folder / 'bin' / 'python'
        if not python.exists():
            venv.create(folder, with_pip=True)
        environment = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'KAIZEN_DATA')}
        environment.update(OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')

        def run(*words: str) -> subprocess.CompletedProcess:
            return subprocess.run(
                [str(python), *words],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

        broken = 0
        for part, requirements in {**parts(args.all), 'the package': ['--no-deps', '-e', str(ROOT)]}.items():
            done = run('-m', 'pip', 'install', '--quiet', *requirements)
            if done.returncode:
                broken += 1
                errors = re.findall(r'^ERROR: (.+)$', done.stdout, re.MULTILINE) or done.stdout.strip().splitlines()
                print(f'install {part}: BREAKS, {errors[-1][:300]}', flush=True)
            else:
                print(f'install {part}: ok', flush=True)
        listed = json.loads(run('-m', 'pip', 'list', '--format', 'json').stdout.splitlines()[0])
        for line in beyond({canonicalize_name(entry['name']): entry['version'] for entry in listed}):
            print(line, flush=True)
        for part in args.parts:
            done = run('-m', 'pytest', '-q', '-m', 'not slow', '-p', 'no:cacheprovider', '-n', '2', *paths_of(part))
            broken += done.returncode not in (0, 5)
            print(verdict(part, done.stdout, done.returncode), flush=True)
        print('nothing breaks' if not broken else f'{broken} parts break')
    return int(bool(broken))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
