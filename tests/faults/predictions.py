"""What lies in folders that are predicted: files that are none, pictures of other depths, names of bytes."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from kaizen_mm.weights import read_weights
from tests.data.clips import make_video
from tests.faults.case import Case
from tests.faults.samples import MNIST, Samples, tool

PIXELS = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)


def _save(pixels, name):
    return lambda folder: Image.fromarray(pixels).save(folder / name)


def _write(content, name):
    return lambda folder: (folder / name).write_bytes(content)


def _cut(folder):
    _save(PIXELS, 'cut.png')(folder)
    (folder / 'cut.png').write_bytes((folder / 'cut.png').read_bytes()[:300])


def _video(folder):
    make_video(folder / 'clip.mkv', 'libx264', frames=2).rename(folder / 'recording')


HEIC = b'\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic' + bytes(200)
# what is put beside a good picture, and what is to be said of it where it is passed over or refused
BESIDE = (
    ('16 bits', _save(PIXELS.astype(np.uint16) * 257, 'a.png'), None),
    ('32 bits', _save(PIXELS.astype(np.int32) * 257, 'a.tif'), None),
    ('floats', _save((PIXELS / 255).astype(np.float32), 'a.tif'), None),
    ('a suffix that says nothing', lambda folder: Image.fromarray(PIXELS).save(folder / 'a.tga'), None),
    ('a name that is no UTF-8', _save(PIXELS, os.fsdecode(b'caf\xe9.png')), None),
    ('negative values', _save(PIXELS.astype(np.int32) - 9, 'a.tif'), r'a\.tif: .*values of 32 bits from -'),
    (
        'values that are not finite',
        _save(np.full((28, 28), np.nan, np.float32), 'a.tif'),
        r'a\.tif: .*32 bits from nan',
    ),
    ('cut', _cut, r'cut\.png: an image that cannot be decoded'),
    ('HEIC', _write(HEIC, 'phone.heic'), r'phone\.heic: an image of the format HEIC'),
    ('JPEG XL', _write(b'\xff\x0a' + bytes(200), 'a.jxl'), r'a\.jxl: an image of the format JPEG XL'),
    ('a broken link', lambda folder: (folder / 'a.png').symlink_to('nowhere'), r'a\.png: a link to nowhere'),
    ('a pipe', lambda folder: os.mkfifo(folder / 'a.png'), r'a\.png: not a regular file'),
    ('a broken link without suffix', lambda folder: (folder / 'a').symlink_to('nowhere'), 'passed over: 1 a link to'),
    ('text', _write(b'hello', 'notes.txt'), r'passed over: 1 neither \(.*notes\.txt'),
    ('a video without suffix', _video, r'passed over: 1 video \(.*recording'),
    ('a hidden file', _write(b'', '._a.png'), 'passed over: 1 hidden'),
)
# what is done to a test set of ten folders, and what is said of it
TEST_SETS = (
    ('a class without a folder', lambda data: shutil.rmtree(data / 'cat'), 'a folder for each of 10 classes'),
    ('a folder of another class', lambda data: (data / 'cat').rename(data / 'cow'), "classes differ .*'cow'"),
    ('no folder', shutil.rmtree, 'no folder or list'),
    ('a picture that is cut', lambda data: _cut(data / 'cat'), r'cat/cut\.png: an image that cannot be decoded'),
    ('a broken link', lambda data: (data / 'cat/b.png').symlink_to('nowhere'), r'cat/b\.png: a link to nowhere'),
    ('a picture in two classes', lambda data: (data / 'cat/b.png').symlink_to('../dog/a.png'), 'the same file as'),
)


def predictions(samples: Samples) -> Iterator[Case]:
    """A folder with a good picture and something beside it, through ``tools/predict.py``."""
    for name, make, said in BESIDE:
        expected, pattern = ('accepted', '') if said is None else ('refused', said)
        yield Case('predictions', name, expected, pattern, partial(_predict, samples, make, said is None))

    for name, make, said in TEST_SETS:
        yield Case('predictions', f'test set: {name}', 'error', said, partial(_report, make))


def _report(make, folder: Path):
    classes = read_weights('kaizen_bagnet_cifar10').card['classes']
    for name in classes:
        (folder / 'data' / name).mkdir(parents=True)
        Image.fromarray(PIXELS).save(folder / 'data' / name / 'a.png')
    make(folder / 'data')
    net = 'kaizen_bagnet_cifar10'
    try:
        tool('report.py', '--timm', net, f'kaizen_mm::{net}', '--data', folder / 'data', '--out', folder / 'a.html')
    finally:
        assert not (folder / 'a.html').exists(), 'a page was written'


def _predict(samples, make, both, folder: Path):
    inputs = folder / 'inputs'
    inputs.mkdir()
    Image.fromarray(PIXELS).save(inputs / 'good.png')
    make(inputs)
    words = [inputs, '--config', MNIST, '--checkpoint', samples.trained / 'epoch_2.pth', '--out', folder / 'p.csv']
    try:
        tool('predict.py', *words)
    except SystemExit as error:
        if error.code not in (None, 0, 1):  # 1: an input could not be used
            raise
    lines = (folder / 'p.csv').read_bytes().splitlines()[1:]
    done = {line.split(b',')[0] for line in lines if line.count(b',,') < 4}
    assert len(done) == 1 + both, f'{len(done)} pictures were predicted'
