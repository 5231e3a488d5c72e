"""Tiny data and configs that the tests make themselves."""

import gzip
import logging
import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2  # noqa: F401  before decord, whose zlib it would take for its own
import numpy as np
import pytest
import yapf.yapflib.yapf_api  # noqa: F401  its first import writes a file, which parallel workers would read half

ROOT = Path(__file__).resolve().parent.parent


def configs(scope: str) -> dict:
    """The configs of this repository that are for ``'mmaction'`` or ``'mmpretrain'``, by name."""
    from mmengine.config import Config

    loaded = {path.name: Config.fromfile(path) for path in sorted((ROOT / 'configs').glob('*.py'))}
    return {name: cfg for name, cfg in loaded.items() if cfg.default_scope == scope}


def few_digits(work_dir):
    """The config of both phases on a few of MNIST's digits, one epoch each, without validation."""
    from mmengine.config import Config

    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mnist_k2.py')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.merge_from_dict(
        {
            'train_dataloader.batch_size': 32,
            'train_dataloader.dataset.max_images': 64,
            'train_cfg.max_epochs': 1,
            'phase_one.train_cfg.max_epochs': 1,
            'work_dir': str(work_dir),
        }
    )
    return cfg


@pytest.fixture(scope='session')
def digits(tmp_path_factory):
    """Folder of a tiny moving-digits data set: 16 training and 8 validation clips of 32 px."""
    return write_digits(tmp_path_factory.mktemp('digits'))


def write_digits(folder):
    from kaizen_mm.data.moving_digits import MovingDigits

    MovingDigits(num_train=16, num_val=8, num_frames=20, size=32).write(folder, progress=False)
    return folder


@pytest.fixture(scope='session')
def tiny_configs(tmp_path_factory):
    """Folder with ``kaizen.py`` and ``control.py``: the digits' configs at 32 px, 3 + 3 epochs."""
    return write_tiny_configs(tmp_path_factory.mktemp('configs'))


def write_tiny_configs(folder):
    for name in ('kaizen', 'control'):
        base = ROOT / 'configs' / ('kaizen_mfnet_digits.py' if name == 'kaizen' else 'mfnet_digits_control.py')
        (folder / f'{name}.py').write_text(
            f'_base_ = {str(base)!r}\n'
            'model = dict(backbone=dict(input_size=(16, 32, 32)))\n'
            'train_dataloader = dict(batch_size=4, num_workers=1)\n'
            'val_dataloader = dict(num_workers=0, persistent_workers=False)\n'
            'test_dataloader = dict(num_workers=0, persistent_workers=False)\n'
            'phase_one = dict(train_cfg=dict(max_epochs=3))\n'
            'train_cfg = dict(max_epochs=3)\n'
        )
    return folder


@pytest.fixture(scope='session')
def mnist_data(tmp_path_factory):
    """Folder whose ``mnist/`` has four files in MNIST's format, of scikit-learn's digits: 1,400 to train on
    (packed) and 397 to test."""
    return write_mnist(tmp_path_factory.mktemp('data'))


def write_mnist(root):
    from sklearn.datasets import load_digits

    folder = root / 'mnist'
    folder.mkdir()
    images, labels = load_digits(return_X_y=True)
    images = np.pad((images.reshape(-1, 8, 8) * 15).repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    for name, part, pack in (('train', slice(1400), True), ('t10k', slice(1400, None), False)):
        write_idx(folder / f'{name}-images-idx3-ubyte', images[part], pack)
        write_idx(folder / f'{name}-labels-idx1-ubyte', labels[part], pack)
    return root


def write_idx(path, values, pack=False):
    """Writes uint8 values as MNIST's files have them; ``pack`` makes a .gz of it."""
    values = np.asarray(values).astype(np.uint8)
    content = struct.pack(f'>{1 + values.ndim}i', 0x0800 + values.ndim, *values.shape) + values.tobytes()
    if pack:
        path.with_name(f'{path.name}.gz').write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.fixture(scope='session')
def image_folders(tmp_path_factory):
    """Folder with ``train/`` and ``val/`` of four classes: 5 and 3 images each, 64 px and a little more, told
    apart by their colour."""
    return write_image_folders(tmp_path_factory.mktemp('images'))


def write_image_folders(folder):
    from PIL import Image

    random = np.random.default_rng(0)
    for split, count in (('train', 5), ('val', 3)):
        for label, colour in enumerate(((200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60))):
            (folder / split / f'class_{label}').mkdir(parents=True)
            for i in range(count):
                pixels = np.array(colour) + random.integers(-40, 40, (64 + 4 * i, 64 + 2 * i, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / f'class_{label}' / f'{i}.png')
    return folder


@pytest.fixture(scope='session')
def watched(tiny_configs, digits, tmp_path_factory):
    """Work directory of both phases of the tiny recurrent network, two epochs each, with TensorBoard beside the log."""
    from mmengine.config import Config
    from mmengine.registry import RUNNERS

    import kaizen_mm  # noqa: F401  registers the names of the config

    cfg = Config.fromfile(tiny_configs / 'kaizen.py')
    folder = tmp_path_factory.mktemp('watched') / 'work'
    cfg.merge_from_dict(
        {
            'work_dir': str(folder),
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 1,
            'phase_one.train_cfg.max_epochs': 2,
            'phase_one.train_cfg.val_interval': 1,
            'visualizer.vis_backends.1.type': 'IterateTensorboardVisBackend',
            'train_dataloader.num_workers': 0,
        }
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        split = 'train' if loader is cfg.train_dataloader else 'val'
        loader.dataset.update(
            ann_file=str(digits / f'{split}.txt'), data_prefix=dict(video=str(digits / 'videos')), num_classes=8
        )
    cfg.model.cls_head.head.num_classes = 8
    runner = RUNNERS.build(cfg)
    runner.train()
    for handler in list(runner.logger.handlers):  # what other tests log later is not of this training
        if isinstance(handler, logging.FileHandler):
            runner.logger.removeHandler(handler)
    return folder


@pytest.fixture
def environment(digits):
    """The environment of a command on the tiny data set, one thread a process."""
    return dict(
        os.environ,
        KAIZEN_LIST_ROOT=str(digits),
        KAIZEN_LIST_CLASSES='8',
        OMP_NUM_THREADS='1',
        PYTHONPATH=str(ROOT),
        PYTHON=sys.executable,
        PYTHONWARNINGS='ignore',
    )


@pytest.fixture
def run(environment, tmp_path):
    """Runs a command in an empty folder; returns its output, and fails with it on another status."""

    def command(*words, status=0):
        done = subprocess.run(
            [str(w) for w in words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert (done.returncode == 0) == (status == 0), done.stdout[-4000:]
        return done.stdout

    return command


@pytest.fixture(scope='session')
def real_data():
    """The folder of real data that ``KAIZEN_DATA`` names."""
    if not os.environ.get('KAIZEN_DATA'):
        pytest.skip('KAIZEN_DATA is not set: no real data to read')
    return Path(os.environ['KAIZEN_DATA'])
