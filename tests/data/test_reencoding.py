"""Re-encoding keeps every picture, upright and in its place."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from kaizen_mm.data.annotations import prepare_ucf101
from kaizen_mm.data.reencoding import key_frame_distance, output_size, reencode_video
from kaizen_mm.data.video_check import check_video
from tests.data.clips import QUIET, UCF_TEST, contents, cut, make_video


@pytest.mark.parametrize(
    'width, height, short_side, expected',
    [
        (320, 240, 128, (170, 128)),
        (240, 320, 128, (128, 170)),
        (320, 240, 256, (320, 240)),
        (240, 240, 64, (64, 64)),
        (101, 51, 64, (100, 50)),
    ],
)
def test_output_size(width, height, short_side, expected):
    assert output_size(width, height, short_side) == expected


def test_reencoded_lists(ucf101, tmp_path):
    videos, splits = ucf101
    make_video(videos / UCF_TEST[0], frames=23, size=(144, 96))
    before, out = contents(videos), tmp_path / 'out'
    prepare_ucf101(videos, splits, out, short_side=64, **QUIET)
    assert contents(videos) == before
    names = [item[:-3] + 'mp4' for item in UCF_TEST]
    assert (out / 'test_split1.txt').read_text() == (f'{names[0]} 0\n{names[1]} 1\n')
    assert (out / 'video_root.txt').read_text() == f'{out / "videos"}\n'
    with av.open(str(out / 'videos' / names[0])) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == 'h264'
        assert (stream.width, stream.height) == (96, 64)
        assert stream.average_rate == 25
        pictures = [f.to_ndarray(format='gray') for f in container.decode(stream)]
    assert len(pictures) == 23
    # every picture is that of the source, in its place
    with av.open(str(videos / UCF_TEST[0])) as container:
        sources = [f.reformat(96, 64, 'gray').to_ndarray().astype(float) for f in container.decode(video=0)]
    for i, picture in enumerate(pictures):
        errors = [np.abs(picture - source).mean() for source in sources]
        assert np.argmin(errors) == i

    # a second run keeps what is good and repairs what is not
    done = contents(out / 'videos')
    broken = out / 'videos' / names[1]
    cut(broken, broken, 0.5)
    prepare_ucf101(videos, splits, out, short_side=64, **QUIET)
    again = contents(out / 'videos')
    changed = {name for name in done if done[name][1] != again[name][1]}
    assert changed == {Path(names[1])}
    assert check_video(broken) == 20
    assert not list(out.rglob('*.part'))

    # another size is another video
    prepare_ucf101(videos, splits, out, short_side=96, **QUIET)
    with av.open(str(out / 'videos' / names[0])) as container:
        assert container.streams.video[0].height == 96


def test_reencoding_makes_the_rate_constant(tmp_path):
    source = tmp_path / 'a.mp4'
    with av.open(str(source), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width = stream.height = 64
        for time in (0, 1, 2, 10, 11, 12, 13, 40):
            frame = av.VideoFrame(64, 64, 'yuv420p')
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert reencode_video(source, tmp_path / 'b.mp4', 32) == 8
    with av.open(str(tmp_path / 'b.mp4')) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(set(np.diff(times).round(6))) == 1


def test_there_is_a_key_frame_for_every_clip(tmp_path):
    """A clip at a random place is decoded from the key frame before it."""
    source = make_video(tmp_path / 'a.mp4', 'libx264', frames=50, size=(64, 64), coding=dict(g='250'))
    assert key_frame_distance(source) == 50
    assert reencode_video(source, tmp_path / 'b.mp4', 64) == 50
    assert key_frame_distance(tmp_path / 'b.mp4') <= 16
    # a file of the right size and length with a single key frame is no finished one
    (tmp_path / 'b.mp4').write_bytes(source.read_bytes())
    assert reencode_video(source, tmp_path / 'b.mp4', 64) == 50
    assert key_frame_distance(tmp_path / 'b.mp4') <= 16


def test_failed_reencoding_leaves_no_file(tmp_path, clip, monkeypatch):
    target = tmp_path / 'a.mp4'

    def fail(*args, **kwargs):
        raise RuntimeError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(RuntimeError, match='disk full'):
        reencode_video(clip, target, 64)
    assert not list(tmp_path.iterdir())


def test_a_phones_video_stays_upright(tmp_path):
    """Its pixels lie on their side and the container says by how much."""
    source = make_video(tmp_path / 'a.mp4', 'libx264', frames=5, size=(96, 64))
    turn(source)
    read = decord.VideoReader(str(source)).get_batch(range(5)).asnumpy()
    assert read.shape == (5, 96, 64, 3)
    assert check_video(source) == reencode_video(source, tmp_path / 'b.mp4', 64) == 5
    again = decord.VideoReader(str(tmp_path / 'b.mp4')).get_batch(range(5)).asnumpy()
    assert again.shape == (5, 96, 64, 3)
    assert np.abs(again.astype(int) - read).mean() < 20 < np.abs(again[:, ::-1, ::-1].astype(int) - read).mean()


def turn(path):
    """Writes a rotation by 90 degrees into the track header of an .mp4 that has none."""
    content = path.read_bytes()
    upright = struct.pack('>9i', 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    start = content.index(upright, content.index(b'tkhd'))
    turned = struct.pack('>9i', 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:start] + turned + content[start + len(turned) :])
