"""The kinds of ``h`` by name. A further one is a file with a subclass of
:class:`~kaizen_mm.layers.weight_adapter.WeightAdapter`, and a name here."""

import inspect
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Type

from kaizen_mm.arguments import check_choice
from kaizen_mm.layers.expert_adapter import ExpertAdapter
from kaizen_mm.layers.global_adapter import GlobalAdapter
from kaizen_mm.layers.paper_adapter import PaperAdapter
from kaizen_mm.layers.slot_adapter import SlotAdapter
from kaizen_mm.layers.weight_adapter import WeightAdapter

ADAPTERS: Dict[str, Type[WeightAdapter]] = {
    'paper': PaperAdapter,
    'global': GlobalAdapter,
    'slots': SlotAdapter,
    'experts': ExpertAdapter,
}


def build_adapter(
    feedback_shape: Sequence[int], weight_shapes: Mapping[str, Sequence[int]], adapter: str = 'paper', **options
) -> WeightAdapter:
    """Builds the ``h`` of a name.

    Args:
        feedback_shape, weight_shapes: Of every kind, see :class:`~kaizen_mm.layers.WeightAdapter`.
        adapter: A name in :data:`ADAPTERS`: ``'paper'`` (default) for
            :class:`~kaizen_mm.layers.paper_adapter.PaperAdapter`, ``'global'`` for
            :class:`~kaizen_mm.layers.global_adapter.GlobalAdapter`, ``'slots'`` for
            :class:`~kaizen_mm.layers.slot_adapter.SlotAdapter`, ``'experts'`` for
            :class:`~kaizen_mm.layers.expert_adapter.ExpertAdapter`.
        options: Further arguments of that kind. Those of another kind may be given at their default.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
        TypeError: An argument that no kind has.
    """
    kind, known = adapter_kind(adapter), adapter_arguments()
    check_adapter_arguments(options)
    own = arguments_of(kind)
    for name in [name for name in options if name not in own]:
        value = options.pop(name)
        if type(value) is not type(known[name]) or value != known[name]:
            raise ValueError(f'{name} must be left at {known[name]!r} where adapter is "{adapter}", got {value!r}')
    return kind(feedback_shape, weight_shapes, **options)


def adapter_kind(adapter: str = 'paper') -> Type[WeightAdapter]:
    """The class of a name; raises ValueError for a name that is none."""
    check_choice('adapter', adapter, tuple(ADAPTERS))
    return ADAPTERS[adapter]


def any_size_adapters() -> List[str]:
    """The names of the kinds that take feedback maps, and so inputs, of any size."""
    return [name for name, kind in ADAPTERS.items() if kind.any_size]


def adapter_arguments() -> Dict[str, Any]:
    """The names of what :func:`build_adapter` takes as options, of all kinds, and their defaults."""
    known: Dict[str, Any] = {'adapter': 'paper'}
    for kind in ADAPTERS.values():
        known.update(arguments_of(kind))
    return known


def check_adapter_arguments(names: Iterable[str]) -> None:
    """Raises TypeError for a name that is no argument of any kind."""
    known = adapter_arguments()
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TypeError(f'unknown arguments {unknown}; an adapter takes {", ".join(known)}')


def arguments_of(kind: type) -> Dict[str, Any]:
    """The names of what a kind takes as options, and their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
    }
