"""The table of streams on networks that are trained for a few clips, and early exit of the weights of the package."""

import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from kaizen_mm.config_files import CONFIGS
from kaizen_mm.export import Logits
from kaizen_mm.lab import early_exits, stream_clips, stream_table, streams
from kaizen_mm.layers import holding, recurrent_blocks, rewriting, written_weights
from tests.conftest import ROOT


def network(name, weights=None, **options):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.model.update(options)
    return streams.load(cfg, weights or stream_table.BROUGHT[name])


def clips(count=4, windows=3, **options):
    ((frames, labels),) = stream_clips.streams(count, windows, **options)
    return frames, labels


@torch.no_grad()
def test_the_ways_of_a_stream_are_those_of_plain_calls():
    recurrent, static = network(stream_table.RECURRENT), network(stream_table.STATIC)
    chain = network(stream_table.CHAIN, stream_table.BROUGHT[stream_table.RECURRENT])
    frames, labels = clips()
    windows = one, two, three = [streams.normalized(recurrent, window) for window in frames]
    networks = dict(recurrent=recurrent, static=static, chain=chain)
    found = {name: way(windows, 1) for name, way in streams.ways(networks).items()}
    both = Logits(recurrent, all_iterates=True)
    for index, window in enumerate(windows):
        first, last = (y.softmax(dim=1) for y in both(window))
        torch.testing.assert_close(found['one pass'][index], first)
        torch.testing.assert_close(found['K passes in each window'][index], last)
        torch.testing.assert_close(found['static network'][index], Logits(static)(window).softmax(dim=1))
        together = Logits(static)(torch.cat(windows[: index + 1], dim=2)).softmax(dim=1)
        torch.testing.assert_close(found['static network, all frames so far in one clip'][index], together)
    held = found['written in the first window and held']
    torch.testing.assert_close(held[0], found['K passes in each window'][0])
    at_cut = found['written in the first window and at the cut']
    torch.testing.assert_close(at_cut[1], found['K passes in each window'][1])
    assert (at_cut[2] - held[2]).abs().max() > 1e-3
    for n in range(len(one)):  # sample by sample, as a network that has adapted to the scene
        adapted = recurrent.backbone.specialized(recurrent.backbone.written_weights(one[n : n + 1]))
        scores = recurrent.cls_head.wrapped(adapted(three[n : n + 1]))
        torch.testing.assert_close(scores.softmax(dim=1)[0], held[2, n], rtol=1e-4, atol=1e-6)
    so_far = found['static network, mean of the windows so far']
    torch.testing.assert_close(so_far[2], found['static network'].mean(dim=0))
    assert found["held, of another stream's first window"][0].isnan().all()
    (block,) = [block for _, block in recurrent_blocks(chain)]
    assert block.decay == 0.5 and recurrent_blocks(recurrent)[0][1].decay == 1
    with rewriting(chain, written_weights(Logits(chain), one)) as written:
        Logits(chain)(two)
    with holding(chain, written.weights):
        scores = Logits(chain)(three)
    torch.testing.assert_close(found['trained on chains: written in each window'][2], scores.softmax(dim=1))


def test_the_digit_changes_its_motion_and_the_camera_goes_on():
    (frames, labels), (same, before) = clips(12, 4, changing=True), clips(12, 4)
    assert labels.shape == before.shape == (4, len(frames[0])) and (before == before[0]).all()
    assert (labels[:2] == before[:2]).all() and (labels[2:] == labels[3]).all() and (labels[2] != labels[1]).all()
    assert max(labels.max(), before.max()) < stream_clips.TOLD
    for index in range(4):
        assert torch.equal(frames[index], same[index]) == (index < 2)
    data = stream_clips.digits(12, 4)
    index = int((data.labels('val') < stream_clips.TOLD).nonzero()[0][0])
    target = data.scene('val', index).target
    then = replace(target, label=4)
    times = np.linspace(-1, 1, 2001)
    way = stream_clips.ChangingDigit(**vars(target), then=then).positions(times)
    assert np.abs(np.diff(way, axis=0)).max() < 2.5 * target.speed / 1000, 'the digit jumps'
    np.testing.assert_allclose(np.diff(way[:1000], axis=0), np.diff(target.positions(times)[:1000], axis=0))
    np.testing.assert_allclose(np.diff(way[1001:], axis=0), np.diff(then.positions(times)[1001:], axis=0))


