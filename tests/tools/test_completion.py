"""A shell asks the commands how a word goes on, as argcomplete's own shell code does."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def asked(line, folder, extra=''):
    """What a shell would be told at the end of a command line, and the exit status."""
    answer = folder / 'answer'
    name = line.split()[0].removeprefix('kaizen-').replace('-', '_')
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, [extra, str(ROOT), os.environ.get('PYTHONPATH')])),
        '_ARGCOMPLETE': '1',
        '_ARGCOMPLETE_IFS': '\n',
        '_ARGCOMPLETE_SUPPRESS_SPACE': '1',
        '_ARGCOMPLETE_STDOUT_FILENAME': str(answer),
        '_ARGCOMPLETE_COMP_WORDBREAKS': ' ',
        'COMP_LINE': line,
        'COMP_POINT': str(len(line)),
    }
    code = f'import sys; from kaizen_mm.commands.{name} import main; sys.exit(main())'
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, env=environment, capture_output=True, timeout=120)
    return answer.read_text().split('\n') if answer.exists() else None, done.returncode


@pytest.mark.parametrize(
    'line, expected',
    [
        ('kaizen-train kaizen_mm::kaizen_mnist_k', [f'kaizen_mm::kaizen_mnist_k{k}.py' for k in (2, 3, 4)]),
        ('kaizen-report kaizen_mm::kaizen_mnist_k4', ['kaizen_mm::kaizen_mnist_k4.py']),
        ('kaizen-predict --config kaizen_mm::kaizen_mnist_k4', ['kaizen_mm::kaizen_mnist_k4.py']),
        ('kaizen-train own', ['own.py']),
        ('kaizen-train own.py --res', ['--resume']),
        ('kaizen-benchmark str', ['stream']),
    ],
)
def test_words_go_on(line, expected, tmp_path):
    pytest.importorskip('argcomplete')
    (tmp_path / 'own.py').touch()
    answer, status = asked(line, tmp_path)
    assert [word.strip() for word in answer] == expected and status == 0


def test_without_argcomplete_nothing_is_completed_and_the_command_is_what_it_is(tmp_path):
    (tmp_path / 'missing').mkdir()
    (tmp_path / 'missing' / 'argcomplete.py').write_text('raise ModuleNotFoundError("argcomplete")\n')
    assert asked('kaizen-train kaizen_mm::kaizen_mnist_k', tmp_path, str(tmp_path / 'missing')) == (None, 2)
