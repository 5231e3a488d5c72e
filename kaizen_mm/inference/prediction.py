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
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from kaizen_mm.data.class_names import names_from_labels
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
        readers: What videos are read with, see :mod:`kaizen_mm.data.video_readers`: the first, or for a video that it
            does not read well the next that passes the check. Default ``('decord', 'pyav')``.
        span: Frames from the first to the last of a clip, both counted; of an image 1. Asking for it raises ValueError
            where the config's test pipeline cannot be given frames that are decoded.
        passed_over: What the folders of the last call had that is not of that kind, each with what it is.
    """

    kind: str
    names: List[str]
    num_iterations: int
    network: torch.nn.Module
    check_videos = True
    readers: Sequence[str] = ('decord', 'pyav')
    span: int = 1
    passed_over: Sequence[Tuple[Path, str]] = ()

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
        files, self.passed_over = find_files([inputs] if isinstance(inputs, (str, Path)) else inputs, self.kind)
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
        if self.kind == 'video':
            self._read_with(self._checked_reader(prediction.file) if self.check_videos else self.readers[0])
        with torch.no_grad():
            scores = self._checked(self._probabilities(prediction.file))
        prediction.probabilities = scores.mean(axis=1)
        prediction.clips = scores if scores.shape[1] > 1 else None

    def of_frames(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities ``[K, classes]`` of a video that has just these frames, or of an image.

        They are those of a file that holds them. Where there are no more frames than a clip spans, all clips would be
        the same, and one is looked at.

        Args:
            frames: uint8 RGB ``[T, H, W, 3]``; of an image ``T`` is 1.

        Raises:
            ValueError: Not such frames; the network gives NaN, or another number of classes than have names; the
                config's test pipeline cannot be given frames.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise ValueError(f'frames must be uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}')
        if self.kind == 'image' and len(frames) != 1:
            raise ValueError(f'frames must be one frame, as the network takes images, got {len(frames)}')
        with torch.no_grad():
            return self._checked(self._probabilities(frames)).mean(axis=1)

    def _checked(self, scores):
        if not np.isfinite(scores).all():
            raise ValueError('the network gives NaN or infinity')
        if scores.shape[2] != len(self.names):
            raise ValueError(f'the network gives {scores.shape[2]} classes, but {len(self.names)} have names')
        return scores

    def _checked_reader(self, path: Path) -> str:
        reasons = []
        for reader in self.readers:
            ((_, _, reason),) = run_isolated(check_video, [(path, reader)], workers=1, method='fork')
            if not reason:
                return reader
            reasons.append(reason)
        raise ValueError(reasons[0])

    def _read_with(self, reader: str) -> None:
        """Takes this reader for the next video."""
        self._video_reader = reader

    @abstractmethod
    def _probabilities(self, source: Path | np.ndarray) -> np.ndarray:
        """Probabilities ``[K, clips, classes]`` of a file, or of decoded frames; of an image, one clip."""


def class_names(
    num_classes: int,
    labels: Optional[str | Path] = None,
    trained: Optional[Sequence[str]] = None,
    known: Optional[Sequence[str]] = None,
) -> List[str]:
    """Names of the classes: those of a file, those that the network was trained with, or else numbers.

    Args:
        num_classes: How many the network has.
        labels: A file, see :func:`~kaizen_mm.data.class_names.names_from_labels`.
        trained: Of the checkpoint; passed over, as ``known``, where there are more or fewer than classes.
        known: Of the config, where the checkpoint tells none.

    Raises:
        FileNotFoundError, ValueError: ``labels`` cannot be used.
    """
    trained, known = (
        [str(name) for name in names] if names is not None and len(names) == num_classes else None
        for names in (trained, known)
    )
    if labels is not None:
        return names_from_labels(labels, num_classes, trained)
    if trained or known:
        return trained or known
    return [str(label) for label in range(num_classes)]
