"""Predictions of files: what networks of configs and of timm have in common.

:class:`kaizen_mm.openmmlab.inference.ConfigPredictor` and
:class:`kaizen_mm.inference.timm_networks.TimmPredictor` are used the same way:

    predictor = ConfigPredictor('configs/kaizen_mfnet_list.py', 'work_dirs/kaizen_mfnet_list/epoch_20.pth')
    for prediction in predictor(['clip.mp4', 'folder']):
        print(prediction.file, prediction.error or prediction.top(3)[-1])
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
import torch

from kaizen_mm.data.class_names import read_class_names
from kaizen_mm.data.isolation import run_isolated
from kaizen_mm.data.video_check import check_video
from kaizen_mm.inference.media import check_kind, find_files


class Ranked(NamedTuple):
    """A class of a prediction: ``label`` from 0, its ``name``, and its ``probability``."""

    label: int
    name: str
    probability: float


@dataclass
class Prediction:
    """What a network says of one file, or why it says nothing.

    Attributes:
        file: As it was given or found.
        kind: ``'image'`` or ``'video'``.
        names: Of the classes, by label.
        probabilities: ``[K, classes]``, first iterate first; of a video the mean over its clips. None with an error.
        clips: ``[K, clips, classes]`` of a video that was looked at in several clips; None otherwise.
        seconds: Reading included.
        error: Why the file could not be used; None where it could.
        annotated: The copy with its top classes, where one was asked for.
    """

    file: Path
    kind: str
    names: Sequence[str] = ()
    probabilities: Optional[np.ndarray] = None
    clips: Optional[np.ndarray] = None
    seconds: float = 0.0
    error: Optional[str] = None
    annotated: Optional[Path] = None

    def top(self, k: int) -> List[List[Ranked]]:
        """The k most probable classes of each iterate, best first."""
        return [self._ranked(scores, k) for scores in self.probabilities]

    def top_of_clips(self, k: int) -> List[List[List[Ranked]]]:
        """The same for each iterate and each of its clips; no clips where there is no detail."""
        if self.clips is None:
            return [[] for _ in self.probabilities]
        return [[self._ranked(scores, k) for scores in iterate] for iterate in self.clips]

    def agreeing_clips(self) -> List[int]:
        """For each iterate, how many clips have the video's most probable class as theirs."""
        return [
            int((clips.argmax(axis=1) == video.argmax()).sum()) for clips, video in zip(self.clips, self.probabilities)
        ]

    def _ranked(self, scores, k):
        return [
            Ranked(int(label), self.names[label], float(scores[label]))
            for label in np.argsort(-scores, kind='stable')[:k]
        ]


class Predictor(ABC):
    """A trained network, for files.

    Attributes:
        kind: ``'image'`` or ``'video'``, what the network takes.
        names: Of its classes; numbers where nothing else is known.
        num_iterations: ``K``.
        network: The network, in evaluation mode.
        check_videos: Whether each video is decoded whole before the network sees clips of it, so that a damaged one is
            an error rather than a wrong answer, a hang or a crash. Default True.
    """

    kind: str
    names: List[str]
    num_iterations: int
    network: torch.nn.Module
    check_videos = True

    def __call__(
        self,
        inputs: str | Path | Sequence[str | Path],
        progress: Callable[[Iterator, int], Iterator] = lambda predictions, total: predictions,
        use: Callable[[Prediction], None] = lambda prediction: None,
    ) -> List[Prediction]:
        """Predictions of files, folders and glob patterns, in their order.

        A file that cannot be used is one with an ``error``; it does not stop the others.

        Args:
            inputs: See :func:`kaizen_mm.inference.media.find_files`.
            progress: Wraps the iteration, such as to show a bar; gets the iterator and how many files there are.
            use: Called with each prediction as soon as it is there; an error that it raises is the prediction's.
        """
        files = find_files([inputs] if isinstance(inputs, (str, Path)) else inputs, self.kind)
        return list(progress(self._predictions(files, use), len(files)))

    def _predictions(self, files, use) -> Iterator[Prediction]:
        for file, error in files:
            started = time.perf_counter()
            prediction = Prediction(file, self.kind, self.names, error=error)
            if error is None:
                try:
                    self._predict(prediction)
                    prediction.seconds = time.perf_counter() - started
                    use(prediction)
                except Exception as error:
                    prediction.error = f'{"" if isinstance(error, ValueError) else type(error).__name__ + ": "}{error}'
            yield prediction

    def _predict(self, prediction):
        check_kind(prediction.file, self.kind)
        if self.kind == 'video' and self.check_videos:
            for _, _, reason in run_isolated(check_video, [(prediction.file,)], workers=1, method='fork'):
                if reason:
                    raise ValueError(reason)
        with torch.no_grad():
            scores = self._probabilities(prediction.file)
        if not np.isfinite(scores).all():
            raise ValueError('the network gives NaN or infinity')
        if scores.shape[2] != len(self.names):
            raise ValueError(f'the network gives {scores.shape[2]} classes, but {len(self.names)} have names')
        prediction.probabilities = scores.mean(axis=1)
        prediction.clips = scores if scores.shape[1] > 1 else None

    @abstractmethod
    def _probabilities(self, path: Path) -> np.ndarray:
        """Probabilities ``[K, clips, classes]`` of a file; of an image, one clip."""


def class_names(
    num_classes: int, labels: Optional[str | Path] = None, known: Optional[Sequence[str]] = None
) -> List[str]:
    """Names of the classes: those of a file, those that are known, or else numbers.

    Args:
        num_classes: How many the network has.
        labels: A file with one name a line.
        known: Of the checkpoint or the config; passed over where there are more or fewer than classes.

    Raises:
        FileNotFoundError, ValueError: ``labels`` cannot be used, see
            :func:`~kaizen_mm.data.class_names.read_class_names`.
    """
    if labels is not None:
        return read_class_names(labels, num_classes)
    if known is not None and len(known) == num_classes:
        return [str(name) for name in known]
    return [str(label) for label in range(num_classes)]
