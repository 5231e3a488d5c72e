"""One forward pass of a recurrent block that knows nothing of the recurrence.

The parts of such a block are reached from outside. Its dynamic layers carry the increments. Its norms have the
statistics of an iterate in place of their own. A function that keeps the output stands in for the calls of the module
that ``h`` reads.
"""

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kaizen_mm.layers.call_state import CallState
from kaizen_mm.layers.checkpointing import checkpointed, checkpointing_off, checkpoints
from kaizen_mm.layers.increments import version
from kaizen_mm.layers.iterate_statistics import norms_with_iterates, statistics_in_place
from kaizen_mm.layers.transparent import call_replaced


class ForeignCall:
    """The parts of a block, looked up once for all iterates, and what it is called with.

    Args:
        block: The block. Where it has ``prepare`` and ``forward_prepared``, the former runs here, once.
        dynamic: Names of its dynamic layers.
        feedback: Name of the module that ``h`` reads; ``''`` for the block's (first) output.
        u: Its input.
        args, kwargs: What else it takes.
    """

    def __init__(self, block: Any, dynamic: Sequence[str], feedback: str, u: Tensor, args: tuple, kwargs: dict):
        modules = list(block.modules())
        self._block: Any = block
        self._u, self._version = u, version(u)
        self._others = CallState(args, kwargs)
        self._layers: Dict[str, Any] = {name: block.get_submodule(name) for name in dynamic}
        self._feedback = feedback
        self._norms = norms_with_iterates(block)
        self._in_checkpoints = torch.is_grad_enabled() and checkpoints(modules)
        self._told = [module for module in modules if checkpoints([module])]
        self._run: Callable
        if hasattr(block, 'prepare') and hasattr(block, 'forward_prepared'):
            self._run, self._args, self._kwargs = block.forward_prepared, block.prepare(u, *args, **kwargs), {}
        else:
            self._run, self._args, self._kwargs = block, (u, *args), kwargs

    def iterate(self, index: int, increments: Sequence, read: bool) -> Tuple[Any, Optional[Tensor]]:
        """Eq. 1: one iterate's output and, where it is to be read, ``z``.

        Raises:
            RuntimeError: The block changes its input in place, or what else it is called with, or calls a part of it
                not exactly once.
        """
        if self._in_checkpoints:
            y, z = checkpointed(self._iterate_afresh, self._block, index, increments, read)
        else:
            y, z = self._iterate(index, increments, read)
        if version(self._u) != self._version:
            raise RuntimeError(
                f'{type(self._block).__name__} changes its input in place, but each iteration needs it '
                'as it was; set inplace=False where the block begins'
            )
        changed = self._others.changed()
        if changed is not None:
            raise RuntimeError(
                f'{type(self._block).__name__} changes its further argument {changed}, but each iteration needs it as '
                'it was. Call the network so that none is handed on: with use_cache=False for a cache of keys and '
                'values'
            )
        return y, z

    def plain(self) -> Any:
        """What the block gives without increments, with its own norm statistics and without gradient checkpoints."""
        with checkpointing_off(self._told):
            return self._run(*self._args, **self._kwargs)

    def _iterate(self, index, increments, read):
        with self._pass(index, increments):
            if not read or not self._feedback:
                y = self._run(*self._args, **self._kwargs)
                return y, block_output(y).clone() if read else None  # what follows may work in place
            with call_replaced(self._block, self._feedback, partial(_Feedback, self._feedback)) as feedback:
                y = self._run(*self._args, **self._kwargs)
            return y, feedback.value

    def _iterate_afresh(self, index, increments, read):
        """The same, with nothing that another computation of it has left to reuse."""
        return self._iterate(index, [increment.fresh() for increment in increments], read)

    @contextmanager
    def _pass(self, index: int, increments: Sequence) -> Iterator[None]:
        """The increments and the norm statistics of an iterate are in place."""
        for layer, increment in zip(self._layers.values(), increments):
            layer.increment, layer.calls = increment, 0
        try:
            with statistics_in_place(self._norms, index), checkpointing_off(self._told):
                yield
            for name, layer in self._layers.items():
                if layer.calls != 1:
                    raise RuntimeError(
                        f'dynamic: the block must call {name!r} once per pass, it did so '
                        f'{layer.calls} times; take a layer that it calls once'
                    )
        finally:
            for layer in self._layers.values():
                layer.increment = None


class _Feedback:
    """In the place of the calls of the module that ``h`` reads: keeps its output."""

    def __init__(self, name: str, forward: Callable):
        self.name, self._forward = name, forward
        self._outputs: List[Tensor] = []

    def __call__(self, *args, **kwargs):
        output = self._forward(*args, **kwargs)
        self._outputs.append(block_output(output).clone())  # what follows may work in place
        return output

    @property
    def value(self) -> Tensor:
        if len(self._outputs) != 1:
            raise RuntimeError(
                f'feedback: the block must call {self.name!r} once per pass, it did so {len(self._outputs)} times'
            )
        return self._outputs[0]


def block_output(output) -> Tensor:
    """The output of a module, or the first of its outputs where it has several.

    Raises:
        TypeError: That is no tensor.
    """
    first = output
    while isinstance(first, (tuple, list, Mapping)) and len(first):
        first = next(iter(first.values() if isinstance(first, Mapping) else first))
    if not isinstance(first, Tensor):
        raise TypeError(
            f'feedback must be read from a module whose (first) output is a tensor, got {type(first).__name__}'
        )
    return first
