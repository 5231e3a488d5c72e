"""Tiny data and configs that the tests make themselves."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def digits(tmp_path_factory):
    """Folder of a tiny moving-digits data set: 16 training and 8 validation clips of 32 px."""
    from kaizen_mm.data.moving_digits import MovingDigits
    folder = tmp_path_factory.mktemp('digits')
    MovingDigits(num_train=16, num_val=8, num_frames=20, size=32).write(folder, progress=False)
    return folder


@pytest.fixture(scope='session')
def tiny_configs(tmp_path_factory):
    """Folder with ``kaizen.py`` and ``control.py``: the digits' configs at 32 px, 3 + 3 epochs."""
    folder = tmp_path_factory.mktemp('configs')
    for name in ('kaizen', 'control'):
        base = ROOT / 'configs' / ('kaizen_mfnet_digits.py' if name == 'kaizen' else 'mfnet_digits_control.py')
        (folder / f'{name}.py').write_text(
            f'_base_ = {str(base)!r}\n'
            'model = dict(backbone=dict(input_size=(16, 32, 32)))\n'
            'train_dataloader = dict(batch_size=4, num_workers=1)\n'
            'val_dataloader = dict(num_workers=0, persistent_workers=False)\n'
            'test_dataloader = dict(num_workers=0, persistent_workers=False)\n'
            'phase_one = dict(train_cfg=dict(max_epochs=3))\n'
            'train_cfg = dict(max_epochs=3)\n')
    return folder


@pytest.fixture
def environment(digits):
    """The environment of a command on the tiny data set, one thread a process."""
    return dict(os.environ, KAIZEN_LIST_ROOT=str(digits), KAIZEN_LIST_CLASSES='8', OMP_NUM_THREADS='1',
                PYTHONPATH=str(ROOT), PYTHON=sys.executable, PYTHONWARNINGS='ignore')


@pytest.fixture
def run(environment, tmp_path):
    """Runs a command in an empty folder; returns its output, and fails with it on another status."""

    def command(*words, status=0):
        done = subprocess.run([str(w) for w in words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=600)
        assert (done.returncode == 0) == (status == 0), done.stdout[-4000:]
        return done.stdout

    return command


@pytest.fixture(scope='session')
def real_data():
    """The folder of real data that ``KAIZEN_DATA`` names."""
    if not os.environ.get('KAIZEN_DATA'):
        pytest.skip('KAIZEN_DATA is not set: no real data to read')
    return Path(os.environ['KAIZEN_DATA'])
