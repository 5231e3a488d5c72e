"""The phase-two loss: cross entropy of every iterate and the kaizen loss.

Battash & Wolf, arXiv:1910.11105, eq. 5. With ``L_i`` the cross entropy of iterate i,

    L = L_K + sum_{i<K} gamma_i L_i + lambda * sum_{i<K} max(0, L_{i+1} - L_i).

The last sum is the kaizen loss: no iterate may be worse than the one before.
"""
import math
from typing import Optional, Sequence, Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

HINGES = ('batch', 'sample')


class KaizenLoss(nn.Module):
    """Eq. 5. With a single iterate it is the cross entropy.

    Args:
        gamma_first: ``gamma_1``, weight of the first iterate. Default 3e-3.
        gamma_others: ``gamma_i`` for i = 2..K-1. Default 1e-3.
        gammas: All of ``gamma_1 .. gamma_{K-1}``; replaces the two above.
        kaizen_weight: ``lambda``, weight of the kaizen loss. Default 0.1; 0 leaves it out.
        label_smoothing: As in :func:`torch.nn.functional.cross_entropy`. Default 0.
        class_weight: One weight per class, or None.
        hinge: ``'batch'`` (default): the hinge of the batch's mean losses. Under
            :mod:`torch.distributed` whether it is open is decided on the mean over all
            processes, so that N processes give the gradient of one with the whole batch.
            ``'sample'``: the mean of the samples' hinges.

    Shape:
        logits: sequence of K tensors ``[N, C]``, first iterate first. target: class indices
        ``[N]`` or class probabilities ``[N, C]``. Result: scalar.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self,
                 gamma_first: float = 3e-3,
                 gamma_others: float = 1e-3,
                 gammas: Optional[Sequence[float]] = None,
                 kaizen_weight: float = 0.1,
                 label_smoothing: float = 0.0,
                 class_weight: Optional[Sequence[float]] = None,
                 hinge: str = 'batch'):
        super().__init__()
        if hinge not in HINGES:
            raise ValueError(f'hinge must be one of {HINGES}, got {hinge!r}')
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f'label_smoothing must be within [0, 1], got {label_smoothing!r}')
        weights = {'gamma_first': gamma_first, 'gamma_others': gamma_others,
                   'kaizen_weight': kaizen_weight}
        weights.update({f'gammas[{i}]': g for i, g in enumerate(gammas or ())})
        for name, value in weights.items():
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
                raise ValueError(f'{name} must be a finite number >= 0, got {value!r}')
        self.gamma_first, self.gamma_others = gamma_first, gamma_others
        self.gammas = None if gammas is None else tuple(gammas)
        self.kaizen_weight, self.label_smoothing, self.hinge = kaizen_weight, label_smoothing, hinge
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float)
        self.register_buffer('class_weight', weight, persistent=False)

    def forward(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        if len(logits) == 0:
            raise ValueError('logits must hold those of at least one iterate, got none')
        losses = self.iterate_losses(logits, target)
        if self.hinge == 'batch' or len(logits) == 1 or self.kaizen_weight == 0:
            return self.combine(losses)
        per_sample = self._cross_entropy(logits, target, 'none')  # [K, N]
        hinge = self._sample_mean((per_sample[1:] - per_sample[:-1]).clamp(min=0), target)
        return self._weighted(losses) + self.kaizen_weight * hinge.sum()

    def combine(self, losses: Tensor) -> Tensor:
        """Eq. 5 with the batch's hinge, over the ``L_1 .. L_K`` of any criterion: ``[K] -> scalar``."""
        total = self._weighted(losses)
        if len(losses) == 1 or self.kaizen_weight == 0:
            return total
        worse = losses[1:] - losses[:-1]
        return total + self.kaizen_weight * (worse * (_mean_over_processes(worse.detach()) > 0)).sum()

    def _weighted(self, losses: Tensor) -> Tensor:
        """``L_K + sum_{i<K} gamma_i L_i``"""
        if len(losses) == 1:
            return losses[0]
        return losses[-1] + (losses.new_tensor(self._gammas(len(losses))) * losses[:-1]).sum()

    def iterate_losses(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        """``L_1 .. L_K``: the batch's mean cross entropy per iterate, shape ``[K]``."""
        return self._cross_entropy(logits, target, 'mean')

    def _cross_entropy(self, logits, target, reduction):
        # float32 whatever the autocast type: the differences of iterates are small
        return torch.stack([
            F.cross_entropy(iterate if iterate.dtype == torch.float64 else iterate.float(), target,
                            weight=self._class_weight(iterate), reduction=reduction,
                            label_smoothing=self.label_smoothing) for iterate in logits])

    def _class_weight(self, logits):
        if self.class_weight is None:
            return None
        if len(self.class_weight) != logits.shape[1]:
            raise ValueError(f'class_weight must have one value for each of {logits.shape[1]} classes, '
                             f'got {len(self.class_weight)}')
        return self.class_weight.to(logits.dtype if logits.dtype == torch.float64 else torch.float)

    def _sample_mean(self, values: Tensor, target: Tensor) -> Tensor:
        """Mean over samples, weighted as cross entropy weights them; ``[K, N] -> [K]``."""
        if self.class_weight is None or target.is_floating_point():
            return values.mean(dim=1)
        return values.sum(dim=1) / self.class_weight.to(values.dtype)[target].sum()

    def _gammas(self, num_iterations: int) -> Tuple[float, ...]:
        if self.gammas is None:
            return (self.gamma_first, ) + (self.gamma_others, ) * (num_iterations - 2)
        if len(self.gammas) != num_iterations - 1:
            raise ValueError(f'gammas must have one value for each iterate but the last, '
                             f'{num_iterations - 1} here, got {len(self.gammas)}: {self.gammas}')
        return self.gammas

    def extra_repr(self) -> str:
        gammas = self.gammas or f'({self.gamma_first}, {self.gamma_others}, ...)'
        return f'gammas={gammas}, kaizen_weight={self.kaizen_weight}, hinge={self.hinge!r}'


def _mean_over_processes(values: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values
