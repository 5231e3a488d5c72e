"""Predictions of a stream: what a trained network says of window after window.

predictor = ConfigPredictor('config.py', 'checkpoint.pth')
for window in StreamPredictor(predictor, write='cuts')('long.mp4'):
    print(window.time, window.top(1)[0])
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kaizen_mm.arguments import check_int
from kaizen_mm.inference import Prediction, Predictor, Ranked
from kaizen_mm.streams.policy import SceneMean, WritingPolicy
from kaizen_mm.streams.sources import Frame, FrameSource
from kaizen_mm.streams.windowing import windows


@dataclass(eq=False)
class WindowPrediction:
    """What a network says of a window.

    Attributes:
        index: Of the window, from 0.
        start, end: Its first frame in the stream, and the frame after its last one.
        time: Seconds from the first frame of the stream to that of the window.
        duration: Seconds from its first frame to its last.
        cut: The frame with which another scene begins, see :class:`~kaizen_mm.streams.Window`; None where none does.
        names: Of the classes.
        probabilities: ``[classes]``, smoothed where that is wanted.
        passes: Through the recurrent block: K where weights were written anew, else 1.
        wrote: Whether weights were written, be it from a single pass.
        recurrent: Whether the network can write any.
    """

    index: int
    start: int
    end: int
    time: float
    duration: float
    cut: int | None
    names: list[str]
    probabilities: np.ndarray
    passes: int
    wrote: bool
    recurrent: bool

    def top(self, k: int) -> list[Ranked]:
        """The k most probable classes, best first."""
        return Prediction('', 'video', self.names, self.probabilities[None]).top(k)[0]


class StreamPredictor:
    """A trained network for streams; each frame is decoded once, and what is kept does not grow with the stream.

    A window in which weights are written has the probabilities that ``predictor`` gives for a file of just its frames;
    with a plain network, or ``write=1``, all windows have.

    Args:
        predictor: :class:`~kaizen_mm.openmmlab.inference.ConfigPredictor` or
            :class:`~kaizen_mm.inference.timm_networks.TimmPredictor`.
        length: Frames of a window. Default as many as a clip of the network spans; of a network that takes images 1.
        stride: Frames from the start of a window to that of the next. Default ``length``.
        write: ``'cuts'`` (default), ``'never'`` or a number of windows, see
            :class:`~kaizen_mm.streams.StreamRecognizer`.
        smoothing: ``'mean'`` for the mean of the probabilities since the last cut, or None (default).
        rewrite: None (default) or a number of windows, see :class:`~kaizen_mm.streams.StreamRecognizer`.

    Raises:
        ValueError: An argument that cannot be used; the test pipeline cannot be given frames.
    """

    def __init__(
        self,
        predictor: Predictor,
        length: int | None = None,
        stride: int | None = None,
        write: str | int = 'cuts',
        smoothing: str | None = None,
        rewrite: int | None = None,
    ):
        span = predictor.span
        self.length = span if length is None else length
        check_int('length', self.length)
        if predictor.kind == 'image' and self.length != 1:
            raise ValueError(f'length, the frames of a window, must be 1, as the network takes images, got {length}')
        self.stride = self.length if stride is None else stride
        check_int('stride', self.stride)
        self._predictor, self.num_classes = predictor, len(predictor.names)
        self._policy = WritingPolicy(predictor.network, self.stride, write, rewrite)
        self._mean = SceneMean(smoothing)

    def __call__(self, source: FrameSource, watch: Callable[[Frame], None] | None = None) -> Iterator[WindowPrediction]:
        """The windows of a stream, each before the next is read.

        Args:
            source: A :class:`~kaizen_mm.streams.FrameSource`, or what one takes.
            watch: Called with each frame, before the window that it completes is given. Default None.

        Raises:
            ValueError: The stream is shorter than a window, at its end.
        """
        self._policy.reset()
        self._mean.reset()
        for index, window in enumerate(windows(source, self.length, self.stride, watch=watch)):
            iterates, passes, wrote = self._policy(lambda: self._predictor.of_frames(window.frames), window.begins)  # noqa: B023
            probabilities = self._mean(iterates[-1], window.begins)
            yield WindowPrediction(
                index,
                window.start,
                window.end,
                window.time,
                window.duration,
                window.cut,
                self._predictor.names,
                probabilities,
                passes,
                wrote,
                self._policy.iterations > 1,
            )
