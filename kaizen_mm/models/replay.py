"""One forward pass of a network per iterate, of which only what follows the recurrent block is computed anew.

The first pass keeps the outputs of the modules that run before the block; in later passes these
modules give what was kept. No tracing and no knowledge of the network's code is needed: of the code
between modules, only that of the containers around the block runs again.
"""
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock


class EmbeddedRecurrentBlock(AdaptiveRecurrentBlock):
    """An adaptive recurrent block in the place of a plain one: its output is that of one iterate.

    By default that is the last one. Within :meth:`held` all iterates are computed in the first call, and
    ``index`` chooses which one is given.
    """

    index: int = -1
    _held = None

    def forward(self, u, *args, **kwargs):
        if self._held is None:
            return super().forward(u, *args, **kwargs)[self.index]
        if not self._held:
            self._held.append(super().forward(u, *args, **kwargs))
        return self._held[0][self.index]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the iterates of the first call for the others."""
        self._held = []
        try:
            yield
        finally:
            self._held, self.index = None, -1

    @property
    def has_run(self) -> bool:
        """Whether iterates are held."""
        return bool(self._held)


def replay(network: nn.Module, block: EmbeddedRecurrentBlock, upstream: Sequence[str],
           run: Callable[[int], object]) -> tuple:
    """The results of ``run(0) .. run(K - 1)``, each of which makes one forward pass of ``network``.

    Args:
        network: The network.
        block: Its recurrent block.
        upstream: Names of the modules that run before the block and need not run again.
        run: Makes the forward pass of an iterate.
    """
    kept: Dict[str, List] = {name: [] for name in upstream}
    results = []
    with block.held():
        for index in range(block.num_iterations):
            block.index = index
            with ExitStack() as stack:
                for name in upstream:
                    keep_or_give = _keeping if index == 0 else _giving
                    stack.enter_context(keep_or_give(network.get_submodule(name), kept[name], block))
                results.append(run(index))
    return tuple(results)


@contextmanager
def _keeping(module, kept, block):
    forward = module.forward

    def keep(*args, **kwargs):
        output = forward(*args, **kwargs)
        if not block.has_run:
            kept.append(output)
        return output

    with _forward_replaced(module, keep):
        yield


@contextmanager
def _giving(module, kept, block):
    forward, remaining = module.forward, iter(kept)

    def give(*args, **kwargs):
        for output in remaining:
            return output
        return forward(*args, **kwargs)

    with _forward_replaced(module, give):
        yield


@contextmanager
def _forward_replaced(module, forward):
    own = module.__dict__.get('forward')
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


class CallRecord:
    """The calls of all modules in one forward pass: their order, and of some modules inputs and outputs.

    Args:
        network: The network.
        watched: Names of the modules whose calls are kept in ``calls`` as pairs of inputs and output.
    """

    def __init__(self, network: nn.Module, watched: Sequence[str]):
        self.network = network
        self.calls: Dict[str, List[tuple]] = {name: [] for name in watched}
        self._events: List[Tuple[str, bool]] = []  # a module's name, and whether it starts or ends

    @contextmanager
    def recording(self) -> Iterator[None]:
        handles = []
        for name, module in self.network.named_modules():
            handles.append(module.register_forward_pre_hook(partial(self._start, name)))
            handles.append(module.register_forward_hook(partial(self._end, name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _start(self, name, module, inputs):
        self._events.append((name, True))

    def _end(self, name, module, inputs, output):
        self._events.append((name, False))
        if name in self.calls:
            self.calls[name].append((inputs, output))

    def in_order(self, names: Sequence[str]) -> List[str]:
        """``names`` in the order of their first calls."""
        starts = [name for name, starting in self._events if starting]
        return sorted(names, key=starts.index)

    def around(self, block: str) -> Tuple[List[str], List[str]]:
        """The outermost modules that are called before a block, and all that are called after it."""
        around = _ancestors(block)
        upstream, downstream, open_call, passed = {}, {}, None, False
        for name, starting in self._events:
            if name == block or name.startswith(f'{block}.'):
                passed = True
            elif name in around:
                continue
            elif starting and passed:
                downstream[name] = None
            elif starting and open_call is None:
                upstream[name], open_call = None, name
            elif not starting and name == open_call:
                open_call = None
        return list(upstream), list(downstream)


def _ancestors(name: str) -> Tuple[str, ...]:
    parts = name.split('.')
    return tuple('.'.join(parts[:i]) for i in range(len(parts)))
