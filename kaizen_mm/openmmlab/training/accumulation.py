"""Gradients that wait for a step of the optimizer, kept in checkpoints.

With ``accumulative_counts`` of mmengine's optimizer wrappers a step may begin before a checkpoint and end after it.
mmengine 0.10.7 keeps nothing of the first part, and a resumed training then takes a step of other gradients
(``optim/optimizer/optimizer_wrapper.py``, ``initialize_count_status``).
"""

from typing import Callable, Dict, Optional

import torch
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from torch import nn


def pending_gradients(model: nn.Module, optim_wrapper) -> Dict[str, torch.Tensor]:
    """The gradients that wait for a step, by the names of the parameters; none where there are several processes, each
    of which has its own."""
    if not isinstance(optim_wrapper, OptimWrapper) or optim_wrapper.should_update() or get_world_size() > 1:
        return {}
    return {name: weight.grad.cpu() for name, weight in model.named_parameters() if weight.grad is not None}


def put_back(
    gradients: Optional[Dict[str, torch.Tensor]], model: nn.Module, optim_wrapper, announce: Callable[[str], None]
) -> None:
    """Puts gradients that were kept where they were; says so where a step begins with some that were not kept."""
    if not isinstance(optim_wrapper, OptimWrapper) or optim_wrapper.should_update():
        return
    if not gradients:
        announce(
            f'optim_wrapper.accumulative_counts: the checkpoint, after {optim_wrapper.inner_count} iterations, has not '
            'the gradients that were waiting for a step, so that this training differs from one that was not '
            'interrupted. Of several processes none are kept: let accumulative_counts divide the iterations of an epoch'
        )
        return
    for name, weight in model.named_parameters():
        if name in gradients:
            weight.grad = gradients[name].to(weight.device)
