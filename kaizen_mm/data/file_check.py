"""Whether a file can be read and is whole, by its kind and its size alone: nothing is decoded here."""

import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO, Optional

ISO_BOXES = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide')
EBML, SEGMENT = b'\x1a\x45\xdf\xa3', b'\x18\x53\x80\x67'


def file_fault(path: str | Path) -> Optional[str]:
    """Why a path is no file that can be read, such as ``'missing'``; None where it is one.

    A pipe, which would be waited for without end, a folder and a device are none.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return f'a link to {os.readlink(path)}, which is missing' if os.path.islink(path) else 'missing'
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        return getattr(error, 'strerror', None) or str(error)
    return None if stat.S_ISREG(mode) else 'not a regular file'


def size_fault(path: str | Path) -> Optional[str]:
    """Why a video file cannot be whole, by the size that its container declares; None where it can."""
    size = os.path.getsize(path)
    if not size:
        return 'empty file (0 bytes)'
    declared = declared_size(path)
    return f'truncated: {size} of {declared} bytes' if declared is not None and declared > size else None


def declared_size(path: str | Path) -> Optional[int]:
    """Size in bytes that an AVI, MP4 or Matroska (WebM) file must have by its own account.

    Returns the end of the last top-level chunk, box or segment, or None for any other container, or where the
    writer left the size open.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        head = file.read(12)
        file.seek(0)
        if head[:4] == b'RIFF' and head[8:12] == b'AVI ':
            return _end_of_chunks(file, size)
        if head[4:8] in ISO_BOXES:
            return _end_of_boxes(file, size)
        if head[:4] == EBML:
            return _end_of_segment(file)
    return None


def _end_of_chunks(file: BinaryIO, size: int) -> Optional[int]:
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(8)
        if head[:4] != b'RIFF':  # padding behind the movie
            break
        length = struct.unpack('<I', head[4:])[0]
        if not length:
            return None
        end += length + 8
    return end


def _end_of_boxes(file: BinaryIO, size: int) -> Optional[int]:
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(16)
        length = struct.unpack('>I', head[:4])[0]
        if length == 1 and len(head) == 16:
            length = struct.unpack('>Q', head[8:])[0]
        if length < 8:  # 0: up to the end of the file
            return None
        end += length
    return end


def _end_of_segment(file: BinaryIO) -> Optional[int]:
    """Elements are an identity, here of four bytes, a length whose first bits say how many bytes it has, and
    content."""
    for identity in (EBML, SEGMENT):
        found, first = file.read(4), file.read(1)
        if found != identity or not first or not first[0]:
            return None
        others = 8 - first[0].bit_length()
        content = file.read(others)
        bits = 7 * (others + 1)
        length = int.from_bytes(first + content, 'big') & (1 << bits) - 1
        if len(content) < others or length == (1 << bits) - 1:  # all ones: left open
            return None
        if identity == EBML:
            file.seek(length, os.SEEK_CUR)
    return file.tell() + length
