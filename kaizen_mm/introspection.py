"""What a recurrence does to samples: to the weights, to the logits, to the predictions.

A recurrent network can train well while its recurrence does nothing; then what it gains is
fine-tuning. These figures tell, and say why.
"""

from contextlib import ExitStack, contextmanager
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

from kaizen_mm.layers import AdaptiveRecurrentBlock, recurrent_blocks
from kaizen_mm.layers.evaluation import evaluation

# below these a recurrence is said to do nothing
WEIGHT_CHANGE, LOGIT_CHANGE = 1e-3, 1e-2
ENOUGH = 0.1  # a change of weights from which on the rate of h is not to blame

# why it does nothing, by the state of a block's h
READS_ZEROS, NO_STEP, FRESH, GIVES_ZEROS, TOO_SLOW = 'reads zeros', 'alpha is 0', 'fresh', 'gives zeros', 'too slow'
ADVICE = {
    READS_ZEROS: 'h reads zeros: all that the feedback gives is 0, so no rate of h can help. A norm that starts at '
    'zero (zero_init_last of timm, zero_init_residual) does that until phase one has trained it: load such a '
    'checkpoint, make the network without that option, or let h read another module.',
    NO_STEP: 'alpha is 0, so h has no effect.',
    FRESH: (
        'h is fresh: it has the weights that it was made with. Train phase two, or load its checkpoint, and look again.'
    ),
    GIVES_ZEROS: 'h is not trained yet: it gives zeros for what it reads. Train phase two and look again.',
    TOO_SLOW: 'h has been trained, but hardly moved: raise its rate, or alpha, or give it an optimizer like Adam.',
}
NO_EFFECT = (
    'The weights change, but nothing that follows does: the logits hardly depend on what this block does. Make another '
    'block recurrent.'
)
LITTLE = (
    'The weights change by little, and the logits by next to nothing: raise the rate of h until the weights change '
    'by a tenth or more. Where the logits then still stand, make another block recurrent.'
)


class RecurrenceReport(NamedTuple):
    """What each iteration changes; K iterates, L dynamic layers, N samples.

    ``weight_change``: ``||W_i - W_1|| / ||W_1||`` (Frobenius) for i = 2..K, by block, ``[K - 1, L, N]``;
    ``layers``: the names of the L dynamic layers, by block;
    ``logit_change``: ``||y_i - y_{i-1}|| / ||y_{i-1}||`` for i = 2..K, ``[K - 1, N]``, of logits less their mean;
    ``prediction_change``: whether the predicted class is another than in the iterate before, ``[K - 1, N]``;
    ``h``: what would explain a recurrence that does nothing, by block: a key of :data:`ADVICE`.
    """

    weight_change: Dict[str, Tensor]
    layers: Dict[str, Sequence[str]]
    logit_change: Tensor
    prediction_change: Tensor
    h: Dict[str, str]

    @property
    def does_nothing(self) -> bool:
        """Whether no block's weights change by a thousandth, or no logits by a hundredth and no prediction at all."""
        return self._weights_stand or (
            self.logit_change.max().item() < LOGIT_CHANGE and not self.prediction_change.any().item()
        )

    @property
    def _weights_stand(self) -> bool:
        return self._largest < WEIGHT_CHANGE

    @property
    def _largest(self) -> float:
        return max(change.max().item() for change in self.weight_change.values())

    @property
    def why(self) -> str:
        """Why the recurrence does nothing and what would help; ``''`` where it does something."""
        if not self.does_nothing:
            return ''
        if not self._weights_stand:
            return NO_EFFECT if self._largest >= ENOUGH else LITTLE
        return ' '.join((f'{name}: ' if len(self.h) > 1 else '') + ADVICE[state] for name, state in self.h.items())

    def __str__(self) -> str:
        samples = self.logit_change.shape[1]
        lines = [
            f'means over {samples} samples'.ljust(27)
            + ''.join(f'iterate {i + 2:<6}' for i in range(len(self.logit_change)))
        ]
        for name, change in self.weight_change.items():
            for index, layer in enumerate(self.layers[name]):
                path = '.'.join(part for part in (name, layer) if part)
                lines.append(f'weight change, {path}: ' + ', '.join(f'{c:.2g}' for c in change[:, index].mean(dim=1)))
        lines.append('logit change: ' + ', '.join(f'{c:.2g}' for c in self.logit_change.mean(dim=1)))
        lines.append(
            'predictions changed: ' + ', '.join(f'{c:.1%}' for c in self.prediction_change.float().mean(dim=1))
        )
        if self.does_nothing:
            lines.append(f'THE RECURRENCE DOES NOTHING. {self.why} See docs/any_network.md.')
        return '\n'.join(lines)


