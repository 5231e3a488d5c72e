"""Sides are taken in turn, and what is not theirs is not timed."""

import time

import pytest

from kaizen_mm.lab.benchmark import timing
from kaizen_mm.lab.benchmark.timing import Side, interleaved, ratio, summary


def test_sides_are_taken_in_turn_and_none_is_always_the_first():
    order = []
    sides = [Side(name, lambda name=name: order.append(name)) for name in 'abc']
    times = interleaved(sides, seconds=0, least_rounds=3)
    assert ''.join(order) == 'abc' + 'abc' + 'bca' + 'cab'  # the first time is not counted
    assert {name: len(found.cpu) for name, found in times.items()} == dict(a=3, b=3, c=3)
    assert all(len(found.wall) == 3 for found in times.values())


def test_what_comes_after_a_call_is_not_timed(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, 'process_time', lambda: clock[0])

    def spend(seconds):
        clock[0] += seconds

    times = interleaved(
        [Side('a', lambda: spend(2), lambda: spend(100)), Side('b', lambda: spend(3))], 0, least_rounds=2
    )
    assert times['a'].cpu == [2, 2] and times['b'].cpu == [3, 3]


def test_rounds_are_made_until_the_time_is_over(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: clock[0])

    def spend():
        clock[0] += 1

    assert len(interleaved([Side('a', spend)], seconds=10, least_rounds=1)['a'].wall) == 10


def test_numbers():
    assert summary([4, 1, 2, 3, 5]) == dict(median=3, low=2, high=4)
    assert summary([1, 2]) == dict(median=1.5, low=1.25, high=1.75)
    assert ratio([2, 6, 12], [1, 2, 3]) == dict(median=3, low=2.5, high=3.5)  # of each round, not of the medians


def test_one_name_twice():
    with pytest.raises(ValueError, match=r"different names, got \['a', 'a'\]"):
        interleaved([Side('a', int), Side('a', int)], 0)
