"""Trainings of both phases that are killed and taken up again: they must end with the weights of one that was not."""

import os
import random
import signal
import subprocess
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, List, Optional

from mmengine.fileio import LocalBackend

from tests.faults.case import Case
from tests.faults.samples import IMAGE, MNIST, VIDEO, Samples, train
from tests.tools.test_training import assert_same_weights

RANDOM_MOMENTS = 10  # of each kind
ENDS = (Path('phase_one', 'epoch_2.pth'), Path('epoch_2.pth'))


class Kind:
    """A training of both phases: how it is started, and how one that is not killed goes."""

    def __init__(self, name: str, config: Path, options: List[str], folder: Path):
        self.name, self.config, self.options, self.folder = name, config, options, folder

    def start(self, work: Path) -> None:
        train(self.config, '--work-dir', work, '--no-validate', '--resume', '--cfg-options', *self.options)

    def measure(self) -> None:
        """Trains without a kill, and notes the seconds and what is written."""
        started, notes = time.monotonic(), self.folder / 'events.txt'
        forked(partial(self.start, self.folder), watch=partial(noting, notes))
        self.seconds, self.events = time.monotonic() - started, notes.read_text().splitlines()


def kinds(samples: Samples) -> List[Kind]:
    return [
        Kind('image', MNIST, IMAGE, samples.folder / 'image_run'),
        Kind('video', samples.video_config, VIDEO, samples.folder / 'video_run'),
    ]


def kills(samples: Samples) -> Iterator[Case]:
    draw = random.Random(0)
    for kind in kinds(samples):
        kind.folder.mkdir()
        kind.measure()
        for _ in range(RANDOM_MOMENTS):
            moment = draw.uniform(0, 0.95) * kind.seconds
            yield Case(
                'kills at random',
                f'{kind.name}, after {moment:.1f} of {kind.seconds:.1f} s',
                'accepted',
                '',
                partial(_kill_after, kind, moment),
                timeout=300,
            )
        for number, event in enumerate(kind.events):
            for when in ('before', 'after'):
                yield Case(
                    'kills around a write',
                    f'{kind.name}, {when} {event}',
                    'accepted',
                    '',
                    partial(_kill_at, kind, number, when),
                    timeout=300,
                )


def _kill_after(kind: Kind, seconds: float, folder: Path) -> None:
    forked(partial(kind.start, folder / 'work'), kill_after=seconds)
    _go_on(kind, folder)


def _kill_at(kind: Kind, number: int, when: str, folder: Path) -> None:
    forked(partial(kind.start, folder / 'work'), watch=partial(dying, number, when))
    assert not all((folder / 'work' / path).exists() for path in ENDS) or number >= len(kind.events) - 3, (
        'it was not killed'
    )
    _go_on(kind, folder)


def _go_on(kind: Kind, folder: Path) -> None:
    assert forked(partial(kind.start, folder / 'work')) == 0, 'it does not go on'
    for path in ENDS:
        assert_same_weights(folder / 'work' / path, kind.folder / path)


def forked(act: Callable, watch: Optional[Callable] = None, kill_after: Optional[float] = None) -> int:
    """Does something in a process group of its own; returns its status, negative where it was killed."""
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        status = 1
        try:
            if watch is not None:
                watch()
            act()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        for stop in (os.killpg, os.kill):
            try:
                stop(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    subprocess.run(['pkill', '-KILL', '-g', str(process)])  # data workers
    return status


def noting(file: Path) -> None:
    """Writes down each time that a file of a training takes its name or goes."""
    _on_events(lambda event, act: (act(), _append(file, event)))


def dying(number: int, when: str) -> None:
    """Dies before or after one of these."""
    seen = []

    def event(name, act):
        seen.append(name)
        last = len(seen) - 1 == number
        if last and when == 'before':
            os.kill(os.getpid(), signal.SIGKILL)
        act()
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    _on_events(event)


def _on_events(notice: Callable) -> None:
    replace, remove = os.replace, LocalBackend.remove

    def replacing(source, target, **kwargs):
        if Path(target).suffix == '.pth' or Path(target).name in ('last_checkpoint', 'training.json'):
            notice(f'{Path(target).parent.name}/{Path(target).name}', partial(replace, source, target, **kwargs))
        else:
            replace(source, target, **kwargs)

    def removing(self, path):
        notice(f'the removal of {Path(path).name}', partial(remove, self, path))

    os.replace, LocalBackend.remove = replacing, removing


def _append(file: Path, line: str) -> None:
    with file.open('a') as lines:
        lines.write(f'{line}\n')
