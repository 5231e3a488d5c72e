"""What a config's network makes of every sample of its test set."""

from pathlib import Path
from typing import Callable, Iterable, List, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from kaizen_mm.calibration import Calibration, check_calibration, probabilities
from kaizen_mm.data.class_names import check_same_classes
from kaizen_mm.introspection import RecurrenceWatch
from kaizen_mm.openmmlab.class_names import OTHER_CLASSES
from kaizen_mm.openmmlab.head_logits import scored
from kaizen_mm.openmmlab.inference import ConfigPredictor
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.report import Outcomes


def evaluate(
    config: str | Path | Config,
    checkpoint: str,
    cfg_options: Optional[dict] = None,
    device: Optional[str] = None,
    track: Callable[[Iterable], Iterable] = iter,
    temperatures: Sequence[float] = (),
) -> Outcomes:
    """Runs a trained network over the test set of its config.

    Args:
        config: The config or its file.
        checkpoint: Its weights.
        cfg_options: Entries put over the config's.
        device: Default a GPU where there is one.
        track: Wraps the batches, such as in a progress bar.
        temperatures: Of each iterate, for its confidence alone. Default 1 for all.

    Raises:
        ValueError: See :class:`~kaizen_mm.openmmlab.inference.ConfigPredictor`; there is another number of temperatures
            than of iterates; or samples have no single label, or the
            test set is not of the classes that the checkpoint was trained with, in their order.
    """
    predictor = ConfigPredictor(config, checkpoint, device=device, cfg_options=cfg_options)
    check_calibration(Calibration(1.0, tuple(temperatures)), predictor.num_iterations)
    network = predictor.network
    with DefaultScope.overwrite_default_scope(predictor.config.default_scope):
        loader = KaizenRunner.build_dataloader({'num_workers': 0, **predictor.config.test_dataloader}, seed=0)
    watch = RecurrenceWatch(network) if predictor.num_iterations > 1 else None
    scores, confidences, labels, files = [], [], [], []
    for samples, logits in scored(network, predictor.num_iterations, loader, track, watch):
        views = logits.double().cpu().numpy()  # [N, K, V, C]
        scores.append(probabilities(views))
        confidences.append(probabilities(views, temperatures).max(axis=2) if temperatures else scores[-1].max(axis=2))
        for sample in samples:
            labels.append(int(sample.gt_label))
            files.append(_file(sample, loader.dataset, len(files)))
    return Outcomes(
        np.concatenate(scores),
        labels,
        _names(predictor, loader.dataset),
        files,
        watch.report() if watch else None,
        _Pixels(loader.dataset, network.data_preprocessor),
        np.concatenate(confidences),
    )


class _Pixels:
    """The pictures, or frames, of data in memory, as they come out of the pipeline."""

    def __init__(self, dataset, preprocessor):
        self._dataset, self._bgr = dataset, getattr(preprocessor, 'to_rgb', False)

    def __call__(self, sample: int) -> Optional[np.ndarray]:
        inputs = self._dataset[int(sample)].get('inputs')
        if not isinstance(inputs, Tensor) or inputs.dtype != torch.uint8 or inputs.dim() not in (3, 5):
            return None
        frames = inputs[0] if inputs.dim() == 5 else inputs[:, None]  # of a video its first clip
        if len(frames) not in (1, 3):
            return None
        pixels = frames.expand(3, -1, -1, -1).permute(1, 2, 3, 0).numpy()  # [1 or 3, T, H, W] -> [T, H, W, 3]
        pixels = np.ascontiguousarray(pixels[..., ::-1] if self._bgr else pixels)
        return pixels if inputs.dim() == 5 else pixels[0]


def _names(predictor: ConfigPredictor, dataset) -> List[str]:
    """The names that the network was trained with; or those of the test set where the checkpoint tells none."""
    metainfo = getattr(dataset, 'metainfo', None) or {}
    check_same_classes(
        predictor.dataset_meta, metainfo, 'the network was trained with', 'test_dataloader', OTHER_CLASSES
    )
    classes = [str(name) for name in metainfo.get('classes') or ()]
    known = predictor.dataset_meta.get('classes')
    return classes if not known and len(classes) == len(predictor.names) else predictor.names


def _file(sample, dataset, index: int) -> str:
    """Where a sample comes from; of data in memory its place."""
    for key in ('img_path', 'filename'):
        if key in sample:
            return str(sample.get(key))
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    return str(info.get('img_path') or info.get('filename') or f'sample {index}')
