"""CIFAR-10 from memory: the parts of the data, exact photos, augmentation, and faults."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from PIL import Image

from kaizen_mm.openmmlab.image import cifar
from kaizen_mm.openmmlab.image.cifar import shifted_and_flipped


def photo(number):
    """A photo that tells its number and which way up it is."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[0, 0], pixels[31, 0, 0], pixels[0, 31, 1] = (number // 256, number % 256, 77), 200, 100
    return pixels


@pytest.fixture(scope='module')
def sheets(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cifar10')
    for sheet in (0, 29, 30, 39, 40, 49, 50):
        photos = np.stack([photo(1000 * sheet + n) for n in range(1000)])
        pixels = photos.reshape(25, 40, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(800, 1280, 3)
        Image.fromarray(pixels).save(folder / f'sheet_{sheet:02d}.webp', lossless=True)
    (folder / 'labels.txt').write_text(''.join(f'{n % 10}\n' for n in range(51_000)))
    return folder


def photos(folder, split, **kwargs):
    return DATASETS.build(dict(type='CifarInMemory', data_root=str(folder), split=split, **kwargs))


@pytest.mark.parametrize('split, first', [('train', 0), ('val', 30_000), ('test', 40_000)])
def test_parts(sheets, split, first):
    dataset = photos(sheets, split, max_images=900)
    assert len(dataset) == 900 and dataset.get_gt_labels().tolist() == [n % 10 for n in range(900)]
    batch = dataset.__getitems__([899, 0, 41])
    for n, index in enumerate((899, 0, 41)):
        expected = torch.from_numpy(photo(first + index)).permute(2, 0, 1)
        assert torch.equal(batch['inputs'][n], expected) and torch.equal(dataset[index]['inputs'], expected)
        assert (
            batch['data_samples'][n].gt_label.tolist()
            == dataset[index]['data_samples'].gt_label.tolist()
            == [index % 10]
        )


def test_parts_do_not_overlap_and_are_all_there():
    parts = [range(51_000)[part] for part in cifar.SPLITS.values()]
    assert [len(part) for part in parts] == [30_000, 10_000, 11_000]
    assert sorted(n for part in parts for n in part) == list(range(51_000))


def test_photos_are_moved_and_flipped_as_by_hand():
    torch.manual_seed(0)
    images = torch.randint(1, 256, (200, 3, 6, 5), dtype=torch.uint8)
    found = set()
    for image, moved in zip(images, shifted_and_flipped(images, shift=1)):
        padded = torch.zeros(3, 8, 7, dtype=torch.uint8)
        padded[:, 1:-1, 1:-1] = image
        places = [
            (top, left, flip)
            for top in range(3)
            for left in range(3)
            for flip in (False, True)
            if torch.equal(
                moved,
                padded[:, top : top + 6, left : left + 5].flip(2)
                if flip
                else padded[:, top : top + 6, left : left + 5],
            )
        ]
        assert len(places) == 1
        found.update(places)
    assert len(found) == 18, 'all moves are drawn'


def test_training_alone_is_random_and_follows_the_seed(sheets):
    plain, augmented = photos(sheets, 'train', max_images=64), photos(sheets, 'train', max_images=64, augment=True)
    indices = list(range(64))
    batches = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        batches.append(augmented.__getitems__(indices)['inputs'])
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])
    assert torch.equal(plain.__getitems__(indices)['inputs'], plain.__getitems__(indices)['inputs'])


@pytest.mark.parametrize('side', [16, 8])
def test_smaller_photos_are_means_over_squares(sheets, side):
    size = 32 // side
    small = photos(sheets, 'val', max_images=300, side=side).__getitems__([299, 3])['inputs']
    for found, number in zip(small, (30_299, 30_003)):
        expected = photo(number).astype(np.float64).reshape(side, size, side, size, 3).mean(axis=(1, 3))
        assert np.abs(found.permute(1, 2, 0).numpy() - expected).max() <= 0.5
    torch.manual_seed(0)
    moved = photos(sheets, 'train', max_images=300, side=side, augment=True).__getitems__(list(range(300)))['inputs']
    assert moved.shape == (300, 3, side, side)


def test_faults(sheets, tmp_path):
    with pytest.raises(ValueError, match='side must be 32, 16 or 8, got 12'):
        photos(sheets, 'val', side=12)
    with pytest.raises(ValueError, match=r"split must be one of \('test', 'train', 'val'\), got 'all'"):
        photos(sheets, 'all')
    with pytest.raises(ValueError, match='max_images must be an int from 1 to 10000, got 0'):
        photos(sheets, 'val', max_images=0)
    with pytest.raises(FileNotFoundError, match='no labels.txt in .*the folder of the sheets'):
        photos(tmp_path, 'train')
    with pytest.raises(FileNotFoundError, match='no sheet_31.webp'):
        photos(sheets, 'val')
    (tmp_path / 'labels.txt').write_text('0\n1\n')
    Image.new('RGB', (1280, 768)).save(tmp_path / 'sheet_00.webp')
    with pytest.raises(ValueError, match='labels.txt must have 51000 labels from 0 to 9, got 2 from 0 to 1'):
        photos(tmp_path, 'train', max_images=10)
    (tmp_path / 'labels.txt').write_text((sheets / 'labels.txt').read_text())
    with pytest.raises(ValueError, match='sheet_00.webp must be of 1280 x 800 pixels, got 1280 x 768'):
        photos(tmp_path, 'train', max_images=10)


def test_the_real_photos(real_data):
    dataset = photos(real_data / 'cifar10', 'test')
    assert len(dataset) == 11_000 and np.bincount(dataset.get_gt_labels()).min() > 900
    mean = dataset.images.float().mean(dim=(0, 2, 3))
    assert mean.tolist() == pytest.approx([125.3, 123.0, 113.9], abs=2)
