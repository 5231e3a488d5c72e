"""Image data sets: faults are found before training, broken images are named."""

import gzip
import os
import shutil

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image
from sklearn.datasets import load_digits

from kaizen_mm.openmmlab.image import datasets
from tests.conftest import write_idx

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def folders(root, **kwargs):
    return DATASETS.build(
        {
            **dict(
                type='ImageFolderDataset', data_root=str(root), data_prefix='train', num_classes=4, pipeline=PIPELINE
            ),
            **kwargs,
        }
    )


@pytest.fixture
def copied(image_folders, tmp_path):
    """A copy of the images that may be spoilt."""
    return shutil.copytree(image_folders, tmp_path / 'images')


def listed(root, text, **kwargs):
    (root / 'list.txt').write_text(text)
    return folders(root, ann_file='list.txt', **kwargs)


def test_good_folders(image_folders):
    dataset = folders(image_folders)
    assert len(dataset) == 20 and dataset.get_gt_labels().tolist() == [label for label in range(4) for _ in range(5)]
    assert dataset.metainfo['classes'] == tuple(f'class_{i}' for i in range(4))
    for index, label, i in ((0, 0, 0), (7, 1, 2), (19, 3, 4)):
        item = dataset[index]
        pixels = np.asarray(Image.open(image_folders / 'train' / f'class_{label}' / f'{i}.png'))
        assert torch.equal(item['inputs'], torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1))  # BGR
        assert item['data_samples'].gt_label.tolist() == [label]


def test_a_good_list(image_folders, copied):
    (copied / 'train' / 'an image.png').write_bytes((copied / 'train' / 'class_2' / '0.png').read_bytes())
    dataset = listed(copied, 'class_3/1.png 0\nan image.png 3\n')
    assert len(dataset) == 2 and dataset.get_gt_labels().tolist() == [0, 3]
    expected = folders(image_folders)
    assert torch.equal(dataset[0]['inputs'], expected[16]['inputs'])
    assert torch.equal(dataset[1]['inputs'], expected[10]['inputs'])


def test_names_of_classes(copied):
    assert folders(copied).metainfo['classes'] == tuple(f'class_{i}' for i in range(4))
    (copied / 'classes.txt').write_text('class_2\tblue, dark\nclass_0\tred\n')
    assert folders(copied).metainfo['classes'] == ('red', 'class_1', 'blue, dark', 'class_3')
    assert folders(copied, classes=list('abcd')).metainfo['classes'] == tuple('abcd')
    (copied / 'classes.txt').write_text('a\nb\n')
    assert folders(copied).metainfo['classes'] == tuple(f'class_{i}' for i in range(4)), 'of no use'
    (copied / 'classes.txt').write_text('a\nb\nc\nd\n')
    dataset = listed(copied, 'class_0/0.png 0\nclass_1/0.png 1\n', num_classes=4)
    assert dataset.metainfo['classes'] == tuple('abcd')


def test_images_without_labels(image_folders):
    dataset = folders(image_folders, with_label=False, num_classes=None)
    assert len(dataset) == 20 and 'gt_label' not in dataset[0]['data_samples']
    assert len(folders(image_folders, data_prefix='train/class_0', with_label=False)) == 5


def test_missing_folders(copied, tmp_path):
    with pytest.raises(
        FileNotFoundError, match='data_root, data_prefix: no folder .*nowhere/train.*one folder of images per class'
    ):
        folders(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='no folder in .*train/class_0; there must be one for each class'):
        folders(copied, data_prefix='train/class_0', num_classes=None)
    with pytest.raises(ValueError, match='num_classes is 4, but .*train/class_0 has 0 folders'):
        folders(copied, data_prefix='train/class_0')


@pytest.mark.parametrize('num_classes', [3, 5])
def test_another_number_of_classes(image_folders, num_classes):
    with pytest.raises(ValueError, match=f'num_classes is {num_classes}, but .*train has 4 folders'):
        folders(image_folders, num_classes=num_classes)


def test_a_class_without_images(copied):
    for path in (copied / 'train' / 'class_2').iterdir():
        path.rename(path.with_suffix('.txt'))
    for num_classes in (4, None):
        with pytest.raises(FileNotFoundError, match=r'no image in .*class_2; images end in \.avif, \.bmp, .*\.png'):
            folders(copied, num_classes=num_classes)
    assert len(folders(copied, extensions=('txt', '.png'))) == 20


