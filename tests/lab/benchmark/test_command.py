"""The command at tiny sizes: what it prints and writes. Never how long anything takes."""

import json
import os
import re

import pytest

from kaizen_mm.commands import benchmark
from kaizen_mm.lab.benchmark import data, growth, processes
from kaizen_mm.lab.benchmark.conditions import Conditions
from kaizen_mm.models import mfnet2d


def run(capsys, tmp_path, *arguments):
    out = tmp_path / 'record.json'
    benchmark.main([*arguments, '--quick', '--seconds', '0', '--out', str(out)])
    content = json.loads(out.read_text())
    assert content['about']['command'] == ' '.join(
        ['python tools/benchmark.py', *arguments, '--quick', '--seconds', '0', '--out', str(out)]
    )
    assert content['about']['cores'] >= 1 and content['about']['gpu'] is None
    return capsys.readouterr().out, content['rows']


def test_block(capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'block', '--cases', 'mfnet2d', '--iterations', '2', '--layout', 'contiguous')
    assert [(row['side'], row['work']) for row in rows] == [
        (side, work) for work in ('train', 'inference') for side in ('plain', 'authors', 'ours')
    ]
    assert all(row['K'] == 2 and row['layout'] == 'contiguous' and row['precision'] == 'float32' for row in rows)
    assert '| MFNet-2D, narrow | 2 | 2 | train | contiguous |' in text and 'not measured' in text


@pytest.mark.slow
def test_network_and_train(capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'train', '--cases', 'mfnet3d_original')
    sides = [row['side'] for row in rows]
    assert sides == ['original', 'ours'] + ['memory'] * 8
    peaks = {(row['checkpointing'], row['K']): row['peak_mib'] for row in rows[2:]}
    assert peaks[True, 3] < peaks[False, 3] and peaks[False, 1] <= peaks[False, 4]
    assert 'Peak memory of a step of training' in text
    text, rows = run(capsys, tmp_path, 'network', '--cases', 'mfnet3d_narrow')
    assert {row['side'] for row in rows} == {'plain', 'authors', 'ours', 'ours, all iterates'}


def test_memory_is_counted(capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'memory')
    assert [(row['checkpointing'], row['K']) for row in rows] == [(c, k) for c in (False, True) for k in (1, 2, 3, 4)]
    peaks = {(row['checkpointing'], row['K']): row['peak_mib'] for row in rows}
    assert peaks[True, 3] < peaks[False, 1] < peaks[False, 2] < peaks[False, 3] < peaks[False, 4]
    assert '| mfnet3d, narrow | 2 | no |' in text


@pytest.mark.slow
def test_data_and_ten_clips(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv('KAIZEN_DATA', str(tmp_path))
    monkeypatch.setattr(data, 'readers', lambda: ['decord', 'pyav'])
    text, rows = run(capsys, tmp_path, 'data')
    clips = [row for row in rows if row['kind'] == 'clips']
    assert len(clips) == 3 * 2 * 3 and {row['frames'] for row in clips} == {"PyAV's"}
    assert {row['videos'] for row in clips} == {'made videos'}
    assert {row['size'] for row in clips} == {'320x240', '342x256'}  # the way of old made them larger
    assert {row['reader'] for row in rows if row['kind'] == 'photos'} >= {'cv2', 'pillow'}
    assert '| originals | 320x240 |' in text
    text, rows = run(capsys, tmp_path, 'test')
    assert {(row['stage'], row['side']) for row in rows} == {
        *((stage, side) for stage in ('decoding', 'both') for side in ('one', 'ten', 'ten, each alone')),
        ('network', 'one'),
        ('network', 'ten'),
    }
    assert all(row['ratio_to_one']['median'] == 1 for row in rows if row['side'] == 'one')


def test_every_width_of_the_growth_is_a_networks():
    for channels, widths in growth._WIDTHS.items():
        assert mfnet2d(widths=widths).num_features == channels


@pytest.mark.slow
def test_growth_has_every_axis():
    rows = list(growth.measure(Conditions(seconds=0, quick=True)))
    assert [(row['axis'], row['value'], row['work']) for row in rows] == [
        (axis, value, work)
        for work in ('train', 'inference')
        for axis, value in (('K', 2), ('K', 3), ('N', 1), ('N', 2), ('R', 1), ('R', 2))
    ]
    counted = {(row['axis'], row['value']): row['counted'] for row in rows if row['work'] == 'inference'}
    assert 1.8 < counted['K', 2] < 2 and 2.7 < counted['K', 3] < 3
    assert 1 < counted['R', 1] < counted['R', 2]


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one():
    found = processes._launch(2, 1, 'cpu', quick=True, steps=1)
    assert found['difference_to_one_process'] < 1e-9
    assert found['gradient_bytes'] == found['trained_bytes'] > 0
    assert found['sent_bytes_each'] == found['gradient_bytes']  # 2 (n - 1) / n of it for n = 2
    assert found['other_bytes'] == 8  # the hinges of two pairs of iterates, in float32
    assert found['clips'] == 2


def test_all_is_each_in_a_process_of_its_own(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(benchmark.subprocess, 'run', lambda command, check, env: ran.append((command[5:], env)))
    benchmark.main(['all', '--out', str(tmp_path), '--before', 'abc', '--threads', '2', '--videos', 'films'])
    environments, ran = [env for _, env in ran], [command for command, _ in ran]
    assert [name for name, env in zip(benchmark.ALL, environments) if env] == ['test_kept']
    assert environments[list(benchmark.ALL).index('test_kept')].items() >= {**os.environ, **benchmark.KEPT}.items()
    assert [command[0] for command in ran] == [options[0] for options in benchmark.ALL.values()]
    assert {command[0] for command in ran} == {'block', 'network', 'train', 'memory', 'test', 'data', 'scaling'}
    for name, command in zip(benchmark.ALL, ran):
        assert command[-2:] == ['--out', str(tmp_path / f'{name}.json')]
        assert ('--before' in command) == (command[0] in ('block', 'network', 'train'))
        assert ('--videos' in command) == (command[0] in ('test', 'data'))
        benchmark.make_parser().parse_args(command)  # every one is a command


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['block', '--cases', 'nothing'], "cases must be some of mfnet2d, .*, got 'nothing'"),
        (['block', '--before', 'no-such-commit'], 'must be a commit'),
        (['data', '--videos', '.', '--quick'], 'must be a folder with videos'),
    ],
)
def test_bad_input_is_named(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(arguments)
    assert stopped.value.code == 1
    assert re.search(message, capsys.readouterr().err)
