"""``data``: what loading clips costs, in time of one core, by size of the videos, reader and part of the pipeline."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from kaizen_mm.config_files import config_path
from kaizen_mm.data.moving_digits import MovingDigits, write_video
from kaizen_mm.data.reencoding import encode, output_size, shown_size
from kaizen_mm.data.video_readers import READERS, check_reader, open_video

from .conditions import Conditions
from .timing import Side, interleaved, summary

# what is timed: a config, its pipeline, and up to which step; None for all of it
_STAGES = {
    'decoding': ('kaizen_mfnet_ucf101.py', 'train', 'DecordDecode'),
    'to 224 px': ('kaizen_mfnet_ucf101.py', 'train', None),
    'to 112 px': ('kaizen_mfnet_list.py', 'train', None),
    'ten clips': ('kaizen_mfnet_ucf101.py', 'test', None),
}
_SHORT_SIDES = (128, 192, 256)


def measure(how: Conditions, folder: str | None = None) -> Iterable[dict[str, Any]]:
    """The records.

    Args:
        how: Of it ``seconds``, ``rounds`` and ``quick``.
        folder: With videos; see :func:`videos`.

    Raises:
        ValueError: There are none in the folder.
    """
    with tempfile.TemporaryDirectory() as made:
        files = videos(folder, Path(made), 40 if how.quick else 164)[: 1 if how.quick else None]
        rows: list[dict[str, Any]] = []
        sides = []
        for source, paths in sources(files, Path(made), how.quick).items():
            size = sum(path.stat().st_size for path in paths) / len(paths)
            about = dict(videos=source, pixels='{}x{}'.format(*shown_size(paths[0])), mib=round(size / 2**20, 3))
            for reader in readers():
                frames = same_frames(paths, reader)
                for stage in _STAGES:
                    seeds = range(1 if how.quick or stage == 'ten clips' else 8)
                    sides.append(Side(str(len(rows)), functools.partial(load, stage, reader, paths, seeds)))
                    rows.append(dict(about, reader=reader, frames=frames, stage=stage, clips=len(seeds) * len(paths)))
        times = interleaved(sides, how.seconds, least_rounds=how.rounds)
    for row, side in zip(rows, sides):
        cost = summary([1e3 * seconds / row['clips'] for seconds in times[side.name].cpu])
        yield dict(row, ms_of_a_core=cost, a_second_and_core=round(1e3 / cost['median'], 1))


def videos(folder: str | None, made: Path, frames: int = 164) -> list[Path]:
    """The files of a folder.

    Args:
        folder: None for ``$KAIZEN_DATA/ucf101_samples`` if it is there. Else two videos of moving digits are made, as
            large as UCF101's and with one key frame in 250.
        made: Folder for these.
        frames: Of each.

    Raises:
        ValueError: There are none in the folder.
    """
    samples = Path(os.environ.get('KAIZEN_DATA', 'data'), 'ucf101_samples')
    if folder is not None or samples.is_dir():
        place = samples if folder is None else Path(folder)
        found = sorted(path for path in place.iterdir() if path.suffix in ('.avi', '.mp4', '.mkv', '.webm'))
        if not found:
            raise ValueError(f'--videos must be a folder with videos, got {place}')
        return found
    digits = MovingDigits(num_train=2, num_val=1, num_frames=frames, size=240, noise=0)
    files = [made / f'made_{index}.mp4' for index in range(2)]
    for index, file in enumerate(files):
        write_video(made / 'square.mp4', digits.render('train', index)[0], 25)
        encode(made / 'square.mp4', file, (320, 240), {'crf': '20', 'g': '250'})
    return files


def sources(files: Sequence[Path], folder: Path, quick: bool = False) -> dict[str, list[Path]]:
    """The originals, and re-encoded to several sizes, each in a folder of its own."""
    made = {'originals': list(files)}
    for side in _SHORT_SIDES[: 1 if quick else None]:
        (folder / str(side)).mkdir()
        made[f'--short-side {side}'] = [folder / str(side) / f'{file.stem}.mp4' for file in files]
        for file, target in zip(files, made[f'--short-side {side}']):
            encode(file, target, output_size(*shown_size(file), side))
    return made


def readers() -> list[str]:
    """Those that are installed."""
    found = []
    for reader in READERS:
        with contextlib.suppress(ImportError):
            check_reader(reader)
            found.append(reader)
    return found


@functools.cache
def pipeline(stage: str, reader: str) -> Compose:
    """What loads, of the configs of this package."""
    name, part, last = _STAGES[stage]
    steps = Config.fromfile(config_path(name))[f'{part}_dataloader'].dataset.pipeline
    end = None if last is None else [step.type for step in steps].index(last) + 1
    with DefaultScope.overwrite_default_scope('mmaction'):
        return Compose([dict(type='VideoInit', reader=reader), *steps[1:end]])


def load(stage: str, reader: str, paths: Sequence[Path], seeds: Iterable[int]) -> list[dict]:
    """What a data set loads of files, once for each seed."""
    loaded = []
    for seed in seeds:
        for path in paths:
            np.random.seed(seed)
            sample = dict(filename=str(path), label=0, start_index=0, modality='RGB', test_mode=stage == 'ten clips')
            loaded.append(pipeline(stage, reader)(sample))
    return loaded


def same_frames(paths: Sequence[Path], reader: str) -> str:
    """Whether a reader gives the very frames that PyAV gives in a row."""
    largest = 0.0
    for path in paths:
        expected, found = (open_video(path, name) for name in ('pyav', reader))
        expected = expected.get_batch(range(len(expected))).asnumpy()
        places = np.arange(0, len(expected), 7)
        found = found.get_batch(places).asnumpy()
        largest = max(largest, float(np.abs(found.astype(int) - expected[places]).mean()))
    return "PyAV's" if largest == 0 else f'differ by {largest:.1f} of 255'
