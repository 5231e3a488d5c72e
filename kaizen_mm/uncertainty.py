"""How sure an accuracy is, and whether one is better than another: the one way in which networks are compared.

Two networks are compared in pairs, never as if their tests were independent. Where several seeds were trained, the
pairs are by seed. Where there is one seed they are by sample, since both are tested on the same samples.
"""

import math
import statistics
from typing import NamedTuple, Optional, Sequence

import numpy as np
from scipy.stats import binomtest, ttest_1samp

SURE = 0.05  # probability by chance up to which a difference is called one


class Step(NamedTuple):
    """What one network, or iterate, changes against another on the same samples.

    ``corrected`` and ``broken`` are numbers of samples. ``gain`` is the difference of the accuracies (as a share).
    ``error`` is its standard error (paired; None where every sample changes alike, so that there is no spread). ``p``
    is the probability by chance of so uneven a split of the samples that change, or a more uneven one (McNemar's exact
    test); 1 where none changes.
    """

    corrected: int
    broken: int
    gain: float
    error: Optional[float]
    p: float


class Pairs(NamedTuple):
    """Differences of two networks, seed by seed.

    ``mean`` and ``error``, its standard error, are in points, ``p`` is the probability of so large a mean by chance
    (paired t test, two-sided). Both are None for a single pair, and where all differences are equal, which tells
    nothing about their spread.
    """

    mean: float
    error: Optional[float]
    p: Optional[float]
    per_seed: list


def paired_by_sample(before: Sequence[bool], after: Sequence[bool]) -> Step:
    """What is changed from ``before`` to ``after``, whether each sample is right, in the same order.

    Raises:
        ValueError: There is no sample, or another number of them.
    """
    before, after = (np.asarray(right, dtype=bool) for right in (before, after))
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise ValueError(f'before and after must be of the same samples, got {before.shape} and {after.shape}')
    corrected, broken, n = int((~before & after).sum()), int((before & ~after).sum()), len(before)
    gain = (corrected - broken) / n
    error = math.sqrt(max(corrected + broken - n * gain**2, 0)) / n
    p = binomtest(corrected, corrected + broken).pvalue if corrected + broken else 1.0
    return Step(corrected, broken, gain, error or None, float(p))


