"""The command at tiny sizes: what it prints and writes. Never how long anything takes."""

import json
import re

import pytest
import torch

from kaizen_mm.commands import benchmark
from kaizen_mm.lab.benchmark import data, processes, runs
from kaizen_mm.lab.benchmark.cases import NETWORKS
from kaizen_mm.lab.benchmark.conditions import Conditions


def run(capsys, tmp_path, *arguments):
    out = tmp_path / 'record.json'
    benchmark.main([*arguments, '--quick', '--seconds', '0', '--out', str(out)])
    content = json.loads(out.read_text())
    assert content['about']['command'] == ' '.join(
        ['python tools/benchmark.py', *arguments, '--quick', '--seconds', '0', '--out', str(out)]
    )
    assert content['about']['cores'] >= 1 and content['about']['gpu'] is None and content['about']['quick']
    return ' '.join(capsys.readouterr().out.split()), content['rows']


def test_block(capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'block', '--cases', 'mfnet2d', '--iterations', '2', '--layout', 'contiguous')
    assert [(row['side'], row['work']) for row in rows] == [
        (side, work) for work in ('train', 'inference') for side in ('plain', 'recurrent')
    ]
    assert all(row['K'] == 2 for row in rows)
    about = json.loads((tmp_path / 'record.json').read_text())['about']
    assert about['layout'] == 'contiguous' and about['precision'] == 'float32'
    assert '| MFNet-2D, C = 768, 7x7 | 2 | 2 | train | recurrent | 2 |' in text


@pytest.mark.slow
def test_network_and_train(capsys, tmp_path):
    for kind, work in (('train', 'train step'), ('network', 'inference')):
        text, rows = run(capsys, tmp_path, kind, '--cases', 'resnet18')
        sides = ['plain', 'recurrent', *(['all iterates'] if kind == 'network' else [])]
        assert [(row['side'], row['work'], row['K']) for row in rows] == [(side, work, 3) for side in sides]
        assert rows[0]['multiply_adds'] < rows[1]['multiply_adds'] < 2 * rows[0]['multiply_adds']
        assert f'| RecurrentNetwork of resnet18, layer4.1.conv1, 112x112 | 2 | 3 | {work} | recurrent |' in text


OWN = """
import copy
import torch
from torch import nn
from kaizen_mm.surgery import RecurrentNetwork

def build(num_iterations):
    block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    plain, shape = nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), (1, 8, 8)
    return plain, RecurrentNetwork(
        copy.deepcopy(plain), '0', torch.zeros(1, *shape), '0', num_iterations=num_iterations, adapter='global'
    ), shape
"""


