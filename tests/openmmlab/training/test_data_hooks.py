"""Runs that are the same with any number of data workers, and files that are named."""

import os
import signal
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from torch.utils.data import Dataset, IterableDataset

from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.data_hooks import EpochSeedHook
from tests.data.test_sample_seeds import numbers


class FakeLoader:
    def __init__(self, **kwargs):
        self.__dict__.update(dict(num_workers=2, persistent_workers=False, worker_init_fn=None), **kwargs)


class FakeRunner:
    def __init__(self, epoch=0, seed=0, **loader):
        self.epoch, self.seed, self.train_dataloader = epoch, seed, FakeLoader(**loader)


def draws(runner):
    """Random numbers of the main process and of each worker in an epoch."""
    EpochSeedHook().before_train_epoch(runner)
    values = [(np.random.rand(), torch.rand(1).item())]
    for worker in range(runner.train_dataloader.num_workers):
        runner.train_dataloader.worker_init_fn(worker)
        values.append((np.random.rand(), torch.rand(1).item()))
    return values


def test_every_epoch_process_and_worker_draws_its_own_numbers_again():
    assert draws(FakeRunner(3)) == draws(FakeRunner(3))
    drawn = [n for epoch in range(4) for pair in draws(FakeRunner(epoch)) for n in pair]
    assert len(set(drawn)) == len(drawn)
    assert draws(FakeRunner(3)) != draws(FakeRunner(3, seed=1))


class Noise(Dataset):
    """Samples of random numbers; ``fatal`` is the index of one that ends the process which loads it."""

    def __init__(self, fatal=None):
        self.fatal = fatal

    def __len__(self):
        return 8

    def get_data_info(self, index):
        return dict(filename=f'clip_{index}.avi')

    def __getitem__(self, index):
        if index == self.fatal:
            os.kill(os.getpid(), signal.SIGSEGV)
        return dict(inputs=numbers().float())


class Numbers(IterableDataset):
    def __len__(self):
        return 8

    def __iter__(self):
        return iter([dict(inputs=torch.ones(3))] * 8)


class Linear(BaseModel):
    """Keeps the inputs that it has seen; dropout draws from the process's generator."""

    def __init__(self):
        super().__init__()
        self.line, self.seen = torch.nn.Linear(3, 1), []

    def forward(self, inputs, mode='tensor'):
        inputs = torch.stack(list(inputs))
        self.seen += inputs.tolist()
        outputs = self.line(torch.nn.functional.dropout(inputs, training=self.training))
        return dict(loss=outputs.square().mean()) if mode == 'loss' else outputs


def trained(folder, num_workers=0, dataset=None, by_epoch=True, **kwargs):
    """The network after two epochs, or eight iterations, of four batches."""
    torch.manual_seed(0)
    runner = KaizenRunner(
        model=Linear(),
        work_dir=str(folder / uuid.uuid4().hex),
        experiment_name=uuid.uuid4().hex,
        train_dataloader=dict(
            batch_size=2,
            num_workers=num_workers,
            dataset=dataset or Noise(),
            sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True)
            if not isinstance(dataset, IterableDataset)
            else None,
            collate_fn=dict(type='pseudo_collate'),
            **kwargs,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2) if by_epoch else dict(by_epoch=False, max_iters=8),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=None),
        custom_hooks=[dict(type='EpochSeedHook'), dict(type='ReadingHook')],
        randomness=dict(seed=0),
    )
    runner.train()
    return runner.model


@pytest.mark.parametrize('by_epoch', [True, False])
def test_workers_change_no_weight(tmp_path, by_epoch):
    expected = trained(tmp_path, by_epoch=by_epoch)
    assert len({tuple(row) for row in expected.seen}) == 16, 'no sample is augmented twice in the same way'
    for num_workers, options in ((1, {}), (2, {}), (2, dict(persistent_workers=True))):
        model = trained(tmp_path, num_workers, by_epoch=by_epoch, **options)
        assert model.seen == expected.seen
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters()))


def test_workers_that_live_on_are_refused_for_streams(tmp_path):
    with pytest.raises(ValueError, match='persistent_workers must be False for a data set without indices'):
        trained(tmp_path, 1, Numbers(), persistent_workers=True)


@pytest.mark.slow
def test_workers_change_no_weight_of_a_video_network(phase_two_config):
    """With what draws in the recipe for lists: the clip's place, crop and flip."""
    augmented = phase_two_config.train_dataloader.dataset.pipeline
    augmented[3:3] = [
        dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
        dict(type='Resize', scale=(32, 32), keep_ratio=False),
        dict(type='Flip', flip_ratio=0.5),
    ]
    assert [step.type for step in augmented[:3]] == ['VideoInit', 'SampleFrames', 'DecordDecode']
    states = []
    for num_workers in (0, 1, 2):
        cfg = phase_two_config.copy()
        cfg.train_dataloader.num_workers, cfg.work_dir = num_workers, f'{phase_two_config.work_dir}_{num_workers}'
        runner = KaizenRunner.from_cfg(cfg)
        runner.train()
        states.append(runner.model.state_dict())
    for state in states[1:]:
        assert all(torch.equal(value, states[0][key]) for key, value in state.items())


def test_what_a_dead_worker_was_reading_is_named(tmp_path):
    with pytest.raises(RuntimeError, match='DataLoader worker .*It was loading, or had just loaded, clip_5.avi; '):
        trained(tmp_path, 2, Noise(fatal=5))


def test_what_a_hanging_worker_is_reading_is_named(tmp_path):

    class Slow(Noise):
        def __getitem__(self, index):
            if index == 5:
                signal.pause()
            return super().__getitem__(index)

    with pytest.raises(RuntimeError, match='DataLoader timed out after 1 seconds.*clip_5.avi'):
        trained(tmp_path, 1, Slow(), timeout=1)


def test_skipped_files_are_listed_at_the_end(tmp_path):

    class Skipping(Noise):
        def unreadable_files(self):
            return ['b.avi', 'a.avi']

    trained(tmp_path, 0, Skipping())
    log = '\n'.join(path.read_text() for path in Path(tmp_path).rglob('*.log'))
    assert '2 of the training files could not be loaded and were skipped:\n  a.avi\n  b.avi' in log
