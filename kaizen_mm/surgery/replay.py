"""One forward pass of a network per iterate, of which only what follows the recurrent block is computed anew.

The first pass keeps the outputs of the modules that run before the block; in later passes these
modules give what was kept. No tracing and no knowledge of the network's code is needed: of the code
between modules, only that of the containers around the block runs again.
"""

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.increments import version
from kaizen_mm.layers.nested_tensors import tensors
from kaizen_mm.layers.transparent import DelegatingWrapper, call_replaced


class EmbeddedRecurrentBlock(AdaptiveRecurrentBlock, DelegatingWrapper):
    """An adaptive recurrent block in the place of a plain one: its output is that of one iterate.

    By default that is the last one. Within :meth:`held` all iterates are computed in the first call, and
    ``index`` chooses which one is given.
    """

    index: int = -1
    _tried = True  # when the network was built
    _held: Optional[list] = None
    _was_held = False

    def forward(self, u, *args, **kwargs):
        if self._held is None:
            if not torch.compiler.is_compiling():
                if self._was_held and torch._C._current_graph_task_id() != -1:  # in a backward pass
                    raise RuntimeError(
                        'a gradient checkpoint around a recurrent block cannot compute an iterate again. '
                        'Checkpoint what lies around the block by grad_checkpointing or with_cp alone'
                    )
                self._was_held = False
            return super().forward(u, *args, **kwargs)[self.index]
        if not self._held:
            self._held.append(super().forward(u, *args, **kwargs))
        return self._held[0][self.index]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the iterates of the first call for the others."""
        self._held, self._was_held = [], True
        try:
            yield
        finally:
            self._held, self.index = None, -1


class Replay:
    """What ran before a block in the first of several passes of a network is given in the others.

    Args:
        network: The network.
        block: Name of the block.
        upstream: Names of the modules that run before the block and need not run again.
        copied: Those of them of whose outputs copies are kept.
    """

    def __init__(self, network: nn.Module, block: str, upstream: Sequence[str], copied: Sequence[str] = ()):
        self._network, self._block, self._upstream, self._copied = network, block, upstream, copied
        self._outputs: Dict[str, List] = {name: [] for name in upstream}
        self._versions: Optional[Dict[str, List]] = None  # of the outputs, when the block ran

    @contextmanager
    def first_pass(self) -> Iterator[None]:
        """A pass in this context is the first one."""
        with self._calls(self._keep), call_replaced(self._network, self._block, partial(partial, self._run_block)):
            yield

    @contextmanager
    def later_pass(self) -> Iterator[None]:
        """A pass in this context is given what was kept."""
        remaining = {name: iter(outputs) for name, outputs in self._outputs.items()}
        with self._calls(partial(self._give, remaining)):
            yield

    def changed(self) -> List[str]:
        """Names of the modules of which something kept has been changed in place since the block ran."""
        versions = self._versions or {}
        return [name for name in versions if versions[name] != _versions(self._outputs[name])]

    def kept(self) -> List[Tuple[str, Tensor]]:
        """The tensors that are kept, in a fixed order, with the names of the modules that gave them."""
        return [(name, tensor) for name, outputs in self._outputs.items() for tensor in tensors(outputs)]

    def keep(self, mask: Tensor, entries: Sequence[int]) -> None:
        """Leaves some samples out of the passes that follow.

        Args:
            mask: Which samples stay, ``[N]``.
            entries: Of each tensor of :meth:`kept`: how many entries it has for each sample, one sample's after the
                other's; 0 where samples share it.
        """
        each = iter(entries)

        def part(tensor):
            return tensor.unflatten(0, (len(mask), count))[mask].flatten(0, 1) if (count := next(each)) else tensor

        for name, outputs in self._outputs.items():
            self._outputs[name] = tree_map_only(Tensor, part, outputs)

    @contextmanager
    def _calls(self, function):
        with ExitStack() as stack:
            for name in self._upstream:
                stack.enter_context(call_replaced(self._network, name, partial(partial, function, name)))
            yield

    def _keep(self, name, forward, *args, **kwargs):
        output = forward(*args, **kwargs)
        if self._versions is None:
            self._outputs[name].append(self._own(name, output))
        return output

    def _give(self, remaining, name, forward, *args, **kwargs):
        for output in remaining[name]:
            return self._own(name, output)
        return forward(*args, **kwargs)

    def _own(self, name, output):
        """The output in lists and dictionaries of its own (HRNet puts others into those that it gets), or copied."""
        return tree_map_only(Tensor, torch.clone if name in self._copied else _same, output)

    def _run_block(self, forward, *args, **kwargs):
        output = forward(*args, **kwargs)
        self._versions = {name: _versions(outputs) for name, outputs in self._outputs.items()}
        return output


def _versions(value):
    return [version(tensor) for tensor in tensors(value)]


def _same(value):
    return value


class CallRecord:
    """The calls of all modules in one forward pass: their order, and of some modules inputs and outputs.

    Args:
        network: The network.
        watched: Names of the modules whose calls are kept in ``calls`` as pairs of inputs and output.
    """

    def __init__(self, network: nn.Module, watched: Iterable[str]):
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

    def around(self, block: str) -> Tuple[List[str], List[str], List[str]]:
        """The outermost modules called before a block, the outermost called after it, and all called only after it."""
        around = ancestors(block)
        before: Dict[str, None] = {}
        after: Dict[str, None] = {}
        upstream: Dict[str, None] = {}
        downstream: Dict[str, None] = {}
        open_call, inside, passed = None, False, False
        for name, starting in self._events:
            if name == block:
                inside, passed = starting, True
            elif inside or name in around or name.startswith(f'{block}.'):
                continue
            elif starting:
                (after if passed else before)[name] = None
                if open_call is None:
                    (downstream if passed else upstream)[name], open_call = None, name
            elif name == open_call:
                open_call = None
        return list(upstream), list(downstream), [name for name in after if name not in before]


def ancestors(name: str) -> Tuple[str, ...]:
    """Names of the modules that a module lies within, that of the network, ``''``, first."""
    parts = name.split('.')
    return tuple('.'.join(parts[:i]) for i in range(len(parts)))
