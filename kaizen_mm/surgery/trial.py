"""A block on trial: whether a network can go on from it, and whether it gives the same when it runs again."""

from typing import List, Mapping, Optional, Sequence

from torch import nn

from kaizen_mm.layers.call_state import CallState
from kaizen_mm.layers.nested_tensors import same_tensors, tensors
from kaizen_mm.layers.training_trial import training_fault
from kaizen_mm.layers.transparent import DelegatingWrapper
from kaizen_mm.surgery.replay import Replay


def copied_outputs(
    network: nn.Module,
    blocks: List[str],
    upstream: List[str],
    args: tuple,
    kwargs: dict,
    dynamic: Mapping[str, Sequence[str]],
) -> List[str]:
    """The modules of whose outputs :class:`Replay` must keep copies, as the network changes them in place.

    Args:
        dynamic: By block: names of its dynamic layers. Of the blocks that it has it is tried whether they give the
            same when they run again, and let gradients through to these layers.

    Raises:
        ValueError: A pass that begins at the last block gives something else than a whole one; the network does not
            call its submodule of a block's name; or a block gives something else in its second call, or lets no
            gradient through to a dynamic layer.
    """
    plain = {name: network.get_submodule(name) for name in blocks}
    probes = {name: Probe(module, dynamic.get(name)) for name, module in plain.items()}
    try:
        for name, probe in probes.items():
            put(network, plain[name], probe)
        copied = [blocks[-1]]
        for _ in range(2):
            replay = Replay(network, blocks[-1], [*upstream, blocks[-1]], copied)
            try:
                with replay.first_pass():
                    expected = network(*args, **kwargs)
            finally:  # what it finds may make the rest of the pass fail
                for name, probe in probes.items():
                    if probe.difference:
                        raise ValueError(f'block: {name!r} {probe.difference}')
            expected = [tensor.clone() for tensor in tensors(expected)]
            with replay.later_pass():
                again = tensors(network(*args, **kwargs))
            copied = [*copied, *replay.changed()]
    finally:
        for name, probe in probes.items():
            put(network, probe, plain[name])
    for name, probe in probes.items():
        if not probe.has_run:
            raise ValueError(
                f'block: {type(network).__name__} does not call {name!r} by its place among the submodules: it has a '
                'reference of its own, such as a list. No other module can be put there'
            )
    if not same_tensors(again, expected):
        raise ValueError(
            f'block: {type(network).__name__} cannot go on from {blocks[-1]!r}: a pass that begins there gives '
            'something else than a whole one. It changes outputs of its modules in place, or draws random '
            'numbers in evaluation mode'
        )
    return copied[1:]


class Probe(DelegatingWrapper):
    """Stands in the place of a block and notes whether it is called, and whether a second call, the second iterate of
    a recurrence without increments, gives the same."""

    has_run = False
    difference = ''

    def __init__(self, block: nn.Module, dynamic: Optional[Sequence[str]]):
        super().__init__(block)
        self._dynamic = dynamic

    def forward(self, *args, **kwargs):
        self.has_run = True
        if self._dynamic is None:
            return self.wrapped(*args, **kwargs)
        dynamic, self._dynamic = self._dynamic, None
        u, *others = args
        u, state = u.clone(), CallState(tuple(others), kwargs)
        output = self.wrapped(*args, **kwargs)
        first = [tensor.clone() for tensor in tensors(output)]
        changed = state.changed()
        try:
            same = changed is None and same_tensors(tensors(self.wrapped(u, *others, **kwargs)), first)
        except Exception:  # of whatever kind, where its state does not fit any more
            same = False
        if changed is not None:
            self.difference = (
                f'changes its further argument {changed}, so that each iterate would find what the one before has '
                'left there; call the network so that none is handed on (use_cache=False where it is a cache of keys '
                'and values or a state, in example_input and later)'
            )
        elif not same:
            self.difference = (
                f'gives something else when it runs again on the same input, as it would in each iterate: '
                f'{type(self.wrapped).__name__} keeps a state from one call to the next, or draws random numbers in '
                'evaluation mode; switch that off, or take a block without'
            )
        else:
            self.difference = training_fault(self.wrapped, dynamic, u, tuple(others), kwargs)
        return output


def put(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replaces a submodule wherever it is registered."""
    for parent in list(network.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new
    new.training = old.training
