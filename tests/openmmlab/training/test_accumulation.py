"""Gradients that wait for a step when a checkpoint is written."""

import pytest
import torch

from kaizen_mm.checkpoint_files import read_checkpoint
from tests.openmmlab.toy import toy_runner


@pytest.mark.parametrize('counts', [1, 2, 3, 4, 7])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, counts):
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), accumulative_counts=counts)
    toy_runner(tmp_path / 'whole', epochs=5, optim_wrapper=dict(wrapper)).train()
    for epochs in range(1, 6):  # two iterations each
        runner = toy_runner(tmp_path / 'parts', epochs=5, resume=True, optim_wrapper=dict(wrapper))

        class Stop(Exception):
            pass

        def stop(runner, epochs=epochs):
            if runner.epoch == epochs and epochs < 5:
                raise Stop

        runner.hooks[-1].before_train_epoch = stop
        try:
            runner.train()
        except Stop:
            pass
    whole, parts = (read_checkpoint(tmp_path / name / 'epoch_5.pth') for name in ('whole', 'parts'))
    assert str(whole['state_dict']) == str(parts['state_dict']) and str(whole['optimizer']) == str(parts['optimizer'])
    waiting = read_checkpoint(tmp_path / 'whole' / 'epoch_1.pth').get('gradients', {})
    assert (set(waiting) == {'line.weight', 'line.bias'}) == (2 % counts != 0)


def test_where_they_were_not_kept_it_is_said(tmp_path, monkeypatch):
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=3)
    toy_runner(tmp_path, optim_wrapper=dict(wrapper)).train()
    path = tmp_path / 'epoch_1.pth'
    checkpoint = read_checkpoint(path)
    assert checkpoint.pop('gradients')
    torch.save(checkpoint, tmp_path / 'without.pth')
    runner = toy_runner(
        tmp_path / 'two', resume=True, load_from=str(tmp_path / 'without.pth'), optim_wrapper=dict(wrapper)
    )
    said = []
    monkeypatch.setattr(runner.logger, 'warning', said.append)
    runner.train()
    assert any(
        'accumulative_counts: the checkpoint, after 2 iterations, has not the gradients' in line for line in said
    )
