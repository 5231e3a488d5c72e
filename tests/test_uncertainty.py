"""Standard errors by hand and by simulation, and the sentence that follows from them."""

import numpy as np
import pytest

from kaizen_mm.uncertainty import (
    check_seeds,
    iterates_verdict,
    paired_by_sample,
    paired_by_seed,
    standard_error,
    verdict,
    with_error,
)


def test_by_hand():
    assert standard_error([80.0], 100) == pytest.approx(4)
    assert standard_error([1.0, 3.0, 5.0]) == pytest.approx(2 / 3**0.5)
    assert standard_error([1.0, 3.0, 5.0], 100) == pytest.approx(2 / 3**0.5), 'over seeds where there are several'
    assert standard_error([80.0]) is None
    assert [with_error([80.0], 100), with_error([1.0, 3.0, 5.0]), with_error([80.0])] == [
        '80.0 ± 4.0',
        '3.0 ± 1.2',
        '80.0',
    ]


def test_binomial_error_is_the_spread_of_draws():
    accuracies = 100 * np.random.default_rng(0).binomial(240, 0.7, size=20_000) / 240
    assert standard_error([70.0], 240) == pytest.approx(accuracies.std(), rel=0.03)


def test_no_spread_is_made_up():
    """All right, or none: p (1 - p) is 0 however few the samples are."""
    assert standard_error([100.0], 5) is None and standard_error([0.0], 5) is None and with_error([100.0], 5) == '100.0'


def test_pairs_of_samples_by_hand():
    step = paired_by_sample([1, 1, 0, 0, 0, 0, 0, 1], [1, 0, 1, 1, 1, 0, 0, 1])
    changes = np.array([0, -1, 1, 1, 1, 0, 0, 0])
    assert (step.corrected, step.broken, step.gain) == (3, 1, 2 / 8)
    assert step.error == pytest.approx(changes.std() / 8**0.5)
    assert step.p == pytest.approx(2 * (1 + 4) / 2**4)
    assert paired_by_sample([1, 0], [1, 0]) == (0, 0, 0, None, 1), 'no sample changes: there is no spread'
    assert paired_by_sample([0, 0], [1, 1]).error is None
    with pytest.raises(ValueError, match='of the same samples'):
        paired_by_sample([1, 0], [1])


def test_the_error_of_pairs_is_the_spread_of_draws():
    """Two networks that are right on nearly the same samples differ by far less than independent ones."""
    random = np.random.default_rng(0)
    both = random.random((4000, 300)) < 0.7
    other = both ^ (random.random(both.shape) < 0.05)
    gains = other.mean(axis=1) - both.mean(axis=1)
    errors = [paired_by_sample(a, b).error for a, b in zip(both, other)]
    assert np.mean(errors) == pytest.approx(gains.std(), rel=0.05)
    assert np.mean(errors) < 0.4 * (2 * 0.7 * 0.3 / 300) ** 0.5


def test_pairs_of_seeds_by_hand():
    pairs = paired_by_seed([50.0, 60.2, 70.8], [49.0, 59.0, 70.0])
    assert pairs.mean == pytest.approx(1) and pairs.error == pytest.approx(0.2 / 3**0.5)
    t = 1 / (0.2 / 3**0.5)  # two degrees of freedom: P(|T| > t) = 1 - t / sqrt(2 + t^2)
    assert pairs.p == pytest.approx(1 - t / (2 + t**2) ** 0.5)
    for values in ([51.0], [51.0, 61.1]):
        pairs = paired_by_seed(values, [value - 1 for value in values])
        assert (pairs.error, pairs.p) == (None, None) and pairs.mean == pytest.approx(1)


@pytest.mark.parametrize(
    'seeds, message',
    [([0, 0], 'got 0 twice: it is one training'), ([2, 1, 2], 'got 2 twice'), ([], r'got \[\]')]
    + [([seed], 'different ints from 0') for seed in (-1, 2**32, True, '0', 1.0)],
)
def test_a_training_counts_once(seeds, message):
    with pytest.raises(ValueError, match=message):
        check_seeds(seeds)
    check_seeds([0, 2, 1])


@pytest.mark.parametrize(
    'values, control, expected',
    [
        # pairs differ by 1, 1.2 and 0.8, whatever the seeds do
        ([50.0, 60.2, 70.8], [49.0, 59.0, 70.0], 'better than'),
        ([49.0, 59.0, 70.0], [50.0, 60.2, 70.8], 'worse than'),
        ([50.0, 60.0, 71.0], [49.0, 61.0, 70.0], 'no measurable difference to'),
        ([51.0, 61.0], [50.0, 60.0], 'no measurable difference to'),  # the same twice is no spread
        ([50.0, 61.5], [49.0, 60.0], 'no measurable difference to'),  # 2.5 errors of two seeds: p = 0.13
        ([90.0], [10.0], 'no measurable difference to'),  # which samples is not known
    ],
)
def test_the_verdict_by_seed(values, control, expected):
    check_sentence(verdict(values, control), expected)


