"""Time and memory of a training, told before it starts."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from torch.utils.data import DataLoader, default_collate

from kaizen_mm.openmmlab.training import estimate
from kaizen_mm.openmmlab.training.estimate import (
    EstimateHook,
    StepCost,
    announce,
    phase_seconds,
    spoken_size,
    spoken_time,
    step_cost,
)
from tests.openmmlab.toy import toy_runner

WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.1))


class Layer(BaseModel):
    """``[N, 3] -> [N, 2]``: what is kept for the backward pass can be counted."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2, bias=False)

    def forward(self, inputs, mode='tensor'):
        outputs = self.layer(torch.stack(list(inputs)))
        return dict(loss=outputs.sum()) if mode == 'loss' else list(outputs)


def loader(samples=10, batch=4, workers=0) -> DataLoader:
    return DataLoader([dict(inputs=torch.rand(3)) for _ in range(samples)], batch, num_workers=workers)


def test_a_trial_changes_neither_weights_nor_random_states():
    model, data = Layer(), loader()
    before, state = model.layer.weight.clone(), torch.random.get_rng_state()
    step_cost(model, WRAPPER, data, data)
    assert torch.equal(model.layer.weight, before) and torch.equal(torch.random.get_rng_state(), state)
    assert model.layer.weight.grad is None


def test_memory_is_that_of_weights_gradients_optimizer_and_what_is_kept():
    cost = step_cost(Layer(), WRAPPER, loader())
    weights = 4 * 6
    adam = 2 * weights + 4  # two moments, and the number of its steps
    kept = 4 * (4 * 3) + weights  # the input, and the weights where its gradient is asked for
    assert 2 * weights + adam + 4 * (4 * 3) <= cost.memory <= 2 * weights + adam + kept


def test_what_happens_once_is_no_part_of_a_step(monkeypatch):
    clock = [0.0]

    class Sample(dict):
        def __deepcopy__(self, memo):
            clock[0] += 1000  # the copy that the trial keeps
            return Sample(self)

    class ReadAtFirst(list):
        is_read = False

        def __getitem__(self, index):
            clock[0] += 1 if self.is_read else 100
            self.is_read = True
            return super().__getitem__(index)

    class Slow(Layer):
        def train_step(self, data, optim_wrapper):
            clock[0] += 7
            return super().train_step(data['batch'], optim_wrapper)

        def val_step(self, data):
            clock[0] += 3
            return super().val_step(data['batch'])

    def slow_loader():
        samples = ReadAtFirst(dict(inputs=torch.rand(3)) for _ in range(10))
        return DataLoader(samples, 4, collate_fn=lambda batch: Sample(batch=default_collate(batch)))

    monkeypatch.setattr(estimate, 'time', SimpleNamespace(perf_counter=lambda: clock[0]))
    cost = step_cost(Slow(), WRAPPER, slow_loader(), slow_loader())
    assert (cost.train, cost.load, cost.validate) == (7, 4, 4 + 3)


def test_the_time_of_a_phase_by_hand():
    cost = StepCost(train=2.0, load=1.0, validate=0.5, memory=0)
    train, val = loader(10, 4), loader(8, 4)  # 3 and 2 steps
    assert phase_seconds(cost, train, dict(max_epochs=5)) == 5 * 3 * (2 + 1)
    assert phase_seconds(cost, train, dict(max_epochs=5, val_interval=2), val) == 45 + 3 * 2 * 0.5
    assert phase_seconds(cost, loader(10, 4, workers=2), dict(max_epochs=5)) == 5 * 3 * 2, 'loading is beside'
    slow = cost._replace(load=8.0)
    assert phase_seconds(slow, loader(10, 4, workers=2), dict(max_epochs=5)) == 5 * 3 * 4, 'or what is waited for'
    assert phase_seconds(cost, train, dict(max_iters=7, val_interval=5), val) == 7 * 3 + 2 * 2 * 0.5


@pytest.mark.parametrize(
    'seconds, text',
    [(0.1, '1 s'), (89, '89 s'), (90, '2 min'), (720, '12 min'), (5400, '1 h 30 min'), (12_000, '3 h 20 min')],
)
def test_times_for_people(seconds, text):
    assert spoken_time(seconds) == text


def test_sizes_for_people():
    assert [spoken_size(n) for n in (10, 2.4e6, 3.14e9)] == ['1 MB', '2 MB', '3.1 GB']


def test_it_is_said_once_before_the_first_step(tmp_path):
    runner = toy_runner(tmp_path)
    runner.register_hook(EstimateHook())
    runner.train()
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('Estimate: about ') == 1 and '(2 epochs of 2 steps), from 2 timed steps' in log
    assert log.index('Estimate') < log.index('Saving checkpoint at 1')


def test_of_two_phases_the_whole_is_said_before_the_first(monkeypatch):
    costs = iter([StepCost(1.0, 0.0, 0.0, 0), StepCost(2.0, 0.0, 0.0, 0)])
    monkeypatch.setattr(estimate, 'step_cost', lambda *args: next(costs))
    lines: list = []

    def runner(epochs, hooks):
        return SimpleNamespace(
            hooks=hooks,
            val_loop=None,
            model=Layer(),
            train_dataloader=loader(),
            logger=SimpleNamespace(info=lines.append, warning=lines.append),
            cfg=SimpleNamespace(optim_wrapper=WRAPPER, train_cfg=dict(max_epochs=epochs)),
        )

    one, two = runner(40, []), runner(20, [EstimateHook()])
    announce(one, two)
    announce(two)
    assert lines == [
        'Estimate: about 4 min (phase one: 40 epochs of 3 steps, 2 min; phase two: 20 epochs of 3 steps, 2 min), from '
        '2 timed steps of each'
    ]


def test_without_the_hook_nothing_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, 'step_cost', lambda *args: pytest.fail('timed'))
    toy_runner(tmp_path).train()


def test_an_estimate_that_fails_stops_no_training(tmp_path, monkeypatch):
    def fails(*args):
        raise KeyError('a step')

    monkeypatch.setattr(estimate, 'step_cost', fails)
    runner = toy_runner(tmp_path)
    runner.register_hook(EstimateHook())
    runner.train()
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert "No estimate of its time: KeyError: 'a step'" in log and (tmp_path / 'epoch_2.pth').exists()
