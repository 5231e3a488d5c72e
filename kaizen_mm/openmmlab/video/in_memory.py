"""Moving digits from memory, without files of videos."""

from functools import lru_cache
from typing import Optional, Tuple

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from torch.utils.data import Dataset

from kaizen_mm.arguments import check_choice, check_int
from kaizen_mm.data.moving_digits import CLASSES, SPLITS, MovingDigits


@lru_cache(maxsize=4)  # of a run's training, validation and test, which drawing again would take seconds
def _clips(digits: MovingDigits, split: str, indices: Tuple[int, ...]) -> torch.Tensor:
    """Clips of a split, ``[len(indices), 1, 1, T, H, W]``."""
    clips = [digits.render(split, index)[0][..., 0] for index in indices]
    return torch.from_numpy(np.stack(clips))[:, None, None]


@DATASETS.register_module()
class MovingDigitsInMemory(Dataset):
    """Clips of :class:`~kaizen_mm.data.moving_digits.MovingDigits`, drawn when the data set is built, and gray.

    Args:
        split: ``'train'`` or ``'val'``; for clips that no choice has seen, ``'val'`` with another ``seed``.
        max_clips: Take only so many clips, the first ones. Default all.
        classes: Take only clips of so many classes, the first ones, such as the 6 that a part of a clip tells. Default
            all.
        parameters: Those of ``MovingDigits``.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    metainfo = dict(classes=CLASSES)

    def __init__(self, split: str, max_clips: Optional[int] = None, classes: Optional[int] = None, **parameters):
        check_choice('split', split, SPLITS)
        digits = MovingDigits(**parameters)
        labels = digits.labels(split)
        taken = np.arange(len(labels))
        if classes is not None:
            check_int('classes', classes, 1, len(CLASSES))
            taken = taken[labels < classes]
        if max_clips is not None:
            check_int('max_clips', max_clips, 1, len(taken))
            taken = taken[:max_clips]
        self.labels = labels[taken]
        self.clips = _clips(digits, split, tuple(taken.tolist()))

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict:
        """One clip: inputs ``[1, 1, T, H, W]`` (uint8) and its data sample."""
        return dict(inputs=self.clips[index], data_samples=ActionDataSample().set_gt_label(int(self.labels[index])))
