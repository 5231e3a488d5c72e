"""The curves of trainings, from their files to the picture."""

import json
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from kaizen_mm.lab.curves import find_runs
from kaizen_mm.lab.run_plot import plot_runs
from tests.conftest import ROOT


def write(work_dir: Path, start: str, epochs, iterates: int = 1, config: str = '', length: int = 10) -> Path:
    """A start of a training: two lines of training an epoch, and a validation."""
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True)
    rows = []
    for epoch in epochs:
        for inner in (length // 2, length):
            step = (epoch - 1) * length + inner
            row = dict(loss=10.0 / step, lr=0.1, epoch=epoch, iter=step, step=step)
            row['top1_acc'] = 0.01 * epoch
            if iterates > 1:
                for i in range(1, iterates + 1):
                    row.update({f'iterate_{i}_criterion': i + 10.0 / step})
                    if i < iterates:
                        row.update(
                            {
                                f'iterate_{i}_top1_acc': 0.02 * epoch,
                                f'iterate_{i + 1}_worse': 0.5,
                                f'iterate_{i + 1}_weight_change': 0.1 * i,
                            }
                        )
            rows.append(row)
        row = {'accuracy/top1': 10.0 * epoch, 'step': epoch}
        if iterates > 1:
            row.update({f'accuracy/iterate_{i}/top1': 10.0 * epoch + i - iterates for i in range(1, iterates + 1)})
        rows.append(row)
    (folder / 'scalars.json').write_text(''.join(f'{json.dumps(row)}\n' for row in rows))
    (folder / 'config.py').write_text(config)
    return folder / 'scalars.json'


def test_a_resumed_training_counts_every_step_once(tmp_path):
    write(tmp_path / 'run', '1', (1, 2, 3))
    with open(tmp_path / 'run' / '1' / 'vis_data' / 'scalars.json', 'a') as file:
        file.write('{"loss": 0.')  # the process was killed
    write(tmp_path / 'run', '2', (3, 4))  # from the checkpoint of epoch 2
    (tmp_path / 'run' / 'test' / '3' / 'vis_data').mkdir(parents=True)
    (tmp_path / 'run' / 'test' / '3' / 'vis_data' / 'scalars.json').write_text('{"accuracy/top1": 50.0, "step": 0}\n')
    (run,) = find_runs([tmp_path / 'run'])
    (phase,) = run.phases
    assert run.name == 'run' and phase.by_epoch and phase.end == 4
    assert [x for x, _ in phase.training['loss'][0]] == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert phase.validation['accuracy/top1'] == {0: [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0)]}


def test_phase_one_comes_first_wherever_it_is(tmp_path):
    write(tmp_path / 'below', '1', (1, 2), iterates=2)
    write(tmp_path / 'below' / 'phase_one', '1', (1, 2, 3))
    shared = tmp_path / 'runs' / 'shared'
    write(shared, '1', (1, 2))
    write(tmp_path / 'runs' / 'kaizen', '1', (1,), iterates=3, config=f'phase_one = dict(work_dir={str(shared)!r})')
    write(tmp_path / 'runs' / 'control', '1', (1,), config="phase_one = dict(work_dir='/where/it/was/shared')")
    (below,) = find_runs([tmp_path / 'below'])
    assert [phase.end for phase in below.phases] == [3, 2]
    runs = {run.name: run for run in find_runs([tmp_path / 'runs'])}
    assert {name: [phase.end for phase in run.phases] for name, run in runs.items()} == {
        'runs/kaizen': [2, 1],
        'runs/control': [2, 1],
    }, 'a phase one that others start from is drawn with them'
    assert set(runs['runs/kaizen'].phases[1].training['criterion']) == {1, 2, 3}
    assert len(find_runs([tmp_path / 'runs', tmp_path / 'runs' / 'kaizen', tmp_path / 'below'])) == 3, 'each once'
    assert [run.name for run in find_runs([shared])] == ['shared']


def test_both_phases_control_and_iterates_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(plt, 'close', lambda figure: None)
    write(tmp_path / 'kaizen', '1', (1, 2), iterates=2)
    write(tmp_path / 'kaizen' / 'phase_one', '1', (1, 2, 3))
    write(tmp_path / 'control', '1', (1, 2))
    plot_runs(find_runs([tmp_path / 'kaizen', tmp_path / 'control']), tmp_path / 'new' / 'curves.png')
    assert (tmp_path / 'new' / 'curves.png').read_bytes().startswith(b'\x89PNG')
    axes = {axis.get_title(): axis for axis in plt.gcf().axes if axis.get_title()}
    assert set(axes) == {
        'cross entropy, training',
        'accuracy, training [%]',
        'top-1, validation [%]',
        'worse than the iterate before [% of batches]',
        'change of the weights',
    }, 'what was not logged is not there'
    validation = axes['top-1, validation [%]'].lines
    curves = sorted(
        (list(line.get_xdata()), list(line.get_ydata()))
        for line in validation
        if len(line.get_xdata()) > 1 and line.get_linestyle() != ':'
    )
    assert curves[0] == ([1, 2], [10, 20]), 'the control'
    assert ([1, 2, 3], [10, 20, 30]) in curves and ([3, 4, 5], [30, 10, 20]) in curves, (
        'phase two goes on from phase one'
    )
    assert ([3, 4, 5], [30, 9, 19]) in curves, 'the first iterate'
    assert [line.get_xdata()[0] for line in validation if line.get_linestyle() == ':'] == [3], 'where phase two begins'
    (legend,) = plt.gcf().legends
    assert {text.get_text() for text in legend.texts} == {'kaizen', 'kaizen, iterate 1', 'kaizen, iterate 2', 'control'}
    plt.gcf().clf()


