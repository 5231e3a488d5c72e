"""Pooling of the feedback map, laid out so that it is fast.

On a CPU the pools of PyTorch are vectorized over the channels, and that only where those stand last in memory; the
three-dimensional average is not even then. So maps are brought into that layout first, and the average of windows of a
clip is that of frames, then that of positions.
"""

from typing import List

import torch
import torch.nn.functional as F
from torch import Tensor


def channels_last_on_cpu(x: Tensor) -> Tensor:
    """``x``, which is ``[N, C, H, W]`` or ``[N, C, T, H, W]``, with the channels last in memory where it is on a CPU;
    any other tensor as it is."""
    if x.device.type != 'cpu':
        return x
    if x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if x.dim() == 5:
        return x.contiguous(memory_format=torch.channels_last_3d)
    return x


def average_windows(z: Tensor, kernel: List[int], stride: List[int]) -> Tensor:
    """The average of each window: ``[N, C, *spatial] -> [N, C, positions]``.

    Args:
        z: One, two or three spatial dimensions.
        kernel, stride: Of the windows, one value per spatial dimension.
    """
    if len(kernel) == 1:
        return F.avg_pool1d(z, kernel, stride)
    if len(kernel) == 2:
        return F.avg_pool2d(z, kernel, stride).flatten(2)
    if z.device.type != 'cpu':
        return F.avg_pool3d(z, kernel, stride).flatten(2)
    samples, channels, size = z.shape[0], z.shape[1], list(z.shape[3:])
    every = torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    inside = (
        (F.avg_pool1d(every, kernel[:1], stride[:1]) > 0).to(z.dtype).t()
    )  # [T', T], which frames are in which window
    frames = torch.matmul(inside, z.permute(0, 2, 3, 4, 1).flatten(2))  # [N, T, H * W * C] -> [N, T', H * W * C]
    frames = frames.reshape([-1] + size + [channels]).permute(0, 3, 1, 2)  # [N * T', C, H, W]
    windows = F.avg_pool2d(frames, kernel[1:], stride[1:], divisor_override=kernel[0] * kernel[1] * kernel[2]).flatten(
        2
    )
    return windows.reshape([samples, -1] + list(windows.shape[1:])).transpose(1, 2).flatten(2)


def maximum_windows(z: Tensor, kernel: List[int], stride: List[int]) -> Tensor:
    """The maximum of each window: ``[N, C, *spatial] -> [N, C, positions]``; arguments as of
    :func:`average_windows`."""
    if len(kernel) == 1:
        return F.max_pool1d(z, kernel, stride)
    if len(kernel) == 2:
        return F.max_pool2d(z, kernel, stride).flatten(2)
    return F.max_pool3d(z, kernel, stride).flatten(2)
