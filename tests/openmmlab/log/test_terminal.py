"""What the terminal shows of a training, beside the file of its log."""

import io
import logging
import sys

import pytest

from kaizen_mm.openmmlab.log.progress import ProgressBarHook
from kaizen_mm.openmmlab.log.tidy_log import LONG, TerminalFilter
from tests.openmmlab.toy import toy_runner

LINES = [
    ' [1][20/60] 06:02  loss 1.41',
    ' [1][60/60] 06:02  loss 1.41',
    '[10][1/1]  loss 1.41',
    '[20/5000] 1 day, 11:15:20  loss 1.41',
    'Epoch(val) [6][1/10]',
    'Saving checkpoint at 1 epochs',
    'Checkpoints will be saved to here',
    'Loads checkpoint by local backend from path: here',
    'Load checkpoint from here',
    'the recurrence does nothing',
]


def shown(lines, seconds=0.0, created=1e9) -> list:
    terminal = TerminalFilter()
    terminal._last = created
    passed = []
    for number, line in enumerate(lines):
        record = logging.LogRecord('log', logging.INFO, '', 0, line, (), None)
        record.created = created + seconds * (number + 1)
        if terminal.filter(record):
            passed.append(line)
    return passed


def test_one_line_an_epoch_and_none_for_checkpoints():
    assert shown(LINES) == [LINES[1], LINES[2], LINES[4], *LINES[8:]]


def test_of_an_epoch_that_takes_long_there_is_a_line_a_minute():
    lines = [f'[1][{number}/1000]  loss 1' for number in range(20, 220, 20)]
    assert len(shown(lines, LONG)) == 10 and len(shown(lines, LONG / 2)) == 5 and not shown(lines, LONG / 20)


def test_the_file_has_all_lines(tmp_path, capsys):
    toy_runner(tmp_path, log_processor=dict(type='IterateLogProcessor')).train()
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('Saving checkpoint') == 2 and 'Checkpoints will be saved' in log
    assert 'Saving' not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('terminal, bars', [(True, True), (False, False)])
def test_a_bar_is_shown_on_a_terminal_alone_and_the_log_goes_above_it(terminal, bars, tmp_path, monkeypatch):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, 'stdout', stream)
    runner = toy_runner(tmp_path)
    hook = ProgressBarHook(terminal_only=True)
    runner.register_hook(hook)
    handlers = [handler for handler in runner.logger.handlers if type(handler) is logging.StreamHandler]
    before = [handler.stream for handler in handlers]
    runner.train()
    assert ('training' in stream.getvalue() and '100 %' in stream.getvalue()) == bars
    assert handlers and [handler.stream for handler in handlers] == before and sys.stdout is stream


def test_a_training_that_fails_gives_the_terminal_back_at_the_end(tmp_path, monkeypatch):
    registered = []
    monkeypatch.setattr('atexit.register', registered.append)
    monkeypatch.setattr(sys, 'stdout', Terminal())
    runner = toy_runner(tmp_path, model=dict(nan_at=1))
    hook = ProgressBarHook(terminal_only=True)
    runner.register_hook(hook)
    with pytest.raises(FloatingPointError):
        runner.train()
    assert registered == [hook._progress.stop]
    hook._stop()


def test_phase_one_has_a_bar_of_its_own_name():
    two = ProgressBarHook(terminal_only=True)
    one = two.for_phase_one()
    assert (one.training, two.training, one.terminal_only) == ('phase one', 'phase two', True)
