"""Hooks on how training data is loaded: seeds that make runs repeatable, and names of files that were at fault."""

import functools
import random
import re
from functools import partial
from typing import Iterator, List, Tuple

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler, worker_init_fn
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from kaizen_mm.data.sample_seeds import SeededDataset, samples_being_read, seed_samples
from kaizen_mm.openmmlab.training.runner import check_runner


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds every epoch by its number and every sample by its index in it.

    A resumed run is then the uninterrupted one, and a run with data workers is the one without. mmengine's checkpoints
    hold no random state, and its data workers are seeded with a constant. Made anew each epoch they repeat the same
    augmentations, and another number of workers means others. Evaluation draws the same numbers each time. See
    :mod:`kaizen_mm.data.sample_seeds` for what is covered.

    Raises:
        ValueError: The training data loader keeps its workers, whose state a resumed run lacks, for a data set
            without indices.
    """

    priority = 'VERY_HIGH'
    changes_weights = True  # for kaizen_mm.openmmlab.training.settings

    def __init__(self):
        self._sampler = None  # of the training data

    def before_run(self, runner) -> None:
        check_runner(runner)
        for loop, loader in _loops(runner):
            training = loop is runner._train_loop
            fresh = not isinstance(loader.dataset, SeededDataset)
            sampler = seed_samples(loader, runner.seed, get_rank() if training else 0, repeats=not training)
            if training:
                self._sampler = sampler
            if fresh and hasattr(loop, 'dataloader_iterator'):
                _begin_again(loop, loader)

    def before_train(self, runner) -> None:
        if self._sampler is None and getattr(runner.train_dataloader, 'persistent_workers', False):
            raise ValueError(
                'train_dataloader.persistent_workers must be False for a data set without indices: the '
                'random state of workers that live on is lost on resuming. Or remove EpochSeedHook'
            )

    def before_train_epoch(self, runner) -> None:
        if self._sampler is not None:
            self._sampler.start_epoch(runner.epoch)
        loader, rank = runner.train_dataloader, get_rank()
        sequence = np.random.SeedSequence([runner.seed, runner.epoch, rank])
        own, workers = (int(s) for s in sequence.generate_state(2))
        random.seed(own)
        np.random.seed(own)
        torch.manual_seed(own)
        if loader.num_workers:
            loader.worker_init_fn = partial(
                worker_init_fn,
                num_workers=loader.num_workers,
                rank=0,
                seed=workers % (2**32 - loader.num_workers),
                disable_subprocess_warning=True,
            )


@HOOKS.register_module()
class ReadingHook(Hook):
    """Names the file over which a data worker died, and lists at the end of training the files that were skipped.

    A worker that is ended by a decoder, or for want of memory, takes its message along; the run's error then says which
    sample it was at. With ``timeout`` in a data loader, the same holds for workers that hang. It needs
    :class:`EpochSeedHook`.

    Raises:
        RuntimeError: A worker died or gave no answer; the message names the files.
    """

    priority = 'VERY_LOW'

    def before_run(self, runner) -> None:
        for loop, loader in _loops(runner):
            if not hasattr(loop.run, '__wrapped__'):
                loop.run = _naming_files(loop.run, loader)

    def after_train(self, runner) -> None:
        skipped = getattr(runner.train_dataloader.dataset, 'unreadable_files', list)()
        skipped = sorted({file for files in all_gather_object(skipped) for file in files})
        if skipped:
            runner.logger.warning(
                '\n  '.join([f'{len(skipped)} of the training files could not be loaded and were skipped:', *skipped])
            )


def _loops(runner) -> Iterator[Tuple[BaseLoop, DataLoader]]:
    """The loops of a run that are built, with their data loaders."""
    for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
        loader = getattr(loop, 'dataloader', None)
        if isinstance(loop, BaseLoop) and isinstance(loader, DataLoader):
            yield loop, loader


def _begin_again(loop: BaseLoop, loader: DataLoader) -> None:
    """Makes the iterator of a loop of iterations anew: it has workers, and has taken samples, since it was built."""
    loader._iterator = None  # else workers that live on are taken over
    if isinstance(loader.sampler, InfiniteSampler):
        loader.sampler.indices = loader.sampler._indices_of_rank()
    loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)


def _naming_files(run, loader: DataLoader):

    @functools.wraps(run)
    def run_and_name(*args, **kwargs):
        try:
            return run(*args, **kwargs)
        except RuntimeError as error:
            files = _files_at_fault(str(error), loader)
            if not files:
                raise
            raise RuntimeError(
                f'{str(error).strip().rstrip(".")}. It was loading, or had just loaded, '
                f'{" and ".join(files)}; tools/prepare_data.py checks videos one by one'
            ) from error

    return run_and_name


def _files_at_fault(message: str, loader: DataLoader) -> List[str]:
    """What the data workers that an error of torch's data loader speaks of were at; of all where it names none."""
    if not re.search(r'DataLoader (worker|timed out)', message):
        return []
    named = re.search(r'\(pid(?:\(s\))? ([\d, ]+)\)', message)
    pids = {int(pid) for pid in re.findall(r'\d+', named[1])} if named else None
    return [
        _describe(loader.dataset, index) for pid, index in samples_being_read(loader) if pids is None or pid in pids
    ]


def _describe(dataset, index: int) -> str:
    try:
        info = dataset.get_data_info(index)
        return next(str(info[key]) for key in ('filename', 'img_path', 'frame_dir', 'audio_path') if key in info)
    except (AttributeError, StopIteration):
        return f'sample {index} of {type(dataset.dataset).__name__}'
