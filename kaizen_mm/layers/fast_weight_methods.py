"""What recurrent networks do with fast weights (:mod:`kaizen_mm.layers.fast_weights`)."""

from typing import TYPE_CHECKING, Any, Optional, Tuple

from torch import nn

from kaizen_mm.layers.fast_weights import FastWeights
from kaizen_mm.layers.specialization import specialized
from kaizen_mm.layers.writing_block import holding, merged_pass, writing

if TYPE_CHECKING:
    _Network = nn.Module
else:
    _Network = object  # a mixin


class FastWeightMethods(_Network):
    """Methods of recurrent blocks and networks.

    ``network(x, fast_weights=w)`` is one pass with written weights: what iterate K gives, at the cost of one iterate.
    Gradients flow to what has written them. A block gives a tuple of one then.
    """

    def __call__(self, *args, fast_weights: Optional[FastWeights] = None, **kwargs):
        if fast_weights is None:
            return super().__call__(*args, **kwargs)
        held = merged_pass(self, fast_weights)
        if held is None or held.blocks[0].given is not None:
            with holding(self, fast_weights):
                return super().__call__(*args, **kwargs)
        held.enter()  # no context manager, which takes as long as all else here
        try:
            return super().__call__(*args, **kwargs)
        finally:
            held.leave()

    def written_weights(self, *args, **kwargs) -> FastWeights:
        """What the iterates of a pass write: ``W_K - W_1`` of the dynamic layers, per sample.

        Args:
            args, kwargs: Those of the network. In evaluation mode and without gradients unless they are wanted.

        Raises:
            ValueError: ``num_iterations`` is 1, so that nothing is written.
        """
        return written_weights(self, *args, **kwargs)

    def specialized(self, fast_weights: FastWeights) -> Any:
        """A plain network that has the weights written for one sample, see
        :func:`~kaizen_mm.layers.specialized`."""
        return specialized(self, fast_weights)

    def step(self, x, state: Optional[FastWeights] = None) -> Tuple[Any, FastWeights]:
        """One step of a stream, in the manner of PyTorch's recurrent cells: ``scores, state = network.step(x, state)``.

        Args:
            x: The network's input.
            state: None (default) for K passes, which write weights; what was written for one pass with it.

        Returns:
            The output of the last iterate, and what was written: with a ``state`` that one.

        Raises:
            ValueError: As in :meth:`written_weights` and of weights that do not fit.
        """
        if state is not None:
            return self(x, fast_weights=state), state
        with writing(self) as written:
            scores = self(x)
        return scores, written.weights


def written_weights(network: nn.Module, *args, **kwargs) -> FastWeights:
    """:meth:`FastWeightMethods.written_weights` of any network with recurrent blocks in it, such as a recognizer."""
    with writing(network) as written:
        network(*args, **kwargs)
    return written.weights
