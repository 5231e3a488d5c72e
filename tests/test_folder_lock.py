"""One writer at a time: who is refused, with what, and when the lock ends."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from kaizen_mm import folder_lock
from kaizen_mm.folder_lock import NAME, FolderInUse, locked_folder

HOLD = """
import sys, time
from kaizen_mm.folder_lock import locked_folder
with locked_folder(sys.argv[1]):
    print('locked', flush=True)
    {}
"""


@pytest.fixture
def holder(tmp_path):
    """Starts processes that hold the lock of ``tmp_path``; they are ended with the test."""
    started = []

    def start(then='time.sleep(600)'):
        process = subprocess.Popen(
            [sys.executable, '-c', HOLD.format(then), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == 'locked\n'
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_second_one_is_refused_with_the_first_one_s_process_host_and_start(holder, tmp_path):
    first = holder()
    with (
        pytest.raises(FolderInUse, match=rf'{tmp_path} is .* by process {first.pid} of host .*, since 20') as refused,
        locked_folder(tmp_path),
    ):
        pass
    assert socket.gethostname() in str(refused.value)
    first.kill()
    first.wait()
    assert (tmp_path / NAME).exists()  # what is left behind locks nothing
    with locked_folder(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())['process'] == os.getpid()
    assert not (tmp_path / NAME).exists()


def test_children_do_not_hold_it_on(holder, tmp_path):
    first = holder('import os; os.fork() or (print(os.getpid(), flush=True), time.sleep(600)); time.sleep(600)')
    child = int(first.stdout.readline())
    try:
        first.kill()
        first.wait()
        with locked_folder(tmp_path):
            os.kill(child, 0)  # it lives on
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_process_may_lock_it_again_and_keeps_it_until_the_last_is_left(tmp_path):
    def refused():
        code = 'import sys; from kaizen_mm.folder_lock import *\nwith locked_folder(sys.argv[1]): pass'
        return (
            'FolderInUse'
            in subprocess.run([sys.executable, '-c', code, tmp_path], stderr=subprocess.PIPE).stderr.decode()
        )

    with locked_folder(tmp_path):
        with locked_folder(f'{tmp_path}/../{tmp_path.name}'), pytest.raises(KeyError), locked_folder(tmp_path):
            raise KeyError
        assert refused()
    assert not refused()


def test_of_many_at_once_one_gets_it_and_after_it_the_next(tmp_path):
    code = (
        'import sys, time; from kaizen_mm.folder_lock import *\n'
        'while True:\n'
        '  try:\n'
        '    with locked_folder(sys.argv[1]):\n'
        '      path = sys.argv[1] + "/writing"\n'
        '      open(path, "x").close(); time.sleep(0.01); __import__("os").unlink(path)\n'
        '      break\n'
        '  except FolderInUse: time.sleep(0.001)\n'
    )
    several = [subprocess.Popen([sys.executable, '-c', code, tmp_path]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in several] == [0] * 4
    assert not list(tmp_path.iterdir())


def leave_behind(tmp_path, **changes):
    holder = dict(process=os.getpid(), host=socket.gethostname(), start='2026-01-01 00:00:00+00:00', command='train')
    (tmp_path / NAME).write_text(json.dumps({**holder, **changes}))


@pytest.mark.parametrize(
    'system, known',
    [
        (('ext4', ['rw']), True),
        (('nfs4', ['rw', 'local_lock=none']), True),
        (('nfs', ['rw', 'nolock']), False),
        (('nfs', ['local_lock=flock']), False),
        (('lustre', ['rw']), False),
        (('', []), False),
    ],
)
def test_of_another_machine_it_is_known_or_said_that_it_cannot_be(tmp_path, monkeypatch, system, known):
    monkeypatch.setattr(folder_lock, 'file_system', lambda path: system)
    leave_behind(tmp_path, host='elsewhere', process=7)
    if known:
        with locked_folder(tmp_path):
            pass
        return
    message = f'process 7 of host elsewhere, since 2026-01-01 .*cannot be known.*remove {tmp_path / NAME}'
    for _ in range(2):
        with pytest.raises(FolderInUse, match=message), locked_folder(tmp_path):
            pass
    (tmp_path / NAME).unlink()
    with locked_folder(tmp_path):
        pass


def test_a_file_system_without_locks_is_named_and_processes_that_live_are_seen(tmp_path, monkeypatch):
    def no_locks(file, operation):
        raise OSError(errno.ENOSYS, 'Function not implemented')

    monkeypatch.setattr(folder_lock.fcntl, 'flock', no_locks)
    said = []
    with locked_folder(tmp_path, said.append):
        pass
    assert len(said) == 1 and f'{tmp_path} has no locks' in said[0]
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    leave_behind(tmp_path, process=ended.pid)
    with locked_folder(tmp_path, said.append):
        pass
    leave_behind(tmp_path, process=os.getppid())
    with pytest.raises(FolderInUse, match=f'process {os.getppid()} of host'), locked_folder(tmp_path, said.append):
        pass


@pytest.mark.parametrize('content', ['', 'no json', '[]', '{}', '{"host": null}', '\0' * 20])
def test_whatever_the_file_says_the_lock_decides(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with locked_folder(tmp_path):
        pass


def test_the_file_system_of_a_path_is_that_of_its_mount():
    assert folder_lock.file_system('/proc/self')[0] == 'proc'
    assert folder_lock.file_system(os.path.realpath('/'))[0]
