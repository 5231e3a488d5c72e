"""One writer at a time for a folder: a lock that dies with its process.

The lock is the operating system's (``flock``) on a file ``.lock`` in the folder, which says who holds it. It ends with
its process, however that ends; a file that is left behind locks nothing. Linux passes such locks on to the other
machines of an NFS folder since 2.6.12, unless it is mounted with ``nolock`` or ``local_lock`` (flock(2), nfs(5)). Of
other file systems that machines share (Lustre, FUSE, ...) it cannot be known from here. What cannot be known is said.

The package filelock does the same with one call, but keeps no record of the holder, and whether a forked data worker
holds its parent's lock on depends on its release.
"""

import errno
import fcntl
import json
import os
import socket
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Union

NAME = '.lock'
# of which flock holds for all who can reach the file: this machine's own file systems
_OWN = (
    'ext',
    'xfs',
    'btrfs',
    'tmpfs',
    'overlay',
    'zfs',
    'f2fs',
    'jfs',
    'reiserfs',
    'vfat',
    'exfat',
    'ntfs',
    'bcachefs',
)
_CANNOT_LOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_held: Dict[str, List[int]] = {}  # by folder: the open file, and how often this process has locked it


class FolderInUse(RuntimeError):
    """Another process writes into the folder."""


@contextmanager
def locked_folder(
    folder: Union[str, Path], announce: Optional[Callable[[str], None]] = None, name: str = NAME
) -> Iterator[None]:
    """Nobody else writes into the folder inside this context; it is made where it is missing.

    A process may lock a folder that it has locked already. Children do not hold the locks of their parent.

    Args:
        folder: The folder.
        announce: Called with a line of text where the file system has no locks. Default: as a warning.
        name: Of the file that is locked. Default ``.lock``.

    Raises:
        FolderInUse: Another process holds the lock, or it cannot be known whether one of another machine does. The
            message has its process, host and start.
        OSError: The folder cannot be made or written to.
    """
    path = os.path.join(os.path.realpath(folder), name)
    if path not in _held:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _held[path] = [_acquire(path, announce or warnings.warn), 0]
    _held[path][1] += 1
    try:
        yield
    finally:
        if path in _held:  # not in a child
            _held[path][1] -= 1
            if not _held[path][1]:
                _release(path, _held.pop(path)[0])


def _acquire(path: str, announce: Callable[[str], None]) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            locked = _try_lock(file)
            if locked is False:
                raise FolderInUse(_in_use(path, _read(file, tries=20)))
            holder = _read(file)
            if holder and not _has_ended(holder, path, bool(locked)):
                raise FolderInUse(_unknown(path, holder))
            if locked is None:
                announce(
                    f'the file system of {os.path.dirname(path)} has no locks: whether another process writes into the '
                    'folder cannot be known'
                )
            if _is_at(file, path):  # and not removed by the one who had it before
                _write(file)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _try_lock(file: int) -> Optional[bool]:
    """Whether the lock was free; None where the file system has none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        return None
    return True


def _release(path: str, file: int) -> None:
    if _is_at(file, path):
        with suppress(OSError):
            os.unlink(path)
    os.close(file)


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _write(file: int) -> None:
    """Who holds the lock; where the disk is full it is one all the same."""
    command = ' '.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]) if sys.argv else ''
    start = datetime.now().astimezone().isoformat(' ', 'seconds')
    holder = dict(process=os.getpid(), host=socket.gethostname(), start=start, command=command[:300])
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)


def _read(file: int, tries: int = 1) -> dict:
    """What the file says of its holder, who may be about to write it."""
    for _ in range(tries):
        with suppress(ValueError):
            holder = json.loads(os.pread(file, 4096, 0))
            if isinstance(holder, dict):
                return holder
        if tries > 1:
            time.sleep(0.02)
    return {}


def _has_ended(holder: dict, path: str, locked: bool) -> bool:
    """Whether the holder that a file names, which was left behind, has ended for sure."""
    if holder.get('host') != socket.gethostname():
        return locked and _reaches_all(path)
    if locked:
        return True
    try:
        os.kill(int(holder['process']), 0)
    except (KeyError, TypeError, ValueError, ProcessLookupError):
        return True
    except PermissionError:
        pass
    return False


def _reaches_all(path: str) -> bool:
    """Whether a lock is known to hold for everybody who can reach the file, on other machines too."""
    kind, options = file_system(path)
    if kind.startswith('nfs'):
        return not {'nolock', 'local_lock=flock', 'local_lock=all'} & set(options)
    return kind.startswith(_OWN)


def file_system(path: str) -> tuple:
    """Kind and options of the file system that a path lies on (proc(5), mountinfo); ``('', [])`` where unknown."""
    found, longest = ('', []), -1
    with suppress(OSError):
        for line in Path('/proc/self/mountinfo').read_text(encoding='utf-8', errors='replace').splitlines():
            first, _, last = line.partition(' - ')
            point = first.split()[4].encode().decode('unicode_escape')
            if os.path.commonpath([point, path]) == point and len(point) >= longest:
                kind, _, options = last.split(' ')[:3]
                found, longest = (kind, options.split(',')), len(point)
    return found


def _described(holder: dict) -> str:
    if not holder:
        return 'another process, which has said no more of itself'
    command = f' ({holder["command"]})' if holder.get('command') else ''
    return f'process {holder.get("process")} of host {holder.get("host")}, since {holder.get("start")}{command}'


def _in_use(path: str, holder: dict) -> str:
    return (
        f'{os.path.dirname(path)} is being written to by {_described(holder)}: wait until it has ended, or choose '
        'another folder'
    )


def _unknown(path: str, holder: dict) -> str:
    return (
        f'{os.path.dirname(path)} was being written to by {_described(holder)}; whether it still is cannot be known '
        f'here, since locks of this file system may not reach that far. If it has ended, remove {path}; otherwise '
        'choose another folder'
    )


def _leave_to_parent() -> None:
    for file, _ in _held.values():
        with suppress(OSError):
            os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