@pytest.mark.parametrize(
    'text, message',
    [
        (
            'class_0/0.png 0\nclass_1/0.png 4\n',
            r'label 4 of .*class_1/0.png is out of range; num_classes is 4.* from 0 to 3',
        ),
        (
            'class_0/0.png 0\nclass_1/0.png -1\n',
            r'list.txt:2: expected "file label" with a label >= 0, got .class_1/0.png -1',
        ),
        ('class_0/0.png 0\nclass_1/0.png cat\n', r'list.txt:2: expected "file label"'),
        ('class_0/0.png\n', r'list.txt:1: expected "file label"'),
        ('class_0/0.png 0\n\nclass_0/0.png 1\n', 'list.txt:1: label 0 .*has label 1 in line 3'),
        ('class_0/0.png 1\n\nclass_1/0.png 1\n', 'list.txt: all 2 training samples have label 1'),
        ('', 'list.txt is empty'),
    ],
)
def test_faulty_lists(copied, text, message):
    with pytest.raises(ValueError, match=message):
        listed(copied, text)


def test_missing_and_empty_lists(copied):
    with pytest.raises(FileNotFoundError, match='ann_file: no file .*none.txt'):
        folders(copied, ann_file='none.txt')
    with pytest.raises(FileNotFoundError, match='1 of 2 files .*list.txt:2: .*class_1/none.png: missing'):
        listed(copied, 'class_0/0.png 0\nclass_1/none.png 1\n')
    with pytest.raises(FileNotFoundError, match='list.txt:2: .*train/none.png: missing'):
        listed(copied, 'class_0/0.png\nnone.png\n', with_label=False)
    with pytest.raises(FileNotFoundError, match='no folder .*nowhere; it must hold the images of ann_file'):
        listed(copied, 'a.png 0\n', data_prefix='nowhere')


def test_images_that_cannot_be_loaded_are_named(copied):
    path = copied / 'train' / 'class_1' / '2.png'
    path.write_bytes(b'no image')
    with pytest.raises(RuntimeError, match='cannot load .*class_1/2.png: .*; mend it or take it out'):
        folders(copied)[7]
    dataset = folders(copied, max_unreadable=0.05)
    assert dataset[7] is not None and [p[-13:] for p in dataset.unreadable_files()] == ['class_1/2.png']


@pytest.mark.parametrize('ending', ['gif', 'webp', 'tiff', 'JP2', 'bmp'])
def test_formats_of_photos(copied, ending):
    image = Image.open(copied / 'train' / 'class_1' / '2.png')
    image.save(copied / 'train' / 'class_1' / f'2.{ending}', **dict(lossless=True) if ending == 'webp' else {})
    dataset = folders(copied)
    assert len(dataset) == 21
    (index,) = [i for i in range(21) if dataset.get_data_info(i)['img_path'].endswith(ending)]
    assert dataset[index]['inputs'].shape == (3, *image.size[::-1])
    difference = (dataset[index]['inputs'].float() - dataset[7]['inputs'].float()).abs().mean()
    assert difference < 12  # a palette's, at most


def test_what_is_no_image_is_named(copied, monkeypatch):
    said = []
    monkeypatch.setattr(datasets, 'print_log', lambda text, **kwargs: said.append(text))
    (copied / 'train' / 'class_1' / 'notes.txt').write_text('')
    (copied / 'train' / 'stray.png').write_text('')
    (copied / 'train' / 'class_1' / '.hidden').write_text('')
    assert len(folders(copied)) == 20
    assert '2 files in ' in said[0] and 'class_1/notes.txt' in said[0] and 'train/stray.png' in said[0]
    (copied / 'train' / 'class_2' / 'link.png').symlink_to('nowhere.png')
    with pytest.raises(FileNotFoundError, match='class_2/link.png: a link to nowhere.png, which is missing'):
        folders(copied)
    (copied / 'train' / 'class_2' / 'link.png').unlink()
    os.mkfifo(copied / 'train' / 'class_2' / 'pipe.png')
    with pytest.raises(FileNotFoundError, match='class_2/pipe.png: not a regular file'):
        folders(copied)


def test_folders_of_one_class(copied):
    for label in (1, 2, 3):
        shutil.rmtree(copied / 'train' / f'class_{label}')
    with pytest.raises(ValueError, match='all 5 training samples have label 0'):
        folders(copied, num_classes=1)
    assert len(folders(copied, num_classes=1, allow_one_class=True)) == 5


def digits(root, split='test', **kwargs):
    return DATASETS.build(dict(type='MnistInMemory', data_root=str(root), split=split, **kwargs))


@pytest.mark.parametrize('split, part', [('train', slice(1400)), ('test', slice(1400, None))])
def test_digits_packed_or_not(mnist_data, split, part):
    dataset = digits(mnist_data / 'mnist', split)
    images, labels = load_digits(return_X_y=True)
    assert len(dataset) == len(labels[part]) and np.array_equal(dataset.get_gt_labels(), labels[part])
    for index in (0, 100):
        item = dataset[index]
        assert item['inputs'].shape == (1, 28, 28) and item['inputs'].dtype == torch.uint8
        # a pixel in the middle of each block of 3 x 3
        assert np.array_equal(item['inputs'][0, 3:-2:3, 3:-2:3].flatten(), 15 * images[part][index])
        assert item['data_samples'].gt_label.tolist() == [labels[part][index]]


