"""Annotation lists for UCF101, HMDB51 and any `file label` list.

The lists have the form that mmaction2's `VideoDataset` reads: one
`relative/path.avi label` a line, one space, labels from 0 (names with spaces
are for `VideoListDataset` alone). They are made from the official splits (see
`splits`), and every video is decoded before a list names it (see
`video_check`).
"""

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track

from kaizen_mm.data.file_check import file_fault
from kaizen_mm.data.isolation import TIMEOUT, run_isolated
from kaizen_mm.data.lists import numbered_lines, parse_list, repeats, write_line
from kaizen_mm.data.reencoding import reencode_video
from kaizen_mm.data.splits import SPLITS, find_files, inner_folder, read_hmdb51_splits, read_ucf101_splits
from kaizen_mm.data.video_check import check_video
from kaizen_mm.data.video_readers import check_reader
from kaizen_mm.files import write_lines


@dataclass
class Preparation:
    """What was written: `str()` of it is the summary that the tool prints.

    Attributes:
        video_root (Path): Folder that the lists are relative to.
        lists (dict): File of each list -> number of its videos.
        left_out (list): (file, reason) of what no list names, sorted.
        notes (list): Lines about anything else worth knowing.
    """

    video_root: Path
    lists: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def __str__(self):
        lines = [f'{file}: {count} videos' for file, count in self.lists.items()]
        lines.append(f'left out: {len(self.left_out)}')
        lines += [f'  {file}: {reason}' for file, reason in self.left_out[:20]]
        if len(self.left_out) > 20:
            lines.append(f'  and {len(self.left_out) - 20} more')
        lines += [f'note: {note}' for note in self.notes]
        text = '\n'.join([*lines, f'video root: {self.video_root}'])
        return text.encode('utf-8', 'backslashreplace').decode()  # names of files may be no UTF-8


def prepare_ucf101(videos, splits, out, **options):
    """Write the lists of UCF101.

    Args:
        videos (str or Path): Folder with `<Class>/v_*.avi` or `v_*.avi`, or
            the folder holding `UCF-101`.
        splits (str or Path): Folder `ucfTrainTestlist`, or the one holding it.
        out (str or Path): Folder to write to, see `write_preparation`.
        **options: See `write_preparation`.

    Returns:
        Preparation: Lists, files left out and notes.

    Raises:
        FileNotFoundError, NotADirectoryError: A folder, a split file or a
            video is missing.
        ValueError: Anything is not in the official form.
    """
    videos = inner_folder(videos, 'videos', 'the UCF101 videos', 'UCF-101')
    splits = inner_folder(splits, 'splits', 'the official split files', 'ucfTrainTestlist')
    classes, lists = read_ucf101_splits(splits)
    files = find_files(videos, 'v_*.avi', 'UCF101 videos, v_*.avi or <Class>/v_*.avi', flat=True)
    # Names are unique over all classes; some copies differ in their case.
    found = {file.name.lower(): file for file in files}
    located = {
        name: [(item, found.get(item.rsplit('/', 1)[-1].lower()), label) for item, label in entries]
        for name, entries in lists.items()
    }
    return write_preparation(videos, classes, located, out, **options)


def prepare_hmdb51(videos, splits, out, **options):
    """Write the lists of HMDB51.

    Args:
        videos (str or Path): Folder with `<class>/*.avi`.
        splits (str or Path): Folder `testTrainMulti_7030_splits`, or the one
            holding it.
        out (str or Path): Folder to write to, see `write_preparation`.
        **options: See `write_preparation`.

    Returns, raises: As `prepare_ucf101`.
    """
    videos = inner_folder(videos, 'videos', 'the HMDB51 videos', 'hmdb51_org')
    splits = inner_folder(splits, 'splits', 'the official split files', 'testTrainMulti_7030_splits')
    classes, lists = read_hmdb51_splits(splits)
    files = find_files(videos, '*.avi', 'HMDB51 videos, <class>/*.avi')
    found = {file.relative_to(videos).as_posix(): file for file in files}
    located = {name: [(item, found.get(item), label) for item, label in entries] for name, entries in lists.items()}
    return write_preparation(videos, classes, located, out, **options)


