"""What a folder of photos or videos holds, and what is odd about it."""

import statistics
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import av

from kaizen_mm.data.class_names import class_folders, is_hidden, names_beside, names_of_folders, one_sided
from kaizen_mm.data.file_check import file_fault
from kaizen_mm.data.lists import read_list, write_line
from kaizen_mm.data.pictures import open_picture
from kaizen_mm.data.video_stream import video_stream
from kaizen_mm.files import file_digest
from kaizen_mm.inference.media import SUFFIXES

VALIDATION = ('val', 'valid', 'validation', 'test')  # names of the folder, or of the list without .txt
MEDIA = ('videos', 'images', 'photos')  # names of the folder that a list's files may be in
LOOKED_INTO = 400  # files whose size, length and rate are read
FEW = 5  # samples of a class below which it is named
EVERY = 5  # sample of a class that is drawn for validation where there is none

Entry = Tuple[str, int]  # file, relative to the survey's root, and label


class Survey(NamedTuple):
    """What a folder holds.

    Attributes:
        name: Of the data, for the config.
        kind: ``'photos'`` or ``'videos'``.
        root: Folder that the files of ``train`` and ``val`` are relative to.
        classes: Names by label.
        train, val: File and label of each sample.
        splits: Names of the folders of ``train`` and ``val`` where each class is a folder there, else None.
        lists: The two lists that there are, else None; where both are None, validation data were drawn.
        side: Of the shorter side of the samples looked into, the median in pixels.
        frames: Of videos the median number of frames; 0 of photos, and where it is not known.
        rate: Of videos the median frames per second.
        odd: What is odd, a sentence each.
    """

    name: str
    kind: str
    root: Path
    classes: List[str]
    train: List[Entry]
    val: List[Entry]
    splits: Optional[Tuple[str, str]]
    lists: Optional[Tuple[str, str]]
    side: int
    frames: int
    rate: float
    odd: List[str]


def survey(path: Path) -> Survey:
    """Looks at a folder or a list.

    Args:
        path: A folder with ``train/`` and ``val/`` (or ``valid/``, ``validation/``, ``test/``) with a folder for each
            class; one with a folder for each class; one with the lists ``train.txt`` and ``val.txt``; or such a list.

    Raises:
        FileNotFoundError: There is nothing of that name, or no photo or video in it.
        ValueError: It holds photos and videos, has no folders of classes, has one class, or other classes in one
            part than in the other; or a list is at fault.
    """
    if not path.exists():
        raise FileNotFoundError(f'no folder or list {path}')
    listed = path if path.is_file() else path / 'train.txt'
    found = _of_lists(listed) if listed.is_file() else _of_folders(path)
    name, root, classes, train, val, splits, lists = found
    if len({label for _, label in train}) < 2:
        raise ValueError(
            f'{path} has one class, {classes[train[0][1]]!r}; a network learns to tell at least two apart, each in a '
            'folder of its own or with a label of its own'
        )
    kind = _kind(path, [file for file, _ in train])
    odd = _unread(root, [*train, *val])
    groups = _same_content(root, [*train, *val])
    drawn = splits is None and lists is None
    if drawn:
        train, val = _drawn(train, groups)
        if not val:
            raise ValueError(f'{path} has no validation data, and no class has two samples to draw one from')
        odd.append(f'there are no validation data: every {EVERY}th of each class, {len(val)} in all, is drawn for them')
    odd += _odd_counts(classes, train, val) + _odd_copies(groups, train, val)
    sides, frames, rates, unread = _measures(root, kind, train)
    odd += unread
    return Survey(
        name,
        kind,
        root,
        classes,
        train,
        val,
        splits,
        lists,
        round(statistics.median(sides)),
        round(statistics.median(frames)) if frames else 0,
        statistics.median(rates) if rates else 0.0,
        odd,
    )


