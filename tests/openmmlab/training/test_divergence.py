"""A training that diverges stops at once, by name, and leaves no checkpoint that counts."""

import warnings

import pytest
import torch

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.training.checkpoints import newest_whole_checkpoint
from kaizen_mm.openmmlab.training.divergence import FiniteLossHook
from tests.openmmlab.toy import toy_runner


def test_a_loss_that_is_not_finite_stops_the_run_in_its_iteration(tmp_path):
    runner = toy_runner(tmp_path, model=dict(nan_at=6), epochs=4)
    with pytest.raises(
        FloatingPointError, match=r'the loss is not finite in iteration 6 \(epoch 3\): loss nan.*the rate is 0.1'
    ):
        runner.train()
    assert runner.model.calls == 6
    assert newest_whole_checkpoint(tmp_path) == tmp_path / 'epoch_2.pth'
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']


def test_a_rate_that_destroys_the_weights_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match=r'iteration 2 \(epoch 1\): loss inf.*the rate is 1e\+30'):
        toy_runner(tmp_path, rate=1e30).train()
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    """As after a last iteration whose loss was finite."""
    runner = toy_runner(tmp_path, epochs=1)
    step = runner.model.train_step

    def train_step(*args, **kwargs):
        losses = step(*args, **kwargs)
        with torch.no_grad():
            runner.model.line.bias.fill_(value)
            return dict(losses, loss=torch.zeros(()))

    runner.model.train_step = train_step
    with pytest.raises(
        FloatingPointError, match=r'weights are not finite after iteration 2 \(epoch 1\), \[.*line.bias.\]'
    ):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('resume', [False, True])
def test_weights_that_are_not_finite_are_not_loaded(tmp_path, resume):
    toy_runner(tmp_path / 'one', epochs=1).train()
    path = tmp_path / 'nan.pth'
    checkpoint = read_checkpoint(tmp_path / 'one' / 'epoch_1.pth')
    checkpoint['state_dict']['line.bias'].fill_(float('nan'))
    torch.save(checkpoint, path)
    runner = toy_runner(tmp_path / 'two', load_from=str(path), resume=resume)
    with pytest.raises(
        ValueError, match=f"checkpoint {path} is of a training that diverged: .'line.bias'. are not finite"
    ):
        runner.load_or_resume()
    assert runner.model.line.bias.isfinite()


def test_a_loss_with_its_graph_is_looked_at_without_a_warning():
    loss = torch.ones(1, requires_grad=True).sum()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        FiniteLossHook().after_train_iter(None, 0, outputs=dict(loss=loss, loss_of_a_float=0.5))
