"""Which files a command line names, and what they are."""

import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from kaizen_mm.data.moving_digits import write_video
from kaizen_mm.inference.media import check_kind, find_files, passed_over_line
from tests.data.clips import make_video


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
    images = [('a.jpg', None), ('b.PNG', None), ('sub/c.png', None)]
    assert names(find_files([folder], 'image').files, folder) == images
    assert names(find_files([folder], 'video').files, folder) == [('clip.mp4', None)]
    assert names(find_files([f'{folder}/*.*'], 'image').files, folder) == [
        (name, None) for name in ('a.jpg', 'b.PNG', 'clip.mp4', 'notes.txt')
    ]
    assert names(find_files([f'{folder}/**/*.png'], 'image').files, folder) == [('sub/c.png', None)]
    found = find_files([f'{folder}/s*'], 'image').files
    assert names(found, folder) == [('sub/c.png', None)], 'a pattern may match a folder'


def test_each_file_once_in_the_order_given(folder):
    found = find_files([folder / 'sub' / 'c.png', folder, folder / 'sub' / '..' / 'a.jpg'], 'image')
    assert names(found.files, folder) == [('sub/c.png', None), ('a.jpg', None), ('b.PNG', None)]
    assert names(found.passed_over, folder) == [('clip.mp4', 'video'), ('notes.txt', 'neither')]


def test_a_name_with_brackets_is_no_pattern(folder):
    (folder / 'd[1].png').write_bytes(b'')
    assert names(find_files([folder / 'd[1].png'], 'image').files, folder) == [('d[1].png', None)]


def test_what_is_not_there_is_named(folder):
    (folder / 'empty').mkdir()
    (folder / 'link.png').symlink_to('nowhere')
    given = [folder / 'no.png', f'{folder}/*.gif', folder / 'empty', folder / 'link.png']
    reasons = [reason for _, reason in find_files(given, 'image').files]
    assert reasons == ['no such file', 'no file matches this pattern', 'no image in this folder', None]
    with pytest.raises(ValueError, match='a link to nowhere, which is missing'):
        check_kind(folder / 'link.png', 'image')


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
HEIC = b'\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic'


@pytest.fixture
def mixed(tmp_path):
    """All that may lie in a folder of photos and videos, most of it under names that do not tell."""
    image = Image.fromarray(PIXELS)
    for name, form in [('a.jfif', 'JPEG'), ('b.JP2', 'JPEG2000'), ('c.tga', 'TGA'), ('still.gif', 'GIF')]:
        image.save(tmp_path / name, format=form)
    image.save(tmp_path / 'no_suffix', format='PNG')
    moved = [Image.fromarray(np.roll(PIXELS, 3 * k, axis=0)).quantize() for k in range(4)]
    moved[0].save(tmp_path / 'moving.gif', save_all=True, append_images=moved[1:], duration=40)
    make_video(tmp_path / 'w.avi')
    make_video(tmp_path / 'x.ts', 'libx264').rename(tmp_path / 'x.mts')
    make_video(tmp_path / 'y.mpg', 'mpeg2video').rename(tmp_path / 'y.vob')
    make_video(tmp_path / 'z.mkv', 'libx264').rename(tmp_path / 'z.recording')
    (tmp_path / 'phone.heic').write_bytes(HEIC + bytes(200))
    (tmp_path / 'new.jxl').write_bytes(b'\xff\x0a' + bytes(200))
    (tmp_path / 'notes.txt').write_text('hello\n' * 100)
    (tmp_path / 'data.bin').write_bytes(np.random.default_rng(1).bytes(5000))
    (tmp_path / 'link.png').symlink_to('nowhere')
    (tmp_path / 'link').symlink_to('nowhere')
    os.mkfifo(tmp_path / 'pipe')
    os.mkfifo(tmp_path / 'pipe.mp4')
    (tmp_path / '.hidden.png').write_bytes(b'')
    return tmp_path


