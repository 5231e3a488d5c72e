"""The phase-two loss: cross entropy of every iterate and the kaizen loss.

Battash & Wolf, arXiv:1910.11105, eq. 5. With ``L_i`` the cross entropy of iterate i,

    L = L_K + sum_{i<K} gamma_i L_i + lambda * sum_{i<K} max(0, L_{i+1} - L_i).

The last sum is the kaizen loss: no iterate may be worse than the one before.
"""

from typing import Optional, Sequence, Tuple, Union

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_number, check_numbers

HINGES = ('batch', 'sample')


class KaizenLoss(nn.Module):
    """Eq. 5. With a single iterate it is the cross entropy.

    Args:
        gamma_first: ``gamma_1``, weight of the first iterate. Default 3e-3.
        gamma_others: ``gamma_i`` for i = 2..K-1. Default 1e-3.
        gammas: All of ``gamma_1 .. gamma_{K-1}``; replaces the two above.
        kaizen_weight: ``lambda``, weight of the kaizen loss. Default 0.1; 0 leaves it out.
        label_smoothing: As in :func:`torch.nn.functional.cross_entropy`. Default 0.
        class_weight: One weight per class, as a sequence, an array (such as scikit-learn's) or a tensor; or None.
        hinge: ``'batch'`` (default): the hinge of the batch's mean losses. Under
            :mod:`torch.distributed` whether it is open is decided on the mean over all
            processes, so that N processes give the gradient of one with the whole batch.
            ``'sample'``: the mean of the samples' hinges.

    Shape:
        logits: sequence of K tensors ``[N, C]``, first iterate first. target: class indices
        ``[N]`` or class probabilities ``[N, C]``, of which each row is >= 0 and sums to 1 (to 1e-3, in half precision
        to 1e-2). Result: scalar. What has weight 0 counts nothing, an infinite ``L_i`` included, and so does a class of
        probability or weight 0 whose logit is -inf. Where the labels of all samples have weight 0, the cross entropies
        are 0, and so are their gradients: a batch of such samples alone may come up, and teaches nothing.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; logits of different shapes;
            a label that is none of the classes, the -100 included with which
            :func:`torch.nn.functional.cross_entropy` leaves samples out; a row of probabilities that is no
            distribution; a batch of no samples, of which there is no mean; class weights that are all 0.
    """

    def __init__(
        self,
        gamma_first: float = 3e-3,
        gamma_others: float = 1e-3,
        gammas: Optional[Sequence[float]] = None,
        kaizen_weight: float = 0.1,
        label_smoothing: float = 0.0,
        class_weight: Union[Sequence[float], Tensor, None] = None,
        hinge: str = 'batch',
    ):
        super().__init__()
        check_choice('hinge', hinge, HINGES)
        check_number('label_smoothing', label_smoothing, 0, 1)
        for name, value in (
            ('gamma_first', gamma_first),
            ('gamma_others', gamma_others),
            ('kaizen_weight', kaizen_weight),
        ):
            check_number(name, value)
        if gammas is not None:
            check_numbers('gammas', gammas, 'one for each iterate but the last')
        if class_weight is not None:
            # arrays and tensors have it
            class_weight = class_weight.tolist() if hasattr(class_weight, 'tolist') else class_weight
            check_numbers('class_weight', class_weight, 'one for each class')
            if not any(class_weight):
                raise ValueError(f'class_weight must have at least one weight > 0, got {class_weight!r}')
        self.gamma_first, self.gamma_others = gamma_first, gamma_others
        self.gammas = None if gammas is None else tuple(gammas)
        self.kaizen_weight, self.label_smoothing, self.hinge = kaizen_weight, label_smoothing, hinge
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float)
        self.class_weight: Optional[Tensor]
        self.register_buffer('class_weight', weight, persistent=False)

    def forward(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        losses = self.iterate_losses(logits, target)
        if self.hinge == 'batch' or len(logits) == 1 or self.kaizen_weight == 0:
            return self.combine(losses)
        hinge = self._sample_mean(_worse(self._cross_entropy(logits, target)).clamp(min=0), target)
        return self._weighted(losses) + self.kaizen_weight * hinge.sum()

    def combine(self, losses: Tensor) -> Tensor:
        """Eq. 5 with the batch's hinge, over the ``L_1 .. L_K`` of any criterion: ``[K] -> scalar``."""
        total = self._weighted(losses)
        if len(losses) == 1 or self.kaizen_weight == 0:
            return total
        worse = _worse(losses)
        is_open = _mean_over_processes((losses[1:] - losses[:-1]).detach()) > 0
        return total + self.kaizen_weight * torch.where(is_open | worse.isnan(), worse, 0).sum()

    def _weighted(self, losses: Tensor) -> Tensor:
        """``L_K + sum_{i<K} gamma_i L_i``."""
        if len(losses) == 1:
            return losses[0]
        gammas = losses.new_tensor(self._gammas(len(losses)))
        nothing = (gammas == 0) & losses[:-1].isinf()
        return losses[-1] + torch.where(nothing, 0, gammas * losses[:-1]).sum()

    def iterate_losses(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        """``L_1 .. L_K``: the batch's mean cross entropy per iterate, shape ``[K]``."""
        return self._sample_mean(self._cross_entropy(logits, target), target)

    def _cross_entropy(self, logits, target):
        """Of each sample, its weight included: ``[K, N]``."""
        _check_batch(logits, target)
        # float32 whatever the autocast type: the differences of iterates are small
        exact = [iterate if iterate.dtype == torch.float64 else iterate.float() for iterate in logits]
        return torch.stack(
            [
                F.cross_entropy(
                    self._without_impossible(iterate, target),
                    target,
                    weight=self._class_weight(iterate),
                    reduction='none',
                    label_smoothing=self.label_smoothing,
                )
                for iterate in exact
            ]
        )

    def _without_impossible(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits in which the lowest number stands for -inf where it would be multiplied by 0."""
        weight = self._class_weight(logits)
        if weight is None and not target.is_floating_point():
            return logits
        nothing = torch.zeros_like(logits, dtype=torch.bool) if weight is None else (weight == 0).expand_as(logits)
        if target.is_floating_point() and self.label_smoothing == 0:
            nothing = nothing | (target == 0)
        return logits.masked_fill(nothing & logits.isneginf(), torch.finfo(logits.dtype).min)

    def _class_weight(self, logits: Tensor) -> Optional[Tensor]:
        if self.class_weight is None:
            return None
        if len(self.class_weight) != logits.shape[1]:
            raise ValueError(
                f'class_weight must have one value for each of {logits.shape[1]} classes, got {len(self.class_weight)}'
            )
        return self.class_weight.to(logits.dtype if logits.dtype == torch.float64 else torch.float)

    def _sample_mean(self, values: Tensor, target: Tensor) -> Tensor:
        """Mean over samples, weighted as cross entropy weights them; ``[K, N] -> [K]``."""
        if self.class_weight is None or target.is_floating_point():
            return values.mean(dim=1)
        total = self.class_weight.to(values.dtype)[target].sum()
        return torch.where(total > 0, values.sum(dim=1) / torch.where(total > 0, total, 1), 0)

    def _gammas(self, num_iterations: int) -> Tuple[float, ...]:
        if self.gammas is None:
            return (self.gamma_first,) + (self.gamma_others,) * (num_iterations - 2)
        if len(self.gammas) != num_iterations - 1:
            raise ValueError(
                f'gammas must have one value for each iterate but the last, '
                f'{num_iterations - 1} here, got {len(self.gammas)}: {self.gammas}'
            )
        return self.gammas

    def extra_repr(self) -> str:
        gammas = self.gammas or f'({self.gamma_first}, {self.gamma_others}, ...)'
        return f'gammas={gammas}, kaizen_weight={self.kaizen_weight}, hinge={self.hinge!r}'


def _check_batch(logits: Sequence[Tensor], target: Tensor) -> None:
    """Raises ValueError unless ``logits`` and ``target`` are what :class:`KaizenLoss` takes."""
    if (isinstance(logits, Tensor) and logits.dim() != 3) or not len(logits):
        raise ValueError(
            'logits must be a sequence of tensors [N, C], one for each of at least one iterate, got '
            f'{tuple(logits.shape) if isinstance(logits, Tensor) else logits!r}'
        )
    shapes = {tuple(iterate.shape) for iterate in logits}
    if len(shapes) > 1 or len(logits[0].shape) != 2:
        raise ValueError(f'logits must have one shape [N, C] in all iterates, got {[tuple(y.shape) for y in logits]}')
    samples, classes = logits[0].shape
    if samples == 0:
        raise ValueError(f'logits must have at least one sample, got a batch of shape {(samples, classes)}')
    if not isinstance(target, Tensor):
        raise ValueError(f'target must be a tensor, got {type(target).__name__}')
    if target.is_floating_point():
        if target.shape != logits[0].shape:
            raise ValueError(
                f'target: probabilities must have the shape {(samples, classes)} of the logits, got '
                f'{tuple(target.shape)}'
            )
        if not torch.compiler.is_compiling():
            _check_distributions(target)
        return
    if target.dtype != torch.int64 or target.shape != (samples,):
        raise ValueError(
            f'target must be {samples} class indices (int64), or probabilities [N, C], got '
            f'{target.dtype} of shape {tuple(target.shape)}'
        )
    wrong = (target < 0) | (target >= classes)
    if not torch.compiler.is_compiling() and wrong.any():
        raise ValueError(
            f'target: labels must be from 0 to {classes - 1}, got {sorted(set(target[wrong].tolist()))[:5]}; '
            'no label is passed over, -100 neither: take such samples out of the batch'
        )


def _check_distributions(target: Tensor) -> None:
    exact = target.dtype in (torch.float32, torch.float64)
    rows = target.detach() if exact else target.detach().float()
    right = (rows >= 0).all(dim=1) & ((rows.sum(dim=1) - 1).abs() <= (1e-3 if exact else 1e-2))
    if not right.all():
        row = int((~right).nonzero()[0])
        values = ', '.join(f'{value:.4g}' for value in rows[row, :8].tolist())
        raise ValueError(
            f'target: each row of probabilities must be >= 0 and sum to 1, but row {row} is [{values}'
            f'{", ..." if rows.shape[1] > 8 else ""}], of sum {float(rows[row].sum()):.4g}'
        )


def _worse(losses: Tensor) -> Tensor:
    """``L_{i+1} - L_i``; 0 where ``L_i`` is infinite, as nothing is worse than that."""
    before, after = losses[:-1], losses[1:]
    return torch.where(before.isposinf() & (after <= before), 0, after - before)


def _mean_over_processes(values: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values