@pytest.mark.parametrize(
    'corrected, broken, expected',
    [
        (0, 0, 'no measurable difference to'),
        (5, 0, 'no measurable difference to'),  # p = 1/16
        (6, 0, 'better than'),  # p = 1/32
        (0, 6, 'worse than'),
        (20, 10, 'no measurable difference to'),
        (25, 9, 'better than'),
    ],
)
def test_the_verdict_by_sample(corrected, broken, expected):
    before = [False] * corrected + [True] * broken + [True] * 100
    after = [True] * corrected + [False] * broken + [True] * 100
    accuracies = [[100 * np.mean(right)] for right in (after, before)]
    check_sentence(verdict(*accuracies, len(before), after, before), expected)


def check_sentence(sentence, expected):
    found = [word for word in ('better than', 'worse than', 'no measurable difference to') if word in sentence]
    assert found == [expected] and sentence.count('. ') == 0 and sentence.endswith('.')


def test_the_numbers_are_in_the_sentence():
    before, after = [True] * 6 + [False] * 4, [True] * 5 + [False] * 2 + [True] * 3
    assert verdict([80.0], [60.0], 10, after, before) == (
        'The last iterate of the recurrent network (80.0 ± 12.6 %) shows no measurable difference to the static '
        "control (60.0 ± 15.5 %): the difference is +20.0 points, its standard error is 19.0, p = 0.62 (McNemar's "
        'exact test, 3 samples being corrected and 1 broken), and up to 0.05 counts as a difference.'
    )
    assert 'p = 0.013 (a paired t test over 3 seeds)' in verdict([50.0, 60.2, 70.8], [49.0, 59.0, 70.0])
    same = verdict([60.0], [60.0], 10, before, before)
    assert same.endswith('+0.0 points, no sample is right in one of them alone.')
    assert 'is not known, so that it cannot be told from chance' in verdict([80.0], [70.0], 100)


@pytest.mark.parametrize(
    'corrected, broken, expected',
    [
        (0, 0, 'make no measurable difference'),
        (5, 0, 'make no measurable difference'),  # p = 1/16
        (6, 0, 'help'),
        (0, 6, 'do harm'),
        (20, 10, 'make no measurable difference'),
        (9, 25, 'do harm'),
    ],
)
def test_the_verdict_on_the_iterates_of_one_network(corrected, broken, expected):
    right = [[False, True]] * corrected + [[True, False]] * broken + [[True, True]] * 100
    sentence = iterates_verdict(right)
    openings = ('make no measurable difference', 'help', 'do harm')
    assert [opening for opening in openings if f'The iterations {opening}:' in sentence] == [expected]
    assert sentence.count('. ') == 0 and sentence.endswith('.') and '\n' not in sentence


def test_the_verdict_goes_iterate_by_iterate():
    right = [[0, 1, 1]] * 30 + [[1, 0, 0]] * 10 + [[1, 1, 0]] * 4 + [[1, 1, 1]] * 56
    steps = [np.array([1] * 30 + [-1] * 10 + [0] * 60), np.array([0] * 40 + [-1] * 4 + [0] * 56)]
    errors = [step.std() * 10 for step in (*steps, steps[0] + steps[1])]  # of the mean of 100, in points
    assert iterates_verdict(right) == (
        f'The iterations help: 70.0 % of 100 samples right in iterate 1, 90.0 (+20.0 ± {errors[0]:.1f}) in 2, 86.0 '
        f'(-4.0 ± {errors[1]:.1f}) in 3; from the first to the last +16.0 ± {errors[2]:.1f} points, 30 corrected, 14 '
        "broken (McNemar's exact test, p = 0.023, and up to 0.05 counts as a difference)."
    )
    assert 'right in iterate 1, 100.0 (+100.0) in 2; 2 corrected' in iterates_verdict([[0, 1]] * 2), 'no spread'
    assert iterates_verdict([[1], [0]]) == (
        'The network has one iterate (50.0 % of 2 samples), so there is nothing to compare.'
    )
    for wrong in ([], [[]], [1, 0]):
        with pytest.raises(ValueError, match='right must be of shape'):
            iterates_verdict(wrong)
