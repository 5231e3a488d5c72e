"""Image and video files: what a command line names, and whether a file can be read."""

import glob
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import av
from PIL import Image

from kaizen_mm.data.file_check import file_fault

SUFFIXES = {
    'image': ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'),
    'video': ('.3gp', '.avi', '.flv', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.ts', '.webm', '.wmv'),
}


def find_files(inputs: Sequence[str | Path], kind: str) -> List[Tuple[Path, Optional[str]]]:
    """The files that are named, each once, with the reason where one cannot be used.

    Args:
        inputs: Files, folders (of which all files with a suffix of that kind are taken, at any depth) and glob patterns
            (``**`` for folders at any depth).
        kind: ``'image'`` or ``'video'``.
    """
    found = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            files = _inside(path, kind)
            reason = f'no {kind} in this folder; {kind}s end in {", ".join(SUFFIXES[kind])}'
        elif not path.exists() and glob.has_magic(str(given)):
            files = []
            for match in sorted(Path(p) for p in glob.glob(str(given), recursive=True)):
                files += _inside(match, kind) if match.is_dir() else [match]
            reason = 'no file matches this pattern'
        else:
            files, reason = [path] if path.exists() else [], 'no such file'
        for file in files:
            found.setdefault(file.resolve(), (file, None))
        if not files:
            found.setdefault(path.absolute(), (path, reason))
    return list(found.values())


def _inside(folder, kind):
    return sorted(p for p in folder.rglob('*') if p.suffix.lower() in SUFFIXES[kind] and p.is_file())


def check_kind(path: Path, kind: str) -> None:
    """Raises ValueError unless a file is an image that decodes whole, or is a video, as ``kind`` says.

    Whether a video decodes is told by :func:`kaizen_mm.data.video_check.check_video`.
    """
    fault = file_fault(path)
    if fault:
        raise ValueError(fault)
    error = _image_error(path)
    if error is None or (kind == 'image' and not isinstance(error, Image.UnidentifiedImageError)):
        actual = 'image'
    else:
        actual = 'video' if _is_video(path) else None
    if actual is None:
        raise ValueError('neither an image nor a video that can be read')
    if actual != kind:
        raise ValueError(f'this is {"an" if actual == "image" else "a"} {actual}, but the network takes {kind}s')
    if kind == 'image' and error is not None:
        raise ValueError(f'an image that cannot be decoded: {error}')


def _image_error(path) -> Optional[Exception]:
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:  # decoders raise many kinds
        return error
    return None


def _is_video(path) -> bool:
    try:
        with av.open(str(path)) as container:
            # FFmpeg takes what looks like a single image for a stream of them
            single = container.format.name == 'image2' or container.format.name.endswith('_pipe')
            return bool(container.streams.video) and not single
    except Exception:
        return False
