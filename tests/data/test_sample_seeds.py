"""What a sample draws follows from the seed, the epoch and the sample."""

import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler

from kaizen_mm.data.sample_seeds import Draw, SeededDataset, SeededSampler, samples_being_read, seed_samples, seeded


def numbers():
    """One of each source of random numbers."""
    return torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()], dtype=torch.float64)


class Noise(Dataset):
    """Eight samples of an index and three random numbers."""

    note = 'mine'

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.cat([torch.tensor([float(index)]), numbers()])


class NoiseInBatches(Noise):
    def __getitems__(self, indices):
        return [torch.cat([torch.tensor([float(i)]), numbers()]) for i in indices]


def with_noise(samples):
    """A collate function that draws numbers as well."""
    return torch.cat([torch.stack(samples).flatten(), numbers()])


def epochs(dataset, num_workers, count=2, seed=0, rank=0, repeats=False, **kwargs):
    """The batches of a few epochs, as one tensor for each; the process draws a number after each batch."""
    torch.manual_seed(5)
    loader = DataLoader(dataset, batch_size=3, num_workers=num_workers, collate_fn=with_noise, **kwargs)
    sampler = seed_samples(loader, seed, rank, repeats)
    result = []
    for epoch in range(count):
        sampler.start_epoch(epoch)
        result.append(torch.cat([torch.cat([batch, numbers()[2:]]) for batch in loader]))
    return result


@pytest.mark.slow
@pytest.mark.parametrize('kind', [Noise, NoiseInBatches])
def test_workers_change_nothing(kind):
    expected = epochs(kind(), 0)
    for num_workers, options in (
        (1, {}),
        (2, {}),
        (2, dict(persistent_workers=True)),
        (2, dict(multiprocessing_context='spawn')),
    ):
        for one, other in zip(expected, epochs(kind(), num_workers, **options)):
            assert torch.equal(one, other)
    for other in (epochs(kind(), 0, seed=1), epochs(kind(), 0, rank=1)):
        assert not torch.equal(expected[0], other[0])
    assert not torch.equal(expected[0], expected[1])


def test_an_epoch_is_the_same_wherever_a_run_begins():
    loader = DataLoader(Noise(), batch_size=8)
    sampler = seed_samples(loader, seed=3)
    batches = {}
    for epoch in (0, 1, 2, 1, 0):
        sampler.start_epoch(epoch)
        (batch,) = loader
        assert torch.equal(batches.setdefault(epoch, batch), batch)
    assert len({batch.numpy().tobytes() for batch in batches.values()}) == 3


def test_passes_differ_but_for_evaluation():
    for repeats in (False, True):
        loader = DataLoader(Noise(), batch_size=8)
        seed_samples(loader, 0, repeats=repeats)
        (one,), (other,) = loader, loader
        assert torch.equal(one, other) == repeats


def test_a_sample_drawn_twice_is_augmented_twice():
    loader = DataLoader(Noise(), batch_sampler=BatchSampler([1, 1, 2, 1], 2, False))
    seed_samples(loader, 0)
    assert len({tuple(row) for batch in loader for row in batch[:, 1:].tolist()}) == 4


def test_the_order_does_not_matter():
    """A sample's numbers are its own, in whatever batch it comes."""
    rows = []
    for order in (range(8), reversed(range(8))):
        loader = DataLoader(Noise(), batch_sampler=BatchSampler(list(order), 3, False))
        seed_samples(loader, 0)
        rows.append(sorted(row for batch in loader for row in batch.tolist()))
    assert rows[0] == rows[1]


def test_states_are_put_back():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = numbers()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with pytest.raises(KeyError), seeded([1, 2]):
        inside = numbers()
        raise KeyError
    assert torch.equal(numbers(), expected)
    with seeded([1, 2]):
        assert torch.equal(numbers(), inside)


@pytest.mark.parametrize(
    'entropy', [[0], (0, 1, 2, 3), list(range(4000)), [2**32 - 1, 5], [2**32, 5], [2**40 + 3], [2**63, 1], [2**70, 2]]
)
def test_the_seeds_are_those_of_numpy_whatever_the_size_of_the_entropy(entropy):
    with seeded(entropy):
        drawn = random.random(), np.random.rand(), torch.rand(1).item()
    words = [int(word) for word in np.random.SeedSequence(entropy).generate_state(3)]
    generator = torch.Generator().manual_seed(words[2])
    assert drawn == (
        random.Random(words[0]).random(),
        np.random.RandomState(words[1]).rand(),
        torch.rand(1, generator=generator).item(),
    )


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match='non-negative'), seeded([1, -2]):
        pass


def test_otherwise_it_is_the_loader_that_it_was():
    loader = DataLoader(Noise(), batch_size=3, sampler=RandomSampler(range(8)))
    sampler = seed_samples(loader, 0)
    assert seed_samples(loader, 1) is sampler is loader.batch_sampler and sampler.seed == 0
    assert len(loader) == 3 and len(loader.dataset) == 8 and loader.batch_sampler.batch_size == 3
    assert loader.dataset.note == 'mine' and isinstance(loader.batch_sampler.sampler, RandomSampler)
    loader.dataset.note = 'yours'
    assert loader.dataset.dataset.note == 'yours' and 'note' not in vars(loader.dataset)
    assert loader.dataset[3][0] == 3  # an index of a user's
    with pytest.raises(AttributeError, match='nothing'):
        loader.dataset.nothing
    again = pickle.loads(pickle.dumps(loader.dataset))
    assert torch.equal(again[Draw(2, (0, 1))], loader.dataset[Draw(2, (0, 1))])
    assert isinstance(pickle.loads(pickle.dumps(SeededSampler([1], 0))), SeededSampler)


def test_single_samples_and_streams():
    loader = DataLoader(Noise(), batch_size=None)
    seed_samples(loader, 0)
    assert isinstance(loader.dataset, SeededDataset) and [int(sample[0]) for sample in loader] == list(range(8))

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    loader = DataLoader(Stream())
    assert seed_samples(loader, 0) is None and [int(i) for i in loader] == [0, 1, 2]


def test_what_workers_are_at():
    loader = DataLoader(Noise(), batch_size=4, num_workers=2)
    seed_samples(loader, 0)
    assert samples_being_read(loader) == []
    list(loader)
    (one, first), (other, second) = samples_being_read(loader)
    assert one != other and (first, second) == (3, 7)
