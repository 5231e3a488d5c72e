"""Several of one kind at once in one folder: one writes, the others are refused, and nothing is mixed."""

import json
import os
import re
import traceback
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple

import numpy as np
from PIL import Image

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.folder_lock import NAME
from tests.faults.case import Case
from tests.faults.samples import IMAGE, MNIST, Samples, tool, train
from tests.tools.test_training import assert_same_weights

NUMBERS = (2, 3, 8)
IN_USE = r'is being written to by process \d+ of host \S+, since 20'
TIMEOUT = 300.0


class Ended(NamedTuple):
    """How one of them ended, and what it printed."""

    status: int
    text: str


def concurrency(samples: Samples) -> Iterator[Case]:
    for number in NUMBERS:
        for name, act in (
            ('trainings', _trainings),
            ('preparations of a list', partial(_lists, samples)),
            ('predictions', partial(_predictions, samples)),
        ):
            yield Case('concurrency', f'{number} {name}', 'accepted', '', partial(act, number), timeout=TIMEOUT)
    for name, words in (
        ('comparisons', ['compare.py', MNIST, MNIST.with_name('mnist_control.py'), '--cfg-options', *IMAGE]),
        ('reproductions', ['reproduce.py', 'mnist_cheap', '--quick', '--seeds', 1, '--jobs', 1]),
    ):
        for number in NUMBERS:
            act = partial(_refused_beside_a_training, number, words)
            yield Case('concurrency', f'{number} {name} beside a training', 'accepted', '', act, timeout=TIMEOUT)


def at_once(number: int, act: Callable[[int], None], folder: Path) -> List[Ended]:
    """Does something in several processes at the same time; each is given its number."""
    children = []
    for own in range(number):
        output = folder / f'output_{own}.txt'
        child = os.fork()
        if child == 0:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os._exit(_status(act, own))
        children.append((child, output))
    return [Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), output.read_text()) for child, output in children]


def _status(act: Callable[[int], None], own: int) -> int:
    try:
        act(own)
    except SystemExit as error:
        return int(error.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _told(ended: List[Ended], otherwise: str = IN_USE) -> None:
    assert any(one.status == 0 for one in ended), [one.text[-500:] for one in ended]
    for one in ended:
        assert one.status == 0 or re.search(f'{IN_USE}|{otherwise}', one.text), one.text[-2000:]
        assert 'Traceback' not in one.text, one.text[-2000:]


def _trainings(number: int, folder: Path) -> None:
    def start(seed: int, work: str = 'work') -> None:
        train(MNIST, '--work-dir', work, '--no-validate', '--seed', seed, '--cfg-options', *IMAGE)

    # one that starts late finds what the first has trained
    _told(at_once(number, start, folder), 'holds a training of another config')
    seeds = {read_checkpoint(path)['meta']['seed'] for path in (folder / 'work').rglob('epoch_*.pth')}
    assert len(seeds) == 1, f'checkpoints of seeds {seeds}'
    start(seeds.pop(), 'alone')
    for name in ('phase_one/epoch_2.pth', 'epoch_2.pth'):
        assert_same_weights(folder / 'work' / name, folder / 'alone' / name)
    assert not list(folder.rglob(NAME))


def _lists(samples: Samples, number: int, folder: Path) -> None:
    lines = (samples.digits / 'train.txt').read_text().splitlines()
    for own in range(number):
        (folder / f'{own}.txt').write_text('\n'.join(lines[own : own + 2] + [f'missing_{own}.mp4 0']) + '\n')

    def prepare(own: int) -> None:
        videos = samples.digits / 'videos'
        tool('prepare_data.py', 'list', f'{own}.txt', '--videos', videos, '--out', 'out.txt', '--workers', 1)

    ended = at_once(number, prepare, folder)
    _told([one._replace(status=0) if one.status == 1 and 'missing_' in one.text else one for one in ended])
    good, left_out = (folder / 'out.txt').read_text(), (folder / 'out_left_out.txt').read_text()
    own = next(own for own in range(number) if f'missing_{own}' in left_out)
    assert good.splitlines() == lines[own : own + 2], 'the two files are of different lists'


def _predictions(samples: Samples, number: int, folder: Path) -> None:
    for own in range(number):
        Image.fromarray(np.full((28, 28), own, np.uint8)).save(folder / f'digit_{own}.png')

    def predict(own: int) -> None:
        network = ['--config', MNIST, '--checkpoint', samples.trained / 'epoch_2.pth']
        tool('predict.py', f'digit_{own}.png', *network, '--annotate', 'drawn', '--out', 'out.json')

    _told(at_once(number, predict, folder))
    assert len(json.loads((folder / 'out.json').read_text())) == 1
    for path in (folder / 'drawn').iterdir():
        Image.open(path).verify()


def _refused_beside_a_training(number: int, words: list, folder: Path) -> None:
    """One holds the folder, as a training would; the others must leave it as it is."""
    from kaizen_mm.folder_lock import locked_folder

    with locked_folder(folder / 'work'):
        ended = at_once(number, lambda own: tool(words[0], *words[1:2], '--work-dir', 'work', *words[2:]), folder)
        assert [path.name for path in (folder / 'work').iterdir()] == [NAME]
    for one in ended:
        assert one.status == 2 and re.search(IN_USE, one.text), one