def test_a_batch_is_its_samples(mnist_data):
    dataset = digits(mnist_data / 'mnist')
    batch = dataset.__getitems__([5, 0, 5, 396])
    for n, index in enumerate((5, 0, 5, 396)):
        assert torch.equal(batch['inputs'][n], dataset[index]['inputs'])
        assert torch.equal(batch['data_samples'][n].gt_label, dataset[index]['data_samples'].gt_label)
    assert batch['inputs'].shape == (4, 1, 28, 28) and len(batch['data_samples']) == 4


def test_the_loader_gives_every_image_once(mnist_config):
    cfg = mnist_config.train_dataloader
    cfg.dataset.max_images = 1400
    loader = Runner.build_dataloader(cfg, seed=0)
    batches = list(loader)
    assert [b['inputs'].shape for b in batches] == [(50, 1, 28, 28)] * 28
    images = torch.cat([b['inputs'] for b in batches]).flatten(1)
    assert torch.equal(images.sort(dim=0)[0], loader.dataset.images.flatten(1).sort(dim=0)[0])
    labels = [int(s.gt_label) for b in batches for s in b['data_samples']]
    assert (
        sorted(labels) == sorted(loader.dataset.get_gt_labels()) and labels != loader.dataset.get_gt_labels().tolist()
    )


def test_what_a_network_writes_to_a_sample_does_not_come_back(mnist_data):
    dataset = digits(mnist_data / 'mnist')
    head = dict(type='ClsHead')
    network = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='MnistCNN', num_iterations=2),
            head=dict(type='AdaptiveRecurrentClsHead', head=head),
            data_preprocessor=dict(
                type='ClsDataPreprocessor', num_classes=10, batch_augments=dict(augments=dict(type='Mixup', alpha=1.0))
            ),
        )
    )
    indices = list(range(8))
    assert 'gt_score' in network.data_preprocessor(dataset.__getitems__(indices), training=True)['data_samples'][0]
    assert 'iterate_scores' in network.test_step(dataset.__getitems__(indices))[0]
    for sample in (*dataset.__getitems__(indices)['data_samples'], dataset[0]['data_samples']):
        assert sample.keys() == ['gt_label']


def test_the_last_training_images_are_held_out_for_choices(mnist_data, monkeypatch):
    monkeypatch.setattr(datasets, 'HELD_OUT', 300)
    whole, fit, val = (digits(mnist_data / 'mnist', split) for split in ('train', 'fit', 'val'))
    assert len(fit) == len(whole) - 300 and len(val) == 300
    assert torch.equal(torch.cat([fit.images, val.images]), whole.images)
    assert np.array_equal(np.concatenate([fit.get_gt_labels(), val.get_gt_labels()]), whole.get_gt_labels())


def test_fewer_images_are_spread_over_all(mnist_data):
    whole, few = digits(mnist_data / 'mnist'), digits(mnist_data / 'mnist', max_images=5)
    assert len(few) == len(few.get_gt_labels()) == 5
    for n, index in enumerate((0, 99, 198, 297, 396)):
        assert torch.equal(few[n]['inputs'], whole[index]['inputs'])
        assert torch.equal(few[n]['data_samples'].gt_label, whole[index]['data_samples'].gt_label)
    for value in (0, 398, 2.5):
        with pytest.raises(ValueError, match=f'max_images must be an int from 1 to 397, got {value}'):
            digits(mnist_data / 'mnist', max_images=value)


IMAGES, LABELS = 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'


def put(root, images=np.zeros((3, 28, 28)), labels=np.arange(3), pack=False):
    write_idx(root / IMAGES, images, pack)
    write_idx(root / LABELS, labels, pack)


def test_missing_digits(tmp_path):
    with pytest.raises(FileNotFoundError, match=f'neither {IMAGES} nor {IMAGES}.gz in .*four MNIST files'):
        digits(tmp_path)
    put(tmp_path)
    (tmp_path / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=f'neither {LABELS} nor'):
        digits(tmp_path)
    with pytest.raises(ValueError, match=r"split must be one of \('fit', 'test', 'train', 'val'\), got 'all'"):
        digits(tmp_path, 'all')


@pytest.mark.parametrize(
    'spoil',
    [
        lambda content: content[:-1],
        lambda content: content + b'0',
        lambda content: content[:10],
        lambda content: b'',
        lambda content: b'\0\0\x09\3' + content[4:],
        lambda content: gzip.compress(content),
    ],
    ids=['cut off', 'too long', 'cut off in the header', 'empty', 'another type of values', 'packed without .gz'],
)
def test_files_that_are_no_mnist(tmp_path, spoil):
    put(tmp_path)
    (tmp_path / IMAGES).write_bytes(spoil((tmp_path / IMAGES).read_bytes()))
    with pytest.raises(ValueError, match=f'{IMAGES} is no idx file of 3 dimensions, or cut off'):
        digits(tmp_path)


