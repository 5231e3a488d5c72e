"""Reading, re-encoding and the processes that survive bad videos."""
import os
from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from kaizen_mm.data import annotations
from kaizen_mm.data.annotations import prepare_ucf101
from kaizen_mm.data.video_check import check_video, declared_size, output_size, reencode_video, run_isolated
from tests.data.clips import QUIET, UCF_TEST, UCF_TRAIN, contents, cut, make_video, write

# --- damaged videos ---------------------------------------------------------


@pytest.mark.parametrize('name, codec, options', [
    ('a.avi', 'mpeg4', {}), ('a.avi', 'libx264', {}), ('a.mp4', 'libx264', {}),
    ('a.mp4', 'libx264', {'movflags': 'faststart'}),
])
def test_truncated(tmp_path, name, codec, options):
    whole = make_video(tmp_path / name, codec, **options)
    assert check_video(whole) == 20
    assert declared_size(whole) == whole.stat().st_size
    for fraction in (0.99, 0.9, 0.7, 0.5, 0.2, 0.02):
        with pytest.raises(ValueError, match='truncated|decoding fails'):
            check_video(cut(whole, tmp_path / f'cut_{name}', fraction))


def test_decord_opens_truncated_avi(tmp_path, clip):
    """Why the size is compared: decord itself sees nothing wrong."""
    reader = decord.VideoReader(str(cut(clip, tmp_path / 'cut.avi', 0.5)))
    assert 0 < len(reader) < 20
    assert reader.get_batch([0, len(reader) - 1]).shape[0] == 2


def test_damage_inside(tmp_path):
    """A hole of zeros, as an interrupted download leaves it."""
    path = make_video(tmp_path / 'a.mp4', 'libx264', movflags='faststart')
    data = bytearray(path.read_bytes())
    data[len(data) // 2:] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(ValueError, match='decod'):
        check_video(path)


def test_single_frame(tmp_path):
    assert check_video(make_video(tmp_path / 'a.avi', frames=1)) == 1


def test_no_video_stream(tmp_path):
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), 'fltp', 'mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match='no video stream'):
        check_video(path)


# --- re-encoding ------------------------------------------------------------


@pytest.mark.parametrize('width, height, short_side, expected', [
    (320, 240, 128, (170, 128)), (240, 320, 128, (128, 170)),
    (320, 240, 256, (342, 256)), (240, 240, 64, (64, 64)),
])
def test_output_size(width, height, short_side, expected):
    assert output_size(width, height, short_side) == expected


def test_reencoded_lists(ucf101, tmp_path):
    videos, splits = ucf101
    make_video(videos / UCF_TEST[0], frames=23, size=(144, 96))
    before, out = contents(videos), tmp_path / 'out'
    prepare_ucf101(videos, splits, out, short_side=64, **QUIET)
    assert contents(videos) == before
    names = [item[:-3] + 'mp4' for item in UCF_TEST]
    assert (out / 'test_split1.txt').read_text() == (
        f'{names[0]} 0\n{names[1]} 1\n')
    assert (out / 'video_root.txt').read_text() == f'{out / "videos"}\n'
    with av.open(str(out / 'videos' / names[0])) as container:
        stream, = container.streams
        assert stream.codec_context.name == 'h264'
        assert (stream.width, stream.height) == (96, 64)
        assert stream.average_rate == 25
        pictures = [f.to_ndarray(format='gray') for f in
                    container.decode(stream)]
    assert len(pictures) == 23
    # every picture is that of the source, in its place
    with av.open(str(videos / UCF_TEST[0])) as container:
        sources = [f.reformat(96, 64, 'gray').to_ndarray().astype(float)
                   for f in container.decode(video=0)]
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


def test_failed_reencoding_leaves_no_file(tmp_path, clip, monkeypatch):
    target = tmp_path / 'a.mp4'

    def fail(*args, **kwargs):
        raise RuntimeError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(RuntimeError, match='disk full'):
        reencode_video(clip, target, 64)
    assert not list(tmp_path.iterdir())


# --- processes --------------------------------------------------------------


@pytest.mark.parametrize('workers', [1, 2])
def test_dying_and_hanging_calls(workers):
    tasks = ['1 + 1', '__import__("os")._exit(7)', '2 + 2', '1 / 0',
             '__import__("time").sleep(600)',
             '__import__("os").kill(__import__("os").getpid(), 11)', '3 + 3']
    results = {i: (value, reason) for i, value, reason in
               run_isolated(eval, [(t,) for t in tasks], workers, timeout=4)}
    assert [results[i] for i in (0, 2, 6)] == [(2, None), (4, None), (6, None)]
    assert 'died (exit code 7)' in results[1][1]
    assert 'ZeroDivisionError' in results[3][1]
    assert 'no answer within 4 s' in results[4][1]
    assert 'died (exit code -11)' in results[5][1]


def test_death_that_does_not_recur(tmp_path):
    """A late crash of the decoder for another file is not held against it."""
    mark = str(tmp_path / 'mark')
    task = (f'__import__("os").path.exists({mark!r}) or (open({mark!r}, "w")'
            '.close(), __import__("os")._exit(1))',)
    assert list(run_isolated(eval, [task])) == [(0, True, None)]


def test_arguments_that_no_process_can_start_with():
    with pytest.raises(RuntimeError, match='before its first task'):
        list(run_isolated(Unloadable(), [()], workers=1))


class Unloadable:
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_worker_that_dies_costs_one_video(ucf101, tmp_path, monkeypatch):
    write(tmp_path / 'mortal_check.py',
          'import os',
          'from kaizen_mm.data.video_check import check_video',
          'def check(path):',
          f'    if path.name == "{Path(UCF_TRAIN[0]).name}":',
          '        os.abort()',
          '    return check_video(path)')
    monkeypatch.syspath_prepend(tmp_path)
    import mortal_check
    monkeypatch.setattr(annotations, 'check_video', mortal_check.check)
    out = tmp_path / 'out'
    prepare_ucf101(*ucf101, out, workers=1, progress=False)
    line, = (out / 'left_out.txt').read_text().splitlines()
    assert line.startswith(UCF_TRAIN[0]) and 'process died' in line
    assert (out / 'train_split1.txt').read_text() == f'{UCF_TRAIN[1]} 1\n'
    assert len((out / 'test_split1.txt').read_text().splitlines()) == 2


def test_worker_that_dies_while_it_writes(ucf101, tmp_path, monkeypatch):
    write(tmp_path / 'mortal_writer.py',
          'import os',
          'from kaizen_mm.data.video_check import reencode_video',
          'def reencode(source, target, short_side):',
          f'    if source.name == "{Path(UCF_TRAIN[0]).name}":',
          '        target.parent.mkdir(parents=True, exist_ok=True)',
          '        open(f"{target}.part", "w").close()',
          '        os.abort()',
          '    return reencode_video(source, target, short_side)')
    monkeypatch.syspath_prepend(tmp_path)
    import mortal_writer
    monkeypatch.setattr(annotations, 'reencode_video', mortal_writer.reencode)
    prepare_ucf101(*ucf101, tmp_path / 'out', short_side=32, **QUIET)
    files = {p.name for p in (tmp_path / 'out/videos').rglob('*.*')}
    assert files == {Path(item).stem + '.mp4'
                     for item in UCF_TRAIN[1:] + UCF_TEST}
