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
from mmaction.registry import DATASETS as VIDEO_DATASETS
from mmaction.registry import MODELS as VIDEO_MODELS
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope, init_default_scope

from kaizen_mm.checkpoint_files import read_checkpoint
from tests.conftest import write_tiny_configs

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


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A recurrent network on MNIST whose iterates differ."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(MNIST).model)
    for parameter in model.backbone.fc1.adapter.parameters():
        torch.nn.init.normal_(parameter, 0.0, 3.0)
    path = tmp_path_factory.mktemp('network') / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.mark.parametrize('script', [IMAGE / 'test.py', ROOT / 'tools' / 'test.py'])
def test_views_of_an_image_are_averaged_for_every_iterate(tool, tmp_path, checkpoint, script):
    dump = ('--out', 'out.pkl') if script.parent == IMAGE else ('--dump', 'out.pkl')
    tool(script, MNIST, checkpoint, '--work-dir', 'plain', *dump)
    plain = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    tool(script, MNIST, checkpoint, '--work-dir', 'views', '--tta', *dump)
    merged = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    assert len(plain) == len(merged) > 10

    init_default_scope('mmpretrain')
    cfg = Config.fromfile(MNIST)
    model, images = MODELS.build(cfg.model).eval(), DATASETS.build(cfg.test_dataloader.dataset).images
    model.load_state_dict(read_checkpoint(checkpoint)['state_dict'])
    with torch.no_grad():
        views = []
        for x in (images, images.flip(-1)):
            x = model.data_preprocessor(dict(inputs=x))['inputs']
            views.append(torch.stack(model.head.iterate_scores(model.extract_feat(x)), dim=1).softmax(dim=-1))
    scores = torch.stack([sample['iterate_scores'] for sample in merged])
    torch.testing.assert_close(torch.stack([sample['iterate_scores'] for sample in plain]), views[0])
    torch.testing.assert_close(scores, sum(views) / 2)
    assert torch.equal(torch.stack([sample['pred_score'] for sample in merged]), scores[:, -1])
    assert not torch.allclose(scores[:, 0], scores[:, 1], atol=1e-5)


def test_views_that_are_merged_by_another_model_are_refused(tool, checkpoint, capfd):
    words = ('--tta', '--cfg-options', 'tta_model.type=AverageClsScoreTTA')
    with pytest.raises(SystemExit, match='2'):
        tool(ROOT / 'tools' / 'test.py', MNIST, checkpoint, '--work-dir', 'views', *words)
    assert 'AverageIterateScoresTTA' in capfd.readouterr().err


def test_features_of_clips_are_those_of_the_last_iterate(tool, tmp_path, digits):
    cfg = Config.fromfile(write_tiny_configs(tmp_path) / 'kaizen.py')
    init_default_scope('mmaction')
    torch.manual_seed(0)
    model = VIDEO_MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'epoch_1.pth')
    lines = (digits / 'val.txt').read_text().splitlines()[:2]
    (tmp_path / 'two.txt').write_text('\n'.join(lines) + '\n')
    words = ('--video-list', 'two.txt', '--cfg-options', 'model.backbone.last_iterate=True')
    tool(VIDEO / 'misc' / 'clip_feature_extraction.py', 'kaizen.py', 'epoch_1.pth', 'out', *words)

    cfg.test_dataloader.dataset.ann_file = str(tmp_path / 'two.txt')
    init_default_scope('mmaction')
    dataset = VIDEO_DATASETS.build(cfg.test_dataloader.dataset)
    for number, line in enumerate(lines):
        with torch.no_grad():
            clips = model.data_preprocessor(dict(inputs=[dataset[number]['inputs']], data_samples=[]))['inputs'][0]
            expected = model.backbone(clips)[-1].mean(dim=(2, 3, 4)).mean(dim=0)
        written = pickle.loads((tmp_path / 'out' / f'{line.split()[0]}.pkl').read_bytes())
        torch.testing.assert_close(torch.as_tensor(written), expected, atol=1e-5, rtol=1e-4)
