"""``W_1`` that is frozen has to be trained before: what was never loaded is told.

Battash & Wolf, arXiv:1910.11105, section 3.1: phase two starts from the network of phase one.
"""

import warnings
from typing import List

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from kaizen_mm.layers.dynamic_conv import DynamicLayer


def untrained_first_weights(network: nn.Module, frozen: bool = True) -> List[str]:
    """The names of layers whose ``W_1`` is frozen at values that nothing has trained.

    Args:
        network: The network.
        frozen: Whether layers count only where ``W_1`` is frozen (default), or whether it will be trained or not.

    They count as untrained where two things hold. No state dict had the weight since the layer was made dynamic. Every
    norm of the network still has the scales (0 or 1) and shifts (0) that norms start with.
    """
    names = [
        '.'.join(part for part in name.split('.') if part != 'wrapped')
        for name, module in network.named_modules()
        if isinstance(module, DynamicLayer) and not module.loaded
        if not (frozen and module.weight.requires_grad)
        if not module.weight.is_meta  # no values, so that nothing can be said of them
    ]
    return [] if not names or any(_is_trained(module) for module in network.modules()) else names


def _is_trained(norm: nn.Module) -> bool:
    if not isinstance(norm, (_NormBase, nn.LayerNorm, nn.GroupNorm)) or norm.weight is None:
        return False
    weight, bias = norm.weight.detach(), getattr(norm, 'bias', None)
    return bool(((weight != 0) & (weight != 1)).any()) or (bias is not None and bool((bias != 0).any()))


def warn_of_untrained_first_weights(network: nn.Module) -> None:
    """Warns, at the first training step of a network, of what :func:`untrained_first_weights` finds.

    A network has this called at the start of each of its forward passes.
    """
    if (
        not network.training
        or '_first_weights_checked' in network.__dict__
        or torch.compiler.is_compiling()
        or not torch.is_grad_enabled()
    ):
        return
    network.__dict__['_first_weights_checked'] = True
    names = untrained_first_weights(network)
    if names:
        warnings.warn(
            f'W_1 of {", ".join(names)} is frozen, but its weights were never loaded: they stay random. Load those '
            'of the trained plain network first, or take freeze_dynamic=False. If it was trained before it was made '
            'recurrent, network.load_state_dict(network.state_dict()) says so',
            stacklevel=3,
        )
