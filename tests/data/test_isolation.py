"""Calls that die or hang cost one task each."""

import os
from pathlib import Path

import pytest

from kaizen_mm.data import annotations
from kaizen_mm.data.annotations import prepare_ucf101
from kaizen_mm.data.isolation import run_isolated
from tests.data.clips import QUIET, UCF_TEST, UCF_TRAIN, write


@pytest.mark.parametrize('workers', [1, 2])
def test_dying_and_hanging_calls(workers):
    tasks = [
        '1 + 1',
        '__import__("os")._exit(7)',
        '2 + 2',
        '1 / 0',
        '__import__("time").sleep(600)',
        '__import__("os").kill(__import__("os").getpid(), 11)',
        '3 + 3',
    ]
    results = {i: (value, reason) for i, value, reason in run_isolated(eval, [(t,) for t in tasks], workers, timeout=4)}
    assert [results[i] for i in (0, 2, 6)] == [(2, None), (4, None), (6, None)]
    assert 'died (exit code 7)' in results[1][1]
    assert 'ZeroDivisionError' in results[3][1]
    assert 'no answer within 4 s' in results[4][1]
    assert 'died (exit code -11)' in results[5][1]


def test_death_that_does_not_recur(tmp_path):
    """A late crash of the decoder for another file is not held against it."""
    mark = str(tmp_path / 'mark')
    task = (f'__import__("os").path.exists({mark!r}) or (open({mark!r}, "w").close(), __import__("os")._exit(1))',)
    assert list(run_isolated(eval, [task])) == [(0, True, None)]


def test_arguments_that_no_process_can_start_with():
    with pytest.raises(RuntimeError, match='before its first task'):
        list(run_isolated(Unloadable(), [()], workers=1))


class Unloadable:
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_worker_that_dies_costs_one_video(ucf101, tmp_path, monkeypatch):
    write(
        tmp_path / 'mortal_check.py',
        'import os',
        'from kaizen_mm.data.video_check import check_video',
        'def check(path, reader):',
        f'    if path.name == "{Path(UCF_TRAIN[0]).name}":',
        '        os.abort()',
        '    return check_video(path)',
    )
    monkeypatch.syspath_prepend(tmp_path)
    import mortal_check

    monkeypatch.setattr(annotations, 'check_video', mortal_check.check)
    out = tmp_path / 'out'
    prepare_ucf101(*ucf101, out, workers=1, progress=False)
    (line,) = (out / 'left_out.txt').read_text().splitlines()
    assert line.startswith(UCF_TRAIN[0]) and 'process died' in line
    assert (out / 'train_split1.txt').read_text() == f'{UCF_TRAIN[1]} 1\n'
    assert len((out / 'test_split1.txt').read_text().splitlines()) == 2


def test_worker_that_dies_while_it_writes(ucf101, tmp_path, monkeypatch):
    write(
        tmp_path / 'mortal_writer.py',
        'import os',
        'from kaizen_mm.data.reencoding import reencode_video',
        'def reencode(source, target, short_side, reader):',
        f'    if source.name == "{Path(UCF_TRAIN[0]).name}":',
        '        target.parent.mkdir(parents=True, exist_ok=True)',
        '        open(f"{target}.part", "w").close()',
        '        os.abort()',
        '    return reencode_video(source, target, short_side, reader)',
    )
    monkeypatch.syspath_prepend(tmp_path)
    import mortal_writer

    monkeypatch.setattr(annotations, 'reencode_video', mortal_writer.reencode)
    prepare_ucf101(*ucf101, tmp_path / 'out', short_side=32, **QUIET)
    files = {p.name for p in (tmp_path / 'out/videos').rglob('*.*')}
    assert files == {Path(item).stem + '.mp4' for item in UCF_TRAIN[1:] + UCF_TEST}
