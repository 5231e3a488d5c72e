"""A plain network that has the weights which a recurrent one has written for one sample."""

import copy
from typing import Any, List, Sequence

import torch
from torch import nn

from kaizen_mm.layers.dynamic_conv import DynamicLayer, make_plain
from kaizen_mm.layers.exchanged_class import restore_class
from kaizen_mm.layers.fast_weights import FastWeights
from kaizen_mm.layers.iterate_statistics import remove_iterate_statistics
from kaizen_mm.layers.transparent import TransparentWrapper
from kaizen_mm.layers.writing_block import check_fits, writing_blocks


def specialized(network: nn.Module, fast_weights: FastWeights) -> Any:
    """A plain network with ``W_1 + dW`` for its weights and the norm statistics of the last iterate.

    It is of the class that the network had before it was made recurrent, and has no wrapper left. Its state dict is
    that of the plain network. It trains, exports, compiles and is timed like any other.

    Args:
        network: A network with recurrent blocks; it stays as it is.
        fast_weights: Of one sample: ``weights[n]``, or ``weights.mean()``.

    Raises:
        ValueError: Weights of another network, dtype or device, or of several samples.
    """
    blocks = writing_blocks(network)
    check_fits(network, blocks, fast_weights)
    if len(fast_weights) != 1:
        raise ValueError(
            f'fast_weights: a plain network has the weights of one sample, these are of {len(fast_weights)}; take '
            'one by its index, or their mean()'
        )
    network = copy.deepcopy(network)
    once: List[nn.Module] = []
    for block, increments in zip(writing_blocks(network), fast_weights.detach().blocks):
        once.extend(block.norms_run_once())
        for name in block.dynamic:
            layer = block.wrapped.get_submodule(name)
            with torch.no_grad():
                layer.weight.add_(increments[name].dense()[0].reshape(layer.weight.shape))
            if name in block.frozen:
                layer.weight.requires_grad_(True)
    remove_iterate_statistics(network, fast_weights.iterate, once)
    return _unwrapped(network)


def _unwrapped(network: nn.Module) -> nn.Module:
    """The network without the wrappers of this package, its modules of the classes that they had before."""
    wrappers = [module for module in network.modules() if isinstance(module, TransparentWrapper)]
    modules: Sequence[Any] = list(network.modules())
    for wrapper in wrappers:
        _replace(modules, wrapper)
    for module in modules:
        if isinstance(module, DynamicLayer):
            make_plain(module)
        restore_class(module)
        hooks = module._forward_pre_hooks
        for key in [key for key, hook in hooks.items() if hook is keep_from_fused_kernel]:
            del hooks[key]
        module.__dict__.pop('_first_weights_checked', None)
        if hasattr(module, 'become_plain'):
            module.become_plain()
    while isinstance(network, TransparentWrapper):
        network = network.wrapped
    return network


def keep_from_fused_kernel(module, inputs) -> None:
    """Does nothing, but a ``TransformerEncoderLayer`` with a hook calls its layers in evaluation too."""


def _replace(modules: Sequence[nn.Module], wrapper: TransparentWrapper) -> None:
    for parent in modules:
        for name, child in parent._modules.items():
            if child is wrapper:
                parent._modules[name] = wrapper.wrapped
