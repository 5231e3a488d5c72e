"""Predictions of files by a config's network: recognizers of mmaction2, classifiers of mmpretrain."""

import copy
import io
from pathlib import Path
from typing import Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader

from kaizen_mm.files import write_bytes, write_lines
from kaizen_mm.inference import Predictor, class_names
from kaizen_mm.models.convert import without_prefix
from kaizen_mm.models.weights_check import check_trained_weights, num_iterations

KINDS = {'mmaction': 'video', 'mmpretrain': 'image'}
_SIZES = {'CIFAR10': 32, 'CIFAR100': 32, 'CifarInMemory': 32}  # of images that data sets give from memory, in RGB


class ConfigPredictor(Predictor):
    """The network of a config with the weights of a checkpoint.

    Files go through the config's test pipeline, so that a video is looked at in as many clips as in the test.

    Args:
        config: The config or its file.
        checkpoint: A file or an address.
        labels: A file with one class name a line; default what the checkpoint or the config says, or else numbers.
        device: Default a GPU where there is one.
        cfg_options: Entries put over the config's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The checkpoint is of another network or another ``K``, ``labels`` names another number of classes,
            or the config is not one of mmaction2 or mmpretrain with a test pipeline.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str,
        labels: Optional[str | Path] = None,
        device: Optional[str | torch.device] = None,
        cfg_options: Optional[dict] = None,
    ):
        cfg = Config.fromfile(config) if isinstance(config, (str, Path)) else copy.deepcopy(config)
        cfg.merge_from_dict(cfg_options or {})
        scope = cfg.get('default_scope')
        if scope not in KINDS:
            raise ValueError(f'default_scope of the config must be one of {sorted(KINDS)}, got {scope!r}')
        self.kind, self.config = KINDS[scope], cfg
        if cfg.get('data_preprocessor') is not None:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        with DefaultScope.overwrite_default_scope(scope):
            self._pipeline = Compose(_test_pipeline(cfg))
            self.network = MODELS.build(cfg.model)
        loaded = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
        state_dict, meta = without_prefix(loaded.get('state_dict', loaded)), loaded.get('meta') or {}
        check_trained_weights(self.network, state_dict, meta, f'checkpoint {checkpoint}')
        self.network.load_state_dict(state_dict, strict=False)  # counts of batches may be missing
        self.network.to(device or get_device()).eval()
        self.num_iterations = num_iterations(self.network)
        self.names = class_names(_num_classes(self.network), labels, _known_names(meta, cfg))

    def _probabilities(self, path: Path) -> np.ndarray:
        if self.kind == 'video':
            data = dict(filename=str(path), label=-1, start_index=0, modality='RGB')
        else:
            data = dict(img_path=str(path))
        (sample,) = self.network.test_step(pseudo_collate([self._pipeline(data)]))
        if 'iterate_clip_scores' in sample:
            scores = sample.iterate_clip_scores  # [K, clips, classes]
        elif 'iterate_scores' in sample:
            scores = sample.iterate_scores[:, None]  # [K, classes]
        else:
            scores = sample.pred_score[None, None]
        return scores.double().cpu().numpy()


def write_network(config: Config, checkpoint: str | Path, folder: str | Path) -> Tuple[Path, Path]:
    """Writes ``config.py`` and ``checkpoint.pth``, all that predicting with a trained network needs.

    Of the checkpoint the weights, the names of the classes and ``K`` are kept; what a training goes on from, such as
    the optimizer's state, is not. The config has the values that environment variables had.

    Args:
        config: Of the training.
        checkpoint: That it ended with.
        folder: Where both are written, whole or not at all.
    """
    loaded = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    meta = {key: loaded['meta'][key] for key in ('dataset_meta', 'num_iterations') if key in loaded['meta']}
    content = io.BytesIO()
    torch.save(dict(state_dict=loaded['state_dict'], meta=meta), content)
    folder = Path(folder)
    write_lines(folder / 'config.py', [config.pretty_text])
    write_bytes(folder / 'checkpoint.pth', content.getvalue())
    return folder / 'config.py', folder / 'checkpoint.pth'


def _test_pipeline(cfg: Config) -> list:
    """The steps of the test, for one file: where the data set gives frames or images, they are read from the file."""
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    while 'dataset' in dataset:
        dataset = dataset.dataset
    steps = [dict(step) for step in dataset.get('pipeline') or cfg.get('test_pipeline') or ()]
    types = [step['type'] for step in steps]
    if dataset.get('type') in _SIZES and 'LoadImageFromFile' not in types:
        side = _SIZES[dataset['type']]
        size = tuple(cfg.model.backbone.get('input_shape', (side, side))[-2:])
        return [
            dict(type='LoadImageFromFile'),
            _to_rgb,
            dict(type='Resize', scale=size[::-1]),
            *(steps or [dict(type='PackInputs')]),
        ]
    if not steps:
        raise ValueError(
            'the config must have test_dataloader.dataset.pipeline or test_pipeline, the steps that a file goes through'
        )
    if 'RawFrameDecode' in types:
        decoded = [dict(type='DecordDecode') if step['type'] == 'RawFrameDecode' else step for step in steps]
        steps = [dict(type='DecordInit'), *decoded]
    return steps


def _to_rgb(results: dict) -> dict:
    """The order of colours in which these data sets give images; files are loaded as BGR."""
    results['img'] = results['img'][..., ::-1].copy()
    return results


def _num_classes(network) -> int:
    """The width of the last layer of the head, or of what a network without one ends in."""
    head = getattr(network, 'cls_head', None) or getattr(network, 'head', None)
    for part in (head, network.backbone):
        number = getattr(part, 'num_classes', None)
        if number:
            return number
    raise ValueError(f'{type(head).__name__} does not say its num_classes; a head that does is needed')


def _known_names(meta: dict, cfg: Config):
    """Of the checkpoint's data set, of the config's, or of its class."""
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        kind = registry.get(dataset['type']) if isinstance(dataset.get('type'), str) else dataset.get('type')
    found = [
        meta.get('dataset_meta'),
        dataset.get('metainfo'),
        dict(classes=dataset.get('classes')),
        getattr(kind, 'METAINFO', None),
        getattr(kind, 'metainfo', None),
    ]
    for entry in found:
        classes = entry.get('classes') if isinstance(entry, dict) else None
        if isinstance(classes, (tuple, list)):
            return classes
    return None
