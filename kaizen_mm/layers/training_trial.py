"""A block on trial in training: whether it gives the same when it runs again, as it does in each iterate of a
recurrence without increments, and whether gradients come from its output to its dynamic layers.

A codebook or a mean that a block moves in training alone, and a layer that runs under ``torch.no_grad``, are seen in no
other way.
"""

import warnings
from contextlib import contextmanager
from functools import partial
from typing import Any, Dict, Iterator, List, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map_only

from kaizen_mm.layers.call_state import CallState
from kaizen_mm.layers.foreign_call import ForeignCall
from kaizen_mm.layers.held_state import RandomState, own_state
from kaizen_mm.layers.nested_tensors import same_tensors, tensors

_NOISE = 32  # of the precision, by which the same may differ where it was computed from memory of other alignment


def training_fault(block: nn.Module, dynamic: Sequence[str], u: Tensor, args: tuple, kwargs: dict) -> str:
    """Runs a block three times in training mode, with the same random numbers, and once backward.

    Modes, tensors, attributes and the state of random numbers are afterwards what they were. Batch norms have running
    statistics per iterate, which count as nothing. Warns where the block does not run, so that it cannot be told.

    Args:
        block: The block.
        dynamic: Names of its dynamic layers.
        u: Its input.
        args, kwargs: What else it takes.

    Returns:
        What is wrong, to follow upon a name of the block; ``''`` where nothing is.
    """
    if any(tensor.is_meta for tensor in [u, *block.parameters(), *block.buffers()]):
        return ''
    random = RandomState(u)
    try:
        try:
            return _fault(block, dynamic, u, args, kwargs, random, norms=True)
        except Exception:  # such as a batch norm that gets one value per channel
            return _fault(block, dynamic, u, args, kwargs, random, norms=False)
    except Exception as error:
        warnings.warn(
            f'{type(block).__name__} does not run in training mode ({type(error).__name__}: {error}). '
            'So it is not known whether an iterate finds there what the one before has left',
            stacklevel=2,
        )
        return ''
    finally:
        random.put()


def _fault(block, dynamic, u, args, kwargs, random: RandomState, norms: bool) -> str:
    state = CallState(args, kwargs)
    args, kwargs = tree_map_only(Tensor, torch.detach, (args, kwargs))
    leaves: Dict[str, Tensor] = {}
    with _training(block, norms), torch.inference_mode(False), torch.enable_grad(), saved_tensors_hooks(_same, _same):

        def calls(times: int) -> Iterator[List[Tensor]]:
            random.put()
            call = ForeignCall(block, dynamic, '', u.detach().clone(), args, kwargs)
            for _ in range(times):
                random.put()
                yield [tensor.detach().clone() for tensor in tensors(call.plain())]

        with own_state(block), _leaves(block, dynamic, leaves):
            random.put()
            outputs = tensors(ForeignCall(block, dynamic, '', u.detach().clone(), args, kwargs).plain())
            cut = _cut(outputs, leaves)
        with own_state(block):
            (reference,) = calls(1)
        with own_state(block) as changes:
            each = calls(2)
            first = next(each)
            written = changes()
            second = next(each)
    changed = state.changed()
    if changed is not None:
        return (
            f'changes its further argument {changed} in training, so that each iterate would find what the one before '
            'has left there; call the network so that none is handed on'
        )
    if not same_tensors(second, first) or (written and _distance(second, first) > 4 * _distance(first, reference)):
        what = f'changes {", ".join(map(repr, written[:3]))} of its own' if written else 'keeps a state'
        return (
            f'gives something else when it runs again on the same input in training, as it would in each iterate: '
            f'{type(block).__name__} {what} from one call to the next; switch that off, such as by fixing it after '
            'phase one, or take a block without'
        )
    if cut:
        return (
            f'gives an output to which dynamic layer {cut[0]!r} has no gradient (torch.no_grad or detach is in '
            f'between), so that h could not be trained; take another layer, or let gradients through'
        )
    return ''


def _cut(outputs: List[Tensor], leaves: Dict[str, Tensor]) -> List[str]:
    """The layers upon whose output no floating-point output of the block depends."""
    if not any(output.is_floating_point() or output.is_complex() for output in outputs):
        return []
    through = [output for output in outputs if output.requires_grad]
    if not through or not leaves:
        return list(leaves)
    ones = [torch.ones_like(output) for output in through]
    gradients = torch.autograd.grad(through, list(leaves.values()), ones, allow_unused=True)
    return [name for name, gradient in zip(leaves, gradients) if gradient is None]


@contextmanager
def _leaves(block: nn.Module, dynamic: Sequence[str], leaves: Dict[str, Tensor]) -> Iterator[None]:
    """Adds a zero to the output of each dynamic layer, for its gradient."""

    def add(name, module, inputs, output):
        leaves[name] = torch.zeros((), dtype=output.dtype, device=output.device, requires_grad=True)
        return output + leaves[name]

    handles = [block.get_submodule(name).register_forward_hook(partial(add, name)) for name in dynamic]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _training(block: nn.Module, norms: bool) -> Iterator[None]:
    """Training mode, of batch norms where ``norms``; the modes of all modules are put back."""
    modes = {module: module.training for module in block.modules()}
    block.train()
    for module in modes:
        if isinstance(module, _BatchNorm) and not norms:
            module.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _distance(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """By how much more than noise tensors differ, relative to their size."""
    worst = 0.0
    for a, b in zip(found, expected):
        if a.is_floating_point():
            noise = _NOISE * torch.finfo(a.dtype).eps
            a, b = (t.to(torch.promote_types(t.dtype, torch.float)).nan_to_num() for t in (a, b))
            worst = max(worst, float((a - b).norm() - noise * b.norm()))
        elif not torch.equal(a, b):
            worst = float('inf')
    return worst


def _same(value: Any) -> Any:
    return value