def command(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, 'argv', ['plot_run.py', *map(str, words)])
    runpy.run_path(str(ROOT / 'tools' / 'plot_run.py'), run_name='__main__')


@pytest.mark.slow
def test_the_command_draws_a_real_training(watched, monkeypatch, capsys, tmp_path):
    command(monkeypatch, watched, '--out', tmp_path / 'out.png')
    assert (tmp_path / 'out.png').read_bytes().startswith(b'\x89PNG') and 'out.png: work' in capsys.readouterr().out
    (run,) = find_runs([watched])
    assert [phase.end for phase in run.phases] == [2, 2] and set(run.phases[1].training['worse']) == {2, 3}


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'no vis_data/scalars.json of a training in'),
        ('{"accuracy/top1": 1.0, "step": 0}\n', 'no vis_data/scalars.json of a training'),
        ('nonsense\n{"loss": 1.0}\n', 'scalars.json:1: no line of scalars'),
        ('[1]\n{"loss": 1.0}\n', 'scalars.json:1: no line of scalars'),
    ],
)
def test_folders_that_cannot_be_drawn_are_named(tmp_path, monkeypatch, capsys, content, message):
    (tmp_path / 'run' / '1' / 'vis_data').mkdir(parents=True)
    if content:
        (tmp_path / 'run' / '1' / 'vis_data' / 'scalars.json').write_text(content)
    with pytest.raises(SystemExit, match='2'):
        command(monkeypatch, tmp_path / 'run')
    assert message in capsys.readouterr().err and not list(tmp_path.rglob('*.png'))


@pytest.mark.parametrize(
    'line, message',
    [
        ('{"loss": 1.0, "iter": 1}', 'it has an iter but no step'),
        ('{"loss": 1.0, "iter": 0, "step": 1, "epoch": 1}', 'iter must be an int from 1'),
        ('{"loss": 1.0, "iter": 1, "step": 1, "epoch": 0}', 'epoch must be an int from 1'),
        ('{"loss": 1.0, "iter": "1", "step": 1}', "iter must be an int from 1 .* got '1'"),
        ('{"loss": 1.0, "iter": 1, "step": null}', 'step must be an int from 0'),
        ('{"loss": 1.0, "iter": 1, "step": [1]}', 'step must be an int from 0'),
        ('{"loss": 1.0, "iter": 1, "step": NaN}', 'step must be an int from 0'),
        ('{"loss": 1.0, "iter": true, "step": 1}', 'iter must be an int from 1'),
        ('{"loss": 1' + '0' * 400 + ', "iter": 1, "step": 1}', 'loss must be a number of at most'),
        ('[' * 100_000, 'no line of scalars'),
        ('\udcff', 'no line of scalars'),
    ],
)
def test_lines_that_are_no_scalars_are_named(tmp_path, monkeypatch, capsys, line, message):
    path = write(tmp_path / 'run', '1', (1,))
    path.write_bytes(f'{line}\n'.encode('utf-8', 'surrogateescape') + path.read_bytes())
    with pytest.raises(SystemExit, match='2'):
        command(monkeypatch, tmp_path / 'run')
    assert re.search(rf'scalars.json:1: .*{message}', ' '.join(capsys.readouterr().err.split()))
    assert not list(tmp_path.rglob('*.png'))


@pytest.mark.parametrize(
    'config',
    [
        "open('ran', 'w')\nphase_one = dict(work_dir='elsewhere')",
        "phase_one = dict(work_dir=open('ran', 'w').name)",
        '_base_ = [\'{{ __import__("os").mknod("ran") }}\']',
        'phase_one = dict(',
        '(' * 10_000,
        'phase_one = ' + '-' * 100_000 + '1',
        "phase_one = dict(work_dir='\\0')",
        'phase_one = dict(work_dir=3)',
        'phase_one = None',
    ],
)
def test_no_config_of_a_folder_is_run(tmp_path, monkeypatch, config):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'run', '1', (1,), config=config)
    (run,) = find_runs([tmp_path / 'run'])
    assert len(run.phases) == 1 and not (tmp_path / 'ran').exists()


def test_other_slips_are_named(tmp_path, monkeypatch, capsys):
    write(tmp_path / 'run', '1', (1,))
    (tmp_path / 'file').write_text('')
    for words, message in (
        ((tmp_path / 'nowhere',), 'WORK_DIR: no folder'),
        ((tmp_path / 'run', '--out', 'x.pdf'), 'must name a .png'),
        ((tmp_path / 'run', '--out', tmp_path / 'file' / 'x.png'), 'file'),
    ):
        with pytest.raises(SystemExit, match='2'):
            command(monkeypatch, *words)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize('row', ['{"loss":{"a":1},"step":1,"epoch":1,"iter":1}', '{"my_loss":1.0,"step":1,"iter":1}'])
def test_a_training_with_nothing_to_draw_is_an_error(tmp_path, row):
    folder = tmp_path / 'work' / '1' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(f'{row}\n')
    with pytest.raises(
        ValueError, match='WORK_DIR: nothing to draw of work: .*scalars.json have no number under .*loss'
    ):
        plot_runs(find_runs([tmp_path / 'work']), tmp_path / 'out.png')
    assert not (tmp_path / 'out.png').exists()
