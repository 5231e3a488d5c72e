"""What a block is called with, and whether a call has changed it.

Decoders hand a cache of keys and values, or a state, to each of their blocks, which write into it. A block that runs
once per iterate would find there what the iterate before has left.
"""

from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.layers.increments import version

_DEPTH = 6  # of lists in objects in lists
_VALUES = (bool, int, float, complex, str, bytes, type(None))


class CallState:
    """What the arguments of a call hold, tensors and what is in lists, dictionaries and other objects; not the weights
    of modules.

    Nothing is kept while a graph is compiled, where it cannot be told.

    Args:
        args, kwargs: Of the call.
    """

    def __init__(self, args: tuple, kwargs: Dict[str, Any]):
        self._args, self._kwargs = args, kwargs
        self._leaves = self._now()

    def changed(self) -> Optional[str]:
        """The first argument that is no more what it was, for errors: its place or name, and its type."""
        if torch.compiler.is_compiling():
            return None
        names = [*map(str, range(1, len(self._args) + 1)), *map(repr, self._kwargs)]
        values = [*self._args, *self._kwargs.values()]
        for name, value, before, after in zip(names, values, self._leaves, self._now()):
            if len(before) != len(after) or not all(_same(a, b) for a, b in zip(before, after)):
                return f'{name} (of type {type(value).__name__})'
        return None

    def _now(self) -> List[List[tuple]]:
        if torch.compiler.is_compiling():
            return []
        return [list(_leaves(value, set(), _DEPTH)) for value in (*self._args, *self._kwargs.values())]


def _leaves(value: Any, seen: set, depth: int) -> Iterator[Tuple[Any, Any]]:
    """Tensors with how often they have been changed, plain values, and the sizes of containers."""
    if isinstance(value, Tensor):
        yield value, version(value)
        return
    if isinstance(value, _VALUES):
        yield None, value
        return
    if id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        yield None, tuple(key for key in value if isinstance(key, _VALUES))
        parts = list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield None, len(value)
        parts = list(value)
    elif isinstance(value, (nn.Module, type)) or callable(value) or not hasattr(value, '__dict__'):
        return
    else:
        yield None, tuple(vars(value))
        parts = list(vars(value).values())
    for part in parts:
        yield from _leaves(part, seen, depth - 1)


def _same(before: Tuple[Any, Any], after: Tuple[Any, Any]) -> bool:
    return before[0] is after[0] and (before[1] == after[1] or before[1] != before[1])
