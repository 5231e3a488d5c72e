"""A fault, what it is expected to do, and what it did."""

import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from multiprocessing import forkserver
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional, Sequence

TIMEOUT = 30.0  # seconds for one fault
# an error of another type has been met by chance, such as AttributeError
NAMED_ERRORS = (ValueError, TypeError, OSError, RuntimeError, ImportError, FloatingPointError, SystemExit)


class Case(NamedTuple):
    """A fault.

    Args:
        family: What it is a fault in.
        name: Which one, for people.
        expected: ``'error'``: an error of a type for such errors; ``'refused'``: what is at fault is left out and
            named, the rest goes on; ``'warned'``: it goes on and says something; ``'accepted'``: it is no fault;
            ``'error or accepted'``: damage that may or may not be one.
        pattern: A regular expression that must be found in the error, or in what is returned or printed.
        act: Does it, in an empty folder; returns text for ``pattern`` or None. An AssertionError in it says that what
            should hold does not.
        timeout: Seconds.
    """

    family: str
    name: str
    expected: str
    pattern: str
    act: Callable[[Path], Optional[str]]
    timeout: float = TIMEOUT


class Outcome(NamedTuple):
    """What a fault did: ``seen`` is ``'error'``, ``'unnamed error'``, ``'returned'``, ``'wrong'`` (a failed assertion),
    ``'died'`` or ``'hung'``."""

    case: Case
    seen: str
    text: str
    seconds: float

    @property
    def verdict(self) -> str:
        """``'as expected'``, or what is wrong: silent, another message, unnamed error, wrong, died, hung, error."""
        matches = re.search(self.case.pattern, self.text, re.DOTALL) is not None
        if (self.case.expected.startswith('error') and self.seen == 'error') or self.case.expected == 'error':
            if self.seen == 'error':
                return 'as expected' if matches else 'another message'
            return 'silent' if self.seen == 'returned' else self.seen
        if self.seen == 'returned':
            return 'as expected' if matches else 'silent'
        return self.seen


def try_all(cases: Sequence[Case], folder: Path, jobs: int = 1) -> Iterator[Outcome]:
    """Tries faults, ``jobs`` at a time, each in a forked process; yields outcomes as they end."""
    context = multiprocessing.get_context('fork')
    waiting, running = list(enumerate(cases)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            number, case = waiting.pop(0)
            place = folder / f'{number:03}'
            place.mkdir(parents=True)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_act, args=(case, place, sender))
            process.start()
            sender.close()
            running[process] = (case, place, receiver, time.monotonic())
        time.sleep(0.01)
        for process, (case, place, receiver, start) in list(running.items()):
            seconds = time.monotonic() - start
            answered = receiver.poll()
            if process.is_alive() and seconds < case.timeout and not answered:
                continue
            del running[process]
            yield _outcome(process, case, place, receiver, seconds)


def _outcome(process, case, place, receiver, seconds) -> Outcome:
    output = place.with_suffix('.txt')
    try:
        seen, text = receiver.recv() if receiver.poll() else ('hung' if process.is_alive() else 'died', '')
    except EOFError:
        seen, text = 'died', ''
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.join()
    printed = output.read_text(errors='replace') if output.exists() else ''
    if seen in ('hung', 'died'):
        text = f'exit code {process.exitcode}\n{printed[-2000:]}'
    elif seen == 'returned':
        text = f'{text}\n{printed}'
    shutil.rmtree(place, ignore_errors=True)
    return Outcome(case, seen, text, seconds)


def is_named(error: BaseException) -> bool:
    """Whether an error has been raised on purpose, as far as its type tells."""
    if isinstance(error, KeyError):  # mmengine's registries say with one which names they have
        return 'registry' in str(error)
    return isinstance(error, NAMED_ERRORS) and not isinstance(error, UnicodeError)


def _forget_fork_server() -> None:
    """The server that the parent may have started is no child of this process, which cannot wait for it."""
    server = forkserver._forkserver
    server._forkserver_pid = server._forkserver_address = server._forkserver_alive_fd = None


def _act(case: Case, place: Path, sender) -> None:
    os.setsid()
    _forget_fork_server()
    descriptor = os.open(place.with_suffix('.txt'), os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = os.fdopen(1, 'w', buffering=1)
    os.chdir(place)
    warnings.resetwarnings()
    try:
        sender.send(('returned', str(case.act(place))))
    except AssertionError as error:
        sender.send(('wrong', f'{error}\n{traceback.format_exc()[-1500:]}'))
    except SystemExit as error:
        sys.stdout.flush()
        printed = place.with_suffix('.txt').read_text(errors='replace')
        sender.send(('error' if error.code else 'returned', f'exit {error.code}: {printed[-3000:]}'))
    except BaseException as error:
        sender.send(('error' if is_named(error) else 'unnamed error', f'{type(error).__name__}: {error}'))
    sys.stdout.flush()
    os._exit(0)
