"""Passes with fast weights in which ``h`` goes on writing: a recurrence over the windows of a stream, one pass each.

Eq. 2 of Battash & Wolf (arXiv:1910.11105) looks at one input K times. Here each look has another one, the next window:

    z_t      = g(f(u_t, W_1 + dW_t))
    dW_{t+1} = decay * dW_t + alpha * h(z_t)

``h`` reads what the network makes of a window with what has been written before, so that it can write the difference.
A network that was trained on single inputs has not learned to; see :func:`kaizen_mm.layers.chains.chain_passes`.
"""

from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, List, Optional

import torch
from torch import nn

from kaizen_mm.arguments import check_number
from kaizen_mm.layers.fast_weights import FastWeights
from kaizen_mm.layers.writing_block import (
    GivenIncrements,
    Written,
    attribute_set,
    check_fits,
    fast_weights_of,
    writing_blocks,
)


@contextmanager
def rewriting(network: nn.Module, fast_weights: FastWeights, decay: Optional[float] = None) -> Iterator[Written]:
    """A pass of ``network`` in this context is a single one with the weights that are given, and writes new ones.

    Gradients flow to what has written them, and through them to what had written those that were given.

    Args:
        network: Any with recurrent blocks in it, such as a recognizer.
        fast_weights: Of its samples, as ``written_weights`` or a pass in this context gives them.
        decay: How much of them stays, from 0 to 1. Default: the ``decay`` of each block, which is 1 where nothing else
            was said, see :func:`set_decay`.

    Yields:
        An object whose ``weights`` are there at the end of the context.

    Raises:
        ValueError: Weights of another network, dtype, device or number of samples, or written before ``h`` was
            trained on; ``decay`` is no such number.
    """
    modules = list(network.modules())
    blocks = writing_blocks(network, 'fast_weights', modules)
    check_fits(network, blocks, fast_weights)
    if decay is not None:
        check_number('decay', decay, 0, 1)
    result, given = Written(), []
    with ExitStack() as stack:
        for index, block in enumerate(blocks):
            layers = {name: block.wrapped.get_submodule(name) for name in block.dynamic}
            given.append(GivenIncrements(fast_weights.iterate, fast_weights.increments(index, layers), read=True))
            stack.enter_context(attribute_set(block, 'given', given[-1]))
        for module in modules:
            if hasattr(type(module), 'first_iterate'):
                stack.enter_context(attribute_set(module, 'first_iterate', fast_weights.iterate))
        yield result
    rows = []
    for block, pass_, own in zip(blocks, given, fast_weights.blocks):
        if pass_.z is None:
            raise RuntimeError(f'a recurrent block ({type(block.wrapped).__name__}) did not run and wrote nothing')
        kept = _kept(block, [own[name] for name in block.dynamic], block.decay if decay is None else decay)
        rows.append((block, block.adapter.update(kept, pass_.z)))
    result.weights = fast_weights_of(network, rows)


def set_decay(network: nn.Module, decay: float) -> None:
    """Sets what stays of fast weights where a pass of ``network`` writes anew, from 0 (nothing) to 1 (all).

    Raises:
        ValueError: ``decay`` is no such number; the network has no recurrent block that writes.
    """
    check_number('decay', decay, 0, 1)
    for block in writing_blocks(network):
        block.decay = float(decay)


def _kept(block: Any, increments: List[Any], decay: float) -> List[Any]:
    """What is left of increments, over the ``A`` of ``h`` as it is now."""
    kept = []
    for none, increment in zip(block.adapter.initial(), increments):
        if block.adapter.low_rank and not torch.equal(none.basis.to(increment.basis), increment.basis):
            raise ValueError(
                'fast_weights: h has been trained since they were written, so that nothing can be added to them; '
                'write new ones'
            )
        kept.append(none.plus(decay * increment.per_sample) if decay > 0 else none)
    return kept
