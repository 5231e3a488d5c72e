"""tools/reproduce.py on tiny digits: killed, taken up again, complete."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.lab.tables import TABLES

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
ROWS = TABLES['table1'].rows


def kill_when(there: Path, words, environment, cwd) -> None:
    """Starts a measurement and kills it alone once a file is there; waits for the end of its workers."""
    process = subprocess.Popen(
        [str(w) for w in words],
        cwd=cwd,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.time() + 300
    try:
        while not there.exists():
            assert process.poll() is None and time.time() < deadline, process.stdout.read()[-4000:]
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        while subprocess.run(['pgrep', '-s', str(process.pid)], stdout=subprocess.DEVNULL).returncode == 0:
            assert time.time() < deadline, 'workers outlive the process that has started them'
            time.sleep(0.05)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def in_this_process(words, monkeypatch) -> None:
    """Runs the tool without the cost of another process; its workers have theirs."""
    monkeypatch.setattr(sys, 'argv', ['reproduce.py', *words])
    runpy.run_path(str(TOOLS / 'reproduce.py'), run_name='__main__')


def stamps(folder: Path) -> dict:
    return {path: path.stat().st_mtime_ns for pattern in ('*.pth', 'result.json') for path in folder.rglob(pattern)}


@pytest.mark.slow
def test_a_table_is_measured_killed_and_taken_up_again(environment, mnist_data, monkeypatch, capsys, tmp_path):
    environment['KAIZEN_DATA'] = str(mnist_data)
    for key in ('KAIZEN_DATA', 'OMP_NUM_THREADS', 'PYTHONWARNINGS'):
        monkeypatch.setenv(key, environment[key])
    monkeypatch.chdir(tmp_path)
    words = ['table1', '--quick', '--seeds', '2', '--jobs', '1', '--work-dir', 'work', '--out', 'out/table.json']
    work, out = tmp_path / 'work', tmp_path / 'out' / 'table.json'
    kill_when(
        work / 'seed_1' / 'recurrent_mnist_k3', [sys.executable, TOOLS / 'reproduce.py', *words], environment, tmp_path
    )
    before = stamps(work)
    assert work / 'seed_1' / 'mnist' / 'result.json' in before and not out.exists()
    assert work / 'seed_1' / 'kaizen_mnist_k4' / 'result.json' not in before

    in_this_process(words, monkeypatch)
    after = stamps(work)
    complete = {path.parent for path in before if path.name == 'result.json'}
    assert len(complete) >= 9 and all(after[path] == stamp for path, stamp in before.items() if path.parent in complete)
    content = json.loads(out.read_text())
    assert content['seeds'] == [0, 1] and content['quick'] is True
    assert content['rows'].keys() == ROWS.keys()
    for name, row in content['rows'].items():
        iterations = int(name[-1]) if '_k' in name else 1
        assert row['parameters'] == (5_680 if iterations > 1 else 5_685 if name == 'mnist_big' else 880)
        assert row['paper_top1'] == ROWS[name] and row['epochs'] == 1
        assert [len(iterates) for iterates in row['per_iterate']] == [iterations] * 2
        assert row['top1'].keys() == {'mean', 'std', 'per_seed'}
        assert row['top1']['per_seed'] == [iterates[-1] for iterates in row['per_iterate']]
        for seed, accuracy in enumerate(row['top1']['per_seed']):
            result = json.loads((work / f'seed_{seed}' / name / 'result.json').read_text())
            assert result['metrics']['accuracy/top1'] == accuracy and 0 <= accuracy <= 100
    table = out.with_suffix('.md').read_text()
    assert capsys.readouterr().out.endswith(table) and all(f'`{name}.py`' in table for name in ROWS)
    assert out.with_suffix('.png').exists()

    # phase one is trained once per seed, and each seed has its own
    assert not list(work.rglob('phase_one'))
    plain = [read_checkpoint(work / f'seed_{seed}' / 'mnist' / 'epoch_1.pth')['state_dict'] for seed in (0, 1)]
    assert not plain[0]['backbone.fc1.weight'].equal(plain[1]['backbone.fc1.weight'])
    for path in work.glob('seed_*/*_k?/epoch_1.pth'):
        seed = int(path.parts[-3][-1])
        assert read_checkpoint(path)['state_dict']['backbone.fc1.weight'].equal(plain[seed]['backbone.fc1.weight']), (
            path
        )

    in_this_process(words, monkeypatch)
    assert capsys.readouterr().out.endswith(table)
    assert stamps(work) == after and json.loads(out.read_text()) == content


@pytest.mark.parametrize(
    'words, message',
    [
        (['table1', '--seeds', '0'], 'argument --seeds: must be an int >= 1, got 0'),
        (['table1', '--jobs', '-1'], 'argument --jobs: must be an int >= 1, got -1'),
        (['table9'], "argument table: invalid choice: 'table9'"),
    ],
)
def test_bad_arguments(words, message, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        in_this_process(words, monkeypatch)
    assert message in capsys.readouterr().err
