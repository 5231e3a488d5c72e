"""The comparison of phase one, control and recurrent network, and the demo's pieces."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from kaizen_mm.lab.experiment import ROWS, compare, conclusion, markdown_table
from kaizen_mm.lab.plots import plot_iterates

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
CONFIGS = TOOLS.with_name('configs')


@pytest.mark.slow
def test_rows_seeds_and_resumption(run, tiny_configs, tmp_path):
    command = [
        sys.executable,
        TOOLS / 'compare.py',
        tiny_configs / 'kaizen.py',
        tiny_configs / 'control.py',
        '--work-dir',
        'work',
        '--seeds',
        0,
        1,
        '--cfg-options',
        'train_cfg.max_epochs=2',
        'phase_one.train_cfg.max_epochs=1',
    ]
    output = run(*command)
    work = tmp_path / 'work'
    results = json.loads((work / 'results.json').read_text())
    assert results['seeds'] == [0, 1]
    for row in ('phase_one', 'static_control', 'kaizen'):
        assert len(results[row]['per_seed']) == 2
        for key in ('clip_top1', 'video_top1', 'parameters', 'seconds'):
            assert key in results[row]
    assert len(results['kaizen']['video_top1']) == 3
    for key in ('video_top1', 'parameters'):
        for i in range(3):
            values = [run[key][i] if key == 'video_top1' else run[key] for run in results['kaizen']['per_seed']]
            mean = results['kaizen'][key][i] if key == 'video_top1' else results['kaizen'][key]
            assert abs(mean - sum(values) / 2) < 1e-9
    assert (
        results['kaizen']['parameters'] > results['phase_one']['parameters'] == results['static_control']['parameters']
    )
    assert [results[row]['per_seed'][0]['epochs'] for row in ('phase_one', 'static_control', 'kaizen')] == [1, 2, 2]
    assert (work / 'accuracy.png').exists() and (work / 'results.md').read_text().strip() in output
    assert [results[row]['tested'] for row in ('phase_one', 'static_control', 'kaizen')] == [8, 8, 8], (
        'videos, not clips'
    )
    assert output.strip().endswith(conclusion(results))
    assert re.search(r'Estimate: about .* \(phase_one .*, static_control .*, kaizen .* for each of 2 seeds\)', output)
    assert 'Saving checkpoint' not in output and '[1][4/4]' in output, 'a line an epoch'
    for row in ('phase_one', 'static_control', 'kaizen'):
        for one in results[row]['per_seed']:
            shares = [100 * right.count('1') / 8 for right in one['right']]
            assert shares == list(np.atleast_1d(one['video_top1'])), 'each sample counts in the accuracy as kept'
    assert len({one['samples'] for row in ROWS for one in results[row]['per_seed']}) == 1

    stamps = {p: p.stat().st_mtime_ns for p in work.rglob('*.pth')}
    (work / 'seed_1' / 'kaizen' / 'result.json').unlink()
    run(*command)
    again = json.loads((work / 'results.json').read_text())
    assert {p: p.stat().st_mtime_ns for p in work.rglob('*.pth')} == stamps, 'nothing is trained again'
    assert again['kaizen']['video_top1'] == results['kaizen']['video_top1'], 'the test gives the same again'

    output = run(*command, 'train_dataloader.batch_size=2', status=1)
    assert 'seed_0/phase_one holds a training of another config:' in output
    assert 'train_dataloader.batch_size: 4 there, 2 here' in output
    assert json.loads((work / 'results.json').read_text()) == again


@pytest.mark.slow
def test_quiet_shows_bars_and_leaves_the_log_to_its_file(run, tiny_configs, tmp_path):
    (tmp_path / 'quiet.py').write_text(f"""
from mmengine.config import Config
from kaizen_mm.lab.experiment import compare
configs = [Config.fromfile({str(tiny_configs)!r} + name) for name in ('/kaizen.py', '/control.py')]
for cfg in configs:
    cfg.train_cfg.max_epochs = cfg.phase_one.train_cfg.max_epochs = 1
