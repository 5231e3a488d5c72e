"""Classes of training, validation, test, checkpoints and labels are the same, or there is an error with both lists."""

import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, RUNNERS, init_default_scope

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.inference import class_names
from kaizen_mm.openmmlab.inference import ConfigPredictor
from kaizen_mm.report.evaluation import evaluate
from tests.conftest import ROOT

NAMES = [f'class_{label}' for label in range(4)]
# validation has a class of its own in the first place: the others move on by one
MOVED = r"train_dataloader: 0 'class_0', 1 'class_1', 2 'class_2', 3 'class_3'\. {}_dataloader: 0 'a', 1 'class_0', "


@pytest.fixture
def images(image_folders, monkeypatch, tmp_path):
    """A copy of the images that may be spoilt."""
    root = shutil.copytree(image_folders, tmp_path / 'images')
    monkeypatch.setenv('KAIZEN_IMAGE_ROOT', str(root))
    monkeypatch.setenv('KAIZEN_IMAGE_CLASSES', '4')
    return root


def config(tmp_path, name='mfnet2d_tiny_imagenet'):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 1
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, batch_size=4)
        loader.pop('persistent_workers', None)
    return cfg


def moved(root, split='val'):
    shutil.rmtree(root / split / 'class_3')
    shutil.copytree(root / split / 'class_0', root / split / 'a')


@pytest.mark.parametrize('name', ['mfnet2d_tiny_imagenet', 'kaizen_mfnet2d_tiny_imagenet_k2'])
def test_validation_of_other_classes_is_an_error_before_training(images, tmp_path, name):
    moved(images)
    with pytest.raises(ValueError, match='classes differ at 4 of 4 labels.*' + MOVED.format('val')):
        RUNNERS.build(config(tmp_path, name)).train()
    assert not list(tmp_path.rglob('*.pth'))


def test_names_that_are_shown_do_not_hide_the_folders(images, tmp_path):
    moved(images)
    (images / 'classes.txt').write_text('red\ngreen\nblue\nyellow\n')
    with pytest.raises(ValueError, match=MOVED.format('val')):
        RUNNERS.build(config(tmp_path)).train()


def test_test_data_are_looked_at_before_training_where_they_are_there(images, tmp_path):
    shutil.copytree(images / 'val', images / 'test')
    moved(images, 'test')
    cfg = config(tmp_path)
    cfg.test_dataloader.dataset.data_prefix = 'test'
    with pytest.raises(ValueError, match=MOVED.format('test')):
        RUNNERS.build(cfg).train()
    cfg.test_dataloader.dataset.data_prefix = 'comes later'
    cfg.train_cfg.max_epochs = 1
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    RUNNERS.build(cfg).train()
    meta = read_checkpoint(tmp_path / 'work' / 'epoch_1.pth')['meta']
    assert list(meta['dataset_meta']['classes']) == list(meta['dataset_meta']['folders']) == NAMES


def test_lists_are_compared_by_the_names_beside_them(images, tmp_path):
    cfg = config(tmp_path)
    for split, names in (('train', 'cat dog'), ('val', 'dog cat')):
        (images / 'lists' / split).mkdir(parents=True)
        (images / 'lists' / split / 'list.txt').write_text('class_0/0.png 0\nclass_1/0.png 1\n')
        (images / 'lists' / split / 'classes.txt').write_text(names.replace(' ', '\n'))
    for loader, split in ((cfg.train_dataloader, 'train'), (cfg.val_dataloader, 'val')):
        loader.dataset.update(ann_file=str(images / 'lists' / split / 'list.txt'), num_classes=2)
    with pytest.raises(ValueError, match="train_dataloader: 0 'cat', 1 'dog'. val_dataloader: 0 'dog', 1 'cat'"):
        RUNNERS.build(cfg).train()


def save(cfg, path, meta):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=meta), path)
    return str(path)


OTHER = ['class_0', 'class_2', 'class_1', 'class_3']
DIFFER = "differ at 2 of 4 .* was trained with: 1 'class_2', 2 'class_1'. test_dataloader: 1 'class_1', 2 'class_2'"


def test_a_checkpoint_is_tested_on_its_classes_alone(images, tmp_path):
    cfg = config(tmp_path)
    cfg.load_from = save(cfg, tmp_path / 'other.pth', dict(dataset_meta=dict(classes=OTHER)))
    with pytest.raises(ValueError, match=DIFFER):
        RUNNERS.build(cfg).test()
    with pytest.raises(ValueError, match=DIFFER):
        evaluate(cfg, cfg.load_from)
    with pytest.raises(ValueError, match="'class_2', 2 'class_1'. train_dataloader: .* new_classifier=True"):
        RUNNERS.build(cfg).train()
    cfg.default_hooks.checkpoint_check.new_classifier = True
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    RUNNERS.build(cfg).train()


def test_a_checkpoint_that_tells_no_names_says_so(images, tmp_path, capsys):
    cfg = config(tmp_path)
    cfg.load_from = save(cfg, tmp_path / 'old.pth', {})
    assert 'accuracy/top1' in RUNNERS.build(cfg).test()
    assert 'the checkpoint does not tell the names of its classes' in capsys.readouterr().out
    assert evaluate(cfg, cfg.load_from).names == NAMES


def test_the_report_has_the_names_of_training(images, tmp_path):
    """Not those that the test set shows now, whose folders are the same."""
    cfg = config(tmp_path)
    names = ['red', 'green', 'blue', 'yellow']
    checkpoint = save(cfg, tmp_path / 'a.pth', dict(dataset_meta=dict(classes=names, folders=NAMES)))
    assert evaluate(cfg, checkpoint).names == ConfigPredictor(cfg, checkpoint).names == names


def test_digits_are_no_photos(mnist_data, monkeypatch, tmp_path):
    """Embedded data of as many classes."""
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    cfg = Config.fromfile(ROOT / 'configs' / 'mnist.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.load_from = save(cfg, tmp_path / 'a.pth', dict(dataset_meta=dict(classes=[f'photo {i}' for i in range(10)])))
    with pytest.raises(ValueError, match="0 'photo 0', .*test_dataloader: 0 '0', 1 '1'"):
        RUNNERS.build(cfg).test()


def test_labels_are_the_names_of_training_or_say_which_they_stand_for(tmp_path):
    path = tmp_path / 'labels.txt'
    path.write_text('cat\nzebra\ndog\n')
    with pytest.raises(ValueError, match="trained with: 1 'dog', 2 'zebra'. .*labels.txt: 1 'zebra', 2 'dog'. .*tab"):
        class_names(3, path, ['cat', 'dog', 'zebra'])
    assert class_names(3, path) == class_names(3, path, known=['a', 'b', 'c']) == ['cat', 'zebra', 'dog']
    path.write_text('zebra\tZebra, gestreift\ncat\tKatze\nbird\tVogel\n')
    assert class_names(3, path, ['cat', 'dog', 'zebra']) == ['Katze', 'dog', 'Zebra, gestreift']
    with pytest.raises(ValueError, match='does not tell the names'):
        class_names(3, path)
    with pytest.raises(ValueError, match='none of zebra, cat, bird is a class of the network, .* with 0, 1'):
        class_names(2, path, ['0', '1'])
    path.write_text('a\tcrane\nb\tcrane\n')
    with pytest.raises(ValueError, match="has 'crane' in line 1 and in line 2"):
        class_names(2, path, ['a', 'b'])
