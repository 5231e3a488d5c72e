"""What the tests of networks made recurrent share."""

import copy

import torch
from torch.utils._pytree import tree_leaves

from kaizen_mm.surgery.network import RecurrentNetwork


def recurrent(case, plain, **options):
    torch.manual_seed(2)
    example = tuple(x.detach()[:1] if isinstance(x, torch.Tensor) else x for x in case.inputs(seed=3))
    return RecurrentNetwork(copy.deepcopy(plain), case.block, example, **{**case.options, **options})


def adapters(net, case):
    """Copies of the linear layers of ``h``, block by block."""
    return [copy.deepcopy(list(net.wrapped.get_submodule(name).adapter.linears)) for name in case.blocks()]


def plain_name(name):
    return '.'.join(part for part in name.split('.') if part != 'wrapped')


def gradients(outputs, inputs):
    """Of an uneven weighting of all tensors of all iterates."""
    tensors = [y for y in tree_leaves(outputs) if y.requires_grad]
    weighted = sum(
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() * (i + 1)
        for i, y in enumerate(tensors)
    )
    return [
        torch.zeros_like(x) if g is None else g
        for x, g in zip(inputs, torch.autograd.grad(weighted, inputs, allow_unused=True))
    ]


def forwards(net):
    return [name for name, module in net.named_modules() if 'forward' in module.__dict__ or module._forward_hooks]
