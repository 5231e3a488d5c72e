"""Moving digits from memory, without files of videos."""

from functools import lru_cache
from typing import Optional

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from torch.utils.data import Dataset

from kaizen_mm.arguments import check_choice, check_int
from kaizen_mm.data.moving_digits import CLASSES, SPLITS, MovingDigits


@lru_cache(maxsize=4)  # of a run's training, validation and test, which drawing again would take seconds
def _clips(digits: MovingDigits, split: str, count: int) -> torch.Tensor:
    """The first clips of a split, ``[count, 1, 1, T, H, W]``."""
    clips = [digits.render(split, index)[0][..., 0] for index in range(count)]
    return torch.from_numpy(np.stack(clips))[:, None, None]


@DATASETS.register_module()
class MovingDigitsInMemory(Dataset):
    """Clips of :class:`~kaizen_mm.data.moving_digits.MovingDigits`, drawn when the data set is built, and gray.

    Args:
        split: ``'train'`` or ``'val'``; for clips that no choice has seen, ``'val'`` with another ``seed``.
        max_clips: Take only so many clips, the first ones. Default all.
        parameters: Those of ``MovingDigits``.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    metainfo = dict(classes=CLASSES)

    def __init__(self, split: str, max_clips: Optional[int] = None, **parameters):
        check_choice('split', split, SPLITS)
        digits = MovingDigits(**parameters)
        self.labels = digits.labels(split)
        if max_clips is not None:
            check_int('max_clips', max_clips, 1, len(self.labels))
            self.labels = self.labels[:max_clips]
        self.clips = _clips(digits, split, len(self.labels))

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict:
        """One clip: inputs ``[1, 1, T, H, W]`` (uint8) and its data sample."""
        return dict(inputs=self.clips[index], data_samples=ActionDataSample().set_gt_label(int(self.labels[index])))
