"""Times of several sides of a comparison, taken in turn in one run.

What a machine does beside falls on all sides alike then, and ratios are those of neighbours in time.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

import torch


@dataclasses.dataclass
class Side:
    """One side of a comparison.

    Args:
        name: What tables call it.
        call: What is timed.
        after: What runs after each call and is not timed, such as setting gradients to None.
    """

    name: str
    call: Callable[[], object]
    after: Callable[[], object] = lambda: None


@dataclasses.dataclass
class Times:
    """Seconds of each round: CPU time of this process, all of its threads, and time on the wall."""

    cpu: list[float] = dataclasses.field(default_factory=list)
    wall: list[float] = dataclasses.field(default_factory=list)


def interleaved(sides: Sequence[Side], seconds: float, device: str = 'cpu', least_rounds: int = 5) -> dict[str, Times]:
    """Times of each side, by name. Every side runs once before, and the first of a round is another one each time.

    Args:
        sides: The sides, of different names.
        seconds: For how long rounds are begun.
        device: ``'cpu'`` or ``'cuda'``, which is waited for.
        least_rounds: Rounds that are made however long they take. Default 5.

    Raises:
        ValueError: Two sides of one name.
    """
    times = {side.name: Times() for side in sides}
    if len(times) < len(sides):
        raise ValueError(f'sides must have different names, got {[side.name for side in sides]}')
    for side in sides:
        _timed(side, device)
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < least_rounds or time.perf_counter() < end:
        first = rounds % len(sides)
        for side in (*sides[first:], *sides[:first]):
            cpu, wall = _timed(side, device)
            times[side.name].cpu.append(cpu)
            times[side.name].wall.append(wall)
        rounds += 1
    return times


def _timed(side: Side, device: str) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    side.call()
    if device == 'cuda':
        torch.cuda.synchronize()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    side.after()
    return cpu, wall


def summary(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Median and quartiles, rounded."""
    low, median, high = statistics.quantiles(values, method='inclusive') if len(values) > 1 else [*values] * 3
    return dict(median=round(median, digits), low=round(low, digits), high=round(high, digits))


def ratio(of: Sequence[float], to: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of the ratios of each round."""
    return summary([one / other for one, other in zip(of, to)])
