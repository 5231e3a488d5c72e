"""Errors of commands: one line where they are raised on purpose, the stack where they are not."""

import sys
import warnings
from pathlib import Path

import pytest
import torch

from kaizen_mm.arguments import check_int
from kaizen_mm.commands.errors import VARIABLE, command, on_purpose


def raised(act) -> BaseException:
    try:
        act()
    except BaseException as error:
        return error
    raise AssertionError('nothing was raised')


def of_a_registry():
    from mmpretrain.registry import MODELS

    MODELS.build(dict(type='NoSuchNetwork'))


@pytest.mark.parametrize(
    'act, expected',
    [
        (lambda: check_int('n', 0), True),
        (lambda: Path('/nowhere').read_text(), True),
        (of_a_registry, True),
        (lambda: torch.zeros(2) @ torch.zeros(3), False),
        (lambda: None.a, False),
        (lambda: {}['a'], False),
        (lambda: ().index(1), False),
        (lambda: int('x'), False),
        (lambda: 1 / 0, False),
        (lambda: b'\xff'.decode(), False),
        (lambda: sys.exit(3), False),
    ],
)
def test_what_is_on_purpose(act, expected):
    assert on_purpose(raised(act)) == expected


def test_one_line_and_status_2_from_a_shell_and_the_error_from_python(monkeypatch, capsys):
    def main(argv=None):
        check_int('epochs', 0)

    wrapped = command(main)
    with pytest.raises(SystemExit) as ended:
        wrapped()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == ['error: epochs must be an int >= 1, got 0']
    with pytest.raises(ValueError, match='epochs'):
        wrapped([])
    monkeypatch.setenv(VARIABLE, '1')
    with pytest.raises(ValueError, match='epochs'):
        wrapped()


def test_a_fault_of_the_program_keeps_its_stack():
    wrapped = command(lambda argv=None: None.a)
    with pytest.raises(AttributeError):
        wrapped()


@pytest.mark.parametrize(
    'words, message',
    [
        (['train.py', 'nowhere.py'], 'nowhere.py'),
        (
            ['compare.py', 'kaizen_mm::mnist.py', 'kaizen_mm::mnist_control.py', '--work-dir', 'work'],
            'kaizen must be a',
        ),
        (['test.py', 'kaizen_mm::mnist.py', 'nowhere.pth'], 'nowhere.pth'),
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize('way', ['tools', 'python -m kaizen_mm'])
def test_commands(run, way, words, message):
    from tests.tools.test_training import TOOLS

    program = [TOOLS / words[0]] if way == 'tools' else ['-m', 'kaizen_mm', words[0].removesuffix('.py')]
    output = run(sys.executable, *program, *words[1:], status=2)
    assert 'Traceback' not in output
    assert output.splitlines()[-1].startswith('error: ') and message in output.splitlines()[-1]


def test_one_warning_of_mmcv_is_left_out_in_commands_alone():
    message = 'Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops.multi_scale_deform_attn``, install mmcv'

    def warn(argv=None):
        warnings.warn(message, stacklevel=1)
        warnings.warn('Fail to import something else', stacklevel=1)

    with pytest.warns() as seen:
        command(warn)([])
    assert [str(warning.message) for warning in seen] == ['Fail to import something else']
    with pytest.warns() as seen:
        warn()
    assert len(seen) == 2, 'other programs have their warnings'
