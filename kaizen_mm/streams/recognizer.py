"""A network on the windows of a stream: fast weights are written in some of them and held in the others.

A window in which weights are written costs K passes through the recurrent block, one in which they are held a single
one. Weights are those of a scene: what another scene has written does harm, so that a cut is a reason to write anew.
"""

from collections import deque
from dataclasses import dataclass
from typing import Deque, Iterable, Iterator, Optional, Union

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_flag, check_int
from kaizen_mm.export import Logits
from kaizen_mm.layers import FastWeights
from kaizen_mm.streams.policy import SceneMean, WritingPolicy


@dataclass
class WindowScores:
    """What a window gives.

    Attributes:
        index: Of the window, from 0.
        probabilities: ``[classes]``, or ``[N, classes]`` of N streams side by side; smoothed where that is wanted.
        scores: Of this window alone, before softmax.
        passes: Through the recurrent block: K where weights were written anew, else 1.
        wrote: Whether weights were written, be it from a single pass.
    """

    index: int
    probabilities: Tensor
    scores: Tensor
    passes: int
    wrote: bool


class StreamRecognizer:
    """Classifies a stream window by window; what it keeps does not grow with the stream.

    Frames and windows are tensors that have been preprocessed; where scenes begin is told along with them, such as by
    a :class:`~kaizen_mm.streams.CutMeter`:

        for pixels in frames:
            found = recognizer.frame(preprocess(pixels), cut=meter(pixels))

    Args:
        network: A network that gives scores, in evaluation mode: one of this package, of timm's names, or a recognizer
            of mmaction2. A plain one writes nothing.
        length: Frames of a window, for :meth:`frame` and :meth:`run`. Default 16.
        stride: Frames from the start of a window to that of the next. Default ``length``.
        write: When fast weights are written anew: ``'never'`` (default), which is in the first window alone; an int M
            for every M windows (with 1 the network makes its K passes in each); ``'cuts'`` where a scene begins, and
            again in the first window that holds nothing of the scene before.
        smoothing: ``'mean'`` for the mean of the probabilities since the last cut, or None (default).
        rewrite: Of the windows between, every so manyth goes on writing from its single pass, see
            :func:`~kaizen_mm.layers.rewriting`: for networks that were trained on chains of windows; others lose what
            they can. Default None: none does.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        network: nn.Module,
        length: int = 16,
        stride: Optional[int] = None,
        write: Union[str, int] = 'never',
        smoothing: Optional[str] = None,
        rewrite: Optional[int] = None,
    ):
        if not isinstance(network, nn.Module) or network.training:
            what = 'one in training mode; call .eval()' if isinstance(network, nn.Module) else repr(network)
            raise ValueError(f'network must be a torch.nn.Module in evaluation mode, got {what}')
        check_int('length', length)
        check_int('stride', length if stride is None else stride)
        self.length, self.stride = length, length if stride is None else stride
        self._network = Logits(network)
        self._policy = WritingPolicy(network, self.stride, write, rewrite)
        self._mean = SceneMean(smoothing)
        self.reset()

    def reset(self) -> None:
        """Forgets the stream: the next window is the first one."""
        self._frames: Deque[Tensor] = deque(maxlen=self.length)
        self._to_come = self.length  # frames until the next window is whole
        self._windows = 0
        self._cut: Optional[int] = None  # frames that there are from the last cut on, until a window has told it
        self._policy.reset()
        self._mean.reset()

    @property
    def fast_weights(self) -> Optional[FastWeights]:
        """Those that are held; None before the first window, and of a plain network."""
        return self._policy.fast_weights

    @torch.no_grad()
    def window(self, x: Tensor, cut: Optional[int] = None) -> WindowScores:
        """Classifies the next window.

        Args:
            x: As the network takes it, preprocessed: ``[1, C, T, H, W]``, or of several streams side by side
                ``[N, C, T, H, W]``.
            cut: The frame in it, from 0, with which another scene begins, where that was not told with the window
                before. Default None: there is none.

        Raises:
            ValueError: ``cut`` is no such number; another number of streams than before.
        """
        if cut is not None:
            check_int('cut', cut, 0)
        scores, passes, wrote = self._policy(lambda: self._network(x), cut)
        self._windows += 1
        probabilities = self._mean(scores.float().softmax(dim=1), cut)
        return WindowScores(self._windows - 1, _single(probabilities), _single(scores), passes, wrote)

    def frame(self, frame: Tensor, cut: bool = False) -> Optional[WindowScores]:
        """Takes the next frame; gives the scores of the window that it completes, if it does.

        Args:
            frame: Preprocessed, ``[C, H, W]``.
            cut: Whether another scene begins with it. Default False.

        Raises:
            ValueError: It is of another shape than the frames before it.
        """
        if not isinstance(frame, Tensor) or frame.dim() != 3 or (self._frames and frame.shape != self._frames[0].shape):
            own = tuple(self._frames[0].shape) if self._frames else '(C, H, W)'
            given = tuple(frame.shape) if isinstance(frame, Tensor) else type(frame).__name__
            raise ValueError(f'frame must be a tensor of shape {own}, as those before it, got {given}')
        check_flag('cut', cut)
        self._frames.append(frame)
        self._to_come -= 1
        self._cut = 1 if cut else None if self._cut is None else self._cut + 1
        if self._to_come:
            return None
        self._to_come = self.stride
        begins = None if self._cut is None else max(self.length - self._cut, 0)
        self._cut = None
        return self.window(torch.stack(list(self._frames), dim=1)[None], begins)

    def run(self, frames: Iterable[Tensor]) -> Iterator[WindowScores]:
        """The scores of all windows of a stream, each before the frames of the next are taken.

        Raises:
            ValueError: The stream has fewer frames than a window.
        """
        count, windows = 0, self._windows
        for frame in frames:
            count += 1
            scores = self.frame(frame)
            if scores is not None:
                yield scores
        if self._windows == windows:
            raise ValueError(f'length must be at most the {count} frames of the stream, got {self.length}')


def _single(tensor: Tensor) -> Tensor:
    return tensor[0] if len(tensor) == 1 else tensor
