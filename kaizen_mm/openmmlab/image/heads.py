"""A classification head over the iterates of a recurrent backbone."""

from typing import Callable, List, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS as ALL_MODELS
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from kaizen_mm.layers import PerIterate
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.openmmlab.training.passed_over import check_not_passed_over


@MODELS.register_module()
class AdaptiveRecurrentClsHead(PerIterate, BaseModule):
    """Applies any mmpretrain classification head to each iterate.

    ``L_i`` is the wrapped head's own loss on iterate i, so that its label smoothing, soft labels
    (mixup, CutMix) and multi-label losses hold for every iterate. The state dict is that of the
    wrapped head. With one iterate the head is the wrapped head.

    Args:
        head: Config of the wrapped head, with its own ``loss``.
        loss: Config of the loss over the iterates. Default ``dict(type='KaizenLoss')``. Its
            ``label_smoothing``, ``class_weight`` and ``hinge='sample'`` are not for use here, where the
            wrapped head computes ``L_i``.
        num_iterations: ``K``; needed only by a head with batch norm, whose running statistics are
            then kept per iterate.

    Shape:
        Input: tuple of the iterates' features, the last one best; each a tensor or a tuple of stages.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        head: dict,
        loss: dict = dict(type='KaizenLoss'),
        num_iterations: Optional[int] = None,
        init_cfg: Optional[dict] = None,
    ):
        super().__init__(MODELS.build(head), num_iterations)
        self.init_cfg = init_cfg
        self.loss_over_iterates = ALL_MODELS.build(loss)
        _check_loss(self.loss_over_iterates)
        self.last_scores: List[Tensor] = []

    @property
    def num_classes(self) -> Optional[int]:
        """Of the wrapped head; None where it has no classifier of its own."""
        return getattr(self.wrapped, 'num_classes', None)

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """What the wrapped head's last layer gets, of the last iterate."""
        return self._of_stages(self.wrapped.pre_logits, feats, last_only=True)[0]

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits ``[N, num_classes]`` of the last iterate."""
        return self._of_stages(self.wrapped, feats, last_only=True)[0]

    def iterate_scores(self, feats: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        """Logits of every iterate, each ``[N, num_classes]``."""
        return tuple(self._of_stages(self.wrapped, feats))

    def loss(self, feats: Sequence[Tensor], data_samples: List[DataSample], **kwargs) -> dict:
        """The loss over the iterates; for the log, each iterate's own, its accuracy where labels are single ones, and
        whether it is worse than the one before."""
        check_not_passed_over()
        self.last_scores = []  # RecurrenceHook reads them
        handle = self.wrapped.register_forward_hook(
            lambda head, given, scores: self.last_scores.append(scores.detach())
        )
        try:
            logs = self._of_stages(lambda stages: self.wrapped.loss(stages, data_samples, **kwargs), feats)
        finally:
            handle.remove()
        losses = torch.stack([sum(v for k, v in log.items() if 'loss' in k) for log in logs])
        result = dict(loss=self.loss_over_iterates.combine(losses))
        labels = _single_labels(data_samples) if _one_score_a_class(self.last_scores, len(logs)) else None
        for i, log in enumerate(logs, start=1):
            # no key to be logged may have "loss" in it, which mmengine would sum up
            prefix = '' if i == len(logs) else f'iterate_{i}_'
            result.update({f'{prefix}{k}': v for k, v in log.items() if 'loss' not in k})
            if len(logs) > 1:
                result[f'iterate_{i}_criterion'] = losses[i - 1].detach()
            if i > 1:  # its mean is the share of batches in which the hinge is open
                result[f'iterate_{i}_worse'] = (losses[i - 1] > losses[i - 2]).float()
            if labels is not None:
                result[f'{prefix}top1_acc'] = (self.last_scores[i - 1].argmax(dim=1) == labels).float().mean()
        return result

    def predict(self, feats: Sequence[Tensor], data_samples: Optional[List[DataSample]] = None) -> List[DataSample]:
        """Predictions of the last iterate; ``iterate_scores`` holds those of all.

        That field of each data sample has shape ``[K, num_classes]`` and holds what ``pred_score``
        holds for the last.
        """
        # the wrapped head is called for one iterate after the other: hooks on it count on that
        earlier = self._of_stages(self.wrapped.predict, feats[:-1])
        (predictions,) = self._of_stages(
            lambda stages: self.wrapped.predict(stages, data_samples), feats, last_only=True
        )
        for n, sample in enumerate(predictions):
            scores = [iterate[n].pred_score for iterate in earlier] + [sample.pred_score]
            sample.set_field(torch.stack(scores), 'iterate_scores')
        return predictions

    def _of_stages(self, function: Callable, feats: Sequence, last_only: bool = False) -> list:
        """:meth:`per_iterate` for a function of a tuple of stages; an iterate is one, or the last stage's output
        alone."""
        return self.per_iterate(lambda y: function(y if isinstance(y, (tuple, list)) else (y,)), feats, last_only)


def _single_labels(data_samples) -> Optional[Tensor]:
    """The labels ``[N]``; None where they are soft or several."""
    if any('gt_score' in sample or 'gt_label' not in sample or sample.gt_label.numel() != 1 for sample in data_samples):
        return None
    return torch.cat([sample.gt_label.flatten() for sample in data_samples])


def _one_score_a_class(scores: list, iterates: int) -> bool:
    return len(scores) == iterates and all(isinstance(score, Tensor) and score.dim() == 2 for score in scores)


def _check_loss(loss: KaizenLoss) -> None:
    if not isinstance(loss, KaizenLoss):
        raise ValueError(f'loss must be a KaizenLoss, got {type(loss).__name__}; the loss of each iterate is head.loss')
    for name, default in (('label_smoothing', 0), ('class_weight', None), ('hinge', 'batch')):
        value = getattr(loss, name)
        if value is not default and value != default:
            raise ValueError(
                f'loss.{name} must be {default!r}, got {value!r}: the wrapped head computes the '
                'loss of each iterate; set it in head.loss'
            )
