"""Annotation lists for UCF101 and HMDB51.

The lists have the form that mmaction2's `VideoDataset` reads: one
`relative/path.avi label` a line, one space, labels from 0 (names with spaces
are for `VideoListDataset` alone). They are made from the official splits (see
`splits`), and every video is decoded before a list names it (see
`video_check`).
"""

from pathlib import Path

from kaizen_mm.data.isolation import TIMEOUT
from kaizen_mm.data.lists import parse_list, write_line
from kaizen_mm.data.preparation import Preparation, run_videos, stream_notes, write_left_out
from kaizen_mm.data.reencoding import reencode_video
from kaizen_mm.data.splits import SPLITS, find_files, inner_folder, read_hmdb51_splits, read_ucf101_splits
from kaizen_mm.data.video_check import check_video
from kaizen_mm.data.video_readers import check_reader
from kaizen_mm.files import write_lines


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

    It writes `<list>.txt` for every list, `classes.txt` (one name a line, in the order of the labels), `left_out.txt`
    (file, tab, reason) and `video_root.txt` (the folder that the lists are relative to). With `short_side` it writes
    the videos under `videos/`. A list of an earlier run that this one does not write is removed.

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
    result.notes += stream_notes(sorted(kept))
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
