"""Image and video files: what a command line names, and whether a file can be read."""

import glob
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import av
from PIL import UnidentifiedImageError

from kaizen_mm.data.file_check import file_fault
from kaizen_mm.data.pictures import open_picture, read_picture
from kaizen_mm.data.video_stream import moving_streams

_IMAGES = '.avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp'
_VIDEOS = '.3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv'
# what is taken, or passed over, without a look inside
SUFFIXES = {'image': tuple(_IMAGES.split()), 'video': tuple(_VIDEOS.split())}
MOVING = ('.gif',)  # images that may be videos
OTHER = {'image': 'video', 'video': 'image'}
NEITHER = 'neither an image nor a video that can be read'
# first bytes of pictures that Pillow reads with plug-ins alone, if at all
_SIGNATURES = {
    b'\xff\x0a': 'JPEG XL',
    b'\x00\x00\x00\x0cJXL ': 'JPEG XL',
    b'II*\x00': 'TIFF, of this layout',
    b'MM\x00*': 'TIFF, of this layout',
}
_BRANDS = dict.fromkeys((b'heic', b'heix', b'heim', b'heis', b'hevc', b'mif1', b'msf1'), 'HEIC')
_BRANDS.update(dict.fromkeys((b'avif', b'avis'), 'AVIF'))


class Found(NamedTuple):
    """What inputs name.

    Attributes:
        files: Each file once, with the reason where it cannot be used.
        passed_over: What else is in the folders, with what it is: ``'video'``, ``'hidden'`` and such.
    """

    files: List[Tuple[Path, Optional[str]]]
    passed_over: List[Tuple[Path, str]]


def find_files(inputs: Sequence[str | Path], kind: str) -> Found:
    """The files that are named.

    Args:
        inputs: Files, folders and glob patterns (``**`` for folders at any depth). Of a folder, all files of that kind
            at any depth are taken: those with a suffix of ``SUFFIXES``, and others by their content.
        kind: ``'image'`` or ``'video'``.
    """
    files: Dict[Path, Tuple[Path, Optional[str]]] = {}
    passed_over: Dict[Path, Tuple[Path, str]] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            found = _inside(path, kind)
            reason = f'no {kind} in this folder'
        elif not os.path.lexists(path) and glob.has_magic(str(given)):
            found = Found([], [])
            for match in sorted(Path(p) for p in glob.glob(str(given), recursive=True)):
                inner = _inside(match, kind) if match.is_dir() else Found([(match, None)], [])
                found.files.extend(inner.files)
                found.passed_over.extend(inner.passed_over)
            reason = 'no file matches this pattern'
        else:
            found, reason = Found([(path, None)] if os.path.lexists(path) else [], []), 'no such file'
        for file, fault in found.files or [(path, reason)]:
            files.setdefault(file.resolve(), (file, fault))
        for file, what in found.passed_over:
            passed_over.setdefault(file.absolute(), (file, what))
    return Found(list(files.values()), list(passed_over.values()))


def _inside(folder, kind) -> Found:
    found = Found([], [])
    for path in sorted(folder.rglob('*')):
        if path.is_dir() and not path.is_symlink():
            continue
        suffix, fault = path.suffix.lower(), file_fault(path)
        if any(part.startswith('.') for part in path.relative_to(folder).parts):
            found.passed_over.append((path, 'hidden'))
        elif path.is_dir():
            found.passed_over.append((path, 'a link to a folder'))
        elif suffix in SUFFIXES[kind]:
            found.files.append((path, fault))
        elif fault:
            found.passed_over.append((path, fault))
        elif suffix in SUFFIXES[OTHER[kind]] and suffix not in MOVING:
            found.passed_over.append((path, OTHER[kind]))
        else:
            fault = _fault(path, kind)
            if fault is None or fault.startswith('an image of the format'):
                found.files.append((path, fault))
            else:
                found.passed_over.append((path, OTHER[kind] if fault.startswith('this is') else 'neither'))
    return found


def passed_over_line(passed_over: Sequence[Tuple[Path, str]], names: int = 3) -> str:
    """How many files were passed over for what they are, and the first few names of each."""
    groups: Dict[str, List[str]] = {}
    for path, what in passed_over:
        groups.setdefault(what, []).append(str(path))
    said = [
        f'{len(paths)} {what} ({", ".join(paths[:names])}{", ..." if len(paths) > names else ""})'
        for what, paths in groups.items()
    ]
    return f'passed over: {"; ".join(said)}'


def check_kind(path: Path, kind: str) -> None:
    """Raises ValueError unless a file is an image that decodes whole, or is a video, as ``kind`` says.

    A GIF that moves is either. Whether a video decodes is told by :func:`kaizen_mm.data.video_check.check_video`.
    """
    fault = file_fault(path) or _fault(path, kind)
    if fault:
        raise ValueError(fault)
    if kind == 'image':
        try:
            read_picture(path)
        except Exception as error:  # decoders raise many kinds
            raise ValueError(f'an image that cannot be decoded: {error}') from error


def _fault(path, kind) -> Optional[str]:
    """Why a file is not of a kind, by its head; None where it is."""
    try:
        with open_picture(path) as image:
            moving = getattr(image, 'n_frames', 1) > 1
    except UnidentifiedImageError:
        moving = None
    except Exception as error:  # an image whose head is damaged; decoders raise many kinds
        return f'an image that cannot be decoded: {error}' if kind == 'image' else NEITHER
    if moving is not None:
        if kind == 'image' or (moving and _is_video(path)):
            return None
        return 'this is an image, but the network takes videos'
    unread = _unread_format(path)
    if unread:
        return (
            'this is an image, but the network takes videos'
            if kind == 'video'
            else f'an image of the format {unread}, which Pillow does not read here; convert it to PNG or JPEG'
        )
    if not _is_video(path):
        return NEITHER
    return None if kind == 'video' else 'this is a video, but the network takes images'


def _unread_format(path) -> Optional[str]:
    with open(path, 'rb') as file:
        head = file.read(12)
    if head[4:8] == b'ftyp' and head[8:] in _BRANDS:
        return _BRANDS[head[8:]]
    return next((name for start, name in _SIGNATURES.items() if head.startswith(start)), None)


def _is_video(path) -> bool:
    try:
        with av.open(str(path)) as container:
            # FFmpeg takes what looks like a single image for a stream of them, and text for a terminal's
            single = container.format.name in ('image2', 'tty') or container.format.name.endswith('_pipe')
            return bool(moving_streams(container)) and not single
    except Exception:
        return False
