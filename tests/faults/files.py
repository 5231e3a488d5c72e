"""Videos, images and lists that are damaged, or are none."""

import os
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Callable, Iterator

import av
import numpy as np
from mmaction.registry import DATASETS as VIDEO_DATASETS
from mmpretrain.registry import DATASETS as IMAGE_DATASETS
from PIL import Image

from kaizen_mm.data.video_check import check_video
from kaizen_mm.data.video_readers import open_video
from tests.data.awkward_clips import below_zero, changing_size, doubled_rate, two_streams
from tests.data.clips import cut, make_video
from tests.faults.case import Case
from tests.faults.samples import Samples, tool

CONTAINERS = {'avi': 'mpeg4', 'mp4': 'libx264', 'mkv': 'libx264', 'webm': 'libvpx', 'mpg': 'mpeg2video'}
FORMATS = ('png', 'jpg', 'webp', 'gif', 'tiff', 'bmp')
FRAMES = 20


def videos(samples: Samples) -> Iterator[Case]:
    """Each damaged file before the check that prepares lists and before the reader that trains."""
    draw, source = random.Random(0), samples.folder / 'videos'
    for suffix, codec in CONTAINERS.items():
        whole = make_video(source / f'whole.{suffix}', codec, frames=FRAMES)
        # decord seeks wrongly in MPEG program streams
        yield _checked(
            f'whole {suffix}', partial(shutil.copy, whole), suffix, 'error' if suffix == 'mpg' else 'accepted'
        )
        yield _read(f'whole {suffix}', partial(shutil.copy, whole), suffix, 'error' if suffix == 'mpg' else 'accepted')
        for _ in range(3):
            share = draw.uniform(0.02, 0.95)
            damage = partial(_cut, whole, share)
            yield _checked(f'{suffix} cut to {share:.0%}', damage, suffix, 'error')
            yield _read(f'{suffix} cut to {share:.0%}', damage, suffix, 'error or accepted')
        for _ in range(4):
            position, bit = draw.randrange(whole.stat().st_size), draw.randrange(8)
            yield Case(
                'videos',
                f'{suffix}, bit {bit} of byte {position} flipped',
                'error or accepted',
                _named(suffix),
                partial(_check_then_read, partial(_flip, whole, position, bit), suffix),
            )
    avi = source / 'whole.avi'
    for name, make, pattern in (
        ('empty', lambda path: path.write_bytes(b''), ''),
        ('text', lambda path: path.write_text('no video'), ''),
        ('random bytes', lambda path: path.write_bytes(random.Random(1).randbytes(5000)), ''),
        ('folder', lambda path: path.mkdir(), ''),
        ('pipe', os.mkfifo, 'regular file|pipe|FIFO'),
        ('zeros in the middle', partial(_zeros, avi), ''),
        ('sound alone', _sound, ''),
        ('dangling link', lambda path: path.symlink_to('nowhere'), ''),
    ):
        for kind, made in (('check', _checked), ('training', _read)):
            yield made(name, make, 'avi', 'error')._replace(
                **({'pattern': pattern} if pattern and kind == 'check' else {})
            )

    for name, make, suffix, expected in (
        ('an AVI whose header gives a duration', doubled_rate, 'avi', 'accepted'),
        ('two video streams', partial(two_streams, sizes=[(64, 64), (96, 64)]), 'mkv', 'accepted'),
        ('H.264 with B-frames in AVI', partial(make_video, codec='libx264', coding=dict(g='14')), 'avi', 'error'),
        ('a size that changes', partial(changing_size, frames=FRAMES // 2), 'mp4', 'error'),
        ('a first timestamp below zero', partial(below_zero, frames=FRAMES), 'ts', 'error or accepted'),
    ):
        yield _checked(name, make, suffix, expected)
    matroska = source / 'whole.mkv'
    for name, damage in (('64 zero bytes', bytes(64)), ('300 bytes doubled', None)):
        yield _checked(f'{name} in Matroska', partial(_small_damage, matroska, damage), 'mkv', 'error')
    yield Case(
        'videos',
        'a size that changes: read by PyAV',
        'error',
        'size of the picture changes',
        lambda folder: open_video(changing_size(folder / 'a.mp4'), 'pyav').get_batch(range(20)),
    )
    yield Case(
        'videos',
        'a size that changes: read by decord',
        'error',
        'size of the picture changes',
        lambda folder: open_video(changing_size(folder / 'a.mp4')),
    )
    yield Case(
        'videos',
        'a first timestamp below zero: read by PyAV',
        'accepted',
        '',
        lambda folder: open_video(below_zero(folder / 'a.ts'), 'pyav').get_batch([39, 0]),
    )


def _small_damage(whole, damage, path):
    content = whole.read_bytes()
    middle = len(content) // 2
    damage = damage or content[middle - 300 : middle]
    path.write_bytes(content[:middle] + damage + content[middle + len(damage) :])


def _checked(name, make, suffix, expected) -> Case:
    return Case('videos', f'{name}: checked', expected, '', partial(_check, make, suffix))


def _read(name, make, suffix, expected) -> Case:
    return Case(
        'videos',
        f'{name}: read in training',
        expected,
        '' if expected == 'accepted' else _named(suffix),
        partial(_read_all, make, suffix),
    )


def _named(suffix):
    return rf'a\.{suffix}|frames'


def _check(make, suffix, folder):
    make(folder / f'a.{suffix}')
    frames = check_video(folder / f'a.{suffix}')
    assert frames == FRAMES, f'{frames} frames of {FRAMES}'


def _read_all(make, suffix, folder):
    make(folder / f'a.{suffix}')
    (folder / 'list.txt').write_text(f'a.{suffix} 0\n')
    dataset = VIDEO_DATASETS.build(
        dict(
            type='VideoListDataset',
            ann_file='list.txt',
            data_prefix=dict(video='.'),
            allow_one_class=True,
            pipeline=[
                dict(type='mmaction.DecordInit'),
                dict(type='mmaction.SampleFrames', clip_len=FRAMES, frame_interval=1, num_clips=1, test_mode=True),
                dict(type='mmaction.DecordDecode'),
            ],
        )
    )
    return f'{len(dataset[0]["imgs"])} frames'


def _check_then_read(make, suffix, folder):
    """What passes the check is read in training."""
    try:
        _check(make, suffix, folder)
    except ValueError as error:
        raise ValueError(f'a.{suffix}: {error}') from error
    try:
        return _read_all(lambda path: None, suffix, folder)
    except RuntimeError as error:
        raise AssertionError(f'passes the check but not training: {error}') from error


def _cut(whole, share, path):
    cut(whole, path, share)


def _flip(whole, position, bit, path):
    content = bytearray(whole.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def _zeros(whole, path):
    content = bytearray(whole.read_bytes())
    content[len(content) // 3 : len(content) // 3 * 2] = bytes(len(content) // 3)
    path.write_bytes(content)


def _sound(path):
    with av.open(str(path), 'w', format='avi') as container:
        stream = container.add_stream('mp2', rate=32000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), 's16', 'mono')
        sound.sample_rate = 32000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def images(samples: Samples) -> Iterator[Case]:
    draw = random.Random(0)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    source = samples.folder / 'pictures'
    source.mkdir()
    for suffix in FORMATS:
        whole = source / f'whole.{suffix}'
        picture.save(whole)
        share = draw.uniform(0.02, 0.6)
        yield _image(f'whole {suffix}', partial(shutil.copy, whole), suffix, 'accepted', '')
        # decoders fill up what is missing at the end of some formats
        yield _image(f'{suffix} cut to {share:.0%}', partial(_cut, whole, share), suffix, 'error or accepted', '')
        yield _image(f'empty {suffix}', lambda path: path.write_bytes(b''), suffix, 'error', rf'0\.{suffix}')
        yield _image(f'text {suffix}', lambda path: path.write_text('no image'), suffix, 'error', rf'0\.{suffix}')
        yield _image(
            f'random {suffix}',
            lambda path: path.write_bytes(random.Random(1).randbytes(3000)),
            suffix,
            'error',
            rf'0\.{suffix}',
        )
        yield _image(f'{suffix} with the start of a png', partial(_image_start, whole), suffix, 'error or accepted', '')
    for name, make, suffix, expected, pattern in (
        ('dangling link', lambda path: path.symlink_to('nowhere'), 'png', 'error', r'0\.png'),
        ('pipe', os.mkfifo, 'png', 'error', r'0\.png'),
        ('folder named like an image', lambda path: path.mkdir(), 'png', 'accepted', ''),
        ('file of another kind', lambda path: path.write_text('x'), 'txt', 'error', 'txt|no image'),
        ('capital letters', lambda path: picture.save(path, format='png'), 'PNG', 'accepted', ''),
    ):
        yield _image(name, make, suffix, expected, pattern)
    yield Case('images', 'one class only', 'error', 'class', lambda folder: _image_folder(folder, ('only',)))
    yield Case('images', 'an empty class', 'error', 'empty', _empty_class)
    yield Case(
        'images',
        'another number of classes',
        'error',
        'num_classes',
        lambda folder: _image_folder(folder, ('one', 'two'), num_classes=3),
    )
    for hidden in ('.ipynb_checkpoints', '__MACOSX'):
        yield Case('images', f'a folder {hidden} beside the classes', 'accepted', '', partial(_hidden_folder, hidden))
    yield Case(
        'images',
        'no folder',
        'error',
        'no folder',
        lambda folder: IMAGE_DATASETS.build(
            dict(type='ImageFolderDataset', data_root='nowhere', data_prefix='train', pipeline=[])
        ),
    )


def _image(name, make, suffix, expected, pattern) -> Case:
    return Case('images', name, expected, pattern, lambda folder: _image_folder(folder, ('one', 'two'), make, suffix))


def _image_start(whole, path):
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + whole.read_bytes()[8:])


def _image_folder(folder, classes, make=None, suffix='png', **options):
    for name in classes:
        (folder / 'train' / name).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(folder / 'train' / name / 'good.png')
    if make is not None:
        make(folder / 'train' / classes[0] / f'0.{suffix}')
        if suffix == 'txt':  # the only file of its class
            (folder / 'train' / classes[0] / 'good.png').unlink()
    dataset = IMAGE_DATASETS.build(
        dict(
            type='ImageFolderDataset',
            data_root='.',
            data_prefix='train',
            pipeline=[dict(type='mmpretrain.LoadImageFromFile')],
            **options,
        )
    )
    return [dataset[i]['img'].shape for i in range(len(dataset))]


def _empty_class(folder):
    (folder / 'train' / 'empty').mkdir(parents=True)
    _image_folder(folder, ('one', 'two'))


def _hidden_folder(name, folder):
    (folder / 'train' / name).mkdir(parents=True)
    Image.new('RGB', (8, 8)).save(folder / 'train' / name / 'good.png')
    shapes = _image_folder(folder, ('one', 'two'), num_classes=2)
    assert len(shapes) == 2, f'{len(shapes)} images of 2'


# name, content, and the line at fault, or what is to be said where there is none
LISTS = (
    ('no label', b'a.avi\nb.avi 1\n', 1),
    ('no number', b'a.avi 0\nb.avi one\n', 2),
    ('negative label', b'a.avi 0\nb.avi -1\n', 2),
    ('fraction', b'a.avi 0\nb.avi 1.0\n', 2),
    ('label out of range', b'a.avi 0\nb.avi 7\n', 2),
    ('digit of another script', 'a.avi 0\nb.avi ٣\n'.encode(), 2),
    ('superscript', 'a.avi 0\nb.avi ²\n'.encode(), 2),
    ('no UTF-8', b'a.avi 0\n\xff\xfe 1\n', 2),
    ('two labels', b'a.avi 0\nb.avi 1\n./a.avi 1\n', 3),
    ('missing file', b'a.avi 0\nnowhere.avi 1\n', 2),
    ('empty', b'', 'empty|lists no'),
    ('blank', b'\n \n\n', 'empty|lists no'),
    ('blank lines and spaces', b'\n a.avi 0 \n\nb c.avi\t1\r\n', None),
)


def lists(samples: Samples) -> Iterator[Case]:
    """One list before its three readers."""
    clip = make_video(samples.folder / 'lists' / 'clip.avi', frames=4)
    picture = samples.folder / 'lists' / 'picture.png'
    Image.new('RGB', (8, 8)).save(picture)
    readers = {
        'VideoListDataset': (_video_list, clip),
        'ImageFolderDataset': (_image_list, picture),
        'prepare_data.py list': (_prepared, clip),
    }
    for name, content, fault in LISTS:
        for reader, (read, source) in readers.items():
            expected, pattern = ('accepted', '') if fault is None else ('error', str(fault))
            if isinstance(fault, int):
                pattern = rf'list\.txt:{fault}|nowhere'
                if read is _prepared:  # which goes on with the other lines
                    expected, pattern = 'refused', rf'left out: .*line {fault}: '
            yield Case('lists', f'{name}: {reader}', expected, pattern, partial(_list, read, source, content))


def _list(read: Callable, source: Path, content: bytes, folder: Path):
    for name in ('a', 'b', 'b c'):
        shutil.copy(source, folder / f'{name}{source.suffix}')
    (folder / 'list.txt').write_bytes(content.replace(b'.avi', source.suffix.encode()))
    return read()


def _video_list():
    return list(
        VIDEO_DATASETS.build(
            dict(type='VideoListDataset', ann_file='list.txt', data_prefix=dict(video='.'), pipeline=[], num_classes=2)
        )
    )


def _image_list():
    return list(
        IMAGE_DATASETS.build(
            dict(
                type='ImageFolderDataset',
                data_root='.',
                data_prefix='.',
                ann_file='list.txt',
                pipeline=[],
                num_classes=2,
            )
        )
    )


def _prepared():
    try:
        tool('prepare_data.py', 'list', 'list.txt', '--videos', '.', '--num-classes', 2, '--workers', 1)
    except SystemExit as error:
        if error.code != 1:  # the status for bad lines
            raise