HEIC_REASON = 'an image of the format HEIC, which Pillow does not read here; convert it to PNG or JPEG'
PASSED = {'data.bin': 'neither', 'notes.txt': 'neither', '.hidden.png': 'hidden'}
PASSED.update({'link': 'a link to nowhere, which is missing', 'pipe': 'not a regular file'})


def test_all_images_of_a_folder(mixed):
    found = find_files([mixed], 'image')
    assert dict(names(found.files, mixed)) == {
        **dict.fromkeys(['a.jfif', 'b.JP2', 'c.tga', 'moving.gif', 'no_suffix', 'still.gif']),
        'link.png': 'a link to nowhere, which is missing',
        'phone.heic': HEIC_REASON,
        'new.jxl': HEIC_REASON.replace('HEIC', 'JPEG XL'),
    }
    for path, reason in found.files:
        if reason is None:
            check_kind(path, 'image')
    videos = dict.fromkeys(['w.avi', 'x.mts', 'y.vob', 'z.recording'], 'video')
    assert dict(names(found.passed_over, mixed)) == {**PASSED, **videos, 'pipe.mp4': 'not a regular file'}


def test_all_videos_of_a_folder(mixed):
    found = find_files([mixed], 'video')
    assert dict(names(found.files, mixed)) == {
        **dict.fromkeys(['moving.gif', 'w.avi', 'x.mts', 'y.vob', 'z.recording']),
        'pipe.mp4': 'not a regular file',
    }
    for path, reason in found.files:
        if reason is None:
            check_kind(path, 'video')
    images = dict.fromkeys(['a.jfif', 'b.JP2', 'c.tga', 'no_suffix', 'phone.heic', 'new.jxl', 'still.gif'], 'image')
    assert dict(names(found.passed_over, mixed)) == {
        **PASSED,
        **images,
        'link.png': 'a link to nowhere, which is missing',
    }


def test_a_line_counts_what_is_passed_over():
    files = [(f'{i}.mp4', 'video') for i in range(5)] + [('a.txt', 'neither')]
    assert passed_over_line(files) == 'passed over: 5 video (0.mp4, 1.mp4, 2.mp4, ...); 1 neither (a.txt)'


def test_kinds(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'image.png')
    write_video(tmp_path / 'video.mp4', np.zeros((4, 32, 32, 3), np.uint8), 25)
    (tmp_path / 'notes.txt').write_text('hello')
    (tmp_path / 'phone.heic').write_bytes(HEIC)
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
        ('phone.heic', 'image', HEIC_REASON),
        ('phone.heic', 'video', 'this is an image, but the network takes videos'),
    ]:
        with pytest.raises(ValueError, match=message):
            check_kind(tmp_path / name, kind)


def test_a_container_of_pictures_is_no_video(tmp_path):
    """As telephones write HEIC: FFmpeg takes what is in it for a video of one frame."""
    path = make_video(tmp_path / 'a.mp4', 'libx264', frames=1)
    content = path.read_bytes()
    (tmp_path / 'a.heic').write_bytes(content[:8] + b'heic' + content[12:])
    with av.open(str(tmp_path / 'a.heic')) as container:
        assert len(list(container.decode(video=0))) == 1
    with pytest.raises(ValueError, match='an image of the format HEIC'):
        check_kind(tmp_path / 'a.heic', 'image')


def test_the_cover_of_a_song_is_no_video(tmp_path):
    shutil.copy(make_video(tmp_path / 'cover.mkv', 'mjpeg', frames=1, pix_fmt='yuvj420p'), tmp_path / 'c.mkv')
    with av.open(str(tmp_path / 'c.mkv')) as picture, av.open(str(tmp_path / 'song.mp4'), 'w') as song:
        sound = song.add_stream('aac', rate=8000)
        cover = song.add_stream_from_template(picture.streams.video[0])
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in picture.demux(picture.streams.video[0]):
            if packet.size:
                packet.stream = cover
                song.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
        frame.sample_rate = 8000
        song.mux(sound.encode(frame))
        song.mux(sound.encode())
    with pytest.raises(ValueError, match='neither an image nor a video'):
        check_kind(tmp_path / 'song.mp4', 'video')
