"""What containers say of their content beyond its size: packets that an index lists, checksums.

Layouts: AVI as Microsoft's RIFF reference and the OpenDML extension (1997) give it; MP4 and MOV as ISO/IEC 14496-12
does; Matroska as RFC 9559 (and EBML, RFC 8794) does.
"""

import itertools
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Iterator, List, Optional, Tuple

from kaizen_mm.data.file_check import ISO_BOXES

CRC_32 = b'\xbf\x84'  # the identity of the element, and its length of four bytes
TAIL = 1 << 22  # bytes at the end in which an index is looked for
SEGMENT, TRACKS, CLUSTER, ENTRY, TRACK_TYPE = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xAE, 0x83
LEVELS = {TRACKS: 'tracks', CLUSTER: 'cluster', 0x1C53BB6B: 'cues'}  # names of elements for people


def indexed_packets(path: str | Path) -> Optional[int]:
    """How many packets with content the index of an AVI file lists for its video, the fewest of its video streams.

    The headers' own ``dwLength`` is no such count: it is a duration in units of the stream's rate, and a copy of other
    containers has a rate of twice the frames. Empty packets, which stand for a picture that is shown on, do not count.

    Returns:
        None for another container, and where there is no index of the whole file.
    """
    with open(path, 'rb') as file:
        if file.read(4) != b'RIFF' or file.read(8)[4:] != b'AVI ':
            return None
        streams, index, riffs = [], None, 0
        file.seek(0)
        for name, _, start, length in _chunks(file, 0):
            riffs += name == b'RIFF'
            if riffs > 1:
                return _super_indexed(file, streams)
            if name != b'RIFF':
                continue
            for inner, inner_kind, at, size in _chunks(file, start + 4, start + length):
                if inner_kind == b'hdrl':
                    streams = list(_video_streams(file, at + 4, at + size))
                elif inner == b'idx1':
                    file.seek(at)
                    index = file.read(size)
        index = index or _last_index(file)
        return _counted(index, [number for number, _ in streams])


def video_tracks(path: str | Path) -> Optional[int]:
    """How many video streams the headers of an AVI, MP4 or Matroska file have; None where that is not clear.

    A look at headers takes a tenth of the time in which FFmpeg opens a file.
    """
    with open(path, 'rb') as file:
        head = file.read(12)
        if head[:4] == b'RIFF' and head[8:] == b'AVI ':
            lists = [(at, size) for _, kind, at, size in itertools.islice(_chunks(file, 12), 4) if kind == b'hdrl']
            return sum(1 for at, size in lists for _ in _video_streams(file, at + 4, at + size)) or None
        if head[4:8] in ISO_BOXES:
            tracks = _inside_boxes(file, [(b'moov', 0, None)], b'moov', b'trak', b'mdia', b'hdlr')
            return sum(_read_at(file, start + 8, 4) == b'vide' for start in tracks) or None
        if head[:4] == b'\x1a\x45\xdf\xa3':
            return _matroska_tracks(file) or None
    return None


def _inside_boxes(file, boxes, *names):
    """Where the contents of the boxes begin that these names lead to."""
    for _, start, end in boxes:
        found = [box for box in _boxes(file, start, end) if box[0] == names[0]]
        yield from _inside_boxes(file, found, *names[1:]) if names[1:] else (box[1] for box in found)


def _boxes(file: BinaryIO, start: int, end: Optional[int]) -> Iterator[Tuple[bytes, int, int]]:
    while end is None or start + 8 <= end:
        head = _read_at(file, start, 16)
        length, first = int.from_bytes(head[:4], 'big'), 8
        if length == 1:
            length, first = int.from_bytes(head[8:], 'big'), 16
        if len(head) < 8 or length < first:
            return
        yield head[4:8], start + first, start + length
        start += length


def _matroska_tracks(file) -> int:
    count, end = 0, 0
    file.seek(0)
    while True:
        identity, length = _number(file, marked=True), _number(file)
        if identity is None or identity == CLUSTER or (length is None and identity != SEGMENT):
            return count
        if identity == TRACKS:
            end = file.tell() + length
        elif identity == TRACK_TYPE and file.tell() < end:
            count += file.read(length) == b'\x01'
        elif identity not in (SEGMENT, ENTRY):
            file.seek(length, 1)
        if end and file.tell() >= end:
            return count