def write_preparation(
    videos,
    classes,
    lists,
    out,
    short_side=None,
    workers=None,
    min_frames=1,
    allow_missing=False,
    timeout=TIMEOUT,
    progress=True,
    reader='decord',
):
    """Check or re-encode the videos and write everything to `out`.

    Written are `<list>.txt` for every list, `classes.txt` (one name a line, in
    the order of the labels), `left_out.txt` (file, tab, reason),
    `video_root.txt` (the folder that the lists are relative to) and, with
    `short_side`, the videos under `videos/`. A list of an earlier run that
    this one does not write is removed.

    Args:
        videos (Path): Folder of the original videos, never written to.
        classes (list): Class names by label.
        lists (dict): Name -> list of (official name, file or None, label).
        out (str or Path): Folder to write to, made if need be.
        short_side (int, optional): Pixels, even; re-encode to it. Default:
            the lists name the original videos.
        workers (int, optional): Processes; default: the processors at hand.
        min_frames (int): Leave out shorter videos. Default 1: clips longer
            than the video are no problem, as samplers loop it.
        allow_missing (bool): Go on where videos of the splits are not in
            the folder. A train or test list of which nothing remains is then
            not written, with a note, provided that the other list of its
            split has videos. Default: both are errors.
        timeout (float): Seconds for one video.
        progress (bool): Show a bar on stderr.
        reader (str): What training will decode with, 'decord' (default), 'pyav'
            or 'torchcodec'.

    Returns:
        Preparation: What was written.

    Raises:
        FileNotFoundError: Videos are missing and `allow_missing` is False.
        ValueError: An argument is out of range, or nothing remains of a list
            (with `allow_missing`: of a whole split).
    """
    if short_side is not None and (short_side < 2 or short_side % 2):
        raise ValueError(f'short_side must be an even number of pixels, at least 2, not {short_side}')
    if min_frames < 1:
        raise ValueError(f'min_frames must be at least 1, not {min_frames}')
    check_reader(reader)
    missing = sorted({item for entries in lists.values() for item, file, _ in entries if file is None})
    if missing and not allow_missing:
        total = len({e[0] for entries in lists.values() for e in entries})
        raise FileNotFoundError(
            f'{len(missing)} of {total} videos of the splits are not in '
            f'{videos}, first {", ".join(missing[:3])}; --allow-missing goes '
            'on without them'
        )
    out = Path(out)
    root = out / 'videos' if short_side else videos
    left_out = dict.fromkeys(missing, 'missing')
    targets = {}  # source file -> its name in the lists
    for entries in lists.values():
        for _, file, _ in entries:
            if file is None or file in targets:
                continue
            name = file.relative_to(videos)
            targets[file] = (name.with_suffix('.mp4') if short_side else name).as_posix()
            if write_line(targets[file], 0) is None:
                left_out[name.as_posix()] = 'its name cannot stand in a list'
    sources = sorted(file for file in targets if file.relative_to(videos).as_posix() not in left_out)
    if short_side:
        tasks = [(file, root / targets[file], short_side, reader) for file in sources]
        results = run_videos(reencode_video, tasks, 'Re-encoding', workers, min_frames, timeout, progress)
    else:
        tasks = [(file, reader) for file in sources]
        results = run_videos(check_video, tasks, 'Reading', workers, min_frames, timeout, progress)
    for task, reason in zip(tasks, results):
        if reason:
            left_out[task[0].relative_to(videos).as_posix()] = reason
            if short_side:  # what a killed process has left
                task[1].with_name(task[1].name + '.part').unlink(missing_ok=True)
    kept = {file for file, reason in zip(sources, results) if not reason}

    result = Preparation(root.resolve(), left_out=sorted(left_out.items()))
    texts = {
        name: [write_line(targets[file], label) for _, file, label in entries if file in kept]
        for name, entries in lists.items()
    }
    for name, lines in texts.items():
        parse = parse_list('\n'.join(lines).encode())
        for fault in parse[1].values():
            raise ValueError(f'splits: {name}: {fault}')
    for split in SPLITS:
        names = [f'{kind}_split{split}' for kind in ('train', 'test')]
        if names[0] not in texts:
            result.notes.append(f'no files for split {split}')
            continue
        empty = [name for name in names if not texts[name]]
        if empty and (not allow_missing or len(empty) == 2):
            write_left_out(out / 'left_out.txt', result.left_out)
            raise ValueError(f'split {split}: no video remains for {" and ".join(empty)}, see {out / "left_out.txt"}')
        for name in empty:
            result.notes.append(f'no video remains for {name}: not written')
            del texts[name]
        both = set.intersection(*(set(texts.get(n, ())) for n in names))
        if both:
            result.notes.append(f'split {split}: {len(both)} videos are both in train and in test')
    write_left_out(out / 'left_out.txt', result.left_out)
    write_lines(out / 'classes.txt', classes)
    write_lines(out / 'video_root.txt', [str(result.video_root)])
    for split in SPLITS:
        for name in (f'train_split{split}', f'test_split{split}'):
            file = out / f'{name}.txt'
            if name in texts:
                write_lines(file, texts[name])
                result.lists[file] = len(texts[name])
            else:
                file.unlink(missing_ok=True)
    result.notes.insert(0, f'{len(classes)} classes, labels 0 to {len(classes) - 1}')
    return result


