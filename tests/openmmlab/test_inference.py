"""Predictions of files by networks of configs: the test's own numbers, names of classes, checkpoints that do not
fit."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from kaizen_mm.inference import Predictor
from kaizen_mm.openmmlab.inference import ConfigPredictor, write_network
from kaizen_mm.openmmlab.runner import KaizenRunner
from tests.conftest import ROOT
from tests.data.clips import make_video
from tests.openmmlab.test_any_network import tiny
from tests.openmmlab.trained import image_config, save, stock_video_config, video_config


@pytest.fixture(scope='module')
def video(tmp_path_factory, digits):
    """Config and checkpoint of a recurrent recognizer."""
    cfg = video_config()
    return cfg, save(cfg, tmp_path_factory.mktemp('video') / 'epoch_1.pth', classes=[f'motion {i}' for i in range(8)])


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    """Config and checkpoint of a recurrent classifier."""
    cfg = image_config()
    return cfg, save(cfg, tmp_path_factory.mktemp('image') / 'epoch_1.pth', classes=list('abcd'))


@pytest.mark.slow
def test_a_video_gives_the_scores_of_the_test(video, digits):
    cfg, checkpoint = video
    predictor = ConfigPredictor(cfg, checkpoint)
    assert isinstance(predictor, Predictor) and (predictor.kind, predictor.num_iterations) == ('video', 3)
    predictions = predictor(digits / 'videos')
    assert len(predictions) == 24 and not any(p.error for p in predictions)
    dataset = copy.deepcopy(cfg.test_dataloader.dataset)
    dataset.update(ann_file=str(digits / 'val.txt'), data_prefix=dict(video=str(digits / 'videos')), num_classes=8)
    item = DATASETS.build(dataset)[0]  # the clips' places in a video depend on its own in the list
    with torch.no_grad():
        (sample,) = predictor.network.test_step(pseudo_collate([item]))
    (prediction,) = predictor(digits / 'videos' / 'val_00000.mp4')
    assert prediction.clips.shape == (3, 10, 8)
    np.testing.assert_allclose(prediction.clips, sample.iterate_clip_scores, atol=1e-6)
    np.testing.assert_allclose(prediction.probabilities[-1], sample.pred_score, atol=1e-6)
    assert not np.allclose(prediction.probabilities[0], prediction.probabilities[2], atol=1e-5)
    assert prediction.names[:2] == ['motion 0', 'motion 1']


def test_a_video_that_decord_does_not_read_is_read_by_pyav(video, tmp_path):
    predictor = ConfigPredictor(*video)
    assert predictor.readers == ('decord', 'pyav')
    make_video(tmp_path / 'a.mpg', 'mpeg2video')
    make_video(tmp_path / 'b.mp4', 'libx264')
    predictions = predictor(tmp_path)
    assert [p.error for p in predictions] == [None, None]
    assert [step.reader for step in predictor._opening] == ['decord']  # again, for the second


def test_an_image_gives_the_scores_of_the_test(image, image_folders):
    cfg, checkpoint = image
    predictor = ConfigPredictor(cfg, checkpoint)
    (prediction,) = predictor(image_folders / 'val' / 'class_1' / '0.png')
    dataset = copy.deepcopy(cfg.test_dataloader.dataset)
    dataset.update(data_root=str(image_folders), num_classes=4)
    with torch.no_grad():
        (sample,) = predictor.network.test_step(pseudo_collate([DATASETS.build(dataset)[3]]))
    np.testing.assert_allclose(prediction.probabilities, sample.iterate_scores, atol=1e-6)
    assert prediction.clips is None and prediction.names == list('abcd') and prediction.kind == 'image'
    (bad,) = predictor(__file__)
    assert bad.error.startswith('neither an image nor a video')


def test_an_image_means_the_same_whatever_it_is_stored_in(image, tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (80, 100), dtype=np.uint8)
    lying = Image.Exif()
    lying[274] = 6
    Image.fromarray(gray).save(tmp_path / 'a.png')
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / 'b.png')
    Image.fromarray(gray.astype(np.int32) * 257).save(tmp_path / 'c.tif')
    Image.fromarray((gray / 255).astype(np.float32)).save(tmp_path / 'd.tiff')
    Image.fromarray(np.ascontiguousarray(np.rot90(gray))).save(tmp_path / 'e.png', exif=lying)
    first, *others = ConfigPredictor(*image)(tmp_path)
    assert len(others) == 4 and first.error is None
    for other in others:
        np.testing.assert_array_equal(other.probabilities, first.probabilities, str(other.file))


def test_names_come_from_the_file_the_checkpoint_or_the_config(image, tmp_path):
    cfg, checkpoint = image
    (tmp_path / 'names.txt').write_text('w\nx\ny\nz\n')
    with pytest.raises(ValueError, match="trained with: 0 'a', 1 'b', .*names.txt: 0 'w', 1 'x'"):
        ConfigPredictor(cfg, checkpoint, labels=tmp_path / 'names.txt')
    assert ConfigPredictor(cfg, save(cfg, tmp_path / 'a.pth'), labels=tmp_path / 'names.txt').names == list('wxyz')
    (tmp_path / 'shown.txt').write_text('b\tx\nd\tz\n')
    assert ConfigPredictor(cfg, checkpoint, labels=tmp_path / 'shown.txt').names == list('axcz')
    (tmp_path / 'names.txt').write_text('w\nx\n')
    with pytest.raises(ValueError, match='names.txt names 2 classes, but there are 4'):
        ConfigPredictor(cfg, checkpoint, labels=tmp_path / 'names.txt')
    unnamed = save(cfg, tmp_path / 'unnamed.pth')
    assert ConfigPredictor(cfg, unnamed).names == ['0', '1', '2', '3']
    cfg = copy.deepcopy(cfg)
    cfg.test_dataloader.dataset.metainfo = dict(classes=list('efgh'))
    assert ConfigPredictor(cfg, unnamed).names == list('efgh')


@pytest.mark.parametrize(
    'options, message',
    [
        ({'model.backbone.num_iterations': 2}, 'epoch_1.pth was trained with 3 iterations, .* num_iterations=2'),
        ({'model.backbone.num_iterations': 1}, 'epoch_1.pth was trained with 3 iterations, .* num_iterations=1'),
        ({'model.head.head.num_classes': 5}, r'epoch_1.pth is of another network: .*\(4, 16\) for \(5, 16\)'),
        ({'model.backbone.units': (1, 2, 1, 1)}, 'of another network: .* tensors are missing'),
        ({'default_scope': 'mmdet'}, "default_scope of the config must be one of .*'mmpretrain'.*, got 'mmdet'"),
        (
            {'test_dataloader.dataset.pipeline': [], 'test_pipeline': []},
            'the config must have test_dataloader.dataset.pipeline',
        ),
    ],
)
def test_what_does_not_fit(image, options, message):
    with pytest.raises(ValueError, match=message):
        ConfigPredictor(*image, cfg_options=options)


def test_a_checkpoint_of_phase_one_has_no_recurrence_to_predict_with(image, tmp_path):
    cfg = copy.deepcopy(image[0])
    cfg.model.backbone.num_iterations = 1
    plain = save(cfg, tmp_path / 'plain.pth', classes=list('abcd'))
    assert ConfigPredictor(cfg, plain).num_iterations == 1
    with pytest.raises(ValueError, match='plain.pth was trained with 1 iteration, .* num_iterations=3'):
        ConfigPredictor(image[0], plain)
    with pytest.raises(FileNotFoundError, match='no checkpoint file nowhere.pth'):
        ConfigPredictor(cfg, 'nowhere.pth')


def test_a_stock_config_made_recurrent(tmp_path, digits):
    """Its pipeline takes single clips of several crops; a network without names gives numbers."""
    cfg = stock_video_config()
    (prediction,) = ConfigPredictor(cfg, save(cfg, tmp_path / 'stock.pth'))(digits / 'videos' / 'val_00000.mp4')
    assert prediction.error is None, prediction.error
    assert prediction.probabilities.shape == (3, 400) and prediction.probabilities.sum(axis=1) == pytest.approx(1)


def test_folders_of_frames_in_a_pipeline_become_videos(tmp_path, digits):
    cfg = stock_video_config()
    steps = [dict(step) for step in cfg.test_dataloader.dataset.pipeline if step['type'] != 'DecordInit']
    frames = [dict(step, type='RawFrameDecode') if step['type'] == 'DecordDecode' else step for step in steps]
    checkpoint, clip = save(cfg, tmp_path / 'stock.pth'), digits / 'videos' / 'val_00000.mp4'
    (expected,) = ConfigPredictor(cfg, checkpoint)(clip)
    cfg.test_dataloader.dataset.pipeline = frames
    (prediction,) = ConfigPredictor(cfg, checkpoint)(clip)
    np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)


def test_digits_of_files(mnist_data, monkeypatch, tmp_path):
    from mmpretrain import ImageClassificationInferencer

    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mnist_k2.py')
    checkpoint = save(cfg, tmp_path / 'mnist.pth', classes=list('0123456789'))
    predictor = ConfigPredictor(cfg, checkpoint)
    assert predictor.names == list('0123456789') and predictor.num_iterations == 2
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    Image.fromarray(dataset.images[5, 0].numpy()).save(tmp_path / 'five.png')
    with torch.no_grad():
        (sample,) = predictor.network.test_step(dataset.__getitems__([5]))
    (prediction,) = predictor(tmp_path / 'five.png')
    np.testing.assert_allclose(prediction.probabilities, sample.iterate_scores, atol=1e-6)
    inferencer = ImageClassificationInferencer(cfg, checkpoint, device='cpu')
    (result,) = inferencer(str(tmp_path / 'five.png'))
    np.testing.assert_allclose(result['pred_scores'], prediction.probabilities[-1], atol=1e-6)
    assert result['pred_class'] == prediction.top(1)[-1][0].name


def test_photos_for_networks_whose_data_set_has_its_images_in_memory(tmp_path):
    """Stock CIFAR configs have no step that loads a file, and take RGB."""
    cfg = tiny('resnet18_cifar10')  # of 16 px
    assert 'LoadImageFromFile' not in str(cfg.test_dataloader) and not cfg.model.data_preprocessor.to_rgb
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    predictor = ConfigPredictor(cfg, save(cfg, tmp_path / 'cifar.pth'))
    (prediction,) = predictor(tmp_path / 'photo.png')
    with torch.no_grad():
        (sample,) = predictor.network.test_step(dict(inputs=[torch.from_numpy(pixels).permute(2, 0, 1)]))
    np.testing.assert_allclose(prediction.probabilities, sample.iterate_scores, atol=1e-6)
    assert predictor.names[0] == 'airplane'


@pytest.mark.slow
def test_what_training_writes_is_what_prediction_needs(config, digits, monkeypatch, tmp_path):
    KaizenRunner.from_cfg(config).train()
    path = f'{config.work_dir}/epoch_1.pth'
    meta = torch.load(path, weights_only=False)['meta']
    names = (digits / 'classes.txt').read_text().split('\n')[:8]
    assert list(meta['dataset_meta']['classes']) == names and meta['num_iterations'] == 3
    predictor = ConfigPredictor(config, path)
    assert predictor.names == names and 'cls_head.fc_cls.weight' in predictor.network.state_dict()
    with pytest.raises(ValueError, match='was trained with 1 iteration'):
        ConfigPredictor(config, f'{config.work_dir}/phase_one/epoch_1.pth')
    # the two files that are left for others to predict with need nothing else
    for key in ('KAIZEN_LIST_ROOT', 'KAIZEN_LIST_CLASSES'):
        monkeypatch.delenv(key)
    files = write_network(config, path, tmp_path / 'left')
    assert [f.name for f in files] == ['config.py', 'checkpoint.pth']
    assert files[1].stat().st_size < 0.6 * Path(path).stat().st_size
    clip = digits / 'videos' / 'val_00003.mp4'
    (one,), (other,) = predictor(clip), ConfigPredictor(*files)(clip)
    assert other.names == names
    np.testing.assert_array_equal(one.clips, other.clips)
