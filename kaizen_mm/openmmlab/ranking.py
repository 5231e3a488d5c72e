"""What the accuracy metrics of images and videos share: ranks of the true class, and names of the results."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kaizen_mm.arguments import is_int


def check_topk(topk: Sequence[int]) -> Tuple[int, ...]:
    """The k of top-k; raises ValueError unless they are positive ints."""
    if not isinstance(topk, (tuple, list)) or not topk or not all(is_int(k) and k > 0 for k in topk):
        raise ValueError(f'topk must be positive ints, got {topk!r}')
    return tuple(topk)


def rank_of_label(scores: Tensor, label: int) -> Tensor:
    """Number of classes before the true one in order of score, ``[..., C] -> [...]``; ties go to the
    lower class."""
    true = scores[..., label : label + 1]
    return (scores > true).sum(dim=-1) + (scores[..., :label] == true).sum(dim=-1)


def iterates_right(sample: Any) -> Optional[List[bool]]:
    """Whether the first class of each iterate is the true one, of a tested sample of either library.

    The scores are those that the accuracies of this package read: of an image each iterate's, of a video the sum over
    its clips; of another head the one prediction.

    Returns:
        None where the sample has no single label, or no scores.
    """
    label = sample.get('gt_label')
    scores = _iterate_scores(sample)
    if scores is None or not torch.is_tensor(label) or label.numel() != 1:
        return None
    return (rank_of_label(scores, int(label)) < 1).tolist()


def _iterate_scores(sample: Any) -> Optional[Tensor]:
    """``[K, C]``."""
    if 'iterate_clip_scores' in sample:
        return sample.iterate_clip_scores.sum(dim=1)
    if 'iterate_scores' in sample:
        return sample.iterate_scores
    return sample.pred_score[None] if 'pred_score' in sample else None


def named_by_iterate(per_iterate: List[Dict[str, float]]) -> Dict[str, float]:
    """The last iterate's results and, where there are two or more, those of each with ``iterate_1/`` and so on before
    their names."""
    metrics = dict(per_iterate[-1])
    if len(per_iterate) > 1:
        for i, values in enumerate(per_iterate, start=1):
            metrics.update({f'iterate_{i}/{key}': value for key, value in values.items()})
    return metrics
