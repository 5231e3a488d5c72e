"""What the programs on the pages do in the tests.

``python`` runs scripts, modules and ``-c``, console scripts of this project their functions, in this process. A
launcher runs the one process that it would start first. What needs a network, a screen or minutes is replaced by a
check of its words.
"""

import os
import re
import runpy
import shutil
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import List
from urllib.parse import urlparse

from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.docs import small_world

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
SCRIPTS = PROJECT.get('scripts', {})
CLONED = ('Makefile', 'configs', 'pyproject.toml', 'tools')


def run(name: str, words: List[str]) -> None:
    """Runs a program of a page in this process, which ends with it."""
    words = small_world.fewer_seeds(words)
    if name in SCRIPTS:
        words = small_world.quick_benchmarks(words) if name == 'kaizen-benchmark' else words
        module, _, function = SCRIPTS[name].partition(':')
        sys.argv = [name, *words]
        sys.exit(getattr(import_module(module), function)())
    PROGRAMS[name](words)


def python(words: List[str]) -> None:
    while words[0] in ('-W', '-u', '-X'):
        words = words[1 if words[0] == '-u' else 2 :]
    first, *rest = words
    if first == '-c':
        sys.argv, sys.path[:0] = ['-c', *rest[1:]], [os.getcwd()]
        exec(compile(rest[0], '<string>', 'exec'), {'__name__': '__main__'})
    elif first == '-m' and rest[0] in MODULES:
        MODULES[rest[0]](rest[1:])
    elif first == '-m':
        sys.argv, sys.path[:0] = rest, [os.getcwd()]
        runpy.run_module(rest[0], run_name='__main__', alter_sys=True)
    else:
        words = [first, *small_world.quick_benchmarks(rest)] if Path(first).name == 'benchmark.py' else words
        sys.argv, sys.path[:0] = words, [str(Path(first).resolve().parent)]
        runpy.run_path(first, run_name='__main__')


def torchrun(words: List[str]) -> None:
    from torch.distributed.run import get_args_parser, main

    if '--standalone' in words:  # what a tool starts, and not a page
        main(words)
        return
    args = get_args_parser().parse_args(words)
    assert int(args.nproc_per_node) >= 1 and int(args.nnodes) >= 1
    first_process([args.training_script, *args.training_script_args])


def srun(words: List[str]) -> None:
    start = next(i for i, word in enumerate(words) if Path(word).name == 'python')
    options = dict(word.lstrip('-').split('=', 1) for word in words[:start] if '=' in word)
    assert words[0] == '-p' and int(options['ntasks']) >= 1 and words.count('slurm') == 1
    first_process(['pytorch' if word == 'slurm' else word for word in words[start + 1 :]])


def first_process(words: List[str]) -> None:
    """Runs a script as the first process of a group that is complete with it."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    os.environ.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    python(small_world.without_gpu(words))


def pip(words: List[str]) -> None:
    """Looks whether the requirements of ``pip install`` are ones, with extras that this project has."""
    command, *words = [word for word in words if word not in ('-q', '--quiet', '--upgrade', '-y')]
    assert command in ('install', 'uninstall'), command
    for word in words:
        if word == '-e':
            continue
        requirement = Requirement(re.sub(r'^\.(?=\[|$)', PROJECT['name'], word))
        if requirement.name.replace('_', '-') == PROJECT['name']:
            unknown = requirement.extras - PROJECT['optional-dependencies'].keys()
            assert not unknown, f'{word}: {PROJECT["name"]} has no extras {unknown}'


def pytest(words: List[str]) -> None:
    """Collects instead of running; a part where all tests would be collected."""
    from pytest import main  # noqa: PT013

    os.chdir(ROOT)
    paths = [word for word in words if word.startswith('tests')]
    sys.exit(main([*words, '--collect-only', '-q', '-p', 'no:cacheprovider', *([] if paths else ['tests/losses'])]))


def git(words: List[str]) -> None:
    """``git clone ADDRESS FOLDER``, of what the pages use of the repository."""
    command, address, folder = words
    assert command == 'clone' and (urlparse(address).scheme == 'https' or re.fullmatch(r'[A-Z_]+', address)), words
    clone(Path(folder), Path('.venv', 'bin').resolve())
    for name in ('data', 'path'):  # the reader has data in the clone
        Path(folder, name).symlink_to(Path(name).resolve())


def clone(folder: Path, programs: Path) -> None:
    """Writes what the pages use of a clone, installed, with ``programs`` in its environment."""
    for name in CLONED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                folder / name,
                dirs_exist_ok=True,
                symlinks=False,
                ignore=shutil.ignore_patterns('__pycache__'),
            )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / 'docs').mkdir(exist_ok=True)
    if (ROOT / 'docs' / 'when_it_helps_in_full.md').exists():  # which a tool writes into
        shutil.copy(ROOT / 'docs' / 'when_it_helps_in_full.md', folder / 'docs')
    shutil.copytree(programs, folder / '.venv' / 'bin', dirs_exist_ok=True)
    (folder / '.venv' / 'bin' / 'activate').touch()
    (folder / '.venv' / '.installed').touch()


def tensorboard(words: List[str]) -> None:
    """Looks for what it would show."""
    option, folder = words
    assert option == '--logdir' and list(Path(folder).rglob('events.out.tfevents.*')), words


def chromium(words: List[str]) -> None:
    """Looks whether the page is there."""
    assert Path(urlparse(words[-1]).path).is_file(), words


def known(*commands: str):
    """A developer's program, whose words must be among these."""

    def check(words: List[str]) -> None:
        line = ' '.join(words)
        assert any(re.fullmatch(command, line) for command in commands), f'{line} is none of {commands}'

    return check


mkdocs = known('build --strict', 'serve')
MODULES = {
    'torch.distributed.run': torchrun,
    'pip': pip,
    'pytest': pytest,
    'venv': known(r'\S+'),
    'tests.changed': known(''),  # which are none: the tests of a clone are not run
}
PROGRAMS = {
    'python': python,
    'python3': python,
    'pip': pip,
    'pytest': pytest,
    'git': git,
    'srun': srun,
    'tensorboard': tensorboard,
    'chromium': chromium,
    'mkdocs': mkdocs,
    'ruff': known('check', 'format --check'),
    'mypy': known(''),
}
