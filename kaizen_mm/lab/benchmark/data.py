"""``data``: what loading a clip or a photo costs, in time of one core."""

import functools
import importlib.util
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from kaizen_mm.data.reencoding import X264, encode, output_size, shown_size
from kaizen_mm.data.video_readers import READERS, check_reader, open_video
from kaizen_mm.openmmlab.named_configs import config_path

from .conditions import Conditions
from .media import photos, videos
from .timing import Side, Times, interleaved, summary

_ONE_KEY_FRAME = dict(crf='20')  # x264's own choice: a key frame in 250 frames


def measure(how: Conditions, folder: str | None = None) -> Iterable[dict[str, Any]]:
    """The records of clips, of sources by reader and of sizes, and of photos.

    Args:
        how: Of it ``seconds`` and ``quick``.
        folder: With videos; see :func:`~kaizen_mm.lab.benchmark.media.videos`.
    """
    with tempfile.TemporaryDirectory() as made:
        name, files = videos(folder, Path(made), 40 if how.quick else 164)
        files = files[:1] if how.quick else files
        yield from _sources(how, name, files, Path(made))
        yield from _photos(how, files, Path(made))


def sources(files: Sequence[Path], folder: Path, quick: bool = False) -> dict[str, list[Path]]:
    """The originals, and re-encoded in several ways, each in a folder of its own."""
    ways = {
        'short side 256, enlarged, one key frame in 250': (256, _ONE_KEY_FRAME),
        '--short-side 256, size kept': (None, X264),
        '--short-side 192': (192, X264),
        '--short-side 128': (128, X264),
    }
    made = {'originals': list(files)}
    for index, (way, (side, options)) in enumerate(list(ways.items())[: 2 if quick else None]):
        (folder / str(index)).mkdir()
        made[way] = [folder / str(index) / f'{file.stem}.mp4' for file in files]
        for file, target in zip(files, made[way]):
            width, height = shown_size(file)
            scale = 256 / min(width, height)
            larger = tuple(2 * round(scale * length / 2) for length in (width, height))
            encode(file, target, larger if side == 256 else output_size(width, height, side or 256), options)
    return made


def readers() -> list[str]:
    """Those that are installed."""
    found = []
    for reader in READERS:
        try:
            check_reader(reader)
        except ImportError:
            continue
        found.append(reader)
    return found


@functools.lru_cache
def package_config(name: str) -> Config:
    """A config of this package."""
    return Config.fromfile(config_path(name))


def clip_pipeline(config: str, reader: str, whole: bool) -> Compose:
    """The training pipeline of a config of videos, or its part up to decoding."""
    steps = package_config(config).train_dataloader.dataset.pipeline
    end = None if whole else [step.type for step in steps].index('DecordDecode') + 1
    with DefaultScope.overwrite_default_scope('mmaction'):
        return Compose([dict(type='VideoInit', reader=reader), *steps[1:end]])


def clip(pipeline: Compose, file: Path, seed: int) -> dict:
    """One clip of a file, as a data set loads it."""
    np.random.seed(seed)
    return pipeline(dict(filename=str(file), label=0, start_index=0, modality='RGB', test_mode=False))


def _sources(how: Conditions, name: str, files: list[Path], folder: Path) -> Iterable[dict[str, Any]]:
    made = sources(files, folder, how.quick)
    configs = {'224': 'kaizen_mfnet_ucf101.py', '112': 'kaizen_mfnet_list.py'}
    clips = 1 if how.quick else 8
    rows: list[dict[str, Any]] = []
    sides: list[Side] = []
    for source, paths in made.items():
        mib = sum(path.stat().st_size for path in paths) / len(paths) / 2**20
        width, height = shown_size(paths[0])
        for reader in readers():
            for stage, config in (
                ('decoding', configs['224']),
                *((f'to {size} px', configs[size]) for size in configs),
            ):
                pipeline = clip_pipeline(config, reader, whole=stage != 'decoding')
                rows.append(
                    dict(
                        kind='clips',
                        videos=name,
                        source=source,
                        size=f'{width}x{height}',
                        mib_per_video=round(mib, 3),
                        reader=reader,
                        stage=stage,
                        frames=_same_frames(paths, reader),
                    )
                )
                sides.append(Side(str(len(sides)), _several(pipeline, paths, clips)))
    times = interleaved(sides, how.seconds, least_rounds=how.least_rounds())
    for index, row in enumerate(rows):
        yield dict(row, **_per_item(times[str(index)], clips * len(made[row['source']])))


def _several(pipeline, paths, clips):
    return lambda: [clip(pipeline, path, seed) for seed in range(clips) for path in paths]


def _per_item(times: Times, items: int) -> dict[str, Any]:
    cost = {key: round(1e3 * value / items, 3) for key, value in summary(times.cpu).items()}
    return dict(cpu_ms=cost, per_second_and_core=round(1e3 / cost['median'], 1), rounds=len(times.cpu))


def _same_frames(paths: Sequence[Path], reader: str) -> str:
    """Whether a reader gives the very frames that PyAV gives in a row."""
    largest = 0.0
    for path in paths:
        expected, found = (open_video(path, name) for name in ('pyav', reader))
        expected = expected.get_batch(range(len(expected))).asnumpy()
        places = np.arange(0, len(expected), 7)
        found = found.get_batch(places).asnumpy()
        largest = max(largest, float(np.abs(found.astype(int) - expected[places]).mean()))
    return "PyAV's" if largest == 0 else f'differ by {largest:.1f} of 255'


def _photos(how: Conditions, files: list[Path], folder: Path) -> Iterable[dict[str, Any]]:
    paths = photos(files, folder, number=2 if how.quick else 8)
    steps = package_config('kaizen_mfnet2d_imagenet_k2.py').train_dataloader.dataset.pipeline
    decoders = ['cv2', 'pillow'] + ['turbojpeg'] * (importlib.util.find_spec('turbojpeg') is not None)
    rows: list[dict[str, Any]] = []
    sides: list[Side] = []
    for decoder in decoders:
        for stage in ('decoding', 'to 224 px'):
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                pipeline = Compose(
                    [dict(steps[0], imdecode_backend=decoder), *(steps[1:] if stage != 'decoding' else [])]
                )
            rows.append(
                dict(
                    kind='photos',
                    videos='photos',
                    source='JPEG of 500x375, quality 90',
                    size='500x375',
                    reader=decoder,
                    stage=stage,
                    mib_per_video=round(sum(p.stat().st_size for p in paths) / len(paths) / 2**20, 3),
                )
            )
            sides.append(Side(str(len(sides)), _each(pipeline, paths)))
    times = interleaved(sides, how.seconds / 2, least_rounds=how.least_rounds())
    for index, row in enumerate(rows):
        yield dict(row, **_per_item(times[str(index)], len(paths)))


def _each(pipeline, paths):
    return lambda: [pipeline(dict(img_path=str(path), gt_label=0)) for path in paths]
