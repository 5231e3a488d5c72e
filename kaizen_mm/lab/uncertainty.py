"""How sure an accuracy is, and whether one is better than another."""

import math
import statistics
from typing import Optional, Sequence

SURE = 2  # standard errors of a difference that are called one


def standard_error(values: Sequence[float], samples: Optional[int] = None) -> Optional[float]:
    """Of the mean of accuracies in percent.

    Args:
        values: One per seed.
        samples: How many videos or images were tested.

    Returns:
        With several seeds their standard deviation (of the sample) over the root of their number; with one the binomial
        ``sqrt(p (1 - p) / samples)``, in percent; None for one seed and an unknown number of samples.
    """
    if len(values) > 1:
        return statistics.stdev(values) / math.sqrt(len(values))
    if samples is None:
        return None
    p = values[0] / 100
    return 100 * math.sqrt(p * (1 - p) / samples)


def with_error(values: Sequence[float], samples: Optional[int] = None) -> str:
    """Mean and standard error for a table, such as ``'73.3 ± 2.9'``."""
    error = standard_error(values, samples)
    return f'{statistics.mean(values):.1f}' + ('' if error is None else f' ± {error:.1f}')


def verdict(values: Sequence[float], control: Sequence[float], samples: Optional[int] = None) -> str:
    """One sentence: whether the recurrent network is better than its control, worse, or not to be told from it.

    With several seeds the differences of pairs count. With one, the two tests are taken for independent; as they are of
    the same samples, the difference may be surer than said.

    Args:
        values, control: Accuracies of the last iterate and of the static control in percent, one per seed.
        samples: How many videos or images were tested.
    """
    difference = statistics.mean(values) - statistics.mean(control)
    if len(values) > 1:
        error = standard_error([a - b for a, b in zip(values, control)])
    else:
        errors = [standard_error(v, samples) for v in (values, control)]
        error = None if None in errors else math.hypot(*errors)
    if error is None:
        word, sure = 'not to be told from', 'the number of tested samples is not known'
    else:
        word = (
            'not to be told from'
            if abs(difference) <= SURE * error
            else 'better than'
            if difference > 0
            else 'worse than'
        )
        sure = f'its standard error is {error:.1f}, and {SURE} of them count as a difference'
    return (
        f'The last iterate of the recurrent network ({with_error(values, samples)} %) is {word} the static control '
        f'({with_error(control, samples)} %): the difference is {difference:+.1f} points, {sure}.'
    )
