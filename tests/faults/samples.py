"""What faults are made of: tiny data, the tools run in this process, finished trainings."""

import os
import runpy
import sys
from pathlib import Path
from typing import List

import torch

from tests.conftest import write_digits, write_image_folders, write_mnist, write_tiny_configs

ROOT = Path(__file__).resolve().parents[2]
MNIST = ROOT / 'configs' / 'kaizen_mnist_k2.py'
# two epochs in each phase
IMAGE = ['train_dataloader.batch_size=200', 'train_cfg.max_epochs=2', 'phase_one.train_cfg.max_epochs=2']
VIDEO = ['train_dataloader.num_workers=0', 'train_cfg.max_epochs=2', 'phase_one.train_cfg.max_epochs=2']


class Samples:
    """Data and configs in a folder, and the environment that points to them."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ('digits', 'images', 'configs'):
            (folder / name).mkdir(parents=True)
        self.mnist = write_mnist(folder)
        self.digits, self.images = write_digits(folder / 'digits'), write_image_folders(folder / 'images')
        self.video_config = write_tiny_configs(folder / 'configs') / 'kaizen.py'
        os.environ.update(
            KAIZEN_DATA=str(folder),
            KAIZEN_LIST_ROOT=str(self.digits),
            KAIZEN_LIST_CLASSES='8',
            PYTHONWARNINGS='ignore',
            KAIZEN_IMAGE_ROOT=str(self.images),
            KAIZEN_IMAGE_CLASSES='4',
            OMP_NUM_THREADS='1',
            PYTHONPATH=str(ROOT),
        )
        torch.set_num_threads(1)

    @property
    def trained(self) -> Path:
        """Work folder of a training of both phases on images, as :func:`prepare` has left it."""
        return self.folder / 'trained'

    def prepare(self) -> None:
        train(MNIST, '--work-dir', self.trained, '--no-validate', '--cfg-options', *IMAGE)


def tool(name: str, *words) -> None:
    """Runs a command-line tool in this process."""
    sys.argv = [name, *map(str, words)]
    runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')


def train(config: Path, *words) -> None:
    tool('train.py', config, *words)


def train_images(*options: str, words=()) -> None:
    """Both phases on images in ``work``, with these entries of the config replaced."""
    train(MNIST, '--work-dir', 'work', *words, '--cfg-options', *IMAGE, *options)


def checkpoints(folder: Path) -> List[Path]:
    return sorted(folder.rglob('*.pth'))