def test_a_cut_goes_on_as_the_next_stream():
    frames, labels = clips(6, 4)
    seen, truth = stream_clips.cut(frames, labels)
    assert all(torch.equal(a, b) for a, b in zip(seen[:2], frames[:2])) and torch.equal(truth[:2], labels[:2])
    assert torch.equal(seen[2][0], frames[2][1]) and torch.equal(seen[3][-1], frames[3][0])
    assert truth[2, 0] == labels[2, 1] and truth[3, -1] == labels[3, 0]


def test_a_window_costs_what_its_passes_cost():
    recurrent, static = network(stream_table.RECURRENT), network(stream_table.STATIC)
    found = streams.measure(dict(recurrent=recurrent, static=static), clips=3, windows=4)
    costs = {name: cost['multiply_adds'] for name, cost in found['costs'].items()}
    one, twice = costs['static network'], costs['K passes in each window']
    assert costs['written in every second window'] == pytest.approx((one + twice) / 2, rel=5e-3)
    assert costs['written in the first window and held'] == pytest.approx((3 * one + twice) / 4, rel=5e-3)
    assert costs['static network, all frames so far in one clip'] == pytest.approx(2.5 * one, rel=0.02)
    assert all(cost['ms'] > 0 for cost in found['costs'].values())
    kinds = [kind for kind in found if kind.startswith('accuracy')]
    assert len(kinds) == 3 and 'at the cut' in ' '.join(found['accuracy, cut in the middle'])


def test_means_and_errors_are_over_the_seeds():
    accuracy = [
        {'a': [50.0, 60.0], 'b': [None, 10.0]},
        {'a': [54.0, 70.0], 'b': [None, 12.0], 'c': [1.0, 2.0]},
    ]
    costs = {'a': dict(multiply_adds=2e6, ms=1.5)}
    per_seed = {
        seed: {'streams': 100, 'windows': 2, 'accuracy': found, 'costs': costs} for seed, found in enumerate(accuracy)
    }
    found = stream_table._over_seeds(per_seed)
    assert found['accuracy']['a']['mean'] == [52.0, 65.0]
    assert found['accuracy']['a']['error'] == pytest.approx([2.0, 5.0])
    assert found['accuracy']['b']['mean'] == [None, 11.0] and found['accuracy']['b']['per_seed'][1] == [None, 12.0]
    assert [found['accuracy'][way]['seeds'] for way in 'abc'] == [[0, 1], [0, 1], [1]]
    text = stream_table.markdown({'2': found})
    assert '| a | 0, 1 | 52.0 ± 2.0 | 65.0 ± 5.0 |' in text and '| b | 0, 1 | - | 11.0 ± 1.0 |' in text
    assert '| a | 2.00 M | 1.50 |' in text
    alone = stream_table._over_seeds({0: per_seed[0]})
    assert alone['accuracy']['a']['error'][0] == pytest.approx(5.0), 'of one seed the binomial one'


def test_trainings_on_chains_start_from_those_of_their_seed(tmp_path):
    first, chains = stream_table.stages(CONFIGS, tmp_path, [0, 1])
    brought = {(run.row, run.seed) for run in first}
    assert brought == {(row, 1) for row in stream_table.BROUGHT} | {
        (row, seed) for row in stream_table.NETWORKS if 'attention' in row for seed in (0, 1)
    }
    starts = {(run.row, run.seed): run.options['load_from'] for run in chains}
    recurrent = stream_table.RECURRENT
    assert starts[stream_table.CHAIN, 0] == stream_table.BROUGHT[recurrent]
    assert starts[stream_table.CHAIN, 1] == str(tmp_path / 'seed_1' / recurrent / 'epoch_10.pth')
    assert starts[stream_table.STATIC_CHAIN, 1] == str(tmp_path / 'seed_1' / stream_table.STATIC / 'epoch_10.pth')
    assert {run.options.get('model.backbone.num_iterations') for run in chains} == {None, 1}


