"""The pooling of the paper's adapter that is nearest to one which does not fit: a proposal for errors."""

import itertools
import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

_MOST_MAPS = 200_000  # sizes of pooled maps that are looked at


class Pooling(NamedTuple):
    """Kernel, stride and padding, one of each per spatial dimension."""

    kernel: Tuple[int, ...]
    stride: Tuple[int, ...]
    padding: Tuple[int, ...]

    def __str__(self) -> str:
        default = {'kernel': None, 'stride': 1, 'padding': 0}
        words = [
            f'pool_{name}={value[0] if len(set(value)) == 1 else value}'
            for name, value in self._asdict().items()
            if set(value) != {default[name]}
        ]
        return ', '.join(words)


def nearest_pooling(spatial: Sequence[int], given: Optional[Pooling], multiple: int) -> Optional[Pooling]:
    """The pooling that differs least from ``given`` and leaves a multiple of ``multiple`` positions of a map.

    Args:
        spatial: Size of the map.
        given: The pooling; None for none, from which a small kernel is the nearest.
        multiple: At least 1.

    Returns:
        None where no pooling of the map does.
    """
    if not spatial or math.prod(spatial) > _MOST_MAPS:
        return None
    ones = (1,) * len(spatial)
    start = given or Pooling(ones, ones, (0,) * len(spatial))
    sizes: List[dict] = []
    for size, *own in zip(spatial, *start):
        sizes.append({n: _nearest(size, n, *own) for n in range(1, size + 1)})
    fitting = (n for n in itertools.product(*sizes) if math.prod(n) % multiple == 0)
    best = min(fitting, default=None, key=lambda n: sum(options[i][0] for options, i in zip(sizes, n)))
    if best is None:
        return None
    return Pooling(*zip(*(options[n][1] for options, n in zip(sizes, best))))


def _nearest(size: int, wanted: int, kernel: int, stride: int, padding: int) -> Tuple[int, Tuple[int, int, int]]:
    """How far away it is, and the window of one dimension that leaves ``wanted`` positions of ``size``."""
    options = []
    for t, p in ((stride, padding), (stride, 0), (1, padding), (1, 0)):
        longest = size + 2 * p - t * (wanted - 1)
        k = min(max(kernel, longest - t + 1, 1, 2 * p), longest)
        if k >= max(1, 2 * p, longest - t + 1):
            options.append((abs(k - kernel) + 2 * abs(t - stride) + 2 * abs(p - padding), (k, t, p)))
    return min(options)  # stride 1 without padding leaves every size
