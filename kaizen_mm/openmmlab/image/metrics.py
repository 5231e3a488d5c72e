"""Accuracy of every iterate on images."""

from typing import Optional, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from kaizen_mm.openmmlab.ranking import check_topk, named_by_iterate, rank_of_label


@METRICS.register_module()
class IterateAccuracy(BaseMetric):
    """Top-k accuracy of single-label images, for every iterate.

    Reads ``iterate_scores`` of :class:`~kaizen_mm.openmmlab.image.heads.AdaptiveRecurrentClsHead`, or
    ``pred_score`` of any other head as one iterate.

    Results, in percent: ``top1``, ``top5`` of the last iterate, and with ``iterate_1/`` and so on before
    them of each, where there are two or more. A k that is not below the number of classes is left
    out, but for 1.

    Args:
        topk: The k of top-k. Default (1, 5).
        collect_device: ``'cpu'`` (default) or ``'gpu'``.
        prefix: Default ``'accuracy'``.
    """

    default_prefix = 'accuracy'

    def __init__(self, topk: Sequence[int] = (1, 5), collect_device: str = 'cpu', prefix: Optional[str] = None):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = check_topk(topk)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keeps, for every image, how many classes score above the true one."""
        for sample in data_samples:
            scores = sample['iterate_scores'] if 'iterate_scores' in sample else sample['pred_score'][None]
            scores = scores.cpu()  # [K, C]
            if 'pred_score' in sample and not torch.equal(scores[-1], sample['pred_score'].cpu()):
                raise ValueError(
                    'pred_score must be that of the last of iterate_scores; to average views, use '
                    "tta_model=dict(type='AverageIterateScoresTTA')"
                )
            labels = sample['gt_label']
            if len(labels) != 1:
                raise ValueError(
                    f'gt_label must be a single label, got {labels.tolist()}; IterateAccuracy is not for '
                    'multi-label data'
                )
            if not torch.isfinite(scores).all():
                raise ValueError('iterate_scores must be finite; the network gives NaN or infinity')
            self.results.append((rank_of_label(scores, int(labels)).numpy(), scores.shape[1]))

    def compute_metrics(self, results: list) -> dict:
        ranks = np.stack([rank for rank, _ in results], axis=1)  # [K, images]
        topk = [k for k in self.topk if k == 1 or k < results[0][1]]
        per_iterate = [{f'top{k}': 100 * float((rank < k).mean()) for k in topk} for rank in ranks]
        return named_by_iterate(per_iterate)
