"""Which files a command line names, and what they are."""

import numpy as np
import pytest
from PIL import Image

from kaizen_mm.data.moving_digits import write_video
from kaizen_mm.inference.media import check_kind, find_files


@pytest.fixture
def folder(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'sub/c.png', 'notes.txt', 'clip.mp4'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'')
    return tmp_path


def names(found, folder):
    return [(path.relative_to(folder).as_posix(), reason) for path, reason in found]


def test_folders_give_what_the_network_takes_and_patterns_what_matches(folder):
    assert names(find_files([folder], 'image'), folder) == [('a.jpg', None), ('b.PNG', None), ('sub/c.png', None)]
    assert names(find_files([folder], 'video'), folder) == [('clip.mp4', None)]
    assert names(find_files([f'{folder}/*.*'], 'image'), folder) == [
        (name, None) for name in ('a.jpg', 'b.PNG', 'clip.mp4', 'notes.txt')
    ]
    assert names(find_files([f'{folder}/**/*.png'], 'image'), folder) == [('sub/c.png', None)]
    assert names(find_files([f'{folder}/s*'], 'image'), folder) == [('sub/c.png', None)], 'a pattern may match a folder'


def test_each_file_once_in_the_order_given(folder):
    found = find_files([folder / 'sub' / 'c.png', folder, folder / 'sub' / '..' / 'a.jpg'], 'image')
    assert names(found, folder) == [('sub/c.png', None), ('a.jpg', None), ('b.PNG', None)]


def test_a_name_with_brackets_is_no_pattern(folder):
    (folder / 'd[1].png').write_bytes(b'')
    assert names(find_files([folder / 'd[1].png'], 'image'), folder) == [('d[1].png', None)]


def test_what_is_not_there_is_named(folder):
    (folder / 'empty').mkdir()
    reasons = [reason for _, reason in find_files([folder / 'no.png', f'{folder}/*.gif', folder / 'empty'], 'image')]
    assert reasons[:2] == ['no such file', 'no file matches this pattern']
    assert reasons[2].startswith('no image in this folder; images end in .bmp')


def test_kinds(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'image.png')
    write_video(tmp_path / 'video.mp4', np.zeros((4, 32, 32, 3), np.uint8), 25)
    (tmp_path / 'notes.txt').write_text('hello')
    whole = (tmp_path / 'image.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(whole[: len(whole) // 2])
    check_kind(tmp_path / 'image.png', 'image')
    check_kind(tmp_path / 'video.mp4', 'video')
    for name, kind, message in [
        ('image.png', 'video', 'this is an image, but the network takes videos'),
        ('video.mp4', 'image', 'this is a video, but the network takes images'),
        ('notes.txt', 'image', 'neither an image nor a video'),
        ('notes.txt', 'video', 'neither an image nor a video'),
        ('cut.png', 'image', 'an image that cannot be decoded'),
    ]:
        with pytest.raises(ValueError, match=message):
            check_kind(tmp_path / name, kind)
