"""A disk that is full: an error that names the path, and the same end once there is room."""

import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Iterator

import numpy as np
import torch
from PIL import Image

from kaizen_mm.files import write_lines
from kaizen_mm.models import mfnet2d_n9
from kaizen_mm.openmmlab.training.checkpoints import newest_whole_checkpoint
from tests.faults.case import Case
from tests.faults.kills import ENDS, forked
from tests.faults.samples import IMAGE, MNIST, Samples, tool, train
from tests.tools.test_training import assert_same_weights


def mountable(folder: Path) -> bool:
    """Whether a small disk can be made here: by root, with tmpfs."""
    try:
        with disk(folder / 'trial', 64):
            return True
    except subprocess.CalledProcessError:
        return False


@contextmanager
def disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={kibibytes}k', 'tmpfs', str(folder)], check=True, capture_output=True
    )
    try:
        yield folder
    finally:
        subprocess.run(['umount', '--lazy', str(folder)], check=True)


def full_disk(samples: Samples) -> Iterator[Case]:
    if not mountable(samples.folder):
        return
    # from too small for anything to too small for the last checkpoint
    for kibibytes in (40, 56, 72, 88, 104, 136):
        yield Case(
            'full disk',
            f'training of images on {kibibytes} KiB',
            'error or accepted',
            r'work|No space left',
            partial(_train, samples, kibibytes),
            timeout=120,
        )
    yield Case('full disk', 'predictions', 'error', 'out|No space left', partial(_predict, samples))
    yield Case('full disk', 'conversion of a checkpoint', 'error', r'converted\.pth', partial(_convert, samples))
    yield Case('full disk', 'a list', 'error', r'list\.txt', _list)


def _train(samples: Samples, kibibytes: int, folder: Path) -> None:
    options = ['--work-dir', 'disk/work', '--no-validate', '--resume', '--cfg-options', *IMAGE]
    with disk(folder / 'disk', kibibytes):
        try:
            train(MNIST, *options)
        except (OSError, RuntimeError, SystemExit):
            for part in ('phase_one', ''):
                newest_whole_checkpoint(folder / 'disk' / 'work' / part)  # raises where one is there and none is whole
            subprocess.run(['mount', '-o', 'remount,size=8m', str(folder / 'disk')], check=True)
            assert forked(partial(train, MNIST, *options)) == 0, 'it does not go on after room has been made'
            for path in ENDS:
                assert_same_weights(folder / 'disk' / 'work' / path, samples.trained / path)
            raise


def _predict(samples: Samples, folder: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / 'digit.png')
    with disk(folder / 'disk', 4) as small:
        (small / 'filler').write_bytes(bytes(4096))
        tool(
            'predict.py',
            'digit.png',
            '--config',
            MNIST,
            '--checkpoint',
            samples.trained / 'epoch_2.pth',
            '--out',
            'disk/out.json',
        )


def _convert(samples: Samples, folder: Path) -> None:
    torch.save(mfnet2d_n9(num_classes=5).state_dict(), folder / 'mfnet.pth')
    with disk(folder / 'disk', 64):
        tool('convert_checkpoint.py', 'mfnet', 'mfnet.pth', 'disk/converted.pth')


def _list(folder: Path) -> None:
    with disk(folder / 'disk', 8) as small:
        write_lines(small / 'list.txt', ['a.avi 0'] * 10_000)