@pytest.mark.parametrize('kind', ['block', 'network', 'train', 'memory', 'stream'])
def test_a_network_of_ones_own(kind, capsys, tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text(OWN)
    compared = kind in ('block', 'network', 'train')
    sizes = ['--iterations', '2', '4', '--batch', '3', '5'] if compared else []
    _, rows = run(capsys, tmp_path, kind, '--cases', str(file), *sizes)
    assert {row['case'] for row in rows} == {'mine'}
    if compared:
        assert list(dict.fromkeys((row['K'], row['batch']) for row in rows)) == [(2, 3), (2, 5), (4, 3), (4, 5)]
    if kind == 'stream':
        assert {(row['K'], row['side']) for row in rows} > {(3, 'plain'), (3, 'recurrent')}


@pytest.mark.slow
def test_memory(capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'memory', '--cases', 'mfnet3d_n9_112')
    assert [(row['K'], row['checkpointing']) for row in rows] == [(k, c) for k in (1, 2, 3, 4) for c in (False, True)]
    peaks = {(row['checkpointing'], row['K']): row['peak_mib'] for row in rows}
    assert peaks[True, 3] < peaks[False, 3] and peaks[False, 1] <= peaks[False, 4]
    assert '| kaizen_mfnet3d_n9, 16x112x112 | 2 | 3 | yes |' in text


@pytest.mark.slow
def test_data(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv('KAIZEN_DATA', str(tmp_path))
    monkeypatch.setattr(data, 'readers', lambda: ['decord', 'pyav'])
    text, rows = run(capsys, tmp_path, 'data')
    assert len(rows) == 2 * 2 * 4 and {row['frames'] for row in rows} == {"PyAV's"}
    assert {(row['videos'], row['pixels']) for row in rows} == {
        ('originals', '320x240'),
        ('--short-side 128', '170x128'),
    }
    assert {row['stage'] for row in rows} == {'decoding', 'to 224 px', 'to 112 px', 'ten clips'}
    assert '| originals | 320x240 |' in text and '| --short-side 128 | 170x128 |' in text


@pytest.mark.slow
def test_two_processes(capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'scaling', '--rounds', '1')
    assert [(row['processes'], row['samples_each'], row['scaling']) for row in rows] == [
        (1, 2, '-'),
        (2, 2, 'weak'),
        (2, 1, 'strong'),
    ]
    _, network, _ = NETWORKS['mfnet3d_n9_112'].build(3)
    trained = sum(4 * p.numel() for p in network.parameters() if p.requires_grad)
    assert {row['gradient_bytes'] for row in rows} == {trained} and f'| {trained:,} |' in text


@pytest.mark.slow
def test_two_processes_of_a_network_of_ones_own(capsys, tmp_path):
    (tmp_path / 'mine.py').write_text(OWN)
    _, rows = run(capsys, tmp_path, 'scaling', '--cases', str(tmp_path / 'mine.py'))
    assert [(row['case'], row['processes']) for row in rows] == [('mine', 1), ('mine', 2), ('mine', 2)]


def test_efficiency_is_of_the_time_of_one_process(capsys, monkeypatch):
    """Weak: as many clips each; strong: as many in all."""
    steps = iter([100.0, 125.0, 80.0])
    shared = dict(without_exchange_ms=None, gradient_bytes=1850)
    monkeypatch.setattr(
        processes,
        'launch',
        lambda *given: dict(shared, step_ms=dict(median=(median := next(steps)), low=median, high=median)),
    )
    benchmark.main(['scaling'])
    lines = [[cell.strip() for cell in line.split('|')] for line in capsys.readouterr().out.splitlines()]
    assert [[line[3], line[4], line[8]] for line in lines if len(line) > 8 and line[2] in ('1', '2')] == [
        ['4', '-', '1.00'],
        ['4', 'weak', '0.80'],
        ['2', 'strong', '0.62'],
    ]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='it would not fail')
def test_a_process_that_fails_is_told_with_its_error():
    with pytest.raises(RuntimeError, match='a process of 1 ended'):
        processes.launch('mfnet3d_n9_112', 1, 1, Conditions(device='cuda', quick=True))


def test_all_is_each_in_a_process_of_its_own(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(runs.subprocess, 'run', lambda command, check: ran.append(command[5:]))
    benchmark.main(['all', '--out', str(tmp_path), '--threads', '2', '--videos', 'films'])
    assert [command[0] for command in ran] == [*benchmark.COMPARISONS, 'data', 'scaling'] == [*runs.TITLES]
    for command in ran:
        assert command[-2:] == ['--out', str(tmp_path / f'{command[0]}.json')]
        assert ('--videos' in command) == (command[0] == 'data')
        benchmark.parser_of_all().parse_args(command)  # every one is a command


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['block', '--cases', 'nothing'], "cases must be some of mfnet2d, .*, got 'nothing'"),
        (['memory', '--cases', 'nothing'], "cases must be some of mfnet3d_n9_112, .*, got 'nothing'"),
        (['stream', '--cases', 'nothing'], "cases must be some of .*, bagnet3d, or Python files, got 'nothing'"),
        (['train', '--cases', 'nothing.py'], 'cases must name files that exist, got nothing.py'),
        (['train', '--cases', 'empty.py'], r'empty.py must define build\(num_iterations\)'),
        (['data', '--videos', '.', '--quick'], 'must be a folder with videos'),
    ],
)
def test_bad_input_is_named(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty.py').touch()
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(arguments)
    assert stopped.value.code == 1
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize('case', ['bagnet3d', 'mfnet3d_n9_112'])
def test_stream(case, capsys, tmp_path):
    text, rows = run(capsys, tmp_path, 'stream', '--cases', case)
    assert [(row['batch'], row['side']) for row in rows] == [
        *((1, side) for side in ('plain', 'recurrent', 'fast weights', 'specialized')),
        *((2, side) for side in ('plain', 'recurrent', 'early exit, half')),
    ]
    count = {(row['batch'], row['side']): row['multiply_adds'] for row in rows}
    # weights of one sample are added to W_1 once, so that a pass with them is one of the plain network
    assert count[1, 'plain'] == count[1, 'specialized'] == count[1, 'fast weights'] < count[1, 'recurrent']
    assert count[2, 'plain'] < count[2, 'early exit, half'] < count[2, 'recurrent']
    for side in ('fast weights', 'specialized', 'early exit, half'):
        assert f'| inference | {side} |' in text
