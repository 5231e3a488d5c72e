"""The same commands on less: what makes a training of the pages short, without a word of its command changed.

Of each phase the last epoch alone is trained, so that checkpoints have the names that the pages give them; of several
seeds the first is taken; tables have a few rows; data sets that are made or read are small; workers are copies of this
process.
"""

import functools
import multiprocessing
import os
from typing import List

import torch

CLIPS = 8  # of a data set that a command makes
SAMPLES = 8  # of ImageNet, whose photos of 224 px take longest
BATCH = 8


def fewer_seeds(words: List[str]) -> List[str]:
    """``--seeds 5`` as ``--seeds 1``, which counts them; ``--seeds 0 1 2`` as ``--seeds 0``."""
    if '--seeds' not in words:
        return words
    start = words.index('--seeds') + 1
    end = next((i for i in range(start, len(words)) if words[i].startswith('-')), len(words))
    return [*words[:start], '1' if end - start == 1 and words[start] != '0' else words[start], *words[end:]]


def quick_benchmarks(words: List[str]) -> List[str]:
    """Benchmarks on tiny sizes with one thread, each call timed once."""
    if '--threads' in words:
        place = words.index('--threads')
        words = [*words[:place], *words[place + 2 :]]
    return [*words, '--threads', '1', '--quick', '--seconds', '0']


def without_gpu(words: List[str]) -> List[str]:
    """Mixed precision needs a GPU."""
    return [word for word in words if word != '--amp' or torch.cuda.is_available()]


def enter() -> None:
    """Makes the world of this process small."""
    from mmengine.config import Config
    from mmengine.runner import EpochBasedTrainLoop, runner

    from kaizen_mm.data.moving_digits import MovingDigits
    from kaizen_mm.lab.tables import TABLES

    train = EpochBasedTrainLoop.run
    read = Config.fromfile
    made = MovingDigits.__init__
    context = multiprocessing.get_context
    facts = runner.collect_env()

    @functools.wraps(train)
    def last_epoch(self):
        self._epoch = max(self._epoch, self._max_epochs - 1)
        return train(self)

    @functools.wraps(read)
    def shrunk(*args, **kwargs):
        return _shrunk(read(*args, **kwargs))

    @functools.wraps(made)
    def few(self, num_train=640, num_val=240, **kwargs):
        made(self, num_train=min(num_train, CLIPS), num_val=min(num_val, CLIPS // 2), **kwargs)

    TABLES.update(
        {
            name: table._replace(rows=_few_rows(table), variants=_undivided(table.variants))
            for name, table in TABLES.items()
        }
    )
    EpochBasedTrainLoop.run = last_epoch
    runner.collect_env = facts.copy  # which asks compilers and drivers each time
    Config.fromfile = staticmethod(shrunk)
    MovingDigits.__init__ = few
    multiprocessing.get_context = lambda method=None: context('fork' if method == 'spawn' else method)


def _few_rows(table) -> dict:
    """Phase one, what the others are compared with, and the last row of a table."""
    row = list(table.rows)[-1]
    kept = {table.phase_one, table.control, table.rival, row}
    while row in table.controls:
        row = table.controls[row]
        kept.add(row)
    return {row: paper for row, paper in table.rows.items() if row in kept}


def _undivided(variants: dict) -> dict:
    """Rows whose few images of MNIST are not cut into those to train on and those for choices."""
    return {
        row: (
            config,
            {key: 'train' if 'mnist' in config and key.endswith('.split') else value for key, value in options.items()},
        )
        for row, (config, options) in variants.items()
    }


def _shrunk(cfg):
    """A config on few samples, without data workers, and SlowOnly-50 narrow, from the checkpoint ``slowonly.pth``."""
    for entries in (cfg, cfg.get('phase_one') or {}):
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            loader = entries.get(name)
            if not loader or 'dataset' not in loader:
                continue
            loader.update(num_workers=0, persistent_workers=False)
            dataset = loader.dataset
            if dataset.type == 'CifarInMemory':
                dataset.max_images = 64
            elif dataset.type == 'MnistInMemory':
                dataset.split = 'train' if dataset.split in ('fit', 'val') else dataset.split
            else:
                loader.batch_size = min(loader.batch_size, BATCH)
            if dataset.get('num_classes') == 1000:
                dataset.indices, loader.batch_size = SAMPLES, SAMPLES // 2
    if 'slowonly_r50_list' in str(cfg.filename):
        cfg.model.backbone.backbone.base_channels = 8
        cfg.model.cls_head.head.in_channels = 256
        if cfg.get('phase_one'):
            cfg.phase_one.load_from = os.path.abspath('slowonly.pth')
    return cfg