def paired_by_seed(values: Sequence[float], control: Sequence[float]) -> Pairs:
    """The differences of accuracies in percent, one of each per seed."""
    differences = [value - other for value, other in zip(values, control, strict=True)]
    mean = statistics.mean(differences)
    # accuracies are sums of shares: differences that are equal may differ in their last digit
    if len(differences) < 2 or max(differences) - min(differences) < 1e-9:
        return Pairs(mean, None, None, differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return Pairs(mean, error, float(ttest_1samp(differences, 0).pvalue), differences)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises ValueError unless ``seeds`` are different ints from 0 to 2**32 - 1: the same training counts once."""
    wrong = [seed for seed in seeds if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32]
    again = sorted({seed for seed in seeds if list(seeds).count(seed) > 1})
    if wrong or again or not seeds:
        raise ValueError(
            'seeds must be different ints from 0 to 4294967295, '
            + (f'got {again[0]} twice: it is one training' if again and not wrong else f'got {list(seeds)}')
        )


def standard_error(values: Sequence[float], samples: Optional[int] = None) -> Optional[float]:
    """Of the mean of accuracies in percent.

    Args:
        values: One per seed.
        samples: How many videos or images were tested.

    Returns:
        With several seeds their standard deviation (of the sample) over the root of their number; with one the binomial
        ``sqrt(p (1 - p) / samples)``, in percent. None for one seed and an unknown number of samples, or where all or
        none of them are right, for which that formula says 0 however few they are.
    """
    if len(values) > 1:
        return statistics.stdev(values) / math.sqrt(len(values))
    p = values[0] / 100
    if samples is None or not 0 < p < 1:
        return None
    return 100 * math.sqrt(p * (1 - p) / samples)


def with_error(values: Sequence[float], samples: Optional[int] = None) -> str:
    """Mean and standard error for a table, such as ``'73.3 ± 2.9'``."""
    error = standard_error(values, samples)
    return f'{statistics.mean(values):.1f}' + ('' if error is None else f' ± {error:.1f}')


def verdict(
    values: Sequence[float],
    control: Sequence[float],
    samples: Optional[int] = None,
    right: Optional[Sequence[bool]] = None,
    control_right: Optional[Sequence[bool]] = None,
) -> str:
    """One sentence: whether the recurrent network is better than its control, worse, or neither.

    Args:
        values, control: Accuracies of the last iterate and of the static control in percent, one per seed.
        samples: How many videos or images were tested.
        right, control_right: Of a single seed, which samples each gets right, in the same order; None where that is
            not known.
    """
    if len(values) > 1:
        difference, error, p, _ = paired_by_seed(values, control)
        how = f'a paired t test over {len(values)} seeds'
        unsure = f'it is the same for each of {len(values)} seeds, which tells nothing about its spread'
    elif right is None or control_right is None:
        difference, error, p, how = values[0] - control[0], None, None, ''
        unsure = 'that both get the same samples right or not is not known, so that it cannot be told from chance'
    else:
        step = paired_by_sample(control_right, right)
        difference, error, p = 100 * step.gain, step.error and 100 * step.error, step.p
        how = f"McNemar's exact test, {step.corrected} samples being corrected and {step.broken} broken"
        unsure = 'no sample is right in one of them alone'
        if step.corrected + step.broken == 0:
            p = None
    if p is None:
        verb, sure = 'shows no measurable difference to', unsure
    else:
        verb = 'is better than' if difference > 0 else 'is worse than'
        if p > SURE:
            verb = 'shows no measurable difference to'
        shown = '' if error is None else f'its standard error is {error:.1f}, '
        sure = f'{shown}p = {p:.2g} ({how}), and up to {SURE} counts as a difference'
    return (
        f'The last iterate of the recurrent network ({with_error(values, samples)} %) {verb} the static control '
        f'({with_error(control, samples)} %): the difference is {difference:+.1f} points, {sure}.'
    )


def iterates_verdict(right: Sequence[Sequence[bool]]) -> str:
    """One sentence: what the iterations of one network change, iterate by iterate, and whether they help.

    Args:
        right: ``[N, K]``, whether each of K iterates gets each of N samples right.

    Raises:
        ValueError: There is no sample or no iterate.
    """
    right = np.asarray(right, dtype=bool)
    if right.ndim != 2 or not right.size:
        raise ValueError(f'right must be of shape [samples, iterates], both at least 1, got {right.shape}')
    samples, iterates = right.shape
    accuracies = 100 * right.mean(axis=0)
    if iterates == 1:
        return (
            f'The network has one iterate ({accuracies[0]:.1f} % of {samples} samples), so there is nothing to compare.'
        )
    whole = paired_by_sample(right[:, 0], right[:, -1])
    opening = 'make no measurable difference'
    if whole.p <= SURE:
        opening = 'help' if whole.gain > 0 else 'do harm'
    shown = [f'{accuracies[0]:.1f} % of {samples} samples right in iterate 1']
    for i in range(1, iterates):
        shown.append(f'{accuracies[i]:.1f} ({_points(paired_by_sample(right[:, i - 1], right[:, i]))}) in {i + 1}')
    total = f'from the first to the last {_points(whole)} points, ' if iterates > 2 else ''
    return (
        f'The iterations {opening}: {", ".join(shown)}; {total}{whole.corrected} corrected, {whole.broken} broken '
        f"(McNemar's exact test, p = {whole.p:.2g}, and up to {SURE} counts as a difference)."
    )


def _points(step: Step) -> str:
    """A gain in points with its standard error, where there is one."""
    return f'{100 * step.gain:+.1f}' + ('' if step.error is None else f' ± {100 * step.error:.1f}')
