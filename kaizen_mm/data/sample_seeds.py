"""Augmentation that follows the sample, not the process that happens to load it.

The random numbers of a sample depend on the run's seed, the epoch, the process of a distributed run, the sample's index
and how often it was drawn before in that epoch. They depend on nothing that changes with the number of data workers,
and on nothing that a resumed run lacks. What a data set draws does not advance the generators of the process, so that
dropout is the same with data workers and without.

Covered is what draws from ``random``, ``numpy.random`` and ``torch``; not a generator that a transform keeps to itself.
"""

import os
import random
from collections import Counter
from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Draw(NamedTuple):
    """A sample as the sampler has drawn it: its index, and what its random numbers are made from."""

    index: int
    entropy: Tuple[int, ...]


class SeededSampler:
    """A sampler, or batch sampler, whose indices say what they are seeded with; otherwise the one that it wraps.

    Args:
        sampler: Yields indices or lists of them.
        seed: Of the run, at least 0.
        rank: Of the process. Default 0.
        repeats: Whether every pass over the data gives the same random numbers, as is wanted of evaluation. Default
            False: passes differ, and those of an epoch are the same in every run.
    """

    def __init__(self, sampler, seed: int, rank: int = 0, repeats: bool = False):
        self.wrapped, self.seed, self.rank, self.repeats = sampler, seed, rank, repeats
        self.epoch = self.passes = 0

    def start_epoch(self, epoch: int) -> None:
        """Sets the epoch that the following pass belongs to."""
        if epoch != self.epoch:
            self.epoch, self.passes = epoch, 0

    def __iter__(self) -> Iterator:
        source = (self.seed, self.epoch, self.rank, self.passes)
        self.passes += not self.repeats
        drawn = Counter()

        def draw(index):
            drawn[index] += 1
            return Draw(index, (*source, int(index), drawn[index]))

        for indices in self.wrapped:
            yield [draw(i) for i in indices] if isinstance(indices, (list, tuple)) else draw(indices)

    def __len__(self) -> int:
        return len(self.wrapped)

    def __getattr__(self, name: str) -> Any:
        if name == 'wrapped':  # not there yet, while this is unpickled
            raise AttributeError(name)
        return getattr(self.wrapped, name)


class SeededDataset:
    """A data set that seeds each sample as a :class:`SeededSampler` says, and notes which one a worker is loading.

    In everything else it is the data set that it wraps, whose attributes are read and set through it.

    Args:
        dataset: Of the kind that is indexed.
        num_workers: Of its data loader.
    """

    _own = ('dataset', 'reading', '_last')

    def __init__(self, dataset, num_workers: int):
        self.dataset = dataset
        self._last = ()
        # by worker: its process, and the index of the sample it is at
        self.reading = torch.full((max(num_workers, 1), 2), -1).share_memory_()

    def __getitem__(self, draw):
        if not isinstance(draw, Draw):
            return self.dataset[draw]
        self._note(draw)
        with seeded(draw.entropy):
            return self.dataset[draw.index]

    def __getitems__(self, draws: Sequence) -> Any:
        if not getattr(self.dataset, '__getitems__', None):
            return [self[draw] for draw in draws]
        if not isinstance(draws[0], Draw):
            return self.dataset.__getitems__(draws)
        self._note(draws[0])
        with seeded([word for draw in draws for word in draw.entropy]):
            return self.dataset.__getitems__([draw.index for draw in draws])

    def collate(self, function, samples):
        """Calls a collate function; its random numbers follow the sample loaded last."""
        with seeded((*self._last, 0)):
            return function(samples)

    def _note(self, draw):
        self._last = draw.entropy
        worker = get_worker_info()
        if worker is not None:
            self.reading[worker.id] = torch.tensor([os.getpid(), draw.index])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name in self._own:  # not there yet, while this is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value) if name in self._own else setattr(self.dataset, name, value)


@contextmanager
def seeded(entropy: Sequence[int]) -> Iterator[None]:
    """Seeds ``random``, ``numpy.random`` and ``torch`` (on the CPU) in a block, and puts their states back after it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = [int(word) for word in np.random.SeedSequence(_words(entropy)).generate_state(3)]
    random.seed(words[0])
    np.random.seed(words[1])
    torch.default_generator.manual_seed(words[2])  # torch.manual_seed would seed accelerators as well
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _words(entropy: Sequence[int]) -> Sequence[int]:
    """The same entropy as an array, which NumPy mixes at once, where it takes each int of a sequence by itself."""
    words = np.asarray(entropy)
    if words.dtype.kind != 'i' or words.min() < 0 or words.max() >= 2**32:
        return entropy  # an int of more than one word, or one that NumPy refuses
    return words.astype(np.uint32)


class _Collate:
    """A collate function that is seeded; an object, so that it can be sent to workers that are not forked."""

    def __init__(self, dataset: SeededDataset, function):
        self.dataset, self.function = dataset, function

    def __call__(self, samples):
        return self.dataset.collate(self.function, samples)


def seed_samples(loader: DataLoader, seed: int, rank: int = 0, repeats: bool = False) -> Optional[SeededSampler]:
    """Makes a data loader seed each sample; calling it again changes nothing.

    Args:
        loader: Not iterated yet. One over an :class:`~torch.utils.data.IterableDataset`, which has no indices, is
            left as it is.
        seed, rank, repeats: See :class:`SeededSampler`.

    Returns:
        The sampler that is to be told of each epoch; None where there is none.
    """
    if isinstance(loader.dataset, IterableDataset):
        return None
    name = 'sampler' if loader.batch_sampler is None else 'batch_sampler'
    if not isinstance(loader.dataset, SeededDataset):
        dataset = SeededDataset(loader.dataset, loader.num_workers)
        # a loader refuses to have these exchanged; it has not used them yet
        object.__setattr__(loader, 'dataset', dataset)
        object.__setattr__(loader, name, SeededSampler(getattr(loader, name), seed, rank, repeats))
        loader.collate_fn = _Collate(dataset, loader.collate_fn)
        if loader.generator is None:  # else each start of workers would advance the process's generator
            loader.generator = torch.Generator()
    return getattr(loader, name)


def samples_being_read(loader: DataLoader) -> List[Tuple[int, int]]:
    """Process and index of the sample that each data worker is loading, or has loaded last."""
    reading = getattr(loader.dataset, 'reading', None)
    return [] if reading is None else [(pid, index) for pid, index in reading.tolist() if pid >= 0]
