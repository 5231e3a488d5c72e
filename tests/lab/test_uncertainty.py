"""Standard errors by hand and by simulation, and the sentence that follows from them."""

import numpy as np
import pytest

from kaizen_mm.lab.uncertainty import standard_error, verdict, with_error


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


@pytest.mark.parametrize(
    'values, control, samples, expected',
    [
        ([71.7], [73.3], 240, 'not to be told from'),  # errors of 2.9: 1.6 of 4.1
        ([85.0], [73.3], 240, 'better than'),
        ([60.0], [73.3], 240, 'worse than'),
        ([80.0], [73.3], None, 'not to be told from'),
        # pairs differ by 1, 1.2 and 0.8, whatever the seeds do
        ([50.0, 60.2, 70.8], [49.0, 59.0, 70.0], None, 'better than'),
        ([49.0, 59.0, 70.0], [50.0, 60.2, 70.8], None, 'worse than'),
        ([50.0, 60.0, 71.0], [49.0, 61.0, 70.0], None, 'not to be told from'),
    ],
)
def test_the_verdict(values, control, samples, expected):
    sentence = verdict(values, control, samples)
    found = [word for word in ('better than', 'worse than', 'not to be told from') if word in sentence]
    assert found == [expected] and sentence.count('. ') == 0 and sentence.endswith('.')


def test_the_numbers_are_in_the_sentence():
    assert verdict([71.7], [73.3], 240) == (
        'The last iterate of the recurrent network (71.7 ± 2.9 %) is not to be told from the static control (73.3 ± '
        '2.9 %): the difference is -1.6 points, its standard error is 4.1, and 2 of them count as a difference.'
    )
    assert 'the number of tested samples is not known' in verdict([80.0], [70.0])
