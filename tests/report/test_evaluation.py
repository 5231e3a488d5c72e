"""Whole test sets: the same figures as the stock test gives."""

import runpy
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, RUNNERS, DefaultScope, init_default_scope

from kaizen_mm.commands.report import _title
from kaizen_mm.introspection import recurrence_report
from kaizen_mm.report import render
from kaizen_mm.report.evaluation import _Pixels, evaluate
from tests.conftest import ROOT
from tests.report.test_outcomes import outcomes


@pytest.fixture
def video_config(tiny_configs, environment, monkeypatch):
    for key in ('KAIZEN_LIST_ROOT', 'KAIZEN_LIST_CLASSES'):
        monkeypatch.setenv(key, environment[key])
    return tiny_configs / 'kaizen.py'


@pytest.fixture
def images(image_folders, monkeypatch, tmp_path):
    """A config of three iterates whose h acts, on four classes of photos, and its checkpoint."""
    monkeypatch.setenv('KAIZEN_IMAGE_ROOT', str(image_folders))
    monkeypatch.setenv('KAIZEN_IMAGE_CLASSES', '4')
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mfnet2d_tiny_imagenet_k3.py')
    cfg.model.backbone.alpha = 0.3
    cfg.test_dataloader.batch_size = 5
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    torch.save(dict(state_dict=network.state_dict(), meta={}), tmp_path / 'photos.pth')
    return cfg, tmp_path / 'photos.pth', network.eval()


def test_videos_have_the_accuracy_of_the_stock_test(video_config, watched, tmp_path):
    checkpoint = watched / 'epoch_2.pth'
    cfg = Config.fromfile(video_config)
    cfg.work_dir, cfg.load_from = str(tmp_path / 'work'), str(checkpoint)
    metrics = RUNNERS.build(cfg).test()
    outcomes = evaluate(video_config, str(checkpoint))
    assert outcomes.scores.shape == (8, 3, 8)
    np.testing.assert_allclose(outcomes.scores.sum(axis=2), 1, rtol=1e-5)
    for i, interval in enumerate(outcomes.accuracy(), start=1):
        assert interval.share == metrics[f'acc/iterate_{i}/video_top1']
    assert outcomes.names[0] == 'drift_right' and all(file.endswith('.mp4') for file in outcomes.files)
    (change,) = outcomes.recurrence.weight_change.values()
    assert change.shape == (2, 2, 80), 'ten clips of each video'


def test_photos_have_the_predictions_and_changes_of_the_network(images):
    cfg, checkpoint, network = images
    outcomes = evaluate(cfg, str(checkpoint))
    dataset = RUNNERS.module_dict['Runner'].build_dataloader(cfg.test_dataloader).dataset
    inputs = network.data_preprocessor(dict(inputs=[dataset[n]['inputs'] for n in range(len(dataset))]))['inputs']
    with torch.no_grad():
        logits = network.head.iterate_scores(network.extract_feat(inputs))
    np.testing.assert_allclose(outcomes.scores, torch.stack(logits).softmax(dim=2).transpose(0, 1), atol=1e-5)
    assert outcomes.labels.tolist() == [n // 3 for n in range(12)] and outcomes.names == [
        f'class_{c}' for c in range(4)
    ]
    assert outcomes.files[0].endswith('class_0/0.png')
    expected = recurrence_report(
        network, inputs, forward_iterates=lambda x: network.head.iterate_scores(network.extract_feat(x))
    )
    for name, change in expected.weight_change.items():
        torch.testing.assert_close(outcomes.recurrence.weight_change[name], change, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(outcomes.recurrence.logit_change, expected.logit_change, rtol=1e-3, atol=1e-5)


def test_digits_in_memory_have_pictures(mnist_data, monkeypatch, tmp_path):
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mnist_k2.py')
    init_default_scope('mmpretrain')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), tmp_path / 'digits.pth')
    outcomes = evaluate(cfg, str(tmp_path / 'digits.pth'))
    assert outcomes.scores.shape == (397, 2, 10) and outcomes.names == list('0123456789')
    pixels = outcomes.pixels(3)
    assert pixels.shape == (28, 28, 3) and pixels.dtype == np.uint8 and pixels.max() > 100
    assert (pixels[..., 0] == pixels[..., 2]).all()
    outcomes.right[0] = [False, True]
    assert 'data:image/jpeg' in render(outcomes, 'title')


