"""How the tests read windows, and what they must be."""

import numpy as np
import pytest

from kaizen_mm.streams import windows

LENGTH, STRIDE = 8, 5


def all_of(source, said, length=LENGTH, stride=STRIDE, **options):
    return list(windows(source, length, stride, say=said.append, **options))


def check_same(found, frames, starts=(0, 5, 10, 15, 20, 25, 30, 34), interval=1, rate=25):
    assert [window.start for window in found] == list(starts)
    for window in found:
        assert window.frames.dtype == np.uint8 and window.end - window.start == (LENGTH - 1) * interval + 1
        np.testing.assert_array_equal(window.frames, frames[window.start : window.end : interval])
        assert window.time == pytest.approx(window.start / rate)
