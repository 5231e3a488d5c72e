"""The way of early exit from held-out data to the test and the report, by the commands."""

import json
import pickle
import runpy
import sys
from collections import OrderedDict

import mmpretrain.models  # noqa: F401
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, RUNNERS, DefaultScope, init_default_scope
from torch import nn

from kaizen_mm.calibration import read_calibration, write_calibration
from kaizen_mm.openmmlab.held_out import calibrate
from kaizen_mm.report.evaluation import evaluate
from tests.conftest import ROOT


@pytest.fixture
def digits(mnist_data, monkeypatch, tmp_path):
    """A config of digits whose iterates differ, its checkpoint, and held-out data that are not those of the test."""
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mnist_k3.py')
    cfg.phase_one, cfg.work_dir = None, str(tmp_path / 'work')
    cfg.model.backbone.alpha = 0.5
    cfg.train_dataloader.dataset.split, cfg.val_dataloader.dataset.split = 'fit', 'val'
    cfg.test_dataloader.batch_size = 100
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    nn.init.normal_(model.backbone.fc2.weight, std=3.0)
    file = tmp_path / 'digits.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), file)
    cfg.dump(tmp_path / 'digits.py')
    return cfg, file


def tool(monkeypatch, name, *words):
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, words)])
    runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')


def test_from_held_out_data_to_the_test_and_the_report(digits, monkeypatch, tmp_path, capsys):
    cfg, file = digits
    config, exits = tmp_path / 'digits.py', tmp_path / 'exits.json'
    tool(monkeypatch, 'calibrate', config, file, '--out', exits)
    assert 'held-out samples: temperatures' in capsys.readouterr().out
    found, held_out = read_calibration(exits), json.loads(exits.read_text())['held_out']
    split = {'test_dataloader.dataset.split': 'val'}
    known = evaluate(config, str(file), split, temperatures=found.temperatures)
    assert held_out['samples'] == len(known.labels) and len(found.temperatures) == 3
    assert held_out['accuracy'] == pytest.approx([100 * interval.share for interval in known.accuracy()])
    assert held_out['mean_passes'] == pytest.approx(known.exit_at(found.threshold).passes)
    assert held_out['early_exit_accuracy'] >= held_out['accuracy'][-1]

    outcomes = evaluate(config, str(file), temperatures=(1.5, 1.2, 1.0))
    half = float(np.median(outcomes.confidences[:, 0]))
    found = found._replace(threshold=half, temperatures=(1.5, 1.2, 1.0))
    write_calibration(exits, found, {})
    cfg.load_from = str(file)
    cfg.test_cfg = dict(type='EarlyExitTestLoop', threshold=found.threshold, temperatures=found.temperatures)
    metrics = RUNNERS.build(cfg).test()
    at = outcomes.exit_at(found.threshold)
    assert 1.1 < at.passes < 2.9
    assert metrics['accuracy/top1'] == pytest.approx(100 * at.accuracy.share)
    assert metrics['early_exit/mean_passes'] == pytest.approx(at.passes)
    for i, (share, interval) in enumerate(zip(at.shares, outcomes.accuracy()), start=1):
        assert metrics[f'early_exit/left_after_{i}'] == pytest.approx(100 * share)
        assert metrics[f'all_passes/accuracy/iterate_{i}/top1'] == pytest.approx(100 * interval.share)
    assert metrics['early_exit/time_ratio'] > 0

    tool(monkeypatch, 'report', config, file, '--exit-at', exits)
    printed = capsys.readouterr().out
    assert f'early exit at {found.threshold:.3g}: top-1 {100 * at.accuracy.share:.1f} %' in printed
    page = file.with_name('report.html').read_text()
    assert 'Accuracy against the mean number of passes' in page and f'{at.passes:.2f} passes in the mean' in page


def test_the_test_tool_takes_a_threshold(digits, monkeypatch, tmp_path, capsys):
    cfg, file = digits
    dump = tmp_path / 'dump.pkl'
    words = [tmp_path / 'digits.py', file, '--exit-at', 0.5, '--dump', dump, '--work-dir', tmp_path / 'tested']
    tool(monkeypatch, 'test', *words)
    dumped = pickle.loads(dump.read_bytes())
    assert {sample['passes'] for sample in dumped} <= {1, 2, 3} and len(dumped) == 397, 'of early exit, not of all'


@pytest.mark.parametrize(
    'case, message',
    [
        ('test data', 'val_dataloader reads the data of the test'),
        ('training data', 'val_dataloader reads the data of the training'),
        ('no data', 'the config must have val_dataloader and test_dataloader'),
        ('K = 1', 'early_exit: the network has num_iterations=1'),
    ],
)
def test_what_cannot_be_calibrated_is_said(digits, case, message):
    cfg, file = digits
    if case == 'test data':
        cfg.val_dataloader.dataset.split = 'test'
    if case == 'training data':
        cfg.val_dataloader.dataset.split = 'fit'
    if case == 'no data':
        cfg.val_dataloader = None
    if case == 'K = 1':
        cfg.model.backbone.num_iterations = 1
        init_default_scope('mmpretrain')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), file)
    with pytest.raises(ValueError, match=message):
        calibrate(cfg, str(file))


def test_a_threshold_chosen_for_another_checkpoint_is_refused(digits, monkeypatch, tmp_path, capsys):
    cfg, file = digits
    exits = tmp_path / 'exits.json'
    tool(monkeypatch, 'calibrate', tmp_path / 'digits.py', file, '--out', exits)
    state = torch.load(file)
    state['state_dict']['backbone.fc2.weight'] += 1
    torch.save(state, file)
    for name in ('test', 'report'):
        with pytest.raises(SystemExit):
            tool(monkeypatch, name, tmp_path / 'digits.py', file, '--exit-at', exits)
        assert 'exits.json was chosen for another checkpoint' in capsys.readouterr().err


@pytest.mark.parametrize('network', ['K = 1', 'plain'])
def test_the_test_tool_says_that_nothing_can_leave(digits, monkeypatch, tmp_path, capsys, network):
    cfg, file = digits
    cfg.model.backbone.num_iterations = 1 if network == 'K = 1' else None
    cfg.model.backbone.pop('alpha')
    init_default_scope('mmpretrain')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), file)
    cfg.dump(tmp_path / 'digits.py')
    with pytest.raises(SystemExit):
        tool(monkeypatch, 'test', tmp_path / 'digits.py', file, '--exit-at', 0.5, '--work-dir', tmp_path / 'w')
    said = 'has num_iterations=1' if network == 'K = 1' else 'has no recurrent block'
    assert f'early_exit: ImageClassifier {said}' in capsys.readouterr().err


@pytest.mark.parametrize('value', ['1.5', '-0.1', 'nan', 'no_such_file.json'])
def test_thresholds_that_are_none(digits, monkeypatch, tmp_path, capsys, value):
    cfg, file = digits
    for name in ('test', 'report'):
        with pytest.raises(SystemExit):
            tool(monkeypatch, name, tmp_path / 'digits.py', file, f'--exit-at={value}')
        assert '--exit-at: must be a number from 0 to 1' in capsys.readouterr().err