def _read_at(file, place, length):
    file.seek(place)
    return file.read(length)


def _last_index(file) -> bytes:
    """The index of a file whose chunks do not lead to it, as behind a hole; empty where there is none."""
    file.seek(-min(TAIL, file.seek(0, 2)), 2)
    tail = file.read()
    place = tail.rfind(b'idx1')
    length = int.from_bytes(tail[place + 4 : place + 8], 'little')
    return tail[place + 8 : place + 8 + length] if place >= 0 else b''


def _chunks(file: BinaryIO, start: int, end: Optional[int] = None) -> Iterator[Tuple[bytes, bytes, int, int]]:
    """Name, kind (of a list), place of the content and its length."""
    while end is None or start + 8 <= end:
        file.seek(start)
        head = file.read(12)
        if len(head) < 8:
            return
        name, length = struct.unpack('<4sI', head[:8])
        yield name, head[8:] if name in (b'LIST', b'RIFF') else b'', start + 8, length
        start += 8 + length + length % 2


def _video_streams(file, start, end) -> Iterator[Tuple[int, Optional[Tuple[int, int]]]]:
    """Number of each video stream, with place and length of its super index where it has one."""
    lists = [(at, size) for _, kind, at, size in _chunks(file, start, end) if kind == b'strl']
    for number, (at, size) in enumerate(lists):
        inside = {name: (place, length) for name, _, place, length in _chunks(file, at + 4, at + size)}
        if b'strh' in inside:
            file.seek(inside[b'strh'][0])
            if file.read(4) == b'vids':
                yield number, inside.get(b'indx')


def _counted(index: bytes, streams: List[int]) -> Optional[int]:
    counts = dict.fromkeys(streams, 0)
    for name, _, _, size in struct.iter_unpack('<4sIII', index[: len(index) // 16 * 16]):
        if size and name[:2].isdigit() and name[2:] in (b'dc', b'db') and int(name[:2]) in counts:
            counts[int(name[:2])] += 1
    return min(counts.values(), default=0) or None


def _super_indexed(file, streams) -> Optional[int]:
    """The count of a file of several RIFF chunks, whose ``idx1`` is of the first alone."""
    counts = []
    for _, place in streams:
        if place is None:
            return None
        file.seek(place[0])
        head = file.read(24).ljust(24, b'\0')
        entries = file.read(16 * struct.unpack('<I', head[4:8])[0])
        total = 0
        for offset, size, _ in struct.iter_unpack('<QII', entries[: len(entries) // 16 * 16]):
            file.seek(offset)
            part = file.read(size)[8:]  # behind the name and length of its chunk
            used = struct.unpack('<I', part[4:8])[0] if len(part) >= 24 else 0
            # the first bit of a length says that it is no key frame
            total += sum(bool(length & 0x7FFFFFFF) for _, length in struct.iter_unpack('<II', part[24 : 24 + 8 * used]))
        counts.append(total)
    return min(counts, default=0) or None


def wrong_checksum(path: str | Path) -> Optional[str]:
    """Which part of a Matroska file is not what its checksum was made of; None where all that have one are whole.

    Writers other than FFmpeg's seldom give checksums, and WebM has none.
    """
    with open(path, 'rb') as file:
        if file.read(4) != b'\x1a\x45\xdf\xa3':
            return None
        file.seek(0)
        while True:
            start = file.tell()
            identity, length = _number(file, marked=True), _number(file)
            if identity is None or length is None:  # the end, or a length that was left open
                return None
            if identity == SEGMENT:
                continue
            if file.peek(2)[:2] == CRC_32:
                stored = int.from_bytes(file.read(6)[2:], 'little')
                if zlib.crc32(file.read(length - 6)) != stored:
                    return f'the checksum of the {LEVELS.get(identity, "part")} at byte {start} is wrong'
            else:
                file.seek(length, 1)


def _number(file: BinaryIO, marked: bool = False) -> Optional[int]:
    """A number of EBML: the zeros before its first bit say how many bytes follow; an identity keeps that bit."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    others = 8 - first[0].bit_length()
    content = first + file.read(others)
    number, bits = int.from_bytes(content, 'big'), 7 * (others + 1)
    if len(content) <= others or (not marked and number & (1 << bits) - 1 == (1 << bits) - 1):
        return None
    return number if marked else number & (1 << bits) - 1
