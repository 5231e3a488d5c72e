"""Test sets of files, by networks of timm's names."""

import re

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.commands.report import main
from kaizen_mm.inference.timm_networks import TimmPredictor
from kaizen_mm.introspection import recurrence_report
from kaizen_mm.report.timm_evaluation import evaluate_files

OPTIONS = dict(num_classes=4, img_size=64, pool_padding=1, alpha=0.3)
WORDS = ['--model-kwargs', 'num_classes=4', 'img_size=64', 'pool_padding=1', 'alpha=0.3']


def report(weights, data, folder, *more):
    words = ['--timm', 'kaizen_mfnet2d_n9', str(weights), '--data', str(data), '--out', str(folder / 'a.html')]
    main([*words, *more, *WORDS])


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'net.pth'
    torch.save(timm.create_model('kaizen_mfnet2d_n9', **OPTIONS).state_dict(), path)
    return path


@pytest.fixture(scope='module')
def predictor(weights):
    return TimmPredictor('kaizen_mfnet2d_n9', weights, device='cpu', **OPTIONS)


def test_photos_have_the_predictions_and_changes_of_the_network(predictor, image_folders):
    outcomes = evaluate_files(predictor, image_folders / 'val')
    assert outcomes.names == [f'class_{label}' for label in range(4)] and list(outcomes.labels) == sorted(
        outcomes.labels
    )
    assert outcomes.scores.shape == (12, 3, 4) and predictor.after_clip is None
    x = torch.stack([predictor._image(file)[0] for file in outcomes.files])
    with torch.no_grad():
        expected = torch.stack(predictor.network.forward_iterates(x), dim=1).double().softmax(dim=2)
    np.testing.assert_allclose(outcomes.scores, expected, rtol=1e-4)
    right = [f'class_{label}' in file for label, file in zip(outcomes.labels, outcomes.files)]
    assert all(right)
    expected = recurrence_report(predictor.network, x)
    for name, change in expected.weight_change.items():
        torch.testing.assert_close(outcomes.recurrence.weight_change[name], change, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(outcomes.recurrence.logit_change, expected.logit_change, rtol=1e-3, atol=1e-6)
    assert (outcomes.recurrence.logit_change > 0).all()


def test_a_list_names_the_same_files(predictor, image_folders, tmp_path):
    (tmp_path / 'val').symlink_to(image_folders / 'val')
    files = sorted((tmp_path / 'val').rglob('*.png'))
    lines = [f'{file.relative_to(tmp_path)} {file.parent.name[-1]}' for file in files]
    (tmp_path / 'val.txt').write_text('\n'.join(lines))
    outcomes = evaluate_files(predictor, tmp_path / 'val.txt')
    other = evaluate_files(predictor, image_folders / 'val')
    assert outcomes.names == ['0', '1', '2', '3'] and list(outcomes.labels) == list(other.labels)
    np.testing.assert_array_equal(outcomes.scores, other.scores)
    (tmp_path / 'classes.txt').write_text('a\nb\nc\nd\n')
    assert evaluate_files(predictor, tmp_path / 'val.txt').names == ['a', 'b', 'c', 'd']


def test_a_plain_network_has_one_iterate(image_folders, tmp_path):
    torch.save(timm.create_model('test_resnet', num_classes=4).state_dict(), tmp_path / 'net.pth')
    outcomes = evaluate_files(TimmPredictor('test_resnet', tmp_path / 'net.pth', num_classes=4), image_folders / 'val')
    assert outcomes.iterates == 1 and outcomes.recurrence is None


def test_clips_of_a_video_are_averaged(digits, tmp_path):
    torch.manual_seed(0)
    options = dict(num_classes=8, input_size=(8, 32, 32), pool_kernel=1, num_iterations=2)
    torch.save(timm.create_model('kaizen_mfnet3d_n9', **options).state_dict(), tmp_path / 'net.pth')
    predictor = TimmPredictor('kaizen_mfnet3d_n9', tmp_path / 'net.pth', num_clips=2, **options)
    predictor.check_videos = False
    outcomes = evaluate_files(predictor, digits / 'val.txt', digits / 'videos')
    assert outcomes.scores.shape == (8, 2, 8)
    (change,) = outcomes.recurrence.weight_change.values()
    assert change.shape[2] == 16, 'two clips of each video'
    first = predictor([outcomes.files[0]])[0]
    np.testing.assert_array_equal(first.probabilities, outcomes.scores[0])


def test_the_page(weights, image_folders, tmp_path, capsys):
    report(weights, image_folders / 'val', tmp_path, '--exit-at', '0')
    printed = capsys.readouterr().out
    assert 'early exit at 0: top-1' in printed and '1.00 passes' in printed
    assert re.search(r'iterate 3: top-1 [\d.]+ %', printed) and 'class_2' in (tmp_path / 'a.html').read_text()


def folder(root, classes=4, photos=1):
    for label in range(classes):
        (root / f'class_{label}').mkdir(parents=True)
        for number in range(photos):
            Image.new('RGB', (64, 64), (20 * label, 0, number)).save(root / f'class_{label}' / f'{number}.png')
    return root


def three(root):
    return folder(root, 3)


def empty(root):
    return folder(root, photos=0)


def damaged(root):
    (folder(root) / 'class_2' / '0.png').write_bytes(b'\x89PNG\r\n')
    return root


def linked(root):
    (folder(root) / 'class_2' / '1.png').symlink_to(root / 'class_1' / '0.png')
    return root


def broken_link(root):
    (folder(root) / 'class_2' / '1.png').symlink_to(root / 'nowhere.png')
    return root


def listed(text):
    def write(root):
        (folder(root) / 'val.txt').write_text(text)
        return root / 'val.txt'

    return write


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda root: root / 'nowhere', 'no folder or list .*nowhere'),
        (three, 'data must have a folder for each of 4 classes of the network, got 3'),
        (empty, 'data must have images in the folders of its classes, got none'),
        (damaged, r'1 of 4 files of .*data cannot be used: .*class_2/0\.png'),
        (linked, r'class_2/1\.png is the same file as .*class_1/0\.png, of another class'),
        (broken_link, r'1 of 5 files of .*data cannot be used: .*class_2/1\.png'),
        (listed('class_0/0.png 4'), r'val\.txt:1: label 4 .* out of range'),
        (listed(''), r'val\.txt is empty'),
        (listed('class_0/9.png 0'), r'1 of 1 files of .*val\.txt cannot be used: .*9\.png: no such file'),
    ],
)
def test_a_test_set_that_cannot_be_used_is_named_and_no_page_is_written(make, message, weights, tmp_path, capsys):
    data = make(tmp_path / 'data')
    with pytest.raises(SystemExit) as ended:
        main(
            [
                '--timm',
                'kaizen_mfnet2d_n9',
                str(weights),
                '--data',
                str(data),
                '--out',
                str(tmp_path / 'a.html'),
                *WORDS,
            ]
        )
    assert ended.value.code == 2 and re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'a.html').exists()