compare(*configs, folder='work', quiet=True)
""")
    output = run(sys.executable, 'quiet.py')
    assert 'training' in output and '100 %' in output and 'Epoch(' not in output
    logs = list((tmp_path / 'work' / 'seed_0' / 'kaizen').rglob('*.log'))
    assert logs and any('[1][4/4]' in log.read_text() for log in logs)


def test_exchanged_configs_are_refused(tiny_configs, environment, monkeypatch, tmp_path):
    for key in ('KAIZEN_LIST_ROOT', 'KAIZEN_LIST_CLASSES'):
        monkeypatch.setenv(key, environment[key])
    kaizen, control = (Config.fromfile(tiny_configs / f'{name}.py') for name in ('kaizen', 'control'))
    with pytest.raises(ValueError, match='kaizen must be a config .* at least 2, got num_iterations=1'):
        compare(control, kaizen, tmp_path)
    with pytest.raises(ValueError, match='seeds must be different ints .* got 0 twice: it is one training'):
        compare(kaizen, control, tmp_path, seeds=[0, 1, 0])
    assert not list(tmp_path.iterdir())
    kaizen.phase_one = None
    with pytest.raises(ValueError, match='must both have a phase_one, or neither of them, got one in control alone'):
        compare(kaizen, control, tmp_path)


@pytest.mark.slow
def test_networks_from_the_start_are_compared_without_phase_one(tmp_path):
    configs = [
        Config.fromfile(f'{CONFIGS}/{name}bagnet3d_moving_camera{k}.py') for name, k in (('kaizen_', '_k2'), ('', ''))
    ]
    for cfg in configs:
        cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 1
        for loader in ('train', 'val', 'test'):
            cfg[f'{loader}_dataloader'].dataset.max_clips = 8
    results = compare(*configs, folder=tmp_path, quiet=True)
    assert (
        set(results)
        == {'static_control', 'kaizen', 'seeds'}
        == set(json.loads((tmp_path / 'results.json').read_text()))
    )
    assert not (tmp_path / 'seed_0' / 'phase_one').exists()
    assert (results['static_control']['parameters'], results['kaizen']['parameters']) == (28_680, 36_536)
    lines = markdown_table(results).splitlines()
    assert [line.split(' | ')[0] for line in lines[2:]] == [
        '| static_control',
        '| kaizen, iterate 1',
        '| kaizen, iterate 2',
    ]
    assert 'the static control' in conclusion(results)
    plot_iterates(results, tmp_path / 'accuracy.png')
    assert (tmp_path / 'accuracy.png').stat().st_size > 1000


def test_the_table_gives_mean_and_standard_error():
    plain = dict(parameters=1234, video_top1=50.0, per_seed=[dict(clip_top1=v, video_top1=v) for v in (49.0, 51.0)])
    kaizen = dict(
        parameters=1300,
        video_top1=[60.0, 70.0],
        per_seed=[dict(clip_top1=[v, v], video_top1=[v, v + 10]) for v in (58.0, 62.0)],
    )
    table = markdown_table(dict(phase_one=plain, static_control=plain, kaizen=kaizen))
    assert '| phase_one | 1,234 | 50.0 ± 1.0 | 50.0 ± 1.0 |' in table
    assert '| kaizen, iterate 2 | 1,300 | 60.0 ± 2.0 | 70.0 ± 2.0 |' in table
    single = {
        row: dict(
            parameters=9,
            per_seed=[dict(clip_top1=90.0, video_top1=[75.0, 80.0] if row == 'kaizen' else 80.0, tested=100)],
        )
        for row in ('phase_one', 'static_control', 'kaizen')
    }
    single['kaizen']['per_seed'][0]['clip_top1'] = [75.0, 80.0]
    assert '| phase_one | 9 | 90.0 ± 3.0 | 80.0 ± 4.0 |' in markdown_table(single)
    assert '| kaizen, iterate 1 | 9 | 75.0 ± 4.3 | 75.0 ± 4.3 |' in markdown_table(single)
    assert 'no measurable difference to the static control (80.0 ± 4.0 %)' in conclusion(single)
    assert 'is not known' in conclusion(single), 'results of before it was kept'
    for row, right in (
        ('kaizen', ['0' * 100, '1' * 80 + '0' * 20]),
        ('static_control', ['1' * 60 + '0' * 20 + '1' * 20]),
    ):
        single[row]['per_seed'][0].update(right=right, samples='x')
    assert '20 samples being corrected and 20 broken' in conclusion(single)
    single['kaizen']['per_seed'][0]['samples'] = 'y'
    assert 'is not known' in conclusion(single), 'of other samples'


def test_the_table_of_images_has_one_measure():
    plain = dict(parameters=9, per_seed=[dict(top1=50.0), dict(top1=52.0)])
    kaizen = dict(parameters=10, per_seed=[dict(top1=[v, v + 1]) for v in (58.0, 62.0)])
    table = markdown_table(dict(phase_one=plain, static_control=plain, kaizen=kaizen)).splitlines()
    assert table[0] == '| network | parameters | top-1 ± standard error |' and table[1] == '| --- | --- | --- |'
    assert table[2] == '| phase_one | 9 | 51.0 ± 1.0 |' and table[-1] == '| kaizen, iterate 2 | 10 | 61.0 ± 2.0 |'


def test_clips_are_no_measure_of_their_own_where_a_video_is_one_clip():
    plain = dict(parameters=9, per_seed=[dict(clip_top1=50.0, video_top1=50.0, tested=100)])
    kaizen = dict(parameters=10, per_seed=[dict(clip_top1=[58.0, 59.0], video_top1=[58.0, 59.0], tested=100)])
    results = dict(static_control=plain, kaizen=kaizen, seeds=[0])
    assert markdown_table(results).splitlines()[0] == '| network | parameters | video top-1 ± standard error |'
    kaizen['per_seed'][0]['clip_top1'] = [57.0, 59.0]
    assert 'clip top-1' in markdown_table(results).splitlines()[0]
