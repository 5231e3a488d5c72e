"""A log that begins with a few lines.

mmengine's runner logs the environment, the whole config, all hooks and the options of every parameter before the first
iteration, close to a thousand lines. Here they go to a file beside the log.
"""

import logging
import re
from contextlib import suppress
from typing import Any

from mmengine.dist import is_main_process

from kaizen_mm.former_places import former_name
from kaizen_mm.text import printable

DETAILS = 'details.txt'
# how the messages begin that are for looking something up, not for reading along
_FOR_DETAILS = (
    '\n-----',
    'Config:',
    'Hooks will be executed',
    'paramwise_options --',
    'Exp name:',
    '"FileClient" will be',
    '"HardDiskBackend" is',
    'Distributed training is not used, all SyncBatchNorm',
    'Resumed iteration number is not divisible',  # what is lost, if anything, is said by training/accumulation.py
)
_FROZEN = 'is skipped since its requires_grad=False'  # W_1
_MISMATCH = 'The model and loaded state dict do not match exactly'


class DetailsFilter(logging.Filter):
    """Takes what is long out of a log and writes it to a file, of the first process alone; what is left is
    :func:`~kaizen_mm.text.printable`.

    Args:
        path: The file.
    """

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def filter(self, record: logging.LogRecord) -> bool:
        message = printable(record.getMessage(), keep='\n\t')
        if message != record.getMessage():  # names in it are from outside, the terminal obeys what it gets
            record.msg, record.args = message, ()
        if message.startswith(_MISMATCH):
            self._write(message)
            record.msg, record.args = _in_one_line(message), ()
            if 'as expected' in record.msg:
                record.levelno, record.levelname = logging.INFO, 'INFO'
        elif message.startswith(_FOR_DETAILS) or message.endswith(_FROZEN):
            self._write(message)
            return False
        return True

    def _write(self, message):
        if is_main_process():
            # as of other logs: what cannot be written does not end the training
            with suppress(OSError), open(self.path, 'a', encoding='utf-8') as file:
                file.write(f'{message.strip()}\n\n' if '\n' in message else f'{message}\n')


# what a person who reads along need not see; it is in the file of the log
_FOR_THE_FILE = ('Saving checkpoint at', 'Checkpoints will be saved to', 'Loads checkpoint by')
_LINE = re.compile(r'(?:\[ *\d+\])?\[ *(\d+)/(\d+)\]')  # of a training: epoch, iteration and iterations
LONG = 60.0  # seconds


class TerminalFilter(logging.Filter):
    """Leaves one line an epoch of training to the terminal, or one a minute where an epoch takes longer, and no line
    for each checkpoint. The file of the log has them all."""

    def __init__(self):
        super().__init__()
        self._last = 0.0  # when a line of training was left

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        line = _LINE.match(message.lstrip())
        if line is None:
            return not message.startswith(_FOR_THE_FILE)
        if line[1] == line[2] or record.created - self._last >= LONG:
            self._last = record.created
            return True
        return False


def _in_one_line(message: str) -> str:
    """``h`` is what a checkpoint of phase one lacks; anything else is worth a warning."""
    listed = {
        kind: keys.split(', ')
        for kind, keys in re.findall(r'(unexpected key|missing keys) in source state_dict: (.*)', message)
    }
    missing, unexpected = listed.get('missing keys', []), listed.get('unexpected key', [])
    h = [key for key in missing if '.adapter.' in f'.{key}']
    if h and len(h) == len(missing) and not unexpected:
        places = sorted({key.partition('.adapter.')[0] for key in h})
        return (
            f'The checkpoint has no h, as expected of phase one: {", ".join(places)}.adapter starts new ({len(h)} '
            f'tensors)'
        )
    return (
        f'The checkpoint lacks {len(missing)} tensors of the network{_first(missing)} and has {len(unexpected)} others'
        f'{_first(unexpected)}; all are listed in {DETAILS}'
    )


def _first(keys) -> str:
    return f' ({", ".join(keys[:2])}{", ..." if len(keys) > 2 else ""})' if keys else ''


def __getattr__(name: str) -> Any:
    return former_name(__name__, name)