def test_classes_that_the_network_does_not_know(tmp_path):
    predictor = TimmPredictor('kaizen_bagnet_cifar10', 'kaizen_mm::kaizen_bagnet_cifar10')
    data = folder(tmp_path / 'data', 10)
    with pytest.raises(ValueError, match='classes differ at 10 of 10 labels. the network was trained with: 0 .air'):
        evaluate_files(predictor, data)
    (data / 'classes.txt').write_text('\n'.join(predictor.names))
    assert evaluate_files(predictor, data).names == predictor.names


@pytest.mark.parametrize(
    'words, message',
    [
        (['a.pth'], 'config and checkpoint must be given'),
        (['a.py', 'a.pth', 'b.pth'], 'config and checkpoint must be given'),
        (['a.py', 'a.pth', '--timm', 'resnet18', '--data', '.'], 'the checkpoint must be given'),
        (['a.pth', '--timm', 'resnet18'], '--data must be given'),
        (['a.pth', '--timm', 'resnet18', '--data', '.'], 'no file a.pth'),
        (['a.pth', '--timm', 'resnet18', '--data', '.', '--cfg-options', 'a=1'], '--cfg-options must be left out'),
        (['a.py', 'a.pth', '--data', '.'], '--data, --root and --model-kwargs must be left out'),
        (['kaizen_mm::bagnet_cifar10', '--timm', 'resnet18', '--data', '.'], 'weights kaizen_mm::bagnet'),
        (['kaizen_mm::bagnet_cifar10', '--timm', 'no_net', '--data', '.'], 'Unknown model (no_net)'),
        (['a.pth', '--timm', 'resnet18', '--data', '.', '--exit-at', '.'], '--exit-at: must be a number from 0'),
        (['a.pth', '--timm', 'resnet18', '--data', '.', '--exit-at', 'a.json'], '--exit-at must be a number with'),
        (['a.pth', '--timm', 'resnet18', '--data', '.', '--out', 'a.htm'], '--out must name an .html file'),
    ],
)
def test_arguments_that_do_not_fit(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.json').touch()
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err
