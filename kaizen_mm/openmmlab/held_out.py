"""The threshold and temperatures of early exit, chosen on the held-out data of a config."""

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Union

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from kaizen_mm.calibration import (
    Calibration,
    check_calibration,
    choose_threshold,
    fit_temperatures,
    passes_at,
    probabilities,
    read_calibration,
)
from kaizen_mm.openmmlab.head_logits import scored
from kaizen_mm.openmmlab.inference import ConfigPredictor
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.contents import digest
from kaizen_mm.weights import PREFIX, weights_file

_READING = ('pipeline', 'test_mode', 'augment', 'lazy_init', 'max_refetch')  # how data are read, not which
_NEEDED = 'set val_dataloader.dataset, such as by --cfg-options, to data that were held out from the training'


def calibrate(
    config: Union[str, Path, Config],
    checkpoint: str,
    cfg_options: Optional[dict] = None,
    device: Optional[str] = None,
    track: Callable[[Iterable], Iterable] = iter,
    tolerance: float = 0.0,
) -> tuple:
    """Chooses temperatures and the threshold on ``val_dataloader``, which goes through the pipeline of the test.

    Args:
        config, checkpoint, cfg_options, device, track: As of :func:`kaizen_mm.report.evaluation.evaluate`.
        tolerance: Share of the held-out samples that may be lost against all passes. Default 0.

    Returns:
        A :class:`~kaizen_mm.calibration.Calibration`, and what is known of the held-out samples: ``samples``,
        ``accuracy`` of each iterate, ``early_exit_accuracy`` (in percent), ``mean_passes``.

    Raises:
        ValueError: The network has one iterate; the held-out data are those of the test, or those that are trained on;
            see also :class:`~kaizen_mm.openmmlab.inference.ConfigPredictor`.
    """
    predictor = ConfigPredictor(config, checkpoint, device=device, cfg_options=cfg_options)
    if predictor.num_iterations < 2:
        raise ValueError('early_exit: the network has num_iterations=1, so that there is nothing to leave early')
    logits, labels = logits_of(predictor, _held_out(predictor.config), track)
    return chosen(logits, labels, tolerance, digest_of(checkpoint))


def logits_of(predictor: ConfigPredictor, entries: dict, track: Callable[[Iterable], Iterable] = iter) -> tuple:
    """The logits ``[N, K, V, C]`` and labels ``[N]`` of the data of a config's entry for a data loader."""
    with DefaultScope.overwrite_default_scope(predictor.config.default_scope):
        loader = KaizenRunner.build_dataloader({'num_workers': 0, **entries}, seed=0)
    logits, labels = [], []
    for samples, found in scored(predictor.network, predictor.num_iterations, loader, track):
        logits.append(found.double().cpu().numpy())
        labels += [int(sample.gt_label) for sample in samples]
    return np.concatenate(logits), np.array(labels)


def chosen(logits: np.ndarray, labels: np.ndarray, tolerance: float = 0.0, checkpoint: str = '') -> tuple:
    """:func:`calibrate` from the logits ``[N, K, V, C]`` and labels ``[N]`` of held-out samples."""
    temperatures = fit_temperatures(logits, labels)
    right = probabilities(logits).argmax(axis=2) == labels[:, None]
    confidences = probabilities(logits, temperatures).max(axis=2)
    threshold = choose_threshold(right, confidences, tolerance)
    passes = passes_at(confidences, threshold)
    left = right[np.arange(len(right)), passes - 1]
    held_out = dict(
        samples=len(labels),
        accuracy=[100 * float(share) for share in right.mean(axis=0)],
        early_exit_accuracy=100 * float(left.mean()),
        mean_passes=float(passes.mean()),
    )
    return Calibration(threshold, temperatures, checkpoint), held_out


def calibration_of(exit_at: Union[float, Path], checkpoint: str) -> Calibration:
    """That of ``--exit-at``: a threshold, or the file of one that was chosen for this checkpoint.

    Raises:
        OSError, ValueError: See :func:`~kaizen_mm.calibration.read_calibration`.
    """
    if isinstance(exit_at, Path):
        return read_calibration(exit_at, digest_of(checkpoint))
    found = Calibration(exit_at)
    check_calibration(found)
    return found


def digest_of(checkpoint: str) -> str:
    """A short name of what a checkpoint holds; ``''`` where it is no file, as an address."""
    path = weights_file(checkpoint) if str(checkpoint).startswith(PREFIX) else Path(checkpoint)
    return digest(path) if path.is_file() else ''


def _held_out(cfg: Config) -> Dict[str, Any]:
    """The held-out data, read as the test reads its own."""
    entries = [cfg.get(f'{name}_dataloader') for name in ('val', 'test', 'train')]
    if entries[0] is None or entries[1] is None:
        raise ValueError(f'the config must have val_dataloader and test_dataloader; {_NEEDED}')
    known, test, train = (_content(entry) for entry in entries)
    for other, what in ((test, 'test'), (train, 'training')):
        if known == other:
            raise ValueError(f'val_dataloader reads the data of the {what}; {_NEEDED}')
    loader = {**entries[1], 'dataset': dict(entries[0]['dataset'])}
    if 'pipeline' in entries[0]['dataset'] and 'pipeline' in entries[1]['dataset']:
        loader['dataset']['pipeline'] = entries[1]['dataset']['pipeline']
    return loader


def _content(entry: Optional[dict]) -> Any:
    """Which data a data loader reads, whatever it does with them."""
    dataset = (entry or {}).get('dataset')
    while isinstance(dataset, dict) and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    if not isinstance(dataset, dict):
        return dataset
    return {key: _plain(value) for key, value in dataset.items() if key not in _READING}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
