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
from mmengine.config import DictAction

import kaizen_mm
from kaizen_mm.__main__ import main as commands
from kaizen_mm.commands import convert_checkpoint, export, prepare_data, reproduce
from kaizen_mm.commands.arguments import add_cfg_options, config_file, positive
from kaizen_mm.commands.options import KeyValues, read_value
from kaizen_mm.data.video_readers import READERS
from kaizen_mm.export import FORMATS
from kaizen_mm.models.convert import RELEASES
from tests.conftest import ROOT

SCRIPTS = dict(
    re.findall(
        r'^kaizen-([a-z-]+) = "kaizen_mm\.commands\.(\w+):main"$',
        (ROOT / 'pyproject.toml').read_text(),
        flags=re.MULTILINE,
    )
)
SHARED = {'arguments', 'completion', 'errors', 'options'}  # modules of the commands that are none themselves


def test_every_command_has_both_scripts():
    there = {path.stem for path in (ROOT / 'kaizen_mm' / 'commands').glob('[!_]*.py')} - SHARED
    assert there == set(SCRIPTS.values()) == {path.stem for path in (ROOT / 'tools').glob('*.py')}
    assert all(script.replace('-', '_') == command for script, command in SCRIPTS.items())


@pytest.mark.parametrize('command', SCRIPTS.values())
def test_both_run_the_same_function(command):
    main = importlib.import_module(f'kaizen_mm.commands.{command}').main
    assert runpy.run_path(str(ROOT / 'tools' / f'{command}.py'))['main'] is main
    with pytest.raises(SystemExit) as stopped:
        main(['--help'])
    assert stopped.value.code == 0


# what takes long to import, or comes with a part of the package alone
HEAVY = ('torch', 'numpy', 'matplotlib', 'rich', 'mmengine', 'mmcv', 'mmaction', 'mmpretrain', 'timm', 'av', 'decord')


@pytest.mark.parametrize('command', SCRIPTS.values())
def test_help_imports_nothing_heavy_and_has_an_example(command):
    code = (
        'import sys\n'
        f'from kaizen_mm.commands.{command} import main\n'
        'try:\n    main(["--help"])\n'
        'finally:\n    print("imported:", *sys.modules)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.partition('imported:')
    assert not set(HEAVY) & set(modules.split())
    script = f'kaizen-{command.replace("_", "-")}'
    assert re.search(rf'^    {script} \S', text, flags=re.MULTILINE), text


def test_the_package_lists_its_commands(capsys):
    assert commands([]) == 0
    listed = capsys.readouterr().out
    for script, command in SCRIPTS.items():
        sentence = importlib.import_module(f'kaizen_mm.commands.{command}').__doc__.splitlines()[0]
        assert re.search(rf'^  kaizen-{script} +{re.escape(sentence)}', listed, flags=re.MULTILINE)
    assert commands(['--help']) == 0 and capsys.readouterr().out == listed
    assert commands(['trian']) == 2 and "no command 'trian'; there are advise, " in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        commands(['train', '--help'])
    assert stopped.value.code == 0 and 'kaizen-train' in capsys.readouterr().out


def test_choices_are_those_of_what_does_the_work():
    assert tuple(RELEASES) == convert_checkpoint.KINDS
    assert tuple(FORMATS) == export.ENDINGS
    assert tuple(READERS) == prepare_data.READERS


@pytest.mark.parametrize(
    'text',
    [
        '3', '-3', '1e-3', '1.0', 'True', 'false', 'None', 'none', 'bn2', '', '1_000', 'nan', "'quoted'", '"2"',
        '1,2', 'a,', '[]', '()', '[1]', '(3,)', '[(1,2),a]', '[[1,2],[3]]', '((1,2),True)', 'layer3.0',
        '[0-9]*.mp4', 'a(b', 'kaizen_mm::mnist.py', 'x=y', 'dict(a=1)', '[1, 2]', '( 1 , b )',
    ],
)  # fmt: skip
def test_values_are_those_of_mmengine(text):
    def read(action):
        parser = argparse.ArgumentParser()
        parser.add_argument('--options', nargs='+', action=action)
        return parser.parse_args(['--options', 'before=1', f'key={text}']).options

    theirs, ours = read(DictAction), read(KeyValues)
    assert repr(ours) == repr(theirs) and type(ours['key']) is type(theirs['key'])


def test_values_that_mmengine_reads_otherwise():
    assert read_value('my videos/a b.mp4') == 'my videos/a b.mp4'  # without its spaces
    assert read_value('(1,2),(3,4)') == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    'word, message',
    [
        ('train_cfg.max_epochs', r"--cfg-options: must be KEY=VALUE, got 'train_cfg.max_epochs'"),
        ('=3', "must be KEY=VALUE, got '=3'"),
        ('size=[1,2', r"size: brackets do not match in '\[1,2'"),
        ('size=(1,2]', 'size: brackets do not match'),
        ('size=1),2', 'size: brackets do not match'),
    ],
)
def test_options_that_cannot_be_read(word, message, capsys):
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a=1', word])
    assert re.search(message, capsys.readouterr().err)


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
