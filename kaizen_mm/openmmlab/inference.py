"""Predictions of files by a config's network: recognizers of mmaction2, classifiers of mmpretrain."""

import copy
import io
import logging
from functools import cached_property
from pathlib import Path
from typing import Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from PIL import Image

from kaizen_mm.data.pictures import read_picture
from kaizen_mm.files import write_bytes, write_lines
from kaizen_mm.inference import Predictor, class_names
from kaizen_mm.models.convert import without_prefix
from kaizen_mm.openmmlab.frame_pipeline import FramePipeline
from kaizen_mm.openmmlab.named_configs import load_config
from kaizen_mm.surgery.weights_check import check_trained_weights, num_iterations

KINDS = {'mmaction': 'video', 'mmpretrain': 'image'}
_SIZES = {'CIFAR10': 32, 'CIFAR100': 32, 'CifarInMemory': 32}  # of images that data sets give from memory, in RGB


class ConfigPredictor(Predictor):
    """The network of a config with the weights of a checkpoint.

    Files go through the config's test pipeline, so that a video is looked at in as many clips as in the test.

    Args:
        config: The config or its file.
        checkpoint: A file or an address.
        labels: A file with one class name a line. Where the checkpoint tells the trained names, they must be the same;
            other names are shown by lines of trained name, tab and name to be shown. Default what the checkpoint or
            else the config says, or else numbers.
        device: Default a GPU where there is one.
        cfg_options: Entries put over the config's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The checkpoint is of another network or another ``K``, ``labels`` names other classes or another
            number of them, or the config is not one of mmaction2 or mmpretrain with a test pipeline.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str,
        labels: Optional[str | Path] = None,
        device: Optional[str | torch.device] = None,
        cfg_options: Optional[dict] = None,
    ):
        cfg = load_config(config) if isinstance(config, (str, Path)) else copy.deepcopy(config)
        cfg.merge_from_dict(cfg_options or {})
        scope = cfg.get('default_scope')
        if scope not in KINDS:
            raise ValueError(f'default_scope of the config must be one of {sorted(KINDS)}, got {scope!r}')
        self.kind, self.config = KINDS[scope], cfg
        if cfg.get('data_preprocessor') is not None:
            cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
        with DefaultScope.overwrite_default_scope(scope):
            self._pipeline = Compose([_one_reader(step) for step in _test_pipeline(cfg)])
            self.network = MODELS.build(cfg.model)
        loaded = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
        state_dict, meta = without_prefix(loaded.get('state_dict', loaded)), loaded.get('meta') or {}
        check_trained_weights(self.network, state_dict, meta, f'checkpoint {checkpoint}')
        self.network.load_state_dict(state_dict, strict=False)  # counts of batches may be missing
        self.network.to(device or get_device()).eval()
        self.num_iterations = num_iterations(self.network)
        self.dataset_meta, known = meta.get('dataset_meta') or {}, _known_names(cfg)
        self.names = class_names(_num_classes(self.network), labels, self.dataset_meta.get('classes'), known)
        if labels is None and known and not self.dataset_meta.get('classes'):
            print_log(
                f'checkpoint {checkpoint} does not tell the names of its classes; those of the config are taken for '
                'them',
                logger='current',
                level=logging.WARNING,
            )

        self._opening = [step for step in self._pipeline.transforms if hasattr(step, 'reader')]
        own = self._opening[0].reader if self._opening else 'decord'
        self.readers = tuple(dict.fromkeys((own, 'pyav'))) if self._opening else (own,)

    def _read_with(self, reader: str) -> None:
        for step in self._opening:
            step.reader = reader

    @property
    def span(self) -> int:
        return self._frame_pipeline.span

    @cached_property
    def _frame_pipeline(self) -> FramePipeline:
        return FramePipeline(self._pipeline, self.kind)

    def _probabilities(self, source: Path | np.ndarray) -> np.ndarray:
        if isinstance(source, np.ndarray):
            data = self._frame_pipeline(source)
            self._check_views(data)
        elif self.kind == 'video':
            data = self._pipeline(dict(filename=str(source), label=-1, start_index=0, modality='RGB'))
        else:
            data = self._pipeline(dict(img_path=str(source)))
        (sample,) = self.network.test_step(pseudo_collate([data]))
        if 'iterate_clip_scores' in sample:
            scores = sample.iterate_clip_scores  # [K, clips, classes]
        elif 'iterate_scores' in sample:
            scores = sample.iterate_scores[:, None]  # [K, classes]
        else:
            scores = sample.pred_score[None, None]
        return scores.double().cpu().numpy()

    def _check_views(self, data):
        """Fast weights of a window are those of all its views in one pass."""
        most = (getattr(self.network, 'test_cfg', None) or {}).get('max_testing_views')
        views = len(data['inputs'])
        if self.kind == 'video' and self.num_iterations > 1 and most and views > most:
            raise ValueError(
                f'model.test_cfg.max_testing_views must be at least {views}, the views of a window, for a recurrent '
                f'network on a stream, got {most}; or take a shorter window'
            )


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


def _one_reader(step):
    """In the place of a step that loads a picture or opens a video, ours, so that a file means the same as to a network
    of timm."""
    options = {key: value for key, value in step.items() if key != 'type'} if isinstance(step, dict) else None
    if (
        options is not None
        and step['type'] in ('DecordInit', 'mmaction.DecordInit')
        and set(options) <= {'num_threads'}
    ):
        return dict(type='VideoInit', **options)
    if options is None or step['type'] not in ('LoadImageFromFile', 'mmpretrain.LoadImageFromFile'):
        return step
    if not set(options) <= {'color_type'} or options.get('color_type', 'color') not in ('color', 'grayscale'):
        return step

    def load(results: dict) -> dict:
        given = results['img_path']
        picture = given if isinstance(given, Image.Image) else read_picture(given)
        gray = options.get('color_type') == 'grayscale'
        results['img'] = np.asarray(picture.convert('L')) if gray else np.asarray(picture)[..., ::-1].copy()  # BGR
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results

    load.takes_pictures = True
    return load


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


def _known_names(cfg: Config):
    """Of the config's data set, or of its class."""
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        kind = registry.get(dataset['type']) if isinstance(dataset.get('type'), str) else dataset.get('type')
    found = [
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