def test_trainings_that_have_not_ended_are_named_or_left_out(tmp_path, monkeypatch):
    runs = [run for stage in stream_table.stages(CONFIGS, tmp_path, [0, 1], True) for run in stage]
    with pytest.raises(ValueError, match='the training in .*seed_0/.* has not ended'):
        stream_table.measured(runs, CONFIGS, tmp_path, [0], (2,), 4)
    of_one = [run for run in runs if run.seed == 1]
    with pytest.raises(ValueError, match='no seed has both'):
        stream_table.measured(of_one, CONFIGS, tmp_path, [1], (2,), 4, finished=True)
    found = stream_table.measured(runs, CONFIGS, tmp_path, [0, 1], (2,), 4, finished=True)['2']
    assert found['accuracy']['static network']['seeds'] == [0]
    assert not any('chains' in way or 'attention' in way for way in found['accuracy'])
    monkeypatch.setattr(streams, '_each', lambda network, iterate=-1: None)  # nothing is looked at again
    monkeypatch.setattr(streams, '_stream', lambda *words, **options: None)
    again = stream_table.measured(runs, CONFIGS, tmp_path, [0, 1], (2,), 4, finished=True)['2']
    assert again == found
    (kept,) = tmp_path.rglob('streams_2_of_4.json')
    kept.write_text(kept.read_text().replace(stream_table.BROUGHT[stream_table.STATIC], 'another one'))
    with pytest.raises(TypeError, match='not callable'):
        stream_table.measured(runs, CONFIGS, tmp_path, [0, 1], (2,), 4, finished=True)


@pytest.mark.slow
def test_the_command_trains_measures_and_draws(tmp_path, monkeypatch, capsys):
    words = ['streams', '--seeds', '1', '--quick', '--jobs', '1', '--work-dir', str(tmp_path)]
    for _ in range(2):  # the second time nothing is trained
        monkeypatch.setattr(sys, 'argv', ['reproduce.py', *words])
        runpy.run_path(str(ROOT / 'tools' / 'reproduce.py'), run_name='__main__')
        printed = capsys.readouterr().out
        assert '| trained on chains: written in each window |' in printed
        trained = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob('*.pth'))
    assert trained == sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob('*.pth'))
    record = json.loads((tmp_path / 'streams_quick.json').read_text())
    assert record['seeds'] == [0] and record['quick'] and set(record['windows']) == {'4'}
    assert (tmp_path / 'streams_quick.png').stat().st_size > 10_000


def test_early_exit_of_the_weights_of_the_package(tmp_path):
    few = {f'{name}_dataloader.dataset.max_clips': 40 for name in ('val', 'test')}
    few.update({f'{name}_dataloader.dataset.num_val': 40 for name in ('val', 'test')})
    rows = early_exits.measure(CONFIGS, tmp_path, few, ['kaizen_bagnet3d_moving_camera'])
    (row,) = rows.values()
    assert row['samples'] == row['held_out']['samples'] == 40 and len(row['accuracy']) == 2
    assert 1 <= row['mean_passes'] <= 2 and row['time_ratio'] > 0
    curve = row['curve']
    assert curve['passes'][0] == 1 and curve['accuracy'][0] == pytest.approx(row['accuracy'][0], abs=1e-3)
    assert curve['accuracy'][-1] == pytest.approx(row['accuracy'][1], abs=1e-3)
    early_exits.plot(rows, tmp_path / 'curve.png')
    assert (tmp_path / 'curve.png').stat().st_size > 5_000
    assert '`kaizen_bagnet3d_moving_camera`' in early_exits.markdown(rows)