def _of_lists(train: Path):
    folder = train.resolve().parent
    val = next((folder / f'{name}.txt' for name in VALIDATION if (folder / f'{name}.txt').is_file()), None)
    if val == train.resolve():
        raise ValueError(f'{train} has the name of a list for validation; give the list to train on')
    entries = [read_list(file.read_bytes(), str(file)) for file in (train, val) if file is not None]
    root = next((folder / name for name in MEDIA if (folder / name / entries[0][0].file).exists()), folder)
    for file, part in zip((train, val), entries):
        missing = [(entry, fault) for entry in part if (fault := file_fault(root / entry.file))]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(part)} files of {file} cannot be read, such as {root / missing[0][0].file}: '
                f'{missing[0][1]}; its files must be relative to {folder} or to {" or ".join(MEDIA)} beside it'
            )
    count = 1 + max(entry.label for part in entries for entry in part)
    classes = names_beside(train, count) or [str(label) for label in range(count)]
    parts = [[(entry.file, entry.label) for entry in part] for part in entries]
    lists = None if val is None else (str(train.resolve()), str(val))
    return folder.name, root, classes, parts[0], parts[1] if val is not None else [], None, lists


def _of_folders(path: Path):
    root = path.resolve()
    if not (root / 'train').is_dir():
        names = _folders_with_media(root)
        return root.name, root, names_of_folders(root, names), _entries(root, root, names), [], None, None
    val = next((name for name in VALIDATION if (root / name).is_dir()), None)
    folders = [_folders_with_media(root / split) for split in ('train', val) if split]
    if val and folders[0] != folders[1]:
        raise ValueError(
            f'{path} has other classes in {val} than in train. '
            f'{one_sided(folders[0], folders[1], "train", val)}. Each class must have a folder in both'
        )
    classes = names_of_folders(root, folders[0])
    train = _entries(root, root / 'train', folders[0])
    if val is None:
        return root.name, root, classes, train, [], None, None
    return root.name, root, classes, train, _entries(root, root / val, folders[0]), ('train', val), None


def _folders_with_media(folder: Path) -> List[str]:
    names = class_folders(folder)
    if not names:
        raise FileNotFoundError(
            f'no photos or videos by class in {folder}; it must hold a folder for each class, or train/ and val/ with '
            'them, or the lists train.txt and val.txt of "file label" lines'
        )
    empty = [name for name in names if not _media(folder / name)]
    if empty:
        raise FileNotFoundError(
            f'no photo or video in {", ".join(str(folder / name) for name in empty[:5])}'
            f'{f" and {len(empty) - 5} more" if len(empty) > 5 else ""}; every folder in {folder} is a class'
        )
    return names


def _media(folder: Path) -> List[Path]:
    return sorted(
        file
        for file in folder.rglob('*')
        if _kind_of(file) and file.is_file() and not is_hidden(file.relative_to(folder))
    )


def _entries(root: Path, folder: Path, names: Sequence[str]) -> List[Entry]:
    found = [
        (file.relative_to(root).as_posix(), label) for label, name in enumerate(names) for file in _media(folder / name)
    ]
    for file, label in found:
        if write_line(file, label) is None:
            raise ValueError(f'{root / file}: a line of a list cannot hold such a name; rename the file')
    return found


def _kind_of(file: str | Path) -> Optional[str]:
    suffix = Path(file).suffix.lower()
    return 'photos' if suffix in SUFFIXES['image'] else 'videos' if suffix in SUFFIXES['video'] else None


def _kind(path: Path, files: Sequence[str]) -> str:
    kinds = Counter(_kind_of(file) for file in files)
    if len(kinds) > 1 or None in kinds:
        named = {kind: next(file for file in files if _kind_of(file) == kind) for kind in kinds}
        shown = ', '.join(f'{count} {kind or "others"} ({named[kind]})' for kind, count in kinds.most_common())
        raise ValueError(f'{path} must hold photos or videos, one of them alone, got {shown}')
    return str(next(iter(kinds)))


def _unread(root: Path, entries: Sequence[Entry]) -> List[str]:
    faults = [f'{file}: {fault}' for file, _ in entries if (fault := file_fault(root / file))]
    empty = [file for file, _ in entries if not file_fault(root / file) and not (root / file).stat().st_size]
    faults += [f'{file}: empty' for file in empty]
    return [f'{len(faults)} files cannot be read: {_few(faults)}'] if faults else []


