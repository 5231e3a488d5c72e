"""What is found in folders of photos and videos, and what is odd about them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaizen_mm.openmmlab.new.survey import FEW, survey


def photo(path: Path, number: int, size=(40, 30)) -> None:
    """Of its own content for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def folders(root: Path, counts: dict, start: int = 0) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        for i in range(count):
            photo(root / name / f'{i}.png', start + 1000 * label + i)
    return root


def test_folders_of_train_and_val(tmp_path):
    folders(tmp_path / 'train', dict(cat=6, dog=7))
    folders(tmp_path / 'valid', dict(cat=2, dog=3), start=500)
    (tmp_path / 'train' / 'cat' / 'notes.txt').write_text('no photo')
    found = survey(tmp_path)
    assert (found.kind, found.classes, found.splits, found.lists) == (
        'photos',
        ['cat', 'dog'],
        ('train', 'valid'),
        None,
    )
    assert [label for _, label in found.train] == [0] * 6 + [1] * 7 and len(found.val) == 5
    assert found.train[0][0] == 'train/cat/0.png' and found.root == tmp_path
    assert (found.side, found.frames, found.odd) == (30, 0, [])


def test_of_folders_of_classes_every_fifth_is_drawn_and_copies_stay_together(tmp_path):
    folders(tmp_path, dict(cat=10, dog=11, cow=2))
    for copy in ('a.png', 'b.png', 'c.png'):
        (tmp_path / 'cat' / copy).write_bytes((tmp_path / 'cat' / '4.png').read_bytes())
    found = survey(tmp_path)
    assert found.splits is None and found.lists is None
    assert (
        sorted(found.train + found.val) == sorted(set(found.train + found.val)) and len(found.train + found.val) == 26
    )
    content = {name: (tmp_path / name).read_bytes() for name, _ in found.train + found.val}
    assert not {content[name] for name, _ in found.train} & {content[name] for name, _ in found.val}
    drawn = {found.classes[label]: [own for own in found.val if own[1] == label] for label in range(3)}
    assert {name: len({content[file] for file, _ in own}) for name, own in drawn.items()} == dict(cat=2, dog=2, cow=1)
    assert survey(tmp_path) == found, 'the same files each time'
    assert 'there are no validation data' in found.odd[0]
    assert 'fewer than 5 samples to train on: cow (1)' in found.odd[1]


def test_lists_of_photos_beside_their_folder(tmp_path):
    folders(tmp_path / 'images', dict(a=5, b=5))
    for name, numbers in (('train', range(4)), ('val', [4])):
        lines = [f'{letter}/{i}.png {label}\n' for label, letter in enumerate('ab') for i in numbers]
        (tmp_path / f'{name}.txt').write_text(''.join(lines))
    (tmp_path / 'classes.txt').write_text('ant\nbee\n')
    for given in (tmp_path, tmp_path / 'train.txt'):
        found = survey(given)
        assert found.root == tmp_path / 'images' and found.classes == ['ant', 'bee']
        assert found.lists == (str(tmp_path / 'train.txt'), str(tmp_path / 'val.txt')) and len(found.val) == 2
    (tmp_path / 'val.txt').unlink()
    assert survey(tmp_path).lists is None, 'val is drawn'


def test_videos_have_lengths_and_rates(digits):
    found = survey(digits)
    assert (found.kind, found.frames, found.side, len(found.train), len(found.val)) == ('videos', 20, 32, 16, 8)
    assert found.root == digits / 'videos' and found.rate > 0


def test_what_is_odd_is_named(tmp_path):
    folders(tmp_path / 'train', dict(cat=40, dog=FEW - 1))
    folders(tmp_path / 'val', dict(cat=2, dog=1), start=500)
    (tmp_path / 'val' / 'cat' / '0.png').write_bytes((tmp_path / 'train' / 'cat' / '3.png').read_bytes())
    (tmp_path / 'train' / 'dog' / '0.png').write_bytes((tmp_path / 'train' / 'cat' / '5.png').read_bytes())
    (tmp_path / 'train' / 'cat' / '6.png').write_bytes(b'')
    (tmp_path / 'train' / 'cat' / '7.png').write_bytes(b'no picture')
    odd = '\n'.join(survey(tmp_path).odd)
    for part in (
        f'fewer than {FEW} samples to train on: dog (4)',
        'very different size: cat has 40, dog 4',
        '1 files to validate on are, byte by byte, files to train on: val/cat/0.png = train/cat/3.png',
        '1 files are in several classes: train/cat/5.png',
        '1 files cannot be read: train/cat/6.png: empty',
        'photos cannot be opened: train/cat/6.png',
        'train/cat/7.png',
    ):
        assert part in odd


def test_only_a_label_that_is_left_out_is_a_class_without_samples(tmp_path):
    folders(tmp_path, dict(a=5, b=5))
    (tmp_path / 'train.txt').write_text(''.join(f'{"ab"[n % 2]}/{n // 2}.png {2 * (n % 2)}\n' for n in range(8)))
    (tmp_path / 'val.txt').write_text('a/4.png 0\nb/4.png 2\n')
    assert 'classes without a sample to train on: 1' in survey(tmp_path).odd


def nothing(root):
    return root / 'nothing'


def empty(root):
    (root / 'data').mkdir()
    return root / 'data'


def text_alone(root):
    (root / 'data' / 'cat').mkdir(parents=True)
    (root / 'data' / 'cat' / 'a.txt').write_text('')
    return root / 'data'


def one_class(root):
    return folders(root / 'data', dict(cat=5))


def other_names(root):
    folders(root / 'train', dict(cat=2, dog=2))
    folders(root / 'val', dict(cat=2, Dog=2))
    return root


def both_kinds(root):
    folders(root, dict(cat=2, dog=2))
    (root / 'dog' / 'a.mp4').write_bytes(b'a video')
    return root


def missing_file(root):
    folders(root, dict(cat=2))
    (root / 'train.txt').write_text('cat/0.png 0\ncat/9.png 1\n')
    return root


def no_label(root):
    (root / 'train.txt').write_text('cat/0.png\n')
    return root


def no_picture(root):
    for name in ('cat', 'dog'):
        (root / name).mkdir()
        for i in range(6):
            (root / name / f'{i}.png').write_bytes(f'{name} {i}'.encode())
    return root


def too_few(root):
    return folders(root, dict(cat=1, dog=1))


@pytest.mark.parametrize(
    'make, kind, message',
    [
        (nothing, FileNotFoundError, 'no folder or list .*nothing'),
        (empty, FileNotFoundError, 'no photos or videos by class in .*data; it must hold'),
        (text_alone, FileNotFoundError, 'no photo or video in .*cat; every folder in .*data is a class'),
        (one_class, ValueError, "has one class, 'cat'"),
        (other_names, ValueError, "other classes in val than in train. Only in train: 'dog'. Only in val: 'Dog'"),
        (both_kinds, ValueError, r'photos or videos, one of them alone, got 4 photos .*, 1 videos \(dog/a.mp4\)'),
        (missing_file, FileNotFoundError, '1 of 2 files of .*train.txt cannot be read, such as .*9.png: missing'),
        (no_label, ValueError, 'train.txt:1: expected "file label"'),
        (no_picture, ValueError, 'none of the photos that were tried'),
        (too_few, ValueError, 'no class has two samples to draw one from'),
    ],
)
def test_what_cannot_be_trained_on_is_named(make, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        survey(make(tmp_path))
