"""A check of any list of `file label` lines, for videos of one's own."""

from pathlib import Path

from kaizen_mm.data.file_check import file_fault
from kaizen_mm.data.isolation import TIMEOUT
from kaizen_mm.data.lists import numbered_lines, parse_list, repeats, write_line
from kaizen_mm.data.preparation import Preparation, run_videos, stream_notes, write_left_out
from kaizen_mm.data.splits import inner_folder
from kaizen_mm.data.video_check import check_video
from kaizen_mm.data.video_readers import check_reader
from kaizen_mm.files import write_lines


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
            `annotations.write_preparation`.

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
    result.notes += stream_notes([videos / entries[n][0] for n in numbers if n not in reasons])
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
