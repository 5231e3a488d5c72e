"""From a folder to a config that trains, tests, predicts and reports."""

import shutil
from pathlib import Path

import pytest
import torch

from kaizen_mm.commands import new, predict, report, test, train
from kaizen_mm.openmmlab.named_configs import load_config
from tests.conftest import write_image_folders
from tests.openmmlab.new.test_survey import folders

SHORT = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(config, media, phases=1):
    """Trains an epoch of each phase, tests, predicts and reports; the log of the training."""
    more = ['phase_one.train_cfg.max_epochs=1'] if phases == 2 else []
    train.main([config, '--work-dir', 'work', *SHORT, *more])
    checkpoint = 'work/epoch_1.pth'
    test.main([config, checkpoint, '--work-dir', 'work/test'])
    report.main([config, checkpoint, '--samples', '1'])
    assert predict.main([str(media), '--config', config, '--checkpoint', checkpoint, '--out', 'p.csv']) == 0
    return sorted(path for path in Path('work').glob('2*/*.log'))[0].read_text()


@pytest.mark.slow
def test_photos_by_class_get_lists_and_a_config_that_trains(tmp_path, capsys):
    root = folders(tmp_path / 'my photos', dict(cat=6, dog=6))
    new.main([str(root)])
    output = capsys.readouterr().out
    assert '2 classes (cat, dog); 10 photos to train on, 2 to validate on; shorter side 30 px' in output
    assert 'Odd: there are no validation data' in output and 'starts from kaizen_mm::kaizen_bagnet_cifar10' in output
    assert 'One position of the last map sees' in output and 'The training: 40 epochs of 3 steps, about' in output
    assert 'In all' not in output and ' MB for weights and maps' in output, 'one phase'
    commands = [line.strip() for line in output.split('Next:\n')[1].splitlines()]
    assert [command.split()[1] for command in commands] == ['tools/train.py', 'tools/test.py', 'tools/report.py']
    assert all('my_photos.py' in command for command in commands) and 'epoch_40.pth' in commands[1]
    assert sorted(path.name for path in (tmp_path / 'my_photos_lists').iterdir()) == [
        'classes.txt',
        'train.txt',
        'val.txt',
    ]
    text = (tmp_path / 'my_photos.py').read_text()
    assert len(text.splitlines()) < 35 and "_base_ = 'kaizen_mm::" in text
    log = trained('my_photos.py', root / 'cat' / '0.png')
    assert 'The checkpoint is of 10 classes: its classifier is left out' in log and 'On validation data: ' in log
    assert load_config('my_photos.py').model.head.head.num_classes == 2


@pytest.mark.slow
def test_photos_of_train_and_val_start_from_a_file(tmp_path, capsys):
    import timm

    root = write_image_folders(tmp_path / 'photos')
    torch.save(timm.create_model('resnet18', num_classes=3).state_dict(), 'resnet18.pth')
    new.main([str(root), '--weights', 'resnet18.pth', '--out', 'mine.py'])
    output = capsys.readouterr().out
    assert 'ResNet-18 on photos of 128 px' in output and 'Each position of the last map sees all' in output
    assert 'Phase one: ' in output and 'Phase two: ' in output and 'In all about' in output
    assert not (tmp_path / 'mine_lists').exists()
    log = trained('mine.py', root / 'val' / 'class_0' / '0.png', phases=2)
    one = next(tmp_path.glob('work/phase_one/*/*.log')).read_text()
    assert 'Estimate: about ' in one and 'phase one: 1 epochs of 5 steps' in one and 'Estimate' not in log
    assert 'has the names of a network alone' in one


@pytest.mark.slow
def test_videos_from_lists(digits, tmp_path, capsys):
    root = shutil.copytree(digits, tmp_path / 'clips')
    new.main([str(root / 'train.txt'), '--network', 'mfnet'])
    output = capsys.readouterr().out
    assert '8 classes' in output and '16 videos to train on, 8 to validate on' in output and '20 frames' in output
    assert 'every frame' in output and '--network slowonly' in output
    cfg = load_config('clips.py')
    steps = [step for name in ('train', 'val', 'test') for step in cfg[f'{name}_dataloader'].dataset.pipeline]
    assert {step.frame_interval for step in steps if 'clip_len' in step} == {1}
    trained('clips.py', next((root / 'videos').iterdir()), phases=2)


def test_what_is_there_is_not_written_over(tmp_path):
    root = folders(tmp_path / 'photos', dict(cat=6, dog=6))
    (tmp_path / 'photos.py').write_text('mine')
    with pytest.raises(FileExistsError, match='photos.py is there already; remove it, or give another name with --out'):
        new.main([str(root)])
    assert (tmp_path / 'photos.py').read_text() == 'mine' and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize('out', ['config.txt', 'my.config.py', '.py'])
def test_a_name_that_is_none_for_a_config_is_refused(out, tmp_path):
    with pytest.raises(ValueError, match=r'--out must name a .py file'):
        new.main([str(tmp_path), '--out', out])


def test_a_config_that_cannot_be_trained_is_not_written(tmp_path, monkeypatch):
    from kaizen_mm.openmmlab.new import write
    from kaizen_mm.openmmlab.training import estimate

    root = folders(tmp_path / 'photos', dict(cat=6, dog=6))

    def fails(*args):
        raise ValueError('no step')

    monkeypatch.setattr(estimate, 'step_cost', fails)
    with pytest.raises(ValueError, match='no step'):
        new.main([str(root)])
    assert [path.name for path in tmp_path.iterdir()] == ['photos']
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write, 'config_text', fails)
    found = write.Survey('photos', 'photos', root, ['cat', 'dog'], [('a', 0)], [('b', 1)], None, None, 1, 0, 0.0, [])
    with pytest.raises(ValueError, match='no step'):
        write.write_config(found, None, tmp_path / 'photos.py')
    assert [path.name for path in tmp_path.iterdir()] == ['photos'], 'the lists are gone again'


@pytest.mark.parametrize('name', ['KAIZEN_IMAGE_CLASSES', 'KAIZEN_LIST_CLASSES'])
@pytest.mark.parametrize('value', ['x', '0', '-1', '2.0', '', '²'])
def test_a_wrong_number_of_classes_in_the_environment_is_named(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f'{name} in the environment must be the number of classes'):
        load_config('kaizen_mm::kaizen_bagnet_tiny_imagenet_k2.py')


def test_a_number_of_classes_that_does_not_fit_names_the_variable(image_folders, digits, monkeypatch):
    monkeypatch.setenv('KAIZEN_IMAGE_ROOT', str(image_folders))
    monkeypatch.setenv('KAIZEN_IMAGE_CLASSES', '5')
    monkeypatch.setenv('KAIZEN_LIST_ROOT', str(digits))
    monkeypatch.setenv('KAIZEN_LIST_CLASSES', '3')
    for config, message in (
        (
            'kaizen_bagnet_tiny_imagenet_k2',
            r'num_classes is 5 \(KAIZEN_IMAGE_CLASSES in the environment\), but .* 4 fo',
        ),
        ('kaizen_mfnet_list', r'out of range.*num_classes is 3 \(KAIZEN_LIST_CLASSES in the environment\)'),
    ):
        with pytest.raises(ValueError, match=message):
            train.main([f'kaizen_mm::{config}.py'])
