"""Lists from the official split files, and what becomes of bad videos.

All videos are made here, but for one test on real clips that runs where
`KAIZEN_DATA` names a folder with `ucf101_samples`.
"""
import os
import runpy
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from kaizen_mm.data import annotations
from kaizen_mm.data.annotations import (check_list, prepare_hmdb51,
                                        prepare_ucf101)
from kaizen_mm.data.splits import read_hmdb51_splits, read_ucf101_splits
from kaizen_mm.data.video_check import (check_video, declared_size,
                                        output_size, reencode_video,
                                        run_isolated)

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'prepare_data.py'
QUIET = dict(workers=2, progress=False)
UCF_TRAIN = ['Archery/v_Archery_g08_c01.avi', 'Biking/v_Biking_g08_c01.avi']
UCF_TEST = ['Archery/v_Archery_g01_c01.avi', 'Biking/v_Biking_g01_c01.avi']


def make_video(path, codec='mpeg4', frames=20, size=(32, 32), **options):
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w', options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        for _ in range(frames):
            image = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            container.mux(stream.encode(
                av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def cut(source, target, fraction):
    data = Path(source).read_bytes()
    target.write_bytes(data[:int(len(data) * fraction)])
    return target


def write(file, *lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(''.join(f'{line}\n' for line in lines))
    return file


def contents(folder):
    return {p.relative_to(folder): (p.read_bytes(), p.stat().st_mtime_ns)
            for p in folder.rglob('*') if p.is_file()}


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp('clip') / 'clip.avi')


@pytest.fixture
def ucf101(tmp_path, clip):
    """(videos, splits) with two classes, split 1 only."""
    videos, splits = tmp_path / 'UCF-101', tmp_path / 'ucfTrainTestlist'
    for item in UCF_TRAIN + UCF_TEST:
        (videos / item).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, videos / item)
    write(splits / 'classInd.txt', '1 Archery', '2 Biking')
    write(splits / 'trainlist01.txt',
          *(f'{item} {i}' for i, item in enumerate(UCF_TRAIN, 1)))
    write(splits / 'testlist01.txt', *UCF_TEST)
    return videos, splits


@pytest.fixture
def hmdb51(tmp_path, clip):
    """(videos, splits); `sword` precedes `sword_fight` alphabetically,
    though its file names come later."""
    videos, splits = tmp_path / 'videos', tmp_path / 'splits'
    for name in ('sword', 'sword_fight'):
        for i in range(3):
            (videos / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, videos / name / f'#{i}_(x)_{name}.avi')
        for split in (1, 2, 3):
            # video 0: train, test, unused in splits 1, 2, 3; and so on
            write(splits / f'{name}_test_split{split}.txt', *(
                f'#{i}_(x)_{name}.avi {(split + i) % 3} ' for i in range(3)))
    return videos, splits


# --- UCF101 -----------------------------------------------------------------


def test_ucf101_lists(ucf101, tmp_path):
    out = tmp_path / 'out'
    result = prepare_ucf101(*ucf101, out, **QUIET)
    assert (out / 'train_split1.txt').read_text().splitlines() == [
        f'{UCF_TRAIN[0]} 0', f'{UCF_TRAIN[1]} 1']
    assert (out / 'test_split1.txt').read_text().splitlines() == [
        f'{UCF_TEST[0]} 0', f'{UCF_TEST[1]} 1']
    assert (out / 'classes.txt').read_text() == 'Archery\nBiking\n'
    assert (out / 'left_out.txt').read_text() == ''
    assert (out / 'video_root.txt').read_text() == f'{ucf101[0]}\n'
    assert 'no files for split 2' in str(result)
    assert f'video root: {ucf101[0]}' in str(result)
    assert not list(out.glob('*_split2.txt')) and not list(out.rglob('*.part'))


def test_ucf101_flat_folder_and_outer_folder(ucf101, tmp_path):
    videos, splits = ucf101
    flat = tmp_path / 'flat'
    flat.mkdir()
    for item in UCF_TRAIN + UCF_TEST:
        shutil.copy(videos / item, flat)
    prepare_ucf101(flat, splits, tmp_path / 'a', **QUIET)
    assert (tmp_path / 'a/test_split1.txt').read_text() == (
        'v_Archery_g01_c01.avi 0\nv_Biking_g01_c01.avi 1\n')
    # the folder that holds UCF-101 and ucfTrainTestlist
    prepare_ucf101(tmp_path, tmp_path, tmp_path / 'b', **QUIET)
    assert (tmp_path / 'b/video_root.txt').read_text() == f'{videos}\n'


def test_ucf101_bad_videos_are_left_out(ucf101, tmp_path, clip):
    videos, splits = ucf101
    more = [f'Biking/v_Biking_g08_c0{i}.avi' for i in range(2, 6)]
    cut(clip, videos / more[0], 0.6)
    (videos / more[1]).write_bytes(bytes(range(256)) * 20)
    (videos / more[2]).write_bytes(b'')
    make_video(videos / more[3], frames=5)
    with open(splits / 'trainlist01.txt', 'a') as file:
        file.writelines(f'{item} 2\n' for item in more)
    out = tmp_path / 'out'
    result = prepare_ucf101(videos, splits, out, min_frames=20, **QUIET)
    reasons = dict(line.split('\t') for line in
                   (out / 'left_out.txt').read_text().splitlines())
    assert list(reasons) == more
    assert 'truncated' in reasons[more[0]]
    assert 'decoding fails' in reasons[more[1]]
    assert 'empty' in reasons[more[2]]
    assert 'too short: 5 frames' in reasons[more[3]]
    assert (out / 'train_split1.txt').read_text().splitlines() == [
        f'{UCF_TRAIN[0]} 0', f'{UCF_TRAIN[1]} 1']
    assert result.lists[out / 'train_split1.txt'] == 2
    assert 'left out: 4' in str(result) and more[0] in str(result)
    # five frames are enough by default
    prepare_ucf101(videos, splits, out, **QUIET)
    assert f'{more[3]} 1' in (out / 'train_split1.txt').read_text()


def test_ucf101_missing_videos(ucf101, tmp_path):
    videos, splits = ucf101
    out = tmp_path / 'out'
    (videos / UCF_TEST[1]).unlink()
    with pytest.raises(FileNotFoundError, match='1 of 4 .*v_Biking_g01_c01.avi'
                       '.*--allow-missing'):
        prepare_ucf101(videos, splits, out, **QUIET)
    assert not out.exists()
    prepare_ucf101(videos, splits, out, allow_missing=True, **QUIET)
    assert (out / 'left_out.txt').read_text() == f'{UCF_TEST[1]}\tmissing\n'
    assert (out / 'test_split1.txt').read_text() == f'{UCF_TEST[0]} 0\n'

    (videos / UCF_TEST[0]).unlink()  # nothing to test on: no such list
    result = prepare_ucf101(videos, splits, out, allow_missing=True, **QUIET)
    assert not (out / 'test_split1.txt').exists()
    assert (out / 'train_split1.txt').exists()
    assert 'no video remains for test_split1' in str(result)


def test_nothing_remains(ucf101, tmp_path):
    videos, splits = ucf101
    for item in UCF_TEST:
        (videos / item).write_bytes(b'')
    with pytest.raises(ValueError, match='split 1: no video .* test_split1'):
        prepare_ucf101(videos, splits, tmp_path / 'out', **QUIET)
    assert UCF_TEST[0] in (tmp_path / 'out/left_out.txt').read_text()
    for item in UCF_TRAIN:
        (videos / item).write_bytes(b'')
    with pytest.raises(ValueError, match='train_split1 and test_split1'):
        prepare_ucf101(videos, splits, tmp_path / 'out', allow_missing=True,
                       **QUIET)


@pytest.mark.parametrize('file, text, error, message', [
    ('classInd.txt', '0 Archery\n1 Biking\n', ValueError, 'line 1.*"1 <new'),
    ('classInd.txt', '1 Archery\n2 Archery\n', ValueError, 'line 2'),
    ('classInd.txt', None, FileNotFoundError, 'found no classInd.txt'),
    ('trainlist01.txt', '\nArchery/v_a.avi\n', ValueError,
     'trainlist01.txt, line 2: expected "<Class>/<file>.avi <label>"'),
    ('trainlist01.txt', 'Archery/v_a.avi 2\n', ValueError,
     'line 1: label 2 .* is 1 in classInd.txt'),
    ('trainlist01.txt', 'Archery/v_a.avi 1\nDiving/v_a.avi 3\n', ValueError,
     'line 2: classInd.txt has no class "Diving"'),
    ('trainlist01.txt', '', ValueError, 'split 1: .*trainlist01.txt is empty'),
    ('testlist01.txt', '', ValueError, 'split 1: .*testlist01.txt is empty'),
    ('testlist01.txt', '0\t70\tPunch/v_a.avi\n', ValueError, 'line 1'),
    ('testlist01.txt', 'Archery/v_a.avi 1\n', ValueError, 'line 1'),
    ('testlist01.txt', None, FileNotFoundError,
     'split 1 lacks testlist01.txt'),
])
def test_ucf101_split_errors(ucf101, file, text, error, message):
    path = ucf101[1] / file
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(error, match=message):
        read_ucf101_splits(ucf101[1])


def test_ucf101_no_split_at_all(ucf101):
    for kind in ('train', 'test'):
        (ucf101[1] / f'{kind}list01.txt').unlink()
    with pytest.raises(FileNotFoundError, match='found no split'):
        read_ucf101_splits(ucf101[1])


def test_wrong_folders(ucf101, hmdb51, tmp_path):
    videos, splits = ucf101
    out = tmp_path / 'out'
    with pytest.raises(FileNotFoundError, match='videos: no folder .*absent'):
        prepare_ucf101(tmp_path / 'absent', splits, out)
    with pytest.raises(FileNotFoundError, match='splits: no folder .*absent'):
        prepare_hmdb51(hmdb51[0], tmp_path / 'absent', out)
    archive = write(tmp_path / 'packed' / 'UCF101.rar', 'Rar!')
    with pytest.raises(NotADirectoryError, match='UCF101.rar is an archive'):
        prepare_ucf101(archive, splits, out)
    with pytest.raises(FileNotFoundError, match='1 archives .*unpack'):
        prepare_hmdb51(archive.parent, hmdb51[1], out)
    with pytest.raises(FileNotFoundError, match='expected UCF101 videos'):
        prepare_ucf101(splits, splits, out)
    with pytest.raises(FileNotFoundError, match='expected <class>_test_split'):
        prepare_hmdb51(hmdb51[0], splits, out)
    assert not out.exists()


@pytest.mark.parametrize('options, message', [
    (dict(short_side=31), 'short_side must be an even .* not 31'),
    (dict(short_side=0), 'short_side'),
    (dict(min_frames=0), 'min_frames must be at least 1, not 0'),
    (dict(workers=0), 'workers must be at least 1, not 0'),
    (dict(timeout=0), 'timeout must be positive .* not 0'),
])
def test_wrong_options(ucf101, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        prepare_ucf101(*ucf101, tmp_path / 'out', progress=False, **options)


# --- HMDB51 -----------------------------------------------------------------


def test_hmdb51_lists(hmdb51, tmp_path):
    out = tmp_path / 'out'
    prepare_hmdb51(*hmdb51, out, **QUIET)
    for split in (1, 2, 3):
        for kind, flag in (('train', 1), ('test', 2)):
            i = (flag - split) % 3
            assert (out / f'{kind}_split{split}.txt').read_text() == (
                f'sword/#{i}_(x)_sword.avi 0\n'
                f'sword_fight/#{i}_(x)_sword_fight.avi 1\n')
    assert (out / 'classes.txt').read_text() == 'sword\nsword_fight\n'


def test_hmdb51_name_with_space(hmdb51, tmp_path, clip):
    videos, splits = hmdb51
    shutil.copy(clip, videos / 'sword' / 'a b.avi')
    with open(splits / 'sword_test_split1.txt', 'a') as file:
        file.write('a b.avi 1\n')
    prepare_hmdb51(videos, splits, tmp_path / 'out', **QUIET)
    assert 'sword/a b.avi\twhite space' in (
        tmp_path / 'out/left_out.txt').read_text()
    assert 'a b' not in (tmp_path / 'out/train_split1.txt').read_text()


@pytest.mark.parametrize('text, error, message', [
    ('a.avi 1\na.avi 3\n', ValueError, 'sword_test_split2.txt, line 2'),
    ('a.avi\n', ValueError, 'line 1: expected "<file>.avi 0|1|2"'),
    (None, FileNotFoundError, 'split 2 lacks sword_test_split2.txt'),
])
def test_hmdb51_split_errors(hmdb51, text, error, message):
    path = hmdb51[1] / 'sword_test_split2.txt'
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(error, match=message.replace('|', r'\|')):
        read_hmdb51_splits(hmdb51[1])


def test_hmdb51_split_without_test_videos(hmdb51):
    for name in ('sword', 'sword_fight'):
        write(hmdb51[1] / f'{name}_test_split3.txt', 'a.avi 1')
    with pytest.raises(ValueError, match='split 3: .* flag 2'):
        read_hmdb51_splits(hmdb51[1])


# --- any list ---------------------------------------------------------------


def test_list(tmp_path, clip):
    videos = tmp_path / 'videos'
    for name in ('a.avi', 'b.avi', 'sub/c.avi'):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, videos / name)
    cut(clip, videos / 'cut.avi', 0.7)
    lines = ['b.avi 1', 'a.avi', 'a.avi x', 'a.avi -1', 'a.avi 3', '',
             'gone.avi 0', 'cut.avi 0', 'sub/c.avi 2', 'a.avi  0', 'b.avi 0',
             'a.avi\t0', 'a.avi 0']
    file, out = write(tmp_path / 'all.txt', *lines), tmp_path / 'clean.txt'
    result = check_list(file, videos, out, num_classes=3, **QUIET)
    assert out.read_text() == 'b.avi 1\nsub/c.avi 2\na.avi 0\n'
    report = dict(line.split('\t', 1) for line in (
        tmp_path / 'clean_left_out.txt').read_text().replace(
            'a.avi\t0\t', 'a.avi TAB 0\t').splitlines())
    for number, reason in [(2, 'malformed'), (3, 'wrong label'),
                           (4, 'wrong label'), (5, 'wrong label: 3 of 3'),
                           (6, 'malformed'), (7, 'missing'), (8, 'truncated'),
                           (10, 'malformed'), (12, 'malformed'),
                           (11, 'repeats the file of line 1')]:
        key, = [k for k in report if k.startswith(f'line {number}:')]
        assert report.pop(key).startswith(reason)
    assert not report
    assert result.lists == {out: 3}
    assert file.read_text() == ''.join(f'{line}\n' for line in lines)


def test_list_without_label_zero(tmp_path, clip):
    file = write(tmp_path / 'list.txt', f'{clip.name} 1')
    result = check_list(file, clip.parent, **QUIET)
    assert result.left_out == [] and 'first 0' in str(result)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['list.txt']


def test_list_errors(tmp_path, clip):
    file = write(tmp_path / 'list.txt', 'gone.avi 0')
    with pytest.raises(ValueError, match='no line names a video.*1: missing'):
        check_list(file, clip.parent)
    with pytest.raises(ValueError, match='it is empty'):
        check_list(write(tmp_path / 'empty.txt'), clip.parent)
    with pytest.raises(FileNotFoundError, match='list: no file'):
        check_list(tmp_path / 'absent.txt', clip.parent)
    with pytest.raises(ValueError, match='is the list itself'):
        check_list(file, clip.parent, file)


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


# --- the tool ---------------------------------------------------------------


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Calls the tool's `main` in this process, in a folder of its own."""
    main = runpy.run_path(str(TOOL))['main']
    monkeypatch.chdir(tmp_path)

    def call(*args):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
        status = main()
        return status, *capsys.readouterr()
    return call


def test_tool_as_a_program(ucf101, tmp_path):
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    run = subprocess.run(
        [sys.executable, str(TOOL), 'ucf101', '--videos', str(ucf101[0]),
         '--splits', str(ucf101[1]), '--out', 'lists', '--workers', '2'],
        cwd=folder, capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': path})
    assert run.returncode == 0, run.stderr
    assert f'video root: {ucf101[0]}' in run.stdout
    assert len((folder / 'lists/test_split1.txt').read_text().split()) == 4


def test_tool_hmdb51_and_list(hmdb51, tmp_path, tool):
    status, text, _ = tool('hmdb51', '--videos', hmdb51[0], '--splits',
                           hmdb51[1], '--out', 'out', '--short-side', 64)
    assert status == 0 and f'video root: {tmp_path / "out/videos"}' in text
    assert len(list((tmp_path / 'out').glob('*_split?.txt'))) == 6
    file = tmp_path / 'out/test_split3.txt'
    check = 'list', file, '--videos', 'out/videos', '--out', 'clean.txt'
    status, text, _ = tool(*check)
    assert status == 0 and 'clean.txt: 2 videos' in text
    with open(file, 'a') as stream:
        stream.write('gone.mp4 0\n')
    status, text, _ = tool(*check)
    assert status == 1 and 'line 3: gone.mp4 0: missing' in text


def test_tool_error(ucf101, tool):
    assert tool('ucf101', '--videos', 'absent', '--splits', ucf101[1], '--out',
                'none') == (2, '', 'error: videos: no folder absent; expected '
                            'the UCF101 videos there\n')


def test_real_clips(tmp_path):
    if 'KAIZEN_DATA' not in os.environ:
        pytest.skip('KAIZEN_DATA is not set: no real clips')
    videos = Path(os.environ['KAIZEN_DATA']) / 'ucf101_samples'
    names = ['v_ApplyEyeMakeup_g01_c01.avi', 'v_BaseballPitch_g01_c01.avi']
    items = [f'{name.split("_")[1]}/{name}' for name in names]
    splits = tmp_path / 'splits'
    write(splits / 'classInd.txt', '1 ApplyEyeMakeup', '2 BaseballPitch')
    write(splits / 'trainlist01.txt', f'{items[0]} 1', f'{items[1]} 2')
    write(splits / 'testlist01.txt', *items)
    result = prepare_ucf101(videos, splits, tmp_path / 'out', **QUIET)
    assert (tmp_path / 'out/train_split1.txt').read_text() == (
        f'{names[0]} 0\n{names[1]} 1\n')
    assert 'both in train and in test' in str(result)
    assert [check_video(videos / name) for name in names] == [164, 107]
    with pytest.raises(ValueError, match='truncated'):
        check_video(cut(videos / names[0], tmp_path / 'cut.avi', 0.7))
