"""Logged values by iterate: from ``iterate_2_ce`` and the like to one row of values for each name."""

import re
from typing import Dict, Mapping, Tuple

_NAME = re.compile(r'^(?P<before>.*?)iterate_(?P<number>\d+)[_/](?P<after>.+)$')


def by_iterate(scalars: Mapping[str, float]) -> Tuple[Dict[str, Dict[int, float]], Dict[str, float]]:
    """Takes values apart that are logged per iterate.

    ``iterate_2_ce`` is value 2 of ``ce``, ``accuracy/iterate_2/top1`` value 2 of ``accuracy/top1``. A plain
    ``top1_acc`` beside ``iterate_1_top1_acc`` is the last iterate's.

    Returns:
        The values by name and iterate, and those that belong to no iterate, both in the order in which they came.
    """
    groups: Dict[str, Dict[int, float]] = {}
    for name, value in scalars.items():
        match = _NAME.match(name)
        if match:
            groups.setdefault(match['before'] + match['after'], {})[int(match['number'])] = value
    last = max((number for group in groups.values() for number in group), default=0)
    rest = {}
    for name, value in scalars.items():
        if name in groups:
            groups[name].setdefault(last, value)
        elif not _NAME.match(name):
            rest[name] = value
    return {name: dict(sorted(group.items())) for name, group in groups.items()}, rest