@pytest.mark.parametrize(
    'spoil',
    [
        lambda content: content[:-9],
        lambda content: gzip.decompress(content),
        lambda content: b'',
        lambda content: content[:12] + b'\xff\xff\xff' + content[15:],
    ],
    ids=['cut off', 'not packed', 'empty', 'damaged'],
)
def test_packed_files_that_are_no_mnist(tmp_path, spoil):
    put(tmp_path, images=np.random.default_rng(0).integers(0, 256, (3, 28, 28)), pack=True)
    assert len(digits(tmp_path)) == 3
    path = tmp_path / f'{IMAGES}.gz'
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=f'{IMAGES}.gz is no idx file of 3 dimensions, or cut off'):
        digits(tmp_path)


@pytest.mark.parametrize(
    'content, message',
    [
        (dict(labels=np.arange(2)), r'images of shape \(3, 28, 28\) and 2 labels up to 1'),
        (dict(images=np.zeros((3, 28, 27))), r'images of shape \(3, 28, 27\)'),
        (dict(labels=np.array([0, 10, 1])), '3 labels up to 10'),
        (dict(images=np.zeros((0, 28, 28)), labels=np.zeros(0)), '0 labels up to 0'),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, content, message):
    put(tmp_path, **content)
    with pytest.raises(ValueError, match=f'must hold as many 28x28 images as labels from 0 to 9, got .*{message}'):
        digits(tmp_path)


def test_the_real_digits(real_data):
    for split, count, first, per_class in (('train', 60_000, 5, 5_923), ('test', 10_000, 7, 980)):
        dataset = digits(real_data / 'mnist', split)
        assert len(dataset) == count and int(dataset[0]['data_samples'].gt_label) == first
        assert (dataset.get_gt_labels() == 0).sum() == per_class
    # the mean and the deviation of the training images are the config's
    images = digits(real_data / 'mnist', 'train').images.float()
    assert images.mean().item() == pytest.approx(33.318, abs=1e-3) and images.std().item() == pytest.approx(
        78.567, abs=1e-3
    )


def test_single_digits_go_through_the_pipeline_as_image_files(mnist_data):
    load = dict(type='LoadImageFromFile', color_type='grayscale')
    dataset = digits(mnist_data / 'mnist', 'test', pipeline=[load, dict(type='PackInputs')])
    plain = digits(mnist_data / 'mnist', 'test')
    for index in (0, 396):
        item, info = dataset[index], dataset.get_data_info(index)
        assert torch.equal(item['inputs'], plain[index]['inputs']), 'nothing is lost'
        assert (
            item['data_samples'].gt_label.tolist()
            == [info['gt_label']]
            == plain[index]['data_samples'].gt_label.tolist()
        )
        assert item['data_samples'].sample_idx == info['sample_idx'] == index
    assert tuple('0123456789') == dataset.CLASSES


def test_hidden_folders_are_no_classes_and_hold_no_images(copied, image_folders):
    picture = (copied / 'train' / 'class_0' / '0.png').read_bytes()
    for name in ('.ipynb_checkpoints', '__MACOSX', 'class_1/.ipynb_checkpoints', 'class_1/__MACOSX'):
        (copied / 'train' / name).mkdir()
        (copied / 'train' / name / '0.png').write_bytes(picture)
    dataset, expected = folders(copied), folders(image_folders)
    assert dataset.metainfo['folders'] == dataset.metainfo['classes'] == tuple(f'class_{i}' for i in range(4))
    assert dataset.get_gt_labels().tolist() == expected.get_gt_labels().tolist()
    assert len(folders(copied, with_label=False)) == 20


def test_a_folder_that_another_split_lacks_is_named(copied):
    shutil.copytree(copied / 'val' / 'class_0', copied / 'val' / 'class_0 copy')
    with pytest.raises(ValueError, match=r"val has 5 folders; .*\. Only in .*/val: 'class_0 copy'$"):
        folders(copied, data_prefix='val')
    shutil.rmtree(copied / 'val' / 'class_0 copy')
    shutil.rmtree(copied / 'val' / 'class_3')
    with pytest.raises(ValueError, match=r"val has 3 folders; .*\. Only in .*/train: 'class_3'$"):
        folders(copied, data_prefix='val')


def test_names_that_do_not_fit_the_folders(copied):
    with pytest.raises(ValueError, match='classes has 3 names, but .*train has 4 folders'):
        folders(copied, classes=list('abc'))
