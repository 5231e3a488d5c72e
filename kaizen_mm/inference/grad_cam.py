"""A layer of one iterate, for the Grad-CAM of mmaction2 and of pytorch-grad-cam.

Grad-CAM (Selvaraju et al., arXiv:1610.02391) weighs the maps of a layer by the gradient of a class's score. In a
recurrent network a layer of the block, and each after it, runs once for each iterate; tools that put hooks on it mix
the maps of one iterate with the gradient of another. Here one iterate's call is singled out.
"""

from contextlib import contextmanager
from typing import Iterator, Optional

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int
from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.recurrent_block import nearest
from kaizen_mm.layers.transparent import TransparentWrapper


class CamLayer(nn.Identity):
    """Stands for a layer of one iterate: it is called with that iterate's output alone.

    Attributes:
        path: Its name among the network's modules, what mmaction2's ``GradCAM`` takes as ``target_layer_name``.
    """

    path = 'grad_cam_layer'


def submodule(network: nn.Module, name: str) -> nn.Module:
    """A submodule by the name that state dicts have, such as ``'backbone.conv5.B02.conv_m2'``.

    Names of modules have ``wrapped`` in them where something is made recurrent; they are understood as well.

    Raises:
        ValueError: There is none of that name; the error says which are near.
    """
    module = network
    for part in name.split('.'):
        while isinstance(module, TransparentWrapper) and part not in module._modules:
            module = module.wrapped
        if part not in module._modules:
            known = [
                path.replace('wrapped.', '') for path, _ in network.named_modules() if not path.endswith('wrapped')
            ]
            raise ValueError(f'name: {type(network).__name__} has no submodule {name!r}; {nearest(name, known)}')
        module = module._modules[part]
    return module


@contextmanager
def iterate_layer(network: nn.Module, name: str, iterate: Optional[int] = None) -> Iterator[CamLayer]:
    """A layer of one iterate of a recurrent network, for tools that put hooks on a layer.

    In this context the network stops at that iterate, so that its scores are ``y_i``. Only the last call of the layer
    in a forward pass, that of iterate i, goes through what is yielded. The network's weights stay as they are.

    Args:
        network: Any network with a recurrent block, or a recognizer or classifier that has one; it is called itself.
        name: The layer, by the name that state dicts have: in a recurrent block what ``h`` reads, or a layer after it.
        iterate: i, from 1. Default ``K``.

    Yields:
        The stand-in for the layer; its ``path`` is its name in the network.

    Raises:
        ValueError: No recurrent block, no such layer or iterate; in a forward pass, a layer that does not run, or
            that lies in the block but does not run in each iterate.
        TypeError: In a forward pass, a layer whose output is no tensor.
    """
    blocks = [block for _, block in recurrent_blocks(network) if block.num_iterations > 1]
    if not blocks:
        raise ValueError(
            f'network must have a recurrent block with num_iterations >= 2, {type(network).__name__} has none'
        )
    block, layer = blocks[-1], submodule(network, name)
    last = block.num_iterations
    iterate = last if iterate is None else iterate
    check_int('iterate', iterate, 1, last)
    calls = _Calls(name, needed=iterate if layer in set(block.wrapped.modules()) else 1)
    handles = [
        network.register_forward_pre_hook(calls.count, with_kwargs=True),
        layer.register_forward_hook(calls.reroute),
    ]
    block.num_iterations = iterate
    network.add_module(CamLayer.path, calls.stand_in)
    try:
        yield calls.stand_in
    finally:
        del network._modules[CamLayer.path]
        block.num_iterations = last
        for handle in handles:
            handle.remove()


class _Calls:
    """Counts the calls of a layer in a forward pass and sends the last one through the stand-in."""

    def __init__(self, name: str, needed: int):
        self.name, self.needed, self.stand_in = name, needed, CamLayer()
        self.made, self.expected = 0, None  # in this pass, and in all of it; None while they are counted

    def count(self, network, args, kwargs):
        """Before a forward pass: one without gradients tells how many calls there will be."""
        self.made, self.expected = 0, None
        with torch.no_grad():
            network.forward(*args, **kwargs)
        if self.made < self.needed:
            raise ValueError(
                f'name: {self.name!r} runs {self.made} times in a forward pass that has {self.needed} '
                'iterates; take the layer that h reads, or one after the block'
            )
        self.made, self.expected = 0, self.made

    def reroute(self, layer, inputs, output):
        """After a call of the layer."""
        if not isinstance(output, Tensor):
            raise TypeError(
                f'name: {self.name!r} must give a tensor, it gives a {type(output).__name__}; take a layer in it'
            )
        self.made += 1
        if self.expected is not None and self.made == self.expected:
            return self.stand_in(output).clone()  # what follows may work in place
        return None
