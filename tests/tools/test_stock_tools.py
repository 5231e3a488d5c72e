"""Tools of mmpretrain and mmaction2 on configs of this repository, in this process."""

import pickle
import runpy
import sys
from pathlib import Path

import matplotlib
import mmaction
import mmpretrain
import pytest
import torch
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[2]
IMAGE, VIDEO = (Path(package.__file__).parent / '.mim' / 'tools' for package in (mmpretrain, mmaction))
MNIST = ROOT / 'configs' / 'kaizen_mnist_k2.py'


@pytest.fixture
def tool(monkeypatch, mnist_data, digits, tmp_path):
    """Runs a tool in an empty folder, in the scope that a process of its own would begin with."""
    for key, value in (('KAIZEN_DATA', mnist_data), ('KAIZEN_LIST_ROOT', digits), ('KAIZEN_LIST_CLASSES', 8)):
        monkeypatch.setenv(key, str(value))
    monkeypatch.chdir(tmp_path)
    matplotlib.use('Agg')

    def run(path, *words):
        monkeypatch.setattr(sys, 'argv', [path.name, *map(str, words)])
        monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())
        runpy.run_path(str(path), run_name='__main__')

    return run


@pytest.mark.parametrize(
    'script, config',
    [
        (IMAGE / 'visualization' / 'vis_scheduler.py', 'kaizen_mnist_k2.py'),
        (VIDEO / 'visualizations' / 'vis_scheduler.py', 'kaizen_mfnet_digits.py'),
    ],
)
def test_the_schedule_of_phase_two_is_drawn(tool, tmp_path, script, config):
    tool(
        script,
        ROOT / 'configs' / config,
        '--not-show',
        '--save-path',
        'rate.png',
        '--cfg-options',
        'train_cfg.max_epochs=2',
    )
    assert (tmp_path / 'rate.png').stat().st_size > 10_000


@pytest.mark.parametrize('phase', ['train', 'test'])
def test_images_in_memory_are_verified(tool, capfd, phase):
    tool(IMAGE / 'misc' / 'verify_dataset.py', MNIST, '--phase', phase)
    assert 'no broken file found' in capfd.readouterr().out


def test_images_in_memory_are_browsed(tool, tmp_path):
    tool(
        IMAGE / 'visualization' / 'browse_dataset.py',
        MNIST,
        '--phase',
        'test',
        '--not-show',
        '--output-dir',
        'browsed',
        '--show-number',
        3,
        '--mode',
        'original',
    )
    assert sorted(p.name for p in (tmp_path / 'browsed').iterdir()) == ['00000.png', '00001.png', '00002.png']


def test_results_on_images_in_memory_are_analyzed(tool, tmp_path):
    results = []
    for index, predicted in enumerate((3, 4, 5)):
        scores = torch.full((10,), 0.05)
        scores[predicted] = 0.55
        results.append(
            dict(sample_idx=index, gt_label=torch.tensor([4]), pred_label=torch.tensor([predicted]), pred_score=scores)
        )
    (tmp_path / 'results.pkl').write_bytes(pickle.dumps(results))
    tool(IMAGE / 'analysis_tools' / 'analyze_results.py', MNIST, 'results.pkl', '--out-dir', 'out')
    names = {
        folder: sorted(p.name for p in (tmp_path / 'out' / folder).glob('*.png')) for folder in ('success', 'fail')
    }
    assert names == {'success': ['00001.png.png'], 'fail': ['00000.png.png', '00002.png.png']}
