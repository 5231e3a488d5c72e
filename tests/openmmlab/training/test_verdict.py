"""What a training and a test end with."""

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS, MODELS
from mmengine.structures import BaseDataElement

from kaizen_mm.openmmlab.training.verdict import VerdictHook
from kaizen_mm.uncertainty import iterates_verdict
from tests.openmmlab.toy import Toy, toy_runner

HELPS = [[0, 1]] * 8 + [[1, 1], [0, 0]]
HARMS = [[1, 0, 0]] * 8 + [[1, 1, 1]]
NOTHING = [[1, 1], [0, 1], [1, 0], [0, 0]]
PLAIN = [[1], [0]]


@MODELS.register_module()
class ToyIterates(Toy):
    """In validation and test each iterate of sample n is right where ``right[n]`` says so; in earlier validations none
    is right."""

    def __init__(self, right, epochs=1, labelled=True):
        super().__init__()
        self.right, self.epochs, self.labelled = right, epochs, labelled

    def test_step(self, data):
        return [self._sample(int(n)) for n in data['inputs'] if int(n) < len(self.right)]

    def val_step(self, data):
        ended = self.calls >= 2 * self.epochs  # two iterations an epoch
        return [
            sample if ended else self._sample(int(n), wrong=True)
            for n, sample in zip(data['inputs'], self.test_step(data))
        ]

    def _sample(self, number, wrong=False):
        scores = torch.tensor([[1.0, 0.0] if right and not wrong else [0.0, 1.0] for right in self.right[number]])
        label = dict(gt_label=torch.tensor([0])) if self.labelled else {}
        return BaseDataElement(iterate_scores=scores, pred_score=scores[-1], **label)


@METRICS.register_module()
class NoMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [0 for _ in data_samples]

    def compute_metrics(self, results):
        return dict(seen=len(results))


def runner_of(tmp_path, right, epochs=1, labelled=True, **entries):
    loader = dict(
        batch_size=3,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='ToyData', length=len(right)),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = toy_runner(
        tmp_path,
        epochs,
        **{
            'model': dict(type='ToyIterates', right=right, epochs=epochs, labelled=labelled),
            'val_dataloader': loader,
            'val_cfg': dict(),
            'val_evaluator': dict(type='NoMetric'),
            'test_dataloader': loader,
            'test_cfg': dict(),
            'test_evaluator': dict(type='NoMetric'),
            **entries,
        },
    )
    runner.register_hook(VerdictHook())
    return runner


def last_line(tmp_path) -> str:
    return max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime).read_text().splitlines()[-1]


@pytest.mark.parametrize('right', [HELPS, HARMS, NOTHING], ids=['helps', 'harms', 'nothing'])
def test_a_training_ends_with_its_last_validation_in_one_line(tmp_path, right):
    runner_of(tmp_path, right, epochs=2).train()
    line = last_line(tmp_path)
    assert f'On validation data: {iterates_verdict(right)} Which samples: kaizen-report ' in line
    assert f'{tmp_path}/epoch_2.pth; where it helps: docs/when_it_helps.md' in line


@pytest.mark.parametrize('right', [HELPS, HARMS, NOTHING], ids=['helps', 'harms', 'nothing'])
def test_a_test_ends_with_the_same(tmp_path, right):
    runner_of(tmp_path, right).test()
    assert f'On test data: {iterates_verdict(right)} Which samples: kaizen-report ' in last_line(tmp_path)


def test_a_plain_network_has_nothing_to_compare(tmp_path):
    runner_of(tmp_path, PLAIN).train()
    line = last_line(tmp_path)
    assert line.endswith(
        'On validation data: The network has one iterate (50.0 % of 2 samples), so there is nothing to compare.'
    )


def test_without_validation_it_says_how_to_know(tmp_path):
    none = dict(val_dataloader=None, val_cfg=None, val_evaluator=None)
    runner_of(tmp_path, HELPS, **none).train()
    assert 'not validated' in last_line(tmp_path) and last_line(tmp_path).endswith(f'{tmp_path}/epoch_1.pth')


def test_of_data_without_labels_nothing_is_said(tmp_path):
    runner_of(tmp_path, HELPS, labelled=False).train()
    assert 'The iterations' not in last_line(tmp_path) and 'validated' not in last_line(tmp_path)


def test_paths_are_those_that_one_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner_of(tmp_path / 'work', HELPS).train()
    assert 'kaizen-report work/CONFIG work/epoch_1.pth; where' in last_line(tmp_path / 'work')
