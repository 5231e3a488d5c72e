"""A classification head over the iterates of a recurrent backbone."""

from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmaction.evaluation import top_k_accuracy
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from kaizen_mm.layers import PerIterate
from kaizen_mm.openmmlab.training.passed_over import check_not_passed_over


@MODELS.register_module()
class AdaptiveRecurrentHead(PerIterate, BaseModule):
    """Applies any mmaction2 classification head to each iterate.

    The state dict is that of the wrapped head. A backbone that yields no tuple counts as one
    iterate; the loss is then the cross entropy.

    Args:
        head: Config of the wrapped head. It must not set ``loss_cls`` or ``multi_class``;
            ``label_smooth_eps``, ``average_clips`` and ``topk`` are respected.
        loss_cls: Config of the loss over the iterates. Default ``dict(type='KaizenLoss')``.
        return_iterates: Whether ``forward`` gives the scores of all iterates as a tuple rather
            than the last one's. Default False.
        num_iterations: ``K``; needed only by a head with batch norm, whose running
            statistics are then kept per iterate.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        head: dict,
        loss_cls: dict = dict(type='KaizenLoss'),
        return_iterates: bool = False,
        num_iterations: Optional[int] = None,
        init_cfg: Optional[dict] = None,
    ):
        if 'loss_cls' in head:
            raise ValueError(
                f'head.loss_cls must not be set, got {head["loss_cls"]!r}; the loss over the '
                "iterates is AdaptiveRecurrentHead's own loss_cls"
            )
        if head.get('multi_class'):
            raise ValueError('head.multi_class must be False: KaizenLoss compares cross entropies')
        super().__init__(MODELS.build(head), num_iterations)
        self.init_cfg = init_cfg
        self.loss_over_iterates = MODELS.build(loss_cls)
        self.return_iterates = return_iterates
        self.last_scores: List[Tensor] = []

    @property
    def num_classes(self) -> int:
        return self.wrapped.num_classes

    @property
    def average_clips(self) -> Optional[str]:
        """Of the wrapped head; mmaction2's Grad-CAM sets it to ``'score'``."""
        return self.wrapped.average_clips

    @average_clips.setter
    def average_clips(self, value: Optional[str]):
        self.wrapped.average_clips = value

    def forward(self, feats: Union[Tensor, tuple], **kwargs) -> Union[Tensor, Tuple[Tensor, ...]]:
        """Scores ``[N, num_classes]`` of the last iterate, or of all with ``return_iterates``."""
        if self.return_iterates:
            return tuple(self.iterate_scores(feats, **kwargs))
        return self._scores(feats, last_only=True, **kwargs)[0]

    def iterate_scores(self, feats: Union[Tensor, Sequence], **kwargs) -> List[Tensor]:
        """Scores of every iterate, each ``[N, num_classes]``."""
        return self._scores(feats, **kwargs)

    def _scores(self, feats, last_only: bool = False, **kwargs) -> List[Tensor]:
        iterates = feats if isinstance(feats, (tuple, list)) else (feats,)
        return self.per_iterate(lambda y: self.wrapped(_single(y), **kwargs), iterates, last_only)

    def loss(self, feats: Union[Tensor, tuple], data_samples: list, **kwargs) -> dict:
        """The loss over the iterates, and their cross entropies and accuracies for the log."""
        check_not_passed_over()
        scores = self.iterate_scores(feats, **kwargs)
        self.last_scores = [score.detach() for score in scores]  # RecurrenceHook reads them
        labels = torch.stack([sample.gt_label for sample in data_samples]).to(scores[-1].device)
        if labels.shape[1] == 1:
            labels = labels.squeeze(1)
        target = labels
        if self.wrapped.label_smooth_eps:
            eps = self.wrapped.label_smooth_eps
            soft = F.one_hot(labels, self.num_classes) if labels.dim() == 1 else labels
            target = (1 - eps) * soft + eps / self.num_classes
        losses = dict(loss_cls=self.loss_over_iterates(scores, target))
        with torch.no_grad():
            self._log_iterates(losses, scores, labels, target)
        return losses

    def _log_iterates(self, log, scores, labels, target):
        """Adds values to be logged; no key has "loss" in it, which mmengine would sum up."""
        entropies = self.loss_over_iterates.iterate_losses(scores, target)
        hard = labels.dim() == 1
        for i, (score, entropy) in enumerate(zip(scores, entropies), start=1):
            last = i == len(scores)
            if len(scores) > 1:
                log[f'iterate_{i}_ce'] = entropy
            if i > 1:  # its mean is the share of batches in which the hinge is open
                log[f'iterate_{i}_worse'] = (entropy > entropies[i - 2]).float()
            if hard:
                accuracies = top_k_accuracy(score.float().cpu().numpy(), labels.cpu().numpy(), self.wrapped.topk)
                for k, accuracy in zip(self.wrapped.topk, accuracies):
                    name = f'top{k}_acc' if last else f'iterate_{i}_top{k}_acc'
                    log[name] = score.new_tensor(accuracy, dtype=torch.float)

    def predict(self, feats: Union[Tensor, tuple], data_samples: list, **kwargs) -> list:
        """Predictions of the last iterate; ``iterate_clip_scores`` holds those of all.

        That field of each data sample has shape ``[K, clips, num_classes]`` and holds
        probabilities.
        """
        scores = self.iterate_scores(feats, **kwargs)
        clips = scores[-1].shape[0] // len(data_samples)
        # K x [N * clips, C] -> [N, K, clips, C]
        probabilities = torch.stack([score.float().softmax(dim=1) for score in scores])
        probabilities = probabilities.unflatten(1, (len(data_samples), clips)).transpose(0, 1)
        for sample, per_sample in zip(data_samples, probabilities):
            sample.iterate_clip_scores = per_sample
        return self.wrapped.predict_by_feat(scores[-1], data_samples)


def _single(iterate):
    """The map of an iterate that is a tuple of one, as those of mmpretrain's backbones are."""
    return (
        iterate[0] if isinstance(iterate, tuple) and len(iterate) == 1 and isinstance(iterate[0], Tensor) else iterate
    )
