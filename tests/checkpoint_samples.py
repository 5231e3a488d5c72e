"""Small checkpoints, and damage to them."""

from pathlib import Path

import torch


def state(iteration=3, time='20260102_030405', **changes) -> dict:
    """What mmengine saves, in small."""
    return dict(
        meta=dict(time=time, iter=iteration, epoch=1),
        state_dict=dict(weight=torch.arange(50.0) + iteration, count=torch.ones(3, dtype=torch.int64)),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        optimizer=dict(state={}),
        **changes,
    )


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)
