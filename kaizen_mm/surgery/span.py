"""Several consecutive submodules of a network as one block: ``f`` in the early ones, ``h`` reading the last one's
output.

Battash & Wolf (arXiv:1910.11105) leave such feedback, from later to earlier blocks, to future work.
"""

from collections import OrderedDict
from functools import partial
from typing import Mapping, Sequence

from torch import nn

from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.nested_tensors import same_tensors, tensors
from kaizen_mm.layers.recurrent_block import nearest
from kaizen_mm.surgery.replay import CallRecord


class Span(nn.Sequential):
    """Consecutive submodules of a network, put together in the place of the first one.

    Its children have the last part of their names: those of ``'stages.2', 'stages.3'`` are ``'2'`` and ``'3'``.

    Args:
        network: Changed in place, or left as it was where the submodules cannot be put together.
        names: Names of the submodules, two or more, siblings, in the order of their calls.
        args, kwargs: An input of the network.

    Raises:
        ValueError: A name that is none or is there twice; submodules of which one does not take what the one
            before gives, or does so more than once; a network that uses what is between them itself.
    """

    def __init__(self, network: nn.Module, names: Sequence[str], args: tuple = (), kwargs: Mapping = {}):
        names = tuple(names)
        known = dict(network.named_modules())
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(
                'block must be the name of a submodule, a mapping of names to arguments, or a sequence of two or '
                f'more different names, got {list(names)!r}'
            )
        for name in names:
            if name not in known or not name:
                raise ValueError(
                    f'block: {type(network).__name__} has no submodule {name!r}; {nearest(str(name), known)}'
                )
        parents = {name.rpartition('.')[0] for name in names}
        if len(parents) > 1:
            raise ValueError(f'block: the submodules of a sequence must lie side by side, got {list(names)!r}')
        if 'adapter' in known[names[0]]._modules:
            raise ValueError(f"block: {names[0]!r} has a submodule 'adapter', whose name is that of h; rename it")
        record = CallRecord(network, names)
        with evaluation(network), record.recording():
            expected = tensors(network(*args, **kwargs))
        _check_calls(record, names)
        super().__init__(OrderedDict((name.rpartition('.')[2], known[name]) for name in names))
        self.names, self.training = names, known[names[0]].training
        self.left = {name: InSpan() for name in names[1:]}  # what stays in the places of the others
        expected = [tensor.clone() for tensor in expected]
        self.put(network, self)
        try:
            with evaluation(network):
                same = same_tensors(tensors(network(*args, **kwargs)), expected)
        except Exception:  # of whatever kind the network raises where another map comes than it reads
            same = False
        if not same:
            self.dissolve(network)
            raise ValueError(
                f'block: {type(network).__name__} reads what one of {list(names)!r} gives, and not the next one alone '
                'does. Nothing else may read what is between the submodules of a sequence'
            )

    def put(self, network: nn.Module, block: nn.Module) -> None:
        """Puts ``block``, which is or holds this module, in the place of the first submodule."""
        network.set_submodule(self.names[0], block)
        for name, module in self.left.items():
            network.set_submodule(name, module)

    def dissolve(self, network: nn.Module) -> None:
        """Puts every submodule back in its place."""
        for name, module in zip(self.names, self):
            network.set_submodule(name, module)

    def keep_names(self, network: nn.Module) -> None:
        """Lets the state dict of a wrapper around the network have the names of the network without the span."""
        long_names = {name: f'{self.names[0]}.{name.rpartition(".")[2]}' for name in self.names}
        network._register_state_dict_hook(partial(_hide_span, long_names))
        network.register_load_state_dict_pre_hook(partial(_address_span, long_names))


class InSpan(nn.Identity):
    """Stands in the place of a submodule that a :class:`Span` holds."""


def _check_calls(record: CallRecord, names: Sequence[str]) -> None:
    for name in names:
        if len(record.calls[name]) != 1:
            raise ValueError(
                f'block: {name!r} must run once in a forward pass, it runs {len(record.calls[name])} times'
            )
    for before, after in zip(names, names[1:]):
        inputs = record.calls[after][0][0]
        if len(inputs) != 1 or inputs[0] is not record.calls[before][0][1]:
            raise ValueError(
                f'block: {after!r} must take what {before!r} gives and nothing else; a sequence must name '
                'submodules that follow one another, in their order'
            )


def _hide_span(long_names, wrapper, state_dict, prefix, local_metadata):
    _rename(state_dict, {f'{prefix}{long}.': f'{prefix}{name}.' for name, long in long_names.items()})


def _address_span(long_names, wrapper, state_dict, prefix, *args):
    prefix, first = f'{prefix}wrapped.', next(iter(long_names))
    _rename(
        state_dict,
        {f'{prefix}{name}.': f'{prefix}{long}.' for name, long in long_names.items()},
        but=f'{prefix}{first}.adapter.',
    )


def _rename(state_dict: dict, prefixes: Mapping[str, str], but: str = '\0') -> None:
    """Other prefixes for the keys of a state dict; the order of the keys stays."""
    for key in list(state_dict):
        value = state_dict.pop(key)
        for old, new in prefixes.items():
            if key.startswith(old) and not key.startswith(but):
                key = new + key[len(old) :]
                break
        state_dict[key] = value