def logit_changes(logits: Sequence[Tensor]) -> Tensor:
    """``||y_i - y_{i-1}|| / ||y_{i-1}||`` of logits less their mean: K times ``[N, C] -> [K - 1, N]``."""
    centred = torch.stack([y.float() - y.float().mean(dim=1, keepdim=True) for y in logits])
    norms = centred[:-1].norm(dim=2).clamp(min=torch.finfo(torch.float).tiny)
    return (centred[1:] - centred[:-1]).norm(dim=2) / norms


def prediction_changes(logits: Sequence[Tensor]) -> Tensor:
    """Whether the predicted class differs from the iterate before: K times ``[N, C] -> [K - 1, N]``."""
    predicted = torch.stack([y.argmax(dim=1) for y in logits])
    return predicted[1:] != predicted[:-1]


def recurrence_report(
    network: nn.Module, *inputs, forward_iterates: Optional[Callable[..., Sequence[Tensor]]] = None
) -> RecurrenceReport:
    """Runs a batch through a recurrent network, in evaluation mode, and says what its iterations change.

    Args:
        network: A :class:`~kaizen_mm.models.RecurrentNetwork`, a network of :mod:`kaizen_mm.models`, one of timm's
            names of ours, or, with ``forward_iterates``, any other with a recurrent block.
        inputs: What ``forward_iterates`` takes.
        forward_iterates: What gives the K logits ``[N, C]``; by default the network's own. For a classifier of
            mmpretrain ``lambda x: net.head.iterate_scores(net.extract_feat(x))``, for a recognizer of mmaction2
            ``lambda x: net.cls_head.iterate_scores(net.extract_feat(x)[0])``.

    Raises:
        ValueError: The network has no recurrent block of two or more iterations, or no ``forward_iterates``.
    """
    watch = RecurrenceWatch(network)
    forward_iterates = forward_iterates or getattr(network, 'forward_iterates', None)
    if forward_iterates is None:
        raise ValueError(f'forward_iterates must be given for a {type(network).__name__}, which has none of its own')
    with evaluation(network), watch.watching():
        watch.add(forward_iterates(*inputs))
    return watch.report()


class RecurrenceWatch:
    """The same over several batches: while :meth:`watching`, each forward pass is followed by :meth:`add`.

    Raises:
        ValueError: The network has no recurrent block of two or more iterations.
    """

    def __init__(self, network: nn.Module):
        self.blocks = {
            name.replace('wrapped.', ''): block for name, block in recurrent_blocks(network) if block.num_iterations > 1
        }
        if not self.blocks:
            raise ValueError(
                f'network must have a recurrent block with num_iterations >= 2, {type(network).__name__} has none'
            )
        self._weights: Dict[str, List[Tensor]] = {name: [] for name in self.blocks}
        self._logits: List[Tensor] = []
        self._predictions: List[Tensor] = []
        self._reads = dict.fromkeys(self.blocks, 0.0)  # the largest absolute value that h has read

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notes what the blocks' ``h`` read."""
        with ExitStack() as stack:
            for name, block in self.blocks.items():
                stack.enter_context(self._noted(name, block.adapter))
            yield

    @contextmanager
    def _noted(self, name, adapter):
        changes = adapter.changes

        def noting(z):
            self._reads[name] = max(self._reads[name], z.detach().abs().max().item())
            return changes(z)

        adapter.changes = noting
        try:
            yield
        finally:
            del adapter.changes

    def add(self, logits: Sequence[Tensor]) -> None:
        """Takes down the last forward pass, whose K logits are given, each ``[N, C]``."""
        for name, block in self.blocks.items():
            self._weights[name].append(block.weight_change().cpu())
        self._logits.append(logit_changes(logits).cpu())
        self._predictions.append(prediction_changes(logits).cpu())

    def report(self) -> RecurrenceReport:
        """What the iterations changed in all passes so far."""
        return RecurrenceReport(
            weight_change={name: torch.cat(changes, dim=2) for name, changes in self._weights.items()},
            layers={name: block.dynamic for name, block in self.blocks.items()},
            logit_change=torch.cat(self._logits, dim=1),
            prediction_change=torch.cat(self._predictions, dim=1),
            h={name: self._state(name, block) for name, block in self.blocks.items()},
        )

    def _state(self, name: str, block: AdaptiveRecurrentBlock) -> str:
        if self._reads[name] == 0:
            return READS_ZEROS
        if block.adapter.alpha == 0:
            return NO_STEP
        if block.adapter_is_fresh():
            return FRESH
        return GIVES_ZEROS if max(change.max() for change in self._weights[name]) == 0 else TOO_SLOW
