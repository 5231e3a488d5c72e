"""Every command has a console script and a script in tools/ that run the same function; configs are found by name."""

import argparse
import importlib
import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kaizen_mm
from kaizen_mm.commands import reproduce
from kaizen_mm.commands.arguments import config_file, positive
from tests.conftest import ROOT

SCRIPTS = dict(
    re.findall(
        r'^kaizen-([a-z-]+) = "kaizen_mm\.commands\.(\w+):main"$',
        (ROOT / 'pyproject.toml').read_text(),
        flags=re.MULTILINE,
    )
)
SHARED = {'arguments'}  # modules of the commands that are none themselves


def test_every_command_has_both_scripts():
    commands = {path.stem for path in (ROOT / 'kaizen_mm' / 'commands').glob('[!_]*.py')} - SHARED
    assert commands == set(SCRIPTS.values()) == {path.stem for path in (ROOT / 'tools').glob('*.py')}
    assert all(script.replace('-', '_') == command for script, command in SCRIPTS.items())


@pytest.mark.parametrize('command', SCRIPTS.values())
def test_both_run_the_same_function(command):
    main = importlib.import_module(f'kaizen_mm.commands.{command}').main
    assert runpy.run_path(str(ROOT / 'tools' / f'{command}.py'))['main'] is main
    with pytest.raises(SystemExit) as stopped:
        main(['--help'])
    assert stopped.value.code == 0


def test_a_config_by_name_or_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Path(config_file('kaizen_mm::mnist.py'))
    assert found.is_absolute() and found.read_text() == (ROOT / 'configs' / 'mnist.py').read_text()
    Path('mnist.py').touch()
    assert config_file('mnist.py') == 'mnist.py'
    with pytest.raises(argparse.ArgumentTypeError, match='no file configs/mnist_big.py; .* is kaizen_mm::mnist_big.py'):
        config_file('configs/mnist_big.py')
    with pytest.raises(argparse.ArgumentTypeError, match="no config 'mnist_bg.py'; near it: .*mnist_big.py"):
        config_file('kaizen_mm::mnist_bg.py')
    assert config_file('of_nobody.py') == 'of_nobody.py'  # what reads it says that it is not there


def test_counts_are_positive():
    assert positive('3') == 3
    with pytest.raises(argparse.ArgumentTypeError, match='must be an int >= 1, got 0'):
        positive('0')


def test_the_page_needs_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kaizen_mm, '__file__', str(tmp_path / 'kaizen_mm' / '__init__.py'))
    with pytest.raises(SystemExit):
        reproduce.main(['page'])
    assert 'page needs a checkout of the repository' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Folder with a wheel and the sdist that it was built from."""
    folder = tmp_path_factory.mktemp('dist')
    done = subprocess.run(
        [sys.executable, '-m', 'build', '--no-isolation', '--outdir', folder, ROOT],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': ''},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def files(*folders: str) -> set:
    """The files of the checkout in some of its folders."""
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts and 'kaizen_mm/.mim' not in str(path)
    }


def test_the_wheel_carries_the_package_and_what_mim_looks_for(built):
    with zipfile.ZipFile(next(built.glob('*.whl'))) as wheel:
        names = {name for name in wheel.namelist() if '.dist-info/' not in name}
    brought = {f'kaizen_mm/.mim/{name}' for name in files('configs', 'tools') if not name.endswith('.md')}
    assert names == files('kaizen_mm') | brought | {'kaizen_mm/.mim/model-index.yml'}


def test_the_sdist_carries_all(built):
    with tarfile.open(next(built.glob('*.tar.gz'))) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    single = {'LICENSE', 'Makefile', 'README.md', 'model-index.yml', 'pyproject.toml'}
    assert files('configs', 'docs', 'kaizen_mm', 'results', 'tests', 'tools') | single <= names
