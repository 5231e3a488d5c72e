"""The command-line tools: both phases, crash and resume, several processes, the stock tools."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mmaction
import pytest
import torch

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.commands import train
from tests.tools.output import last_table

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
STOCK = Path(mmaction.__file__).parent / '.mim' / 'tools'


def free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def assert_same_weights(first: Path, second: Path):
    one, two = (read_checkpoint(p)['state_dict'] for p in (first, second))
    assert one.keys() == two.keys()
    different = [k for k in one if not torch.equal(one[k], two[k])]
    assert not different


def train_until(file: Path, words, environment, cwd) -> None:
    """Starts a training and kills it, with its workers, once a file is there."""
    log = cwd / 'killed.txt'  # a pipe that nobody reads would fill up and stop the training
    with log.open('w') as output:
        process = subprocess.Popen(
            [str(w) for w in words],
            cwd=cwd,
            env=environment,
            start_new_session=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.time() + 300
    while not file.exists():
        assert process.poll() is None and time.time() < deadline, log.read_text()[-4000:]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope='module')
def uninterrupted(tiny_configs, digits, tmp_path_factory):
    """Work directory of a training of both phases by tools/train.py."""
    folder = tmp_path_factory.mktemp('uninterrupted')
    environment = dict(
        os.environ,
        KAIZEN_LIST_ROOT=str(digits),
        KAIZEN_LIST_CLASSES='8',
        OMP_NUM_THREADS='1',
        PYTHONPATH=str(TOOLS.parent),
    )
    subprocess.run(
        [sys.executable, TOOLS / 'train.py', tiny_configs / 'kaizen.py', '--work-dir', 'work'],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        timeout=600,
    )
    return folder / 'work'


@pytest.mark.slow
def test_killed_in_either_phase_and_resumed_it_ends_with_the_same_weights(
    uninterrupted, run, environment, tiny_configs, tmp_path
):
    command = [sys.executable, TOOLS / 'train.py', tiny_configs / 'kaizen.py', '--work-dir', 'work', '--resume']
    work = tmp_path / 'work'
    train_until(work / 'phase_one' / 'last_checkpoint', command, environment, tmp_path)
    assert not (work / 'phase_one' / 'epoch_3.pth').exists()
    train_until(work / 'last_checkpoint', command, environment, tmp_path)
    assert not (work / 'epoch_3.pth').exists()
    run(*command)
    assert_same_weights(work / 'phase_one' / 'epoch_3.pth', uninterrupted / 'phase_one' / 'epoch_3.pth')
    assert_same_weights(work / 'epoch_3.pth', uninterrupted / 'epoch_3.pth')


@pytest.mark.slow
def test_the_stock_tools_train_both_phases_resume_and_test(uninterrupted, run, tiny_configs, tmp_path):
    config, work = tiny_configs / 'kaizen.py', tmp_path / 'work'
    train = [sys.executable, STOCK / 'train.py', config, '--work-dir', work]
    run(*train, '--cfg-options', 'train_cfg.max_epochs=1')
    run(*train, '--resume', '--cfg-options', 'train_cfg.max_epochs=3')
    assert_same_weights(work / 'phase_one' / 'epoch_3.pth', uninterrupted / 'phase_one' / 'epoch_3.pth')
    output = run(sys.executable, STOCK / 'test.py', config, work / 'epoch_3.pth', '--work-dir', work)
    assert len(last_table(output)['acc/video_top1']) == 3


@pytest.mark.slow
def test_test_py_gives_the_same_result_on_one_process_and_on_two(
    uninterrupted, run, tiny_configs, environment, tmp_path
):
    config, checkpoint = tiny_configs / 'kaizen.py', uninterrupted / 'epoch_3.pth'
    one = run(sys.executable, TOOLS / 'test.py', config, checkpoint, '--dump', 'one.pkl')
    assert (tmp_path / 'one.pkl').exists()
    environment['PORT'] = free_port()
    two = run('bash', TOOLS / 'dist_test.sh', config, checkpoint, 2)

    assert last_table(one) == last_table(two)


EPOCHS = ['--auto-scale-lr', '--cfg-options', 'train_cfg.max_epochs=1', 'phase_one.train_cfg.max_epochs=1']
W_1 = 'backbone.conv5.B02.conv_i1.conv.weight'


@pytest.fixture(scope='module')
def two_processes(tiny_configs, digits, tmp_path_factory):
    """Work directory and output of a training of both phases by two processes, without validation."""
    folder = tmp_path_factory.mktemp('two_processes')
    environment = dict(
        os.environ,
        KAIZEN_LIST_ROOT=str(digits),
        KAIZEN_LIST_CLASSES='8',
        OMP_NUM_THREADS='1',
        PYTHONPATH=str(TOOLS.parent),
        PYTHON=sys.executable,
        PORT=free_port(),
    )
    done = subprocess.run(
        [
            'bash',
            TOOLS / 'dist_train.sh',
            tiny_configs / 'kaizen.py',
            '2',
            '--work-dir',
            'work',
            '--no-validate',
            *EPOCHS,
        ],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return folder / 'work', done.stdout


@pytest.mark.slow
def test_two_processes_without_a_gpu_train_both_phases(two_processes):
    work, output = two_processes
    assert 'current batch size is 8' in output
    # 16 clips, batches of 4, two processes: two iterations an epoch
    assert '[2/2]' in output
    one, two = (read_checkpoint(work / path)['state_dict'] for path in ('phase_one/epoch_1.pth', 'epoch_1.pth'))
    assert torch.equal(one[W_1], two[W_1])
    assert json.loads((work / 'training.json').read_text())['checkpoint'] == 'epoch_1.pth'


@pytest.mark.slow
def test_two_nodes_with_folders_of_their_own_train_as_two_processes_do(
    two_processes, environment, tiny_configs, tmp_path
):
    environment.update(NNODES='2', PORT=free_port(), MASTER_ADDR='127.0.0.1')
    nodes = []
    for rank in (0, 1):
        (tmp_path / f'node_{rank}').mkdir()
        nodes.append(
            subprocess.Popen(
                [
                    'bash',
                    str(TOOLS / 'dist_train.sh'),
                    str(tiny_configs / 'kaizen.py'),
                    '1',
                    '--work-dir',
                    'work',
                    *EPOCHS,
                    'val_evaluator.collect_device=gpu',
                ],
                cwd=tmp_path / f'node_{rank}',
                env=dict(environment, NODE_RANK=str(rank)),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [node.communicate(timeout=600)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert 'Epoch(val) [1]' in outputs[0]
    assert not list((tmp_path / 'node_1').rglob('*.pth'))
    for path in ('phase_one/epoch_1.pth', 'epoch_1.pth'):
        assert_same_weights(tmp_path / 'node_0' / 'work' / path, two_processes[0] / path)


@pytest.mark.slow
def test_options_reach_the_run(run, tiny_configs, tmp_path):
    output = run(
        sys.executable,
        TOOLS / 'train.py',
        tiny_configs / 'control.py',
        '--work-dir',
        'work',
        '--seed',
        7,
        '--no-validate',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'phase_one.train_cfg.max_epochs=1',
    )
    assert 'Epoch(val)' not in output
    for path in ('phase_one/epoch_1.pth', 'epoch_1.pth'):
        assert read_checkpoint(tmp_path / 'work' / path)['meta']['seed'] == 7


@pytest.mark.parametrize(
    'option, message',
    [
        ('model.backbone.num_iterations=0', 'num_iterations must be an int from 1 to 1000, got 0'),
        ('model.backbone.variant=mfnet', "variant must be one of ('mfnet3d', 'mfnet3d_n9'), got 'mfnet'"),
        ('model.backbone.alpha=-1', 'alpha must be a finite number >= 0, got -1'),
        ('model.cls_head.loss_cls.kaizen_weight=-1', 'kaizen_weight must be a finite number >= 0, got -1'),
        ('model.backbone.pool_kernel=9', 'pool_kernel (9, 9, 9)'),
    ],
)
def test_a_bad_value_in_the_config_stops_the_run_before_it_starts(
    tiny_configs, environment, monkeypatch, tmp_path, option, message
):
    for key in ('KAIZEN_LIST_ROOT', 'KAIZEN_LIST_CLASSES'):
        monkeypatch.setenv(key, environment[key])
    with pytest.raises(ValueError, match=re.escape(message)):
        train.main([str(tiny_configs / 'kaizen.py'), '--work-dir', str(tmp_path / 'work'), '--cfg-options', option])
    assert not list((tmp_path / 'work').rglob('*.pth'))


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_scripts_without_arguments_say_how_to_use_them(run, script):
    assert f'tools/{script} ' in run('bash', TOOLS / script, status=1)


@pytest.mark.parametrize(
    'script, arguments',
    [
        ('dist_train.sh', ('a.py', 2)),
        ('dist_test.sh', ('a.py', 'b.pth', 2)),
        ('slurm_train.sh', ('part', 'job', 'a.py')),
        ('slurm_test.sh', ('part', 'job', 'a.py', 'b.pth')),
    ],
)
def test_processes_that_start_together_find_the_files_that_yapf_writes_at_its_first_import(
    run, environment, tmp_path, script, arguments
):
    """Each would begin to write them, and another read half of one: ``EOFError: Ran out of input``."""
    python, srun = tmp_path / 'python', tmp_path / 'srun'
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\nls "$XDG_CACHE_HOME"/YAPF/*/\n')
    srun.write_text('#!/bin/sh\nls "$XDG_CACHE_HOME"/YAPF/*/\n')
    for program in (python, srun):
        program.chmod(0o755)
    environment.update(
        PATH=f'{tmp_path}:{environment["PATH"]}', PYTHON=str(python), XDG_CACHE_HOME=str(tmp_path / 'cache')
    )
    assert run('bash', TOOLS / script, *arguments).count('.pickle') == 2


def test_slurm_scripts_pass_everything_to_srun(run, environment, tmp_path):
    (tmp_path / 'srun').write_text('#!/bin/sh\necho srun "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    environment.update(PATH=f'{tmp_path}:{environment["PATH"]}', GPUS='16', SRUN_ARGS='--quiet --mem=1G')
    train = run('bash', TOOLS / 'slurm_train.sh', 'part', 'job', 'a.py', '--amp')
    assert train.startswith('srun -p part --job-name=job --gres=gpu:8 --ntasks=16 ')
    assert '--quiet --mem=1G' in train and train.strip().endswith('train.py a.py --amp --launcher slurm')
    test = run('bash', TOOLS / 'slurm_test.sh', 'part', 'job', 'a.py', 'b.pth')
    assert test.strip().endswith('test.py a.py b.pth --launcher slurm')