def run_videos(function, tasks, description, workers=None, min_frames=1, timeout=TIMEOUT, progress=True):
    """Reason to leave out the video of each task, None where it is good.

    Args:
        function (callable): `check_video` or `reencode_video`.
        tasks (list of tuple): Arguments of its calls.
        description (str): Text beside the bar.
        workers, min_frames, timeout, progress: See `write_preparation`.

    Returns:
        list: str or None, in the order of `tasks`.
    """
    reasons = [None] * len(tasks)
    calls = run_isolated(function, tasks, workers, timeout)
    for index, frames, reason in track(
        calls, description, len(tasks), disable=not progress, console=Console(stderr=True)
    ):
        if reason is None and frames < min_frames:
            reason = f'too short: {frames} frames, min_frames {min_frames}'
        reasons[index] = reason
    return reasons


def check_list(
    file,
    videos,
    out=None,
    num_classes=None,
    workers=None,
    min_frames=1,
    timeout=TIMEOUT,
    progress=True,
    reader='decord',
):
    """Check a list of `file label` lines by opening every video.

    Args:
        file (str or Path): The list.
        videos (str or Path): Folder that its paths are relative to.
        out (str or Path, optional): File for the good lines, in their order;
            the others go to `<out>_left_out.txt` beside it, with reasons.
            Default: nothing is written.
        num_classes (int, optional): Labels must be below it.
        workers, min_frames, timeout, progress, reader: See
            `write_preparation`.

    Returns:
        Preparation: `left_out` holds ('line 3: a.avi 1', reason) in the order
        of the lines.

    Raises:
        FileNotFoundError, NotADirectoryError: No such list or folder.
        ValueError: No line names a video of the folder; `out` is the list.
    """
    file, videos = Path(file), inner_folder(videos, 'videos', 'the videos')
    if not file.is_file():
        raise FileNotFoundError(f'list: no file {file}; expected a list of "file label" lines')
    out = out and Path(out)
    if out and out.resolve() == file.resolve():
        raise ValueError(f'out: {out} is the list itself; give another name')
    if min_frames < 1:
        raise ValueError(f'min_frames must be at least 1, not {min_frames}')
    check_reader(reader)
    content = file.read_bytes()
    lines = dict(numbered_lines(content))
    good, reasons = parse_list(content, num_classes)
    reasons.update((line, f'repeats the file of line {first}') for line, first in repeats(good).items())
    entries = {}
    for entry in good:
        fault = reasons.get(entry.line) or file_fault(videos / entry.file)
        if fault:
            reasons[entry.line] = fault
        else:
            entries[entry.line] = (entry.file, entry.label)
    if not entries:
        found = '; '.join(f'line {number}: {reason}' for number, reason in sorted(reasons.items())[:1]) or 'it is empty'
        raise ValueError(f'{file}: no line names a video of {videos} ({found})')
    numbers = sorted(entries)
    results = run_videos(
        check_video,
        [(videos / entries[number][0], reader) for number in numbers],
        'Reading',
        workers,
        min_frames,
        timeout,
        progress,
    )
    reasons.update((n, reason) for n, reason in zip(numbers, results) if reason)
    good = [write_line(*entries[n]) for n in numbers if n not in reasons]
    result = Preparation(
        videos.resolve(),
        {out or file: len(good)},
        [(f'line {n}: {lines[n].strip()}', reasons[n]) for n in sorted(reasons)],
    )
    used = {label for _, label in entries.values()}
    unused = sorted(set(range(max(used) + 1)) - used)
    if unused:
        result.notes.append(
            f'labels go up to {max(used)} and {len(unused)} below are unused, first {unused[0]}; labels count from 0'
        )
    if out:
        write_lines(out, good)
        write_left_out(out.with_name(f'{out.stem}_left_out.txt'), result.left_out)
    return result


def write_left_out(file, left_out):
    """Write `item<tab>reason` lines."""
    lines = [f'{item}\t{reason}' for item, reason in left_out]
    write_lines(file, [line.encode('utf-8', 'backslashreplace').decode() for line in lines])
