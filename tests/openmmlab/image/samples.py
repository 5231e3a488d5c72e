"""Labelled samples of image classifiers."""

import torch
from mmpretrain.structures import DataSample


def samples(labels=(0, 3, 1)) -> list:
    """One data sample for each label; a label may be a list of several."""
    return [DataSample().set_gt_label(label) for label in labels]


def features(iterates: int, count: int = 3, channels: int = 8) -> tuple:
    """Random features ``[count, channels]`` of each iterate, in float64."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(count, channels, dtype=torch.float64, generator=generator) for _ in range(iterates))