def _same_content(root: Path, entries: Sequence[Entry]) -> Dict[str, str]:
    """By file a name of what is in it; files of a size of their own are not read."""
    sizes = {file: (root / file).stat().st_size for file, _ in entries if not file_fault(root / file)}
    counts = Counter(sizes.values())
    return {
        file: f'{size}' if counts[size] == 1 else f'{size} {file_digest(root / file)}' for file, size in sizes.items()
    }


def _drawn(entries: Sequence[Entry], groups: Dict[str, str]) -> Tuple[List[Entry], List[Entry]]:
    """Of each class every fifth for validation, at least one of two; copies stay together."""
    chosen = set()
    for label in {label for _, label in entries}:
        contents = list(dict.fromkeys(groups.get(file, file) for file, own in entries if own == label))
        chosen.update(contents[EVERY - 1 :: EVERY] or contents[1:2])
    parts = ([], [])
    for file, label in entries:
        parts[groups.get(file, file) in chosen].append((file, label))
    return parts


def _odd_counts(classes: List[str], train: List[Entry], val: List[Entry]) -> List[str]:
    odd = []
    for title, part in (('train on', train), ('validate on', val)):
        counts = Counter(label for _, label in part)
        none = [classes[label] for label in range(len(classes)) if not counts[label]]
        if none:
            odd.append(f'classes without a sample to {title}: {_few(none)}')
        few = [f'{classes[label]} ({counts[label]})' for label in range(len(classes)) if 0 < counts[label] < FEW]
        if few and title == 'train on':
            odd.append(f'classes of fewer than {FEW} samples to train on: {_few(few)}')
    counts = Counter(classes[label] for _, label in train).most_common()
    if counts[0][1] >= 10 * counts[-1][1]:
        odd.append(
            f'classes of very different size: {counts[0][0]} has {counts[0][1]}, {counts[-1][0]} {counts[-1][1]}'
        )
    return odd


def _odd_copies(groups: Dict[str, str], train: List[Entry], val: List[Entry]) -> List[str]:
    seen: Dict[str, str] = {}
    for file, _ in train:
        seen.setdefault(groups.get(file, file), file)
    both = [f'{file} = {seen[groups[file]]}' for file, _ in val if groups.get(file) in seen]
    labels: Dict[str, set] = {}
    for file, label in [*train, *val]:
        labels.setdefault(groups.get(file, file), set()).add(label)
    twice = [seen.get(content, content) for content, found in labels.items() if len(found) > 1]
    odd = []
    if both:
        odd.append(f'{len(both)} files to validate on are, byte by byte, files to train on: {_few(both)}')
    if twice:
        odd.append(f'{len(twice)} files are in several classes: {_few(twice)}')
    return odd


def _measures(root: Path, kind: str, train: List[Entry]):
    """Shorter sides, numbers of frames and rates of some samples, and what cannot be opened of them."""
    step = max(1, len(train) // LOOKED_INTO)
    sides, frames, rates, faults = [], [], [], []
    for file, _ in train[::step]:
        try:
            if kind == 'photos':
                with open_picture(root / file) as picture:
                    sides.append(min(picture.size))
            else:
                with av.open(str(root / file)) as container:
                    stream = video_stream(container)
                    rate = float(stream.average_rate or 0)
                    length = stream.frames or round(float((container.duration or 0) / av.time_base) * rate)
                    sides.append(min(stream.width, stream.height))
                    frames += [length] if length else []
                    rates += [rate] if rate else []
        except Exception as error:  # decoders raise many kinds
            faults.append(f'{file}: {(str(error).splitlines() or [type(error).__name__])[0]}')
    if not sides:
        raise ValueError(f'none of the {kind} that were tried in {root} can be read: {_few(faults)}')
    return sides, frames, rates, [f'{len(faults)} {kind} cannot be opened: {_few(faults)}'] if faults else []


def _few(items: Sequence[str], most: int = 3) -> str:
    return ', '.join(items[:most]) + (f' and {len(items) - most} more' if len(items) > most else '')


def named_classes(found: Survey, most: int = 8) -> str:
    """The names of the classes, for a line."""
    return _few(found.classes, most)
