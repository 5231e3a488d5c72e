"""What is kept from one window of a stream to the next: fast weights, and the mean of the probabilities of a scene."""

from typing import Any, Callable, Optional, Tuple, TypeVar, Union

from torch import nn

from kaizen_mm.arguments import check_choice, check_int, is_int
from kaizen_mm.layers import FastWeights, holding, rewriting
from kaizen_mm.layers.writing_block import WritingBlock, writing

Result = TypeVar('Result')


def check_write(write: Union[str, int]) -> None:
    """Raises ValueError unless this says when weights are written anew."""
    if is_int(write):
        check_int('write', write)
    elif write not in ('never', 'cuts'):
        raise ValueError(f"write must be 'never', 'cuts' or a number of windows, an int >= 1, got {write!r}")


class WritingPolicy:
    """Lets a network look at the windows of a stream, in some of which it writes weights that it holds in the others.

    Args:
        network: Recurrent, or plain, which writes nothing.
        stride: Frames from the start of a window to that of the next.
        write: ``'never'``, ``'cuts'`` or a number of windows, see :class:`~kaizen_mm.streams.StreamRecognizer`.
        rewrite: None or a number of windows, see there.

    Attributes:
        fast_weights: Those that are held; None before the first window, and of a plain network.
    """

    def __init__(self, network: nn.Module, stride: int, write: Union[str, int], rewrite: Optional[int] = None):
        check_write(write)
        if rewrite is not None:
            check_int('rewrite', rewrite)
        self._network, self._stride, self._write, self._rewrite = network, stride, write, rewrite
        blocks = [module for module in network.modules() if isinstance(module, WritingBlock)]
        self.iterations = max([block.num_iterations for block in blocks], default=1)
        self.reset()

    def reset(self) -> None:
        """Forgets the stream."""
        self.fast_weights: Optional[FastWeights] = None
        self._since_all_passes = self._since_written = 0  # windows
        self._before = 0  # frames at the start of the last window that are of the scene before

    def __call__(self, look: Callable[[], Result], cut: Optional[int] = None) -> Tuple[Result, int, bool]:
        """What ``look`` gives for the next window, how many passes it took, and whether weights were written.

        Args:
            look: Runs the network on the window, once.
            cut: The frame of the window with which another scene begins, where one does.
        """
        if self.iterations == 1:
            return look(), 1, False
        all_passes = self.fast_weights is None or self._takes_all_passes(cut)
        rewrites = self._rewrite is not None and self._since_written >= self._rewrite
        if not all_passes and not rewrites:
            with holding(self._network, self.fast_weights):
                result = look()
        else:
            with writing(self._network) if all_passes else rewriting(self._network, self.fast_weights) as written:
                result = look()
            self.fast_weights, self._since_written = written.weights, 0
        self._before = max(self._before - self._stride, 0) if cut is None else cut
        self._since_all_passes = 1 if all_passes else self._since_all_passes + 1
        self._since_written += 1
        return result, self.iterations if all_passes else 1, all_passes or rewrites

    def _takes_all_passes(self, cut):
        if self._write == 'cuts':
            return cut is not None or self._before > 0
        return is_int(self._write) and self._since_all_passes >= self._write


class SceneMean:
    """The mean of what windows have given since the scene began, or each as it is.

    Args:
        smoothing: ``'mean'`` or None.
    """

    def __init__(self, smoothing: Optional[str]):
        check_choice('smoothing', smoothing, (None, 'mean'))
        self._smoothing = smoothing
        self.reset()

    def reset(self) -> None:
        """Forgets all windows."""
        self.total: Any = None
        self._count = 0

    def __call__(self, probabilities: Any, cut: Optional[int] = None) -> Any:
        """The mean that this window belongs to; ``cut`` is not None where another scene begins in it."""
        if self._smoothing is None:
            return probabilities
        if self.total is None or cut is not None:
            self.total, self._count = 0 * probabilities, 0
        self.total, self._count = self.total + probabilities, self._count + 1
        return self.total / self._count
