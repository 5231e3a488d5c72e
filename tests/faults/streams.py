"""Streams that stall, change, lose frames or end too early: said, and the rest is done."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

from kaizen_mm.streams import windows
from tests.data.awkward_clips import below_zero, changing_size, doubled_rate
from tests.data.clips import cut, make_video
from tests.faults.case import Case
from tests.faults.samples import Samples, tool

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), np.uint8)


def _cut(folder):
    return cut(make_video(folder / 'whole.mkv', frames=60, coding=dict(g='5')), folder / 'a.mkv', 0.7)


def _hole(folder):
    path = make_video(folder / 'a.mkv', 'libx264', frames=60, size=(64, 64), coding=dict(g='5'))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    return path


def _folder(folder):
    for index, frame in enumerate(PIXELS):
        Image.fromarray(frame).save(folder / f'{index}.png')
    (folder / '9.png').write_bytes(b'')
    return folder


def _stalled(folder):
    yield from PIXELS
    threading.Event().wait()  # a camera that is unplugged


def _floats(folder):
    return list(PIXELS[:20]) + [PIXELS[0].astype(np.float32)]


def _sound(folder):
    with av.open(str(folder / 'a.wav'), 'w') as file:
        stream = file.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), 's16', 'mono')
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    return folder / 'a.wav'


def _written(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


# name, what makes the source, what is expected, what is said
STREAMS = (
    ('a file that is cut', _cut, 'warned', 'truncated'),
    ('a hole in the middle', _hole, 'warned', 'a.mkv: frame'),
    ('a size that changes', lambda folder: changing_size(folder / 'a.mkv', frames=20), 'warned', 'the size changes'),
    ('a picture that cannot be read', _folder, 'warned', '9.png cannot be read'),
    ('a stream that stalls for good', _stalled, 'warned', 'the stream counts as ended'),
    ('timestamps below zero', lambda folder: below_zero(folder / 'a.ts'), 'accepted', ''),
    ('twice the rate', lambda folder: doubled_rate(folder / 'a.avi'), 'accepted', ''),
    ('frames of another type in the middle', _floats, 'error', 'uint8'),
    ('fewer frames than a window', lambda folder: PIXELS[:9], 'error', 'no window of 16 frames'),
    ('an empty file', _written('a.mp4', b''), 'error', 'a.mp4: empty'),
    ('text', _written('a.mp4', b'no video'), 'error', 'a.mp4: cannot be opened'),
    ('an empty folder', lambda folder: folder, 'error', 'no pictures in this folder'),
    ('no such file', lambda folder: folder / 'nowhere.mp4', 'error', 'nowhere.mp4'),
    ('no such camera', lambda folder: 98765, 'error', 'camera'),
    ('sound alone', _sound, 'error', 'a.wav: no video stream'),
    ('an address where nothing is', lambda folder: 'http://127.0.0.1:1/a.mp4', 'error', '127.0.0.1:1/a.mp4'),
)

OUTPUTS = ('--out', 'a.jsonl', '--timeline', 'a.png', '--annotate', 'a.mp4')
OLD = 'of yesterday'  # in a file that is there
# words of tools/predict.py, and what is said of them
WORDS = (
    ('--timeline without --stream', ('clip.mp4', '--timeline', 'a.png'), '--timeline needs --stream'),
    ('--window without --stream', ('clip.mp4', '--window', 8), '--window needs --stream'),
    ('an input beside --stream', ('clip.mp4', '--stream', 'clip.mp4'), 'either INPUT or --stream'),
    ('nothing to predict', (), 'required: INPUT or --stream'),
    ('--iterates with --stream', ('--stream', 'clip.mp4', '--iterates'), '--iterates is not for --stream'),
    ('M of 0', ('--stream', 'clip.mp4', '--write', 0), '--write: must be an int >= 1, got 0'),
    ('M of a half', ('--stream', 'clip.mp4', '--write', 0.5), '--write: must be never, cut or a number'),
    ('M of no number', ('--stream', 'clip.mp4', '--write', 'often'), '--write: must be never, cut or a number'),
    ('a window of 0', ('--stream', 'clip.mp4', '--window', 0), '--window: must be an int >= 1, got 0'),
    ('a stride of -1', ('--stream', 'clip.mp4', '--stride', -1), '--stride: must be an int >= 1, got -1'),
    ('patience of 0', ('--stream', 'clip.mp4', '--patience', 0), '--patience: must be more than 0'),
    ('patience without end', ('--stream', 'clip.mp4', '--patience', 'inf'), '--patience: must be a finite number'),
    ('a median', ('--stream', 'clip.mp4', '--smooth', 'median'), '--smooth: invalid choice'),
    ('a window longer than the stream', ('--stream', 'clip.mp4', '--window', 21, *OUTPUTS), 'no window of 21 frames'),
    ('no such stream', ('--stream', 'nowhere.mp4', *OUTPUTS), 'no file or folder nowhere.mp4'),
    ('a stream that cannot be opened', ('--stream', 'old.jsonl', *OUTPUTS), 'old.jsonl: cannot be opened'),
    ('an address', ('--stream', 'http://127.0.0.1:1/a.mp4', *OUTPUTS), '127.0.0.1:1/a.mp4: cannot be opened'),
    ('no such camera', ('--stream', 98765, *OUTPUTS), 'no camera 98765'),
    ('lines in .json', ('--stream', 'clip.mp4', '--out', 'a.json'), 'must end in .jsonl, got a.json'),
    ('two files of lines', ('--stream', 'clip.mp4', '--out', 'a.jsonl', 'b.jsonl'), '--out takes one .jsonl file'),
    ('a picture in .jpg', ('--stream', 'clip.mp4', '--timeline', 'a.jpg'), 'must end in .png, got a.jpg'),
    ('a copy in a folder', ('--stream', 'clip.mp4', '--annotate', 'copies'), 'must end in .mp4, got copies'),
    ('a copy over its source', ('--stream', 'clip.mp4', '--annotate', 'clip.mp4'), 'clip.mp4 is there already'),
    ('lines over lines', ('--stream', 'clip.mp4', '--out', 'old.jsonl'), 'old.jsonl is there already'),
    ('a file for a folder', ('--stream', 'clip.mp4', '--out', 'old.jsonl/a.jsonl'), 'cannot write to old.jsonl'),
)


def streams(samples: Samples) -> Iterator[Case]:
    for name, make, expected, pattern in STREAMS:
        yield Case('streams', name, expected, pattern, partial(_windows, make, expected))
    for name, words, pattern in WORDS:
        yield Case('streams', f'predict: {name}', 'error', pattern, partial(_predict, words), timeout=60)


def _predict(words, folder: Path):
    """With a network that the package brings; nothing is written."""
    make_video(folder / 'clip.mp4')
    (folder / 'old.jsonl').write_text(OLD)
    network = ('kaizen_bagnet3d_moving_camera_k2.py', 'kaizen_bagnet3d_moving_camera')
    try:
        tool(
            'predict.py',
            *words,
            *('--config', f'kaizen_mm::{network[0]}', '--checkpoint', f'kaizen_mm::{network[1]}', '--device', 'cpu'),
        )
    finally:
        assert {path.name for path in folder.iterdir()} == {'clip.mp4', 'old.jsonl'}
        assert (folder / 'old.jsonl').read_text() == OLD


def _windows(make, expected, folder: Path):
    said = []
    found = list(windows(make(folder), 16, stall=1, patience=2, say=said.append))
    print(*(f'a.mkv: {event}' for event in said), sep='\n')
    assert found and (expected != 'accepted' or not said), f'{len(found)} windows, {said}'
