"""The files: deterministic, readable, written whole, and never mixed."""

import json
from dataclasses import replace

import decord
import numpy as np
import pytest

from kaizen_mm.data import moving_digits
from kaizen_mm.data.moving_digits import CLASSES, MovingDigits, write_video

SMALL = MovingDigits(num_train=10, num_val=5, num_frames=7, frame_rate=10, size=32, seed=3)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp('moving_digits') / 'new' / 'folder'
    SMALL.write(folder, progress=False)
    return folder


def decoded(path):
    reader = decord.VideoReader(str(path))
    return reader.get_batch(range(len(reader))).asnumpy()


def content(folder):
    """Bytes and time of change of all files of a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob('*')
        if path.is_file()
    }


def entries(folder, split):
    lines = (folder / f'{split}.txt').read_text().splitlines()
    return [(name, int(label)) for name, label in map(str.split, lines)]


def test_same_seed_same_pixels_and_labels(written, tmp_path):
    SMALL.write(tmp_path, progress=False)
    for split in ('train', 'val'):
        assert entries(tmp_path, split) == entries(written, split)
        for name, _ in entries(written, split):
            np.testing.assert_array_equal(decoded(tmp_path / 'videos' / name), decoded(written / 'videos' / name))


def test_other_seed_other_pixels_and_labels(written, tmp_path):
    replace(SMALL, seed=4).write(tmp_path, progress=False)
    assert entries(tmp_path, 'train') != entries(written, 'train')
    for name, _ in entries(written, 'train'):
        assert not np.array_equal(decoded(tmp_path / 'videos' / name), decoded(written / 'videos' / name))


def test_lists_name_the_clips(written):
    for split, count in (('train', 10), ('val', 5)):
        names, labels = zip(*entries(written, split))
        assert names == tuple(f'{split}_{index:05d}.mp4' for index in range(count))
        assert list(labels) == SMALL.labels(split).tolist()
    assert len(list((written / 'videos').iterdir())) == 15
    assert (written / 'classes.txt').read_text().splitlines() == list(CLASSES)
    parameters = json.loads((written / 'moving_digits.json').read_text())
    del parameters['generator']
    assert MovingDigits(**parameters) == SMALL


def test_decord_reads_what_was_rendered(written):
    for index in range(10):
        path = written / 'videos' / f'train_{index:05d}.mp4'
        reader = decord.VideoReader(str(path))
        assert len(reader) == 7 and reader.get_avg_fps() == 10
        frames, rendered = decoded(path), SMALL.render('train', index)[0]
        assert frames.shape == rendered.shape
        assert abs(frames.astype(int) - rendered).mean() < 3
        for number in (5, 1, 6, 0):  # sought, out of order
            np.testing.assert_array_equal(reader[number].asnumpy(), frames[number])


def test_compression_carries_no_trace_of_the_order(tmp_path):
    scene = SMALL.scene('train', 0)
    write_video(tmp_path / 'a.mp4', scene.frames(), 10)
    write_video(tmp_path / 'b.mp4', scene.reversed().frames(), 10)
    np.testing.assert_array_equal(decoded(tmp_path / 'a.mp4'), decoded(tmp_path / 'b.mp4')[::-1])


@pytest.mark.parametrize('size', moving_digits.UNREADABLE_SIZES)
def test_decord_still_misreads_these_sizes(size, tmp_path):
    """Where this fails, decord was mended and the sizes can be allowed."""
    frames = np.zeros((3, size, size, 3), np.uint8)
    write_video(tmp_path / 'a.mp4', frames, 25)
    assert decord.VideoReader(str(tmp_path / 'a.mp4'))[0].shape[-1] == 4


def test_second_write_does_nothing(written):
    before = content(written)
    replace(SMALL).write(str(written), progress=False)
    assert content(written) == before


def test_other_parameters_in_the_same_folder_are_refused(written):
    before = content(written)
    with pytest.raises(FileExistsError, match=r'noise=0.25 .*0.75'):
        replace(SMALL, noise=0.75).write(written, progress=False)
    assert content(written) == before


def test_a_damaged_record_is_named(tmp_path):
    file = tmp_path / 'moving_digits.json'
    for text in ('{"generator"', '3'):
        file.write_text(text)
        with pytest.raises(ValueError, match=f'{file} is damaged'):
            SMALL.write(tmp_path, progress=False)


def test_files_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / 'train.txt').write_text('a.mp4 0\n')
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match='train.txt'):
        SMALL.write(tmp_path, progress=False)
    assert content(tmp_path) == before


def test_interrupted_write_is_taken_up_again(written, tmp_path, monkeypatch):
    encode = moving_digits.av.VideoFrame.from_ndarray
    calls = iter(range(25))  # 3 clips of 7 frames and half of the next

    def interrupted(*args, **kwargs):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return encode(*args, **kwargs)

    class Frame:
        from_ndarray = staticmethod(interrupted)

    with monkeypatch.context() as patch:
        patch.setattr(moving_digits.av, 'VideoFrame', Frame)
        with pytest.raises(KeyboardInterrupt):
            SMALL.write(tmp_path, progress=False)
    partial = content(tmp_path)
    assert set(partial) == {'moving_digits.json'} | {f'videos/train_{index:05d}.mp4' for index in range(3)}
    with pytest.raises(FileExistsError, match='seed'):
        replace(SMALL, seed=4).write(tmp_path, progress=False)

    SMALL.write(tmp_path, progress=False)
    whole = content(tmp_path)
    assert {name: whole[name] for name in partial} == partial
    assert {name: data for name, (data, _) in whole.items()} == {
        name: data for name, (data, _) in content(written).items()
    }


def test_progress_is_shown_on_request_only(tmp_path, capsys):
    SMALL.write(tmp_path / 'a', progress=False)
    assert capsys.readouterr().out == ''
    SMALL.write(tmp_path / 'b', progress=True)
    assert 'moving digits' in capsys.readouterr().out


# Errors


@pytest.mark.parametrize(
    'name, value, accepted',
    [
        ('num_train', 0, 'at least 1'),
        ('num_val', 2.5, 'integer'),
        ('num_frames', 2, 'at least 3'),
        ('frame_rate', '25', 'integer'),
        ('size', 33, 'even'),
        ('size', 30, 'at least 32'),
        ('size', 48, '48'),
        ('seed', -1, 'at least 0'),
        ('seed', True, 'integer'),
        ('clutter', 1.01, '0 to 1'),
        ('distractor', -0.1, '0 to 1'),
        ('noise', float('nan'), '0 to 1'),
        ('noise', None, '0 to 1'),
        ('speed', 1.0, 'pair'),
        ('speed', (1.0, 0.5), 'low <='),
        ('speed', (0.0, 0.5), '0 < low'),
        ('speed', (1.0, 7.0), '<= 6.25'),
    ],
)
def test_bad_parameters_are_named(name, value, accepted):
    with pytest.raises(ValueError) as error:
        MovingDigits(**{name: value})
    message = str(error.value)
    assert message.startswith(f'{name}={value!r}')
    assert accepted in message.split('expected')[1]


def test_bad_clips_are_named():
    with pytest.raises(ValueError, match="split='test'.*'train' or 'val'"):
        SMALL.render('test', 0)
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f'index={index} .*0 to 4'):
            SMALL.render('val', index)
