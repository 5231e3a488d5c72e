"""Training on chains of windows: the first one writes in K passes, each later one is classified in one pass with what
has been written, and then writes itself (:mod:`kaizen_mm.layers.rewriting`)."""

from typing import Any, Callable, Iterator, NamedTuple, Optional

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int
from kaizen_mm.layers.fast_weights import FastWeights
from kaizen_mm.layers.rewriting import rewriting
from kaizen_mm.layers.writing_block import holding, writing


class ChainPass(NamedTuple):
    """A pass over windows of several chains: which chains (``samples``) and which window of each (``windows``), int64
    ``[n]``, what it gave, and whether it was a single one with what had been written before (``held``)."""

    samples: Tensor
    windows: Tensor
    result: Any
    held: bool


def chain_passes(
    network: nn.Module,
    look: Callable[[Tensor], Any],
    x: Tensor,
    begins: Tensor,
    every: int = 1,
    truncate: Optional[int] = None,
) -> Iterator[ChainPass]:
    """Runs a network on chains of windows, such as in training, where gradients flow through what is written.

    First come all windows with which a chain begins, in K passes; then window after window those that go on, in one.

    Args:
        network: One with recurrent blocks.
        look: Runs it on windows ``[n, ...]``, once.
        x: Windows of N chains, ``[N, windows, ...]``.
        begins: Whether a window forgets what was written before it, bool ``[N, windows]``. The first one does.
        every: A chain writes in every so manyth window after the one that it begins with. Default 1.
        truncate: After so many windows no gradients reach what was written before (truncated backpropagation through
            time). ``A`` of ``h``, being a weight, gets them in any case. Default None: they reach the beginning.

    Raises:
        ValueError: An argument that is not as said above; no block writes.
    """
    check_int('every', every)
    if truncate is not None:
        check_int('truncate', truncate)
    if begins.dtype != torch.bool or begins.shape != x.shape[:2] or not begins[:, 0].all():
        raise ValueError(
            f'begins must be bool of shape {tuple(x.shape[:2])}, True for each first window, got {begins.dtype} of '
            f'shape {tuple(begins.shape)}'
        )
    begins = begins.to(x.device)
    samples, windows = begins.nonzero(as_tuple=True)
    with writing(network) as begun:
        result = look(x[samples, windows])
    yield ChainPass(samples, windows, result, False)
    fresh, place = begun.weights, torch.zeros_like(begins, dtype=torch.long)
    place[samples, windows] = torch.arange(len(samples), device=x.device)
    chains = torch.arange(len(x), device=x.device)
    state, age = fresh[place[:, 0]], torch.zeros_like(chains)  # of each chain: how long ago it has written
    for index in range(1, x.shape[1]):
        if truncate is not None and index % truncate == 0:
            state = state.without_history()
        starts, last = begins[:, index], index + 1 == x.shape[1]
        writes, going = ~starts & (age + 1 >= every), chains[~starts]
        age = torch.where(starts | writes, 0, age + 1)
        parts, chosen = [fresh, state], torch.where(starts, place[:, index], len(fresh) + chains)
        if len(going):
            rewrites, held = bool(writes.any()) and not last, state[going]
            context: Any = rewriting(network, held) if rewrites else holding(network, held)
            with context as written:
                result = look(x[going, index])
            yield ChainPass(going, torch.full_like(going, index), result, True)
            if rewrites:
                new = len(fresh) + len(x) + torch.arange(len(going), device=x.device)
                chosen[going] = torch.where(writes[going], new, chosen[going])
                parts.append(written.weights)
        if not last:
            state = FastWeights.cat(parts)[chosen]
