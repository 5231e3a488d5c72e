"""Names of parameters as the network within a :class:`~kaizen_mm.surgery.RecurrentNetwork` has them, for what lays
them into groups by name: learning rates per layer, weight decay."""

import re
from itertools import chain
from typing import Any, Callable, List, Optional, Tuple

from kaizen_mm.surgery.span import Span


def network_name(name: str, span: Optional[Span] = None) -> str:
    """The name that a parameter of a recurrent network has in the network; that of ``h`` begins with its block's.

    Args:
        name: In the recurrent network, where wrappers stand between.
        span: Of a block that is a sequence of submodules.
    """
    name = '.'.join(part for part in name.split('.') if part != 'wrapped')
    names: Tuple[str, ...] = () if span is None else span.names
    for own in names:
        long = f'{names[0]}.{own.rpartition(".")[2]}'
        if name.startswith(f'{long}.'):
            return own + name[len(long) :]
    return name


def group_matcher_of(matcher: Any, plain: Callable[[str], str]) -> Callable[[str], Tuple[float, ...]]:
    """A ``group_matcher`` of timm (a dictionary of patterns, or a function of a name) for names of a wrapper.

    Args:
        matcher: The network's.
        plain: Gives the network's name of a parameter for that in the wrapper.
    """
    if not isinstance(matcher, dict):
        return lambda name: matcher(plain(name))
    patterns: List[tuple] = []
    for ordinal, specification in enumerate(matcher.values()):
        entries = specification if isinstance(specification, (tuple, list)) else [(specification, None)]
        patterns += [(re.compile(pattern), ordinal, suffix or ()) for pattern, suffix in entries if pattern]

    def group(name: str) -> Tuple[float, ...]:
        for pattern, ordinal, suffix in patterns:
            match = pattern.match(plain(name))
            if match:
                return tuple(map(float, chain((ordinal,), match.groups(), suffix)))
        return (float('inf'),)  # the head

    return group
