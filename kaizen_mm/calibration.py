"""When a sample may leave early: temperatures and a threshold, chosen on data that neither training nor test sees.

A network's confidence, its largest probability, is as a rule too high. Guo et al., "On calibration of modern neural
networks" (arXiv:1706.04599), divide the logits by one number, the temperature, that makes the held-out labels most
likely. Each iterate has one of its own here.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence, Union

import numpy as np
from scipy.optimize import minimize_scalar

from kaizen_mm.arguments import check_number
from kaizen_mm.files import write_lines

FORMAT = 'kaizen_mm.early_exit.1'
_STEPS = 201  # thresholds of a curve
_COLDEST, _HOTTEST = 1e-2, 1e2  # temperatures


class Calibration(NamedTuple):
    """``threshold``: a sample leaves where its largest probability is at least this; ``temperatures``: of each iterate,
    1 for all where there are none; ``checkpoint``: digest of the file that it was chosen for, ``''`` for any."""

    threshold: float
    temperatures: tuple = ()
    checkpoint: str = ''


class Curve(NamedTuple):
    """For each threshold, from few passes to many: ``passes``, the mean over the samples, and ``accuracy``, a share."""

    thresholds: np.ndarray
    passes: np.ndarray
    accuracy: np.ndarray


def probabilities(logits: np.ndarray, temperatures: Sequence[float] = ()) -> np.ndarray:
    """The mean of the views' probabilities: ``[N, K, V, C] -> [N, K, C]``."""
    hot = np.asarray(temperatures or np.ones(logits.shape[1]), dtype=np.float64).reshape(1, -1, 1, 1)
    scaled = logits / hot
    scaled = np.exp(scaled - scaled.max(axis=3, keepdims=True))
    return (scaled / scaled.sum(axis=3, keepdims=True)).mean(axis=2)


def fit_temperatures(logits: np.ndarray, labels: Sequence[int]) -> tuple:
    """The temperature of each iterate that makes the labels most likely.

    Args:
        logits: Of held-out samples, ``[N, K, V, C]``: iterates, views (clips, crops), classes.
        labels: ``[N]``.
    """
    labels = np.asarray(labels)

    def surprise(log_temperature, iterate):
        chosen = probabilities(logits[:, iterate : iterate + 1], [math.exp(log_temperature)])[:, 0]
        return -np.log(np.maximum(chosen[np.arange(len(labels)), labels], 1e-30)).mean()

    bounds = (math.log(_COLDEST), math.log(_HOTTEST))
    return tuple(
        float(math.exp(minimize_scalar(surprise, bounds=bounds, args=(iterate,), method='bounded').x))
        for iterate in range(logits.shape[1])
    )


def passes_at(confidences: np.ndarray, threshold: float) -> np.ndarray:
    """How many passes each sample takes, ``[N]``, from its confidence in each iterate, ``[N, K]``."""
    may_leave = confidences >= threshold
    may_leave[:, -1] = True
    return may_leave.argmax(axis=1) + 1


def exit_curve(right: np.ndarray, confidences: np.ndarray) -> Curve:
    """Accuracy against mean passes.

    Args:
        right: Whether each iterate is right, ``[N, K]``.
        confidences: Its largest probability, ``[N, K]``, K being at least 2.
    """
    shares = np.linspace(0, 1, _STEPS)
    thresholds = np.unique(np.concatenate([[0.0], np.quantile(confidences[:, :-1], shares, method='nearest'), [1.0]]))
    points = []
    for threshold in thresholds:
        passes = passes_at(confidences, threshold)
        points.append((threshold, passes.mean(), right[np.arange(len(right)), passes - 1].mean()))
    return Curve(*(np.array(values) for values in zip(*points)))


def choose_threshold(right: np.ndarray, confidences: np.ndarray, tolerance: float = 0.0) -> float:
    """The threshold of the fewest mean passes at which no more than ``tolerance`` (a share) of accuracy is lost against
    all K passes, on held-out samples; the arguments are those of :func:`exit_curve`."""
    curve = exit_curve(right, confidences)
    fine = np.flatnonzero(curve.accuracy >= right[:, -1].mean() - tolerance - 1e-12)
    # that of 1 takes all passes, but for samples whose confidence is 1 to the last digit
    return float(curve.thresholds[fine[0]]) if len(fine) else 1.0


def write_calibration(path: Union[str, Path], calibration: Calibration, held_out: dict) -> None:
    """Writes a .json file that :func:`read_calibration` reads; ``held_out`` says on what it was chosen."""
    content = dict(format=FORMAT, **calibration._asdict(), held_out=held_out)
    write_lines(Path(path), [json.dumps(content, indent=2)])


def read_calibration(path: Union[str, Path], checkpoint: Optional[str] = None) -> Calibration:
    """What :func:`write_calibration` wrote.

    Args:
        path: The file.
        checkpoint: Digest of the checkpoint that it is used with. Default None: any.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none, or was chosen for another checkpoint.
    """
    try:
        content: Any = json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise ValueError(f'{path} has no threshold for early exit; kaizen-calibrate writes such files')
    try:
        found = Calibration(content['threshold'], tuple(content['temperatures']), content['checkpoint'])
        check_calibration(found)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged: {error}') from error
    if checkpoint is not None and found.checkpoint and found.checkpoint != checkpoint:
        raise ValueError(
            f'{path} was chosen for another checkpoint than the one that is tested; run kaizen-calibrate for this one'
        )
    return found


def check_calibration(calibration: Calibration, iterates: Optional[int] = None) -> None:
    """Raises ValueError unless the threshold is one and there is a temperature for each of ``iterates``, or none."""
    check_number('threshold', calibration.threshold, 0, 1)
    for temperature in calibration.temperatures:
        check_number('temperatures', temperature, _COLDEST / 2, _HOTTEST * 2)
    if iterates is not None and len(calibration.temperatures) not in (0, iterates):
        raise ValueError(
            f'temperatures must be one for each of {iterates} iterates, got {len(calibration.temperatures)}'
        )
