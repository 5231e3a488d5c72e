"""What files and folders that a training starts from hold: their paths alone do not tell."""

import hashlib
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from mmengine.registry import DATASETS

from kaizen_mm.data.lists import numbered_lines

PREFIX = 'what is in '  # of the keys of settings
WHOLE = 2**30  # bytes of a folder up to which all of them count
_SAMPLE, _PIECE = 1000, 2**16  # of larger ones: files, and bytes of each end of them
_known: Dict[str, Tuple[Any, str]] = {}  # by path: sizes and times of change, and what was found then


def digest(path: Union[str, Path], counts: Callable[[str], bool] = lambda name: True) -> str:
    """A short name of what a file or folder holds, as far as the names of files in it count.

    It follows from the names, sizes and bytes of all files; of folders of more than 1 GiB from all names and sizes, and
    from both ends of a thousand files spread over them. Files whose size and time of change are as they were are not
    read again by this process.
    """
    path = os.path.realpath(path)
    files = [('', path)] if os.path.isfile(path) else sorted((n, p) for n, p in _files(path) if counts(n))
    states = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in ((n, os.stat(p)) for n, p in files)]
    if path not in _known or _known[path][0] != states:
        _known[path] = states, _digest(files, [size for _, size, _ in states])
    return _known[path][1]


def _digest(files: List[Tuple[str, str]], sizes: List[int]) -> str:
    total = hashlib.sha256()
    whole = len(files) == 1 or sum(sizes) <= WHOLE
    step = 1 if whole else max(1, len(files) // _SAMPLE)
    for number, ((name, path), size) in enumerate(zip(files, sizes)):
        total.update(f'{name}\0{size}\0'.encode('utf-8', 'surrogateescape'))
        if number % step == 0:
            with open(path, 'rb') as file:
                for piece in _pieces(file, size, whole):
                    total.update(piece)
    return total.hexdigest()[:16]


def _pieces(file, size: int, whole: bool) -> Iterator[bytes]:
    if not whole and size > 2 * _PIECE:
        yield file.read(_PIECE)
        file.seek(size - _PIECE)
    while piece := file.read(2**20):
        yield piece


def _files(folder: str, inside: str = '', above: Tuple[str, ...] = ()) -> Iterator[Tuple[str, str]]:
    """Name and path of the regular files in a folder; hidden ones and links that lead back are left out."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in os.scandir(folder):
        if entry.name.startswith('.'):
            continue
        name = f'{inside}{entry.name}'
        if entry.is_dir():
            yield from _files(entry.path, f'{name}/', (*above, real))
        elif entry.is_file():
            yield name, entry.path


def add_contents(part: dict) -> None:
    """Adds what is in the files and folders that the settings of a phase name.

    That is ``load_from``, files that the network is initialized from, and the data: the folder, or, where there is a
    list, the sizes of the files in it.
    """
    _of_files(part, ('load_from',))
    _of_network(part.get('model'))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        _of_data(part.get(key), tests=key == 'test_dataloader')


def _of_files(entries: dict, keys) -> None:
    for key in keys:
        value = entries.get(key)
        if isinstance(value, str) and os.path.isfile(value):
            entries[f'{PREFIX}{key}'] = digest(value)


def _of_network(model) -> None:
    if isinstance(model, dict):
        _of_files(model, [key for key, value in model.items() if isinstance(value, str) and os.sep in value])
        model = list(model.values())
    for value in model if isinstance(model, list) else ():
        _of_network(value)


def _of_data(entries, tests: bool) -> None:
    """Every data set in the settings of a loader, wrapped or not."""
    if isinstance(entries, list):
        for entry in entries:
            _of_data(entry, tests)
    if not isinstance(entries, dict):
        return
    for value in list(entries.values()):
        _of_data(value, tests)
    if not any(isinstance(entries.get(key), (str, dict)) for key in ('data_root', 'data_prefix', 'ann_file')):
        return
    root, prefix = str(entries.get('data_root') or ''), entries.get('data_prefix') or ''
    prefixes = list(prefix.values()) if isinstance(prefix, dict) else [prefix]
    folders = [os.path.join(root, str(value)) for value in prefixes or ['']]
    listed = entries.get('ann_file')
    if isinstance(listed, str) and listed:
        path = os.path.join(root, listed)
        if os.path.isfile(path):
            entries[f'{PREFIX}the files of ann_file'] = _sizes(path, str(entries.get('delimiter') or ' '), folders)
        return
    found = [folder for folder in folders if folder and os.path.exists(folder)]
    if found:
        counts = None if tests else _files_read(entries)
        names = [digest(folder, counts) if counts else digest(folder) for folder in found]
        # of a name of its own: earlier versions had all files of such folders count
        entries[f'{PREFIX}{"the files read of " if counts else ""}{"data_prefix" if prefix else "data_root"}'] = (
            names[0] if len(names) == 1 else ' '.join(names)
        )


def _files_read(entries: dict) -> Optional[Callable[[str], bool]]:
    """Which names of files a data set of several parts in one folder reads; None where that is all or not known."""
    name = str(entries.get('type')).rpartition('.')[2]
    known = (registry.module_dict.get(name) for registry in (DATASETS, *DATASETS.children.values()))
    kind = next((found for found in known if found is not None), None)
    if hasattr(kind, 'file_names'):  # of this package
        try:
            names = kind.file_names(entries.get('split'))
        except ValueError:
            return None  # the data set itself says what is wrong
        return lambda file: file in names
    listed = getattr(kind, 'test_list', None)  # as mmpretrain's data sets have one, of name and checksum
    if not isinstance(listed, list) or entries.get('test_mode') or entries.get('split', 'train') != 'train':
        return None
    others = {os.path.splitext(str(entry[0]))[0] for entry in listed}
    return lambda file: not {os.path.basename(file), os.path.splitext(os.path.basename(file))[0]} & others


def _sizes(path: str, delimiter: str, folders: List[str]) -> str:
    """A short name of the sizes of the files that a list names, as far as they are files."""
    total = hashlib.sha256()
    for _, line in numbered_lines(Path(path).read_bytes()):
        name = line.strip().rsplit(None if delimiter == ' ' else delimiter, 1)[0].strip()
        for folder in folders:
            try:
                total.update(f'{os.stat(os.path.join(folder, name)).st_size},'.encode())
            except (OSError, ValueError):
                total.update(b'none,')
    return total.hexdigest()[:16]