@pytest.mark.parametrize('channels, bgr', [(1, False), (3, False), (3, True)])
def test_clips_in_memory_have_frames(channels, bgr):
    """As the test data of the demo, which have no files."""
    clip = torch.arange(2 * channels * 4 * 5 * 6).reshape(2, channels, 4, 5, 6).to(torch.uint8)  # [clips, C, T, H, W]
    pixels = _Pixels([dict(inputs=clip)], SimpleNamespace(to_rgb=bgr))(0)
    assert pixels.shape == (4, 5, 6, 3)
    for channel in range(3):
        source = min(2 - channel if bgr else channel, channels - 1)
        assert np.array_equal(pixels[..., channel], clip[0, source].numpy())
    found = outcomes([[0, 1], [1, 1]], [0, 1])
    found.files, found.pixels = ['sample 0', 'sample 1'], lambda sample: pixels
    assert 'class="cards wide"' in render(found, 'title') and 'data:image/jpeg' in render(found, 'title')


def test_a_page_has_a_title_that_says_what_it_is_about():
    found = outcomes([[0, 1], [1, 1]], [0, 1])
    assert _title(Path('configs/mine.py'), found) == 'mine: 2 iterates on 2 test samples'
    assert _title(Path('work_dirs/demo/config.py'), found) == 'demo: 2 iterates on 2 test samples'
    assert _title(Path('mine.py'), outcomes([[1], [1]], [0, 1])) == 'mine: one iterate on 2 test samples'


def test_photos_come_from_the_pipeline_in_rgb(images):
    cfg, checkpoint, _ = images
    outcomes = evaluate(cfg, str(checkpoint))
    means = [outcomes.pixels(n).mean(axis=(0, 1)) for n in (0, 3, 6)]
    assert [mean.argmax() for mean in means] == [0, 1, 2], 'red, green and blue classes'


def test_classes_in_another_order_are_refused(images):
    cfg, checkpoint, network = images
    names = [f'class_{c}' for c in (1, 0, 2, 3)]
    torch.save(dict(state_dict=network.state_dict(), meta=dict(dataset_meta=dict(classes=names))), checkpoint)
    with pytest.raises(ValueError, match="trained with: 0 'class_1', .*: 0 'class_0', 1 'class_1'"):
        evaluate(cfg, str(checkpoint))


def command(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, 'argv', ['report.py', *map(str, words)])
    runpy.run_path(str(ROOT / 'tools' / 'report.py'), run_name='__main__')


def test_the_command_writes_the_page_beside_the_checkpoint(images, monkeypatch, capsys):
    cfg, checkpoint, _ = images
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())  # as in a process that has built nothing yet
    file = checkpoint.with_name('photos.py')
    cfg.dump(file)
    command(monkeypatch, file, checkpoint)
    page = checkpoint.with_name('report.html').read_text()
    assert page.startswith('<!DOCTYPE html>') and 'class_3' in page
    printed = capsys.readouterr().out
    assert printed.count('iterate ') == 3 and '95 % interval' in printed and 'report.html' in printed
    command(
        monkeypatch,
        file,
        checkpoint,
        '--out',
        checkpoint.with_name('other.html'),
        '--cfg-options',
        'test_dataloader.batch_size=3',
    )
    assert checkpoint.with_name('other.html').is_file()


@pytest.mark.parametrize(
    'case, message',
    [
        ('other classes', 'is of another network'),
        ('other K', 'was trained with 3 iterations, but the network has num_iterations=2'),
        ('no checkpoint', 'no file'),
        ('no config', 'no file'),
        ('cut off', 'cut off'),
        ('out in a file', 'cannot write to'),
        ('out is a folder', 'is a folder'),
        ('out is no page', 'must name an .html file'),
        ('samples', 'must be an int >= 0'),
    ],
)
def test_what_cannot_be_reported_on_is_named_and_nothing_is_written(
    images, monkeypatch, capsys, tmp_path, case, message
):
    cfg, checkpoint, _ = images
    config, options = tmp_path / 'photos.py', []
    if case == 'other classes':
        cfg.model.head.head.num_classes = 5
    elif case == 'other K':
        cfg.model.backbone.num_iterations = 2
    elif case == 'cut off':
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    elif case == 'out in a file':
        options = ['--out', checkpoint / 'a.html']
    elif case == 'out is a folder':
        (tmp_path / 'a.html').mkdir()
        options = ['--out', tmp_path / 'a.html']
    elif case == 'out is no page':
        options = ['--out', tmp_path / 'a.pdf']
    elif case == 'samples':
        options = ['--samples', '-1']
    cfg.dump(config)
    before = set(tmp_path.rglob('*'))
    missing = {'no checkpoint': [config, tmp_path / 'x.pth'], 'no config': [tmp_path / 'x.py', checkpoint]}
    with pytest.raises(SystemExit, match='2'):
        command(monkeypatch, *missing.get(case, [config, checkpoint]), *options)
    assert message in capsys.readouterr().err
    assert set(tmp_path.rglob('*')) == before
