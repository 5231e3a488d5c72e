"""``block``: one recurrent block beside the plain one, the authors' formulation and an earlier state of the package."""

from collections.abc import Iterable
from typing import Any

import torch

from .conditions import Conditions, chosen
from .passes import compare, passes
from .units import QUICK_UNITS, UNITS, build, check_equal
from .versions import Version, this_version


def measure(
    how: Conditions,
    iterations: Iterable[int] = (3, 4),
    cases: Iterable[str] | None = None,
    before: Version | None = None,
) -> Iterable[dict[str, Any]]:
    """The records of all cases, K and passes, one by one.

    Args:
        how: Conditions.
        iterations: The K.
        cases: Names of :data:`~kaizen_mm.lab.benchmark.units.UNITS`; None for all.
        before: An earlier state of the package.

    Raises:
        ValueError: There is no such case.
        RuntimeError: Two sides do not compute the same.
    """
    units = QUICK_UNITS if how.quick else UNITS
    for name in chosen(units, cases):
        for num_iterations in iterations:
            torch.manual_seed(0)
            blocks = build(units[name], num_iterations, this_version(), before)
            recurrent = dict(authors=blocks.authors, ours=blocks.now)
            if blocks.before is not None:
                recurrent['before'] = blocks.before
            check_equal(
                blocks.authors,
                {key: block for key, block in recurrent.items() if key != 'authors'},
                (2, *blocks.shape[1:]),
            )
            x = torch.randn(blocks.shape)
            for train in (True, False):
                sides = [passes('plain', blocks.plain, x, train, how)]
                sides += [passes(key, block, x, train, how) for key, block in recurrent.items()]
                if how.compile:
                    sides.append(passes('ours, compiled', blocks.now, x, train, how, compiled=True))
                for record in compare(sides, how, blocks.shape[0]):
                    yield dict(
                        case=units[name].title,
                        batch=blocks.shape[0],
                        K=num_iterations,
                        work='train' if train else 'inference',
                        **how.describe(),
                        **record,
                    )
