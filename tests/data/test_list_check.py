"""A list of one's own: which lines are good, and why the others are not."""

import os
import shutil

import pytest

from kaizen_mm.data.list_check import check_list
from tests.data.clips import QUIET, cut, write


def test_list(tmp_path, clip):
    videos = tmp_path / 'videos'
    for name in ('a.avi', 'b.avi', 'sub/c.avi'):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, videos / name)
    cut(clip, videos / 'cut.avi', 0.7)
    (videos / 'd e.avi').symlink_to(clip)
    (videos / 'f.avi').symlink_to('nowhere.avi')
    os.mkfifo(videos / 'pipe.avi')
    lines = [
        'b.avi 1',
        'a.avi',
        'a.avi x',
        'a.avi -1',
        'a.avi 3',
        '',
        'gone.avi 0',
        'cut.avi 0',
        'sub/c.avi 2',
        './b.avi 1',
        'a.avi\t0',
        'd e.avi 2',
        'f.avi 0',
        'pipe.avi 0',
        'sub 0',
        'a.avi \u0663',
    ]
    file, out = write(tmp_path / 'all.txt', *lines), tmp_path / 'clean.txt'
    result = check_list(file, videos, out, num_classes=3, **QUIET)
    assert out.read_text() == 'b.avi 1\nsub/c.avi 2\na.avi 0\nd e.avi 2\n'
    report = dict(line.split('\t', 1) for line in (tmp_path / 'clean_left_out.txt').read_text().splitlines())
    for number, reason in [
        (2, 'expected "file label"'),
        (3, 'expected'),
        (4, 'expected'),
        (5, 'label 3 of a.avi is out of'),
        (7, 'missing'),
        (8, 'truncated'),
        (10, 'repeats the file of line 1'),
        (13, 'a link to nowhere.avi, which is missing'),
        (14, 'not a regular file'),
        (15, 'not a regular file'),
        (16, 'expected'),
    ]:
        (key,) = [k for k in report if k.startswith(f'line {number}:')]
        assert report.pop(key).startswith(reason)
    assert not report
    assert result.lists == {out: 4}
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
