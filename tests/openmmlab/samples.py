"""Inputs of recognizers."""

import torch
from mmaction.structures import ActionDataSample


def batch(clips: int, size=(10, 96, 96), labels=(0, 1), soft_classes: int = 0, channels: int = 3) -> dict:
    """What a data loader gives: random uint8 clips ``[clips, channels, T, H, W]`` and labelled samples."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (clips, channels, *size), dtype=torch.uint8, generator=generator) for _ in labels]
    samples = []
    for label in labels:
        if soft_classes:
            value = torch.full((soft_classes,), 0.2 / (soft_classes - 1))
            value[label] = 0.8
            samples.append(ActionDataSample().set_gt_label(value))
        else:
            samples.append(ActionDataSample().set_gt_label(label))
    return dict(inputs=inputs, data_samples=samples)
