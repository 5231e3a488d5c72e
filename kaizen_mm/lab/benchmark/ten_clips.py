"""``test``: ten clips of a video against one, from the file to the scores."""

import copy
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope

from .conditions import Conditions
from .counting import multiply_adds
from .data import package_config
from .media import videos
from .timing import Side, interleaved, ratio, summary

CONFIGS = {'kaizen_mfnet_ucf101.py': '224 px', 'kaizen_mfnet_list.py': '112 px'}
STAGES = ('decoding', 'network', 'both')


def measure(how: Conditions, folder: str | None = None) -> Iterable[dict[str, Any]]:
    """The records of each config: decoding, the network and both together, for one clip and for ten.

    ``ten, each alone`` decodes and resizes every clip by itself, as pipelines do that know nothing of clips that
    overlap.

    Raises:
        RuntimeError: Clips that are decoded together differ from those that are decoded alone.
    """
    with tempfile.TemporaryDirectory() as made:
        name, files = videos(folder, Path(made), 40 if how.quick else 164)
        for config, size in list(CONFIGS.items())[1 if how.quick else 0 :]:
            yield from _config(how, config, size, name, files[:1] if how.quick else files)


def _config(how: Conditions, config: str, size: str, name: str, files: list[Path]) -> Iterable[dict[str, Any]]:
    cfg = copy.deepcopy(package_config(config))
    model = cfg.model
    with DefaultScope.overwrite_default_scope('mmaction'):
        pipelines = {clips: Compose(steps) for clips, steps in _pipelines(cfg.test_dataloader.dataset.pipeline).items()}
        torch.manual_seed(0)
        model = MODELS.build(model).to(how.device).eval()  # in the layout that a user gets
    batches = {
        clips: [pseudo_collate([_load(pipeline, file, index)]) for index, file in enumerate(files)]
        for clips, pipeline in pipelines.items()
    }
    for together, alone in zip(batches['ten'], batches['ten, each alone']):
        if not torch.equal(together['inputs'][0], alone['inputs'][0]):
            raise RuntimeError('clips that are decoded together differ from those that are decoded alone')
    sides = []
    for clips in pipelines:
        runs = dict(zip(STAGES, _stages(how, model, pipelines[clips], batches[clips], files)))
        sides += [
            Side(f'{stage}: {clips}', runs[stage])
            for stage in STAGES
            if clips != 'ten, each alone' or stage != 'network'
        ]
    times = interleaved(sides, how.seconds, how.device, how.least_rounds())
    kind = 'wall' if how.device == 'cuda' else 'cpu'
    for side in sides:
        stage, clips = side.name.split(': ')
        own = getattr(times[side.name], kind)
        one = getattr(times[f'{stage}: one'], kind)
        yield dict(
            case=f'{config}, {size}',
            videos=name,
            stage=stage,
            side=clips,
            **how.describe(),
            rounds=len(own),
            ms_per_video={key: round(1e3 * value / len(files), 2) for key, value in summary(own).items()},
            ratio_to_one={key: round(value, 4) for key, value in ratio(own, one).items()},
            multiply_adds=multiply_adds(side.call) if stage == 'network' else None,
        )


def _pipelines(steps: list[dict]) -> dict[str, list[dict]]:
    """Of a test pipeline with ten clips on distinct frames: that of one clip, it itself, and that without sharing."""
    opening, sampling, shared, *rest = copy.deepcopy(steps)
    one = dict(sampling, num_clips=1)
    return {
        'one': [opening, one, *shared['transforms'], *rest],
        'ten': steps,
        'ten, each alone': [opening, sampling, *shared['transforms'], *rest],
    }


def _load(pipeline: Compose, file: Path, index: int) -> dict:
    return pipeline(dict(filename=str(file), label=0, start_index=0, modality='RGB', test_mode=True, sample_idx=index))


def _stages(how: Conditions, model, pipeline, batches, files):
    def decode():
        return [_load(pipeline, file, index) for index, file in enumerate(files)]

    def run():
        with torch.inference_mode(), how.autocast():
            return [model.test_step(batch) for batch in batches]

    def both():
        with torch.inference_mode(), how.autocast():
            return [model.test_step(pseudo_collate([data])) for data in decode()]

    return decode, run, both
