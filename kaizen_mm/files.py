"""Files that are written whole or not at all."""

import errno
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, Union


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a name to write to; ``path`` appears at the end, whole or not. Devices and pipes are written to as they
    are.

    What was written is on the disk before it takes its name, so that a power cut leaves the old file or the
    new one.

    Raises:
        OSError: It cannot be written, as on a full disk; the error names ``path``.
    """
    path = path.resolve()  # a link stays one
    if path.exists() and not path.is_file():
        yield path
        return
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        yield part
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    except OSError as error:
        if error.filename not in (None, str(part)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot do this for folders
            raise
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(content)


def file_digest(path: Union[str, Path]) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    total = hashlib.sha256()
    with open(path, 'rb') as file:
        while piece := file.read(2**20):
            total.update(piece)
    return total.hexdigest()


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file whole or not at all; its folder is made."""
    write_bytes(path, ''.join(f'{line}\n' for line in lines).encode())
