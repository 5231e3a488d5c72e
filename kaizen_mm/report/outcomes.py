"""What the iterates of a network make of every sample of a test set, and the figures that follow from it."""

from typing import Callable, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from kaizen_mm.calibration import Curve, exit_curve, passes_at
from kaizen_mm.introspection import RecurrenceReport
from kaizen_mm.uncertainty import Step, paired_by_sample

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A share and the bounds of its confidence interval (Wilson's score interval, 95 %)."""

    share: float
    low: float
    high: float


class Exit(NamedTuple):
    """Early exit at one threshold: ``accuracy``, the mean number of ``passes``, and the ``shares`` of samples that
    leave after 1, 2, ... of them."""

    accuracy: Interval
    passes: float
    shares: List[float]


class Outcomes:
    """The probabilities that every iterate gives to the classes of every sample.

    Args:
        scores: ``[N, K, C]``; of a video the mean of its clips.
        labels: ``[N]``.
        names: The C classes.
        files: Of each sample, for those who want to find it.
        recurrence: What the iterations change over all samples; None of a plain network.
        pixels: Gives the picture of sample n, ``[H, W, 3]``, or its frames, ``[T, H, W, 3]`` (uint8, RGB), where it has
            no file; or None.
        confidences: How sure every iterate is of each sample, ``[N, K]``. Default its largest probability.

    Raises:
        ValueError: There is no sample, a label is no class, or a score is not finite.
    """

    def __init__(
        self,
        scores: np.ndarray,
        labels: Sequence[int],
        names: Sequence[str],
        files: Sequence[str],
        recurrence: Optional[RecurrenceReport] = None,
        pixels: Callable[[int], Optional[np.ndarray]] = lambda sample: None,
        confidences: Optional[np.ndarray] = None,
    ):
        labels = np.asarray(labels)
        if scores.ndim != 3 or not len(labels) == len(scores) == len(files) > 0:
            raise ValueError(
                f'scores must be of shape [samples, iterates, classes], one for each of at least one label, got '
                f'{scores.shape} for {len(labels)} labels and {len(files)} files'
            )
        if scores.shape[2] != len(names) or labels.min() < 0 or labels.max() >= len(names):
            raise ValueError(
                f'labels must be from 0 to {scores.shape[2] - 1}, each with a name, got {labels.min()} to '
                f'{labels.max()} and {len(names)} names'
            )
        if not np.isfinite(scores).all():
            raise ValueError('scores must be finite; the network gives NaN or infinity')
        self.scores, self.labels, self.names, self.files = scores, labels, list(names), list(files)
        self.recurrence, self.pixels = recurrence, pixels
        self.predictions = scores.argmax(axis=2)  # [N, K]
        self.right = self.predictions == labels[:, None]
        self.confidences = scores.max(axis=2) if confidences is None else confidences

    @property
    def iterates(self) -> int:
        return self.scores.shape[1]

    def accuracy(self) -> List[Interval]:
        """Top-1 of every iterate."""
        return [_interval(right.sum(), len(right)) for right in self.right.T]

    def class_accuracy(self, iterate: int) -> List[Optional[Interval]]:
        """Top-1 of an iterate (from 0, or -1 for the last) on the samples of each class; None of a class without
        any."""
        return [
            _interval(self.right[chosen, iterate].sum(), chosen.sum())
            if (chosen := self.labels == label).any()
            else None
            for label in range(len(self.names))
        ]

    def confusion(self, iterate: int) -> np.ndarray:
        """Numbers of samples ``[true class, predicted class]``."""
        return confusion_matrix(self.labels, self.predictions[:, iterate], labels=range(len(self.names)))

    def step(self, earlier: int, later: int) -> Step:
        """What iterate ``later`` changes against ``earlier``, both from 0."""
        return paired_by_sample(self.right[:, earlier], self.right[:, later])

    def exit_curve(self) -> Curve:
        """Accuracy against mean passes, where confident samples leave early."""
        return exit_curve(self.right, self.confidences)

    def exit_at(self, threshold: float) -> Exit:
        """Early exit at one threshold."""
        passes = passes_at(self.confidences, threshold)
        right = self.right[np.arange(len(passes)), passes - 1]
        shares = [float((passes == number).mean()) for number in range(1, self.iterates + 1)]
        return Exit(_interval(right.sum(), len(right)), float(passes.mean()), shares)

    def corrected(self) -> np.ndarray:
        """Samples that the first iterate gets wrong and the last one right; the largest gain of the true class
        first."""
        return self._by_change(np.flatnonzero(~self.right[:, 0] & self.right[:, -1]), -1)

    def broken(self) -> np.ndarray:
        """Samples that the first iterate gets right and the last one wrong; the largest loss of the true class
        first."""
        return self._by_change(np.flatnonzero(self.right[:, 0] & ~self.right[:, -1]), 1)

    def _by_change(self, samples, sign):
        change = self.scores[samples, -1, self.labels[samples]] - self.scores[samples, 0, self.labels[samples]]
        return samples[np.argsort(sign * change, kind='stable')]


def _interval(right: int, of: int) -> Interval:
    bounds = binomtest(int(right), int(of)).proportion_ci(CONFIDENCE, method='wilson')
    return Interval(float(right / of), float(bounds.low), float(bounds.high))
