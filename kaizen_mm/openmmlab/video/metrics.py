"""Clip and video accuracy of every iterate."""

from typing import Optional, Sequence

import numpy as np
import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric

from kaizen_mm.openmmlab.ranking import check_topk, named_by_iterate, rank_of_label


@METRICS.register_module()
class IterateAccuracy(BaseMetric):
    """Top-k and mean-class accuracy of clips and of videos, for every iterate.

    A video's score is the sum of its clips' probabilities (arXiv:1910.11105, section 4.2); clip
    accuracy is that of single clips. Reads ``iterate_clip_scores`` of
    :class:`~kaizen_mm.openmmlab.video.heads.AdaptiveRecurrentHead`.

    Results, each in [0, 1]: ``video_top1``, ``video_top5``, ``video_mean_class``, ``clip_top1``,
    ... of the last iterate, and with ``iterate_1/`` and so on before them of each, where there
    are two or more. A k that is not below the number of classes is left out.

    Args:
        topk: The k of top-k. Default (1, 5).
        collect_device: ``'cpu'`` (default) or ``'gpu'``.
        prefix: Default ``'acc'``.
    """

    default_prefix = 'acc'

    def __init__(self, topk: Sequence[int] = (1, 5), collect_device: str = 'cpu', prefix: Optional[str] = None):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = check_topk(topk)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keeps, for every clip and video, how many classes score above the true one."""
        for sample in data_samples:
            if 'iterate_clip_scores' not in sample:
                raise KeyError('iterate_clip_scores: IterateAccuracy needs AdaptiveRecurrentHead as cls_head')
            scores = sample['iterate_clip_scores'].cpu()  # [K, clips, C]
            label = int(sample['gt_label'])
            if not torch.isfinite(scores).all():
                raise ValueError('iterate_clip_scores must be finite; the network gives NaN or infinity')
            self.results.append(
                dict(
                    label=label,
                    classes=scores.shape[2],
                    clips=rank_of_label(scores, label).numpy(),
                    videos=rank_of_label(scores.sum(dim=1), label).numpy(),
                )
            )

    def compute_metrics(self, results: list) -> dict:
        labels = np.array([r['label'] for r in results])
        clips = np.stack([r['clips'] for r in results], axis=1)  # [K, videos, clips]
        videos = np.stack([r['videos'] for r in results], axis=1)  # [K, videos]
        per_iterate = []
        for clip_rank, video_rank in zip(clips, videos):
            values = {}
            for name, rank in (('video', video_rank[:, None]), ('clip', clip_rank)):
                for k in self.topk:
                    if k == 1 or k < results[0]['classes']:
                        values[f'{name}_top{k}'] = float((rank < k).mean())
                right = (rank < 1).mean(axis=1)
                values[f'{name}_mean_class'] = float(
                    np.mean([right[labels == label].mean() for label in np.unique(labels)])
                )
            per_iterate.append(values)
        return named_by_iterate(per_iterate)
