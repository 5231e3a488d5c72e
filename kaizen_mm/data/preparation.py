"""What all preparations of video lists share: videos tried one by one, what is left out, and the summary."""

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track

from kaizen_mm.data.isolation import TIMEOUT, run_isolated
from kaizen_mm.data.video_stream import choice_among_streams
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


def run_videos(function, tasks, description, workers=None, min_frames=1, timeout=TIMEOUT, progress=True):
    """Reason to leave out the video of each task, None where it is good.

    Args:
        function (callable): `check_video` or `reencode_video`.
        tasks (list of tuple): Arguments of its calls.
        description (str): Text beside the bar.
        workers, min_frames, timeout, progress: See `annotations.write_preparation`.

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


def stream_notes(files, named=5):
    """A line for each of the first files that have several video streams, and one that counts the others."""
    chosen = [(file, choice_among_streams(file)) for file in files]
    lines = [f'{file}: {choice}' for file, choice in chosen if choice]
    more = [f'and {len(lines) - named} more files of several video streams'] if len(lines) > named else []
    return lines[:named] + more


def write_left_out(file, left_out):
    """Write `item<tab>reason` lines."""
    lines = [f'{item}\t{reason}' for item, reason in left_out]
    write_lines(file, [line.encode('utf-8', 'backslashreplace').decode() for line in lines])
