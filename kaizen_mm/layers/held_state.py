"""What the modules of a block hold, and the state of random numbers: put back after a trial."""

import copy
import random
import sys
from collections import OrderedDict, deque
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import get_device_states, set_device_states

_CONTAINERS = (dict, OrderedDict, list, set, deque)
_VALUES = (bool, int, float, complex, str, bytes, type(None))
_OF_MODULES = frozenset(vars(nn.Module()))  # parameters, buffers, hooks, ...
_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')
_NOTHING = object()


class RandomState:
    """That of the random numbers of PyTorch, on the CPU and where some tensors are, of Python and of NumPy.

    Args:
        tensors: Those whose devices count.
    """

    def __init__(self, *tensors: Tensor):
        self._cpu, self._devices, self._python = torch.get_rng_state(), get_device_states(*tensors), random.getstate()
        numpy: Any = sys.modules.get('numpy')
        self._numpy = None if numpy is None else (numpy.random.set_state, numpy.random.get_state())

    def put(self) -> None:
        """The state is again what it was."""
        torch.set_rng_state(self._cpu)
        set_device_states(*self._devices)
        random.setstate(self._python)
        if self._numpy is not None:
            put, state = self._numpy
            put(state)


@contextmanager
def own_state(root: nn.Module) -> Iterator[Callable[[], List[str]]]:
    """In this context the modules of ``root`` have copies of their tensors; afterwards attributes, and what is in lists
    and dictionaries among them, are what they were before.

    Yields:
        A function that gives the names of what has been changed, but for the running statistics of batch norms.
    """
    held = [(name, module, dict(vars(module))) for name, module in root.named_modules()]
    contents = [(own, copy.copy(own)) for _, _, own_vars in held for own in own_vars.values() if _is_container(own)]
    copies: List[Tuple[str, Any, str, Tensor, Tensor]] = []
    made: Dict[int, Tensor] = {}  # tied ones stay tied
    for path, module, _ in held:
        for holder in (module._parameters, module._buffers, vars(module)):
            for name, tensor in list(holder.items()):
                if type(tensor) in (Tensor, nn.Parameter):
                    if id(tensor) not in made:
                        made[id(tensor)] = _copy(tensor)
                    holder[name] = made[id(tensor)]
                    if not (isinstance(module, _BatchNorm) and name in _STATISTICS):
                        copies.append((f'{path}.{name}' if path else name, holder, name, tensor, holder[name]))
    start = {id(module): dict(vars(module)) for _, module, _ in held}

    def changed() -> List[str]:
        names = [
            label
            for label, holder, name, tensor, own in copies
            if holder.get(name) is not own or not _equal(own, tensor)
        ]
        before = {id(own): saved for own, saved in contents}
        for path, module, _ in held:
            now, then = vars(module), start[id(module)]
            for name in [*now, *(name for name in then if name not in now)]:
                value, old = now.get(name, _NOTHING), then.get(name, _NOTHING)
                if name in _OF_MODULES or type(old) in (Tensor, nn.Parameter):
                    continue
                plain = isinstance(value, _VALUES) and isinstance(old, _VALUES) and value == old
                inside = id(old) in before and not _same_content(old, before[id(old)])
                if (value is not old and not plain) or inside:
                    names.append(f'{path}.{name}' if path else name)
        return names

    try:
        yield changed
    finally:
        for _, module, own_vars in held:
            for name in [name for name in vars(module) if name not in own_vars]:
                del vars(module)[name]
            vars(module).update(own_vars)
        for own, saved in contents:
            own.clear()
            (own.extend if isinstance(own, (list, deque)) else own.update)(saved)


def _is_container(value: Any) -> bool:
    return type(value) in _CONTAINERS


def _copy(tensor: Tensor) -> Tensor:
    own = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(own, tensor.requires_grad)
    return own.requires_grad_(tensor.requires_grad)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _same_content(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(a[key] is b[key] for key in a)
    return len(a) == len(b) and (a == b if isinstance(a, set) else all(x is y for x, y in zip(a, b)))
