"""The learning rate of runs with an end, which must stay what it was, and of runs without one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from napari_sortingloss.training.rates import HALVED, WARM_UP_ENDLESS, rate_factor


@pytest.mark.parametrize(
    ("step", "steps", "expected"),
    [
        (0, 400, 1 / 41),
        (39, 400, 40 / 41),
        (40, 400, 1.0),
        (220, 400, 0.5),
        (400, 400, 0.0),
        (7, 1000, 8 / 51),
    ],
)
def test_a_run_with_an_end_goes_up_along_a_line_and_down_along_half_a_cosine(step, steps, expected):
    assert rate_factor(step, steps) == pytest.approx(expected, abs=1e-15)


def test_a_run_without_an_end_warms_up_and_then_only_ever_goes_down_and_never_to_nothing():
    factors = [rate_factor(step, 0) for step in range(5000)]
    top = WARM_UP_ENDLESS
    assert factors[top] == max(factors) == 1.0
    assert all(a < b for a, b in pairwise(factors[: top + 1]))
    assert all(a > b > 0 for a, b in pairwise(factors[top:]))
    assert rate_factor(top + 3 * HALVED, 0) == pytest.approx(0.5)
    assert rate_factor(10_000_000, 0) == pytest.approx(math.sqrt(HALVED / 1e7), rel=0.01)
