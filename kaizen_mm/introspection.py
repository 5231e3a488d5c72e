"""What a recurrence does to a batch: to the weights, to the logits, to the predictions.

A recurrent network can train well while its recurrence does nothing; then what it gains is
fine-tuning. These figures tell.
"""
from typing import Callable, Dict, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.evaluation import evaluation

# below these a recurrence is said to do nothing
WEIGHT_CHANGE, LOGIT_CHANGE = 1e-3, 1e-2


class RecurrenceReport(NamedTuple):
    """What each iteration changes; K iterates, L dynamic layers, N samples.

    ``weight_change``: ``||W_i - W_1|| / ||W_1||`` (Frobenius) for i = 2..K, by block, ``[K - 1, L, N]``;
    ``layers``: the names of the L dynamic layers, by block;
    ``logit_change``: ``||y_i - y_{i-1}|| / ||y_{i-1}||`` for i = 2..K, ``[K - 1, N]``, of logits less their mean;
    ``prediction_change``: whether the predicted class is another than in the iterate before, ``[K - 1, N]``.
    """
    weight_change: Dict[str, Tensor]
    layers: Dict[str, Sequence[str]]
    logit_change: Tensor
    prediction_change: Tensor

    @property
    def does_nothing(self) -> bool:
        """Whether no block's weights change by a thousandth, or no logits by a hundredth and no prediction at all."""
        weights = max(change.max().item() for change in self.weight_change.values())
        return weights < WEIGHT_CHANGE or (self.logit_change.max().item() < LOGIT_CHANGE
                                           and not self.prediction_change.any().item())

    def __str__(self) -> str:
        lines = ['means over the batch       ' + ''.join(f'iterate {i + 2:<6}' for i in range(len(self.logit_change)))]
        for name, change in self.weight_change.items():
            for index, layer in enumerate(self.layers[name]):
                path = '.'.join(part for part in (name, layer) if part)
                lines.append(f'weight change, {path}: ' + ', '.join(f'{c:.2g}' for c in change[:, index].mean(dim=1)))
        lines.append('logit change: ' + ', '.join(f'{c:.2g}' for c in self.logit_change.mean(dim=1)))
        lines.append('predictions changed: ' + ', '.join(f'{c:.1%}' for c in self.prediction_change.float().mean(dim=1)))
        if self.does_nothing:
            lines.append('THE RECURRENCE DOES NOTHING: what this network gains is fine-tuning. Raise the rate of h, or '
                         'alpha (docs/any_network.md).')
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


def recurrence_report(network: nn.Module, *inputs,
                      forward_iterates: Optional[Callable[..., Sequence[Tensor]]] = None) -> RecurrenceReport:
    """Runs a batch through a recurrent network, in evaluation mode, and says what its iterations change.

    Args:
        network: A :class:`~kaizen_mm.models.RecurrentNetwork`, a network of :mod:`kaizen_mm.models`, one of timm's names
            of ours, or, with ``forward_iterates``, any other with a recurrent block.
        inputs: What ``forward_iterates`` takes.
        forward_iterates: What gives the K logits ``[N, C]``; by default the network's own. For a classifier of mmpretrain
            ``lambda x: net.head.iterate_scores(net.extract_feat(x))``, for a recognizer of mmaction2
            ``lambda x: net.cls_head.iterate_scores(net.extract_feat(x)[0])``.

    Raises:
        ValueError: The network has no recurrent block of two or more iterations, or no ``forward_iterates``.
    """
    blocks = {name.replace('wrapped.', ''): block for name, block in recurrent_blocks(network) if block.num_iterations > 1}
    if not blocks:
        raise ValueError(f'network must have a recurrent block with num_iterations >= 2, {type(network).__name__} has none')
    forward_iterates = forward_iterates or getattr(network, 'forward_iterates', None)
    if forward_iterates is None:
        raise ValueError(f'forward_iterates must be given for a {type(network).__name__}, which has none of its own')
    with evaluation(network):
        logits = forward_iterates(*inputs)
    return RecurrenceReport(
        weight_change={name: block.weight_change() for name, block in blocks.items()},
        layers={name: block.dynamic for name, block in blocks.items()},
        logit_change=logit_changes(logits), prediction_change=prediction_changes(logits))
