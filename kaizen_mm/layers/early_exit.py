"""Early exit: samples whose scores are confident leave the batch, what is left goes on to the next iterate."""

from typing import Any, Callable, Iterator, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_number
from kaizen_mm.layers.increments import NoIncrement
from kaizen_mm.layers.writing_block import GivenIncrements, attribute_set, writing_blocks


class BlockPasses:
    """The iterates of a recurrent block one by one, for fewer and fewer samples.

    Args:
        block: The block.
        u: Its input.
        after: The scores from its output and the index of the iterate.
    """

    def __init__(self, block: Any, u: Tensor, after: Callable[[Tensor, int], Tensor]):
        self._block, self._u, self._after = block, u, after
        self._increments = block.adapter.initial(block.num_iterations)
        self._z: Any = None  # of the last pass

    @property
    def num_iterations(self) -> int:
        """``K``."""
        return self._block.num_iterations

    def scores(self, index: int) -> Any:
        """Those of one iterate, for the samples that are left; to be called in order."""
        if self._z is not None:  # h runs for those alone that go on
            self._increments, self._z = self._block.adapter.update(self._increments, self._z), None
        more = index + 1 < self.num_iterations
        increments = [NoIncrement() if inc.is_none else inc.fresh() for inc in self._increments]
        given = GivenIncrements(index, increments, read=more)
        with attribute_set(self._block, 'given', given):
            scores = self._pass(index)
        self._z = given.z
        return scores

    def _pass(self, index: int) -> Tensor:
        return self._after(self._block(self._u)[0], index)

    def keep(self, mask: Tensor) -> None:
        """Leaves some samples out of the passes that follow; a sample may have several entries of the batch, one
        sample's after the other's."""
        self._u = kept_entries(self._u, mask)
        self._keep_written(mask)

    def _keep_written(self, mask: Tensor) -> None:
        self._increments = [
            inc if inc.is_none else inc.mapped(lambda rows: kept_entries(rows, mask), lambda basis: basis)
            for inc in self._increments
        ]
        self._z = None if self._z is None else kept_entries(self._z, mask)


def kept_entries(tensor: Tensor, mask: Tensor) -> Tensor:
    """The entries of some samples, one sample's standing after the other's."""
    return tensor[mask] if len(tensor) == len(mask) else tensor.unflatten(0, (len(mask), -1))[mask].flatten(0, 1)


def check_early_exit(network: nn.Module, threshold: float) -> None:
    """Raises ValueError unless samples can leave a network early, and ``threshold`` is a probability."""
    check_number('threshold', threshold, 0, 1)
    writing_blocks(network, 'early_exit')
    if network.training:
        raise ValueError('early_exit: the network is in training mode, in which samples are not alone; call .eval()')


class Leaving(NamedTuple):
    """The samples that leave after a pass: what the pass gave for all that were left, which of those leave (``mask``),
    their indices in the batch, and how many passes they took."""

    output: Any
    mask: Tensor
    samples: Tensor
    passes: int


def leaving(passes: Any, confident: Callable[[Any, int], Tensor]) -> Iterator[Leaving]:
    """Runs passes until every sample has left.

    Args:
        passes: Such as :class:`BlockPasses`.
        confident: From what a pass gives and the index of the iterate: which samples may leave, ``[n]``.
    """
    left: Any = None  # indices of the samples that are left
    for index in range(passes.num_iterations):
        output = passes.scores(index)
        done = confident(output, index)
        if left is None:
            left = torch.arange(len(done), device=done.device)
        if index + 1 == passes.num_iterations:
            done = torch.ones_like(done)
        yield Leaving(output, done, left[done], index + 1)
        left = left[~done]
        if not len(left):
            return
        if done.any():
            passes.keep(~done)


def exited(passes: Any, threshold: float) -> Tuple[Tensor, Tensor]:
    """Runs passes until every sample has left.

    Args:
        passes: Such as :class:`BlockPasses`.
        threshold: A sample leaves where its largest probability is at least this.

    Returns:
        Scores ``[N, C]``, and the number of passes of each sample, ``[N]``, from 1 to K.

    Raises:
        ValueError: The network gives no scores.
    """

    def confident(scores, index):
        if not isinstance(scores, Tensor) or scores.dim() != 2:
            what = f'shape {tuple(scores.shape)}' if isinstance(scores, Tensor) else f'a {type(scores).__name__}'
            raise ValueError(f'early_exit: the network must give scores [N, classes], it gives {what}')
        return scores.float().softmax(dim=1).amax(dim=1) >= threshold

    result: Any = None
    for part in leaving(passes, confident):
        if result is None:
            result = torch.empty_like(part.output)
            count = torch.zeros(len(result), dtype=torch.long, device=result.device)
        result[part.samples], count[part.samples] = part.output[part.mask], part.passes
    return result, count
