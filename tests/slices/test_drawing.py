"""Drawing slices: without replacement, all when there are few, mostly the middle when asked."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.slices.drawing import centred_weights, draw_positions


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("weighting", ["uniform", "centred"])
def test_positions_are_distinct_and_inside_the_volume(weighting):
    for seed in range(50):
        drawn = draw_positions(rng(seed), 41, 16, weighting)
        assert len(set(drawn.tolist())) == 16
        assert drawn.min() >= 0
        assert drawn.max() < 41


@pytest.mark.parametrize("weighting", ["uniform", "centred"])
@pytest.mark.parametrize("n", [1, 5, 16])
def test_too_few_slices_are_all_used(weighting, n):
    assert sorted(draw_positions(rng(), n, 16, weighting)) == list(range(n))


@pytest.mark.parametrize("weighting", ["uniform", "centred"])
def test_equal_generators_draw_equally(weighting):
    first, second = (draw_positions(rng(3), 100, 12, weighting) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("weighting", ["uniform", "centred"])
def test_the_order_of_a_draw_says_nothing_about_the_positions(weighting):
    draws = np.array([draw_positions(rng(seed), 60, 12, weighting) for seed in range(2000)])
    centre_distance = np.abs(draws - 29.5).mean(axis=0)
    assert np.ptp(centre_distance) < 1.5


def test_uniform_drawing_takes_every_slice_equally_often():
    drawn = np.concatenate([draw_positions(rng(seed), 20, 5) for seed in range(4000)])
    counts = np.bincount(drawn, minlength=20)
    assert counts.min() > 900
    assert counts.max() < 1100


def test_centred_weights_follow_the_generalised_gaussian():
    weights = centred_weights(201)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights[170] / weights[100] == pytest.approx(np.exp(-1))  # u = 0.7
    assert weights[150] / weights[100] == pytest.approx(np.exp(-((0.5 / 0.7) ** 8)))


def test_centred_drawing_takes_slices_in_proportion_to_their_weight():
    drawn = np.concatenate([draw_positions(rng(seed), 30, 1, "centred") for seed in range(20000)])
    frequency = np.bincount(drawn, minlength=30) / len(drawn)
    np.testing.assert_allclose(frequency, centred_weights(30), atol=0.005)


def test_a_single_slice_is_its_own_middle():
    assert centred_weights(1).tolist() == [1.0]


@pytest.mark.parametrize(("n", "k"), [(0, 4), (4, 0)])
def test_drawing_nothing_is_a_mistake_of_the_caller(n, k):
    with pytest.raises(ValueError, match="cannot draw"):
        draw_positions(rng(), n, k)
