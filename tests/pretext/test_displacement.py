"""Mean displacement and its companions against hand-computed cases, plain loops and SciPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from napari_sortingloss.pretext import displacement as d

lists = st.lists(st.integers(-3, 3), min_size=2, max_size=7)


def loop_displacement(positions, scores):
    """The mean over every order that agrees with the scores, one permutation after another."""
    k, true = len(positions), rankdata(positions) - 1
    values = []
    for order in itertools.permutations(range(k)):
        if all(scores[a] <= scores[b] for a, b in itertools.pairwise(order)):
            rank = np.empty(k)
            rank[list(order)] = range(k)
            values.append(np.abs(true - rank).mean())
    return np.mean(values)


def test_a_perfect_order_is_not_displaced():
    assert d.mean_displacement([30, 10, 20], [0.3, 0.1, 0.2]) == 0


def test_one_swap_of_neighbours_costs_two_places_wherever_the_batch_starts():
    positions = np.array([7, 3, 11, 5, 1, 9])
    scores = positions.astype(float)
    scores[positions == 5], scores[positions == 7] = 7, 5
    assert d.mean_displacement(positions, scores) == pytest.approx(2 / 6)


def test_a_reversed_order_is_as_far_off_as_can_be():
    assert d.mean_displacement([0, 1, 2, 3], [3, 2, 1, 0]) == pytest.approx((3 + 1 + 1 + 3) / 4)


@pytest.mark.parametrize("k", [1, 2, 5, 12, 16])
def test_equal_scores_for_all_show_exactly_as_chance(k):
    positions = np.random.default_rng(k).permutation(k)
    assert d.mean_displacement(positions, np.zeros(k)) == pytest.approx((k * k - 1) / (3 * k))


def test_scores_that_are_not_numbers_any_more_show_as_chance():
    assert d.mean_displacement(range(12), np.full(12, np.nan)) == pytest.approx(d.random_displacement(12))


def test_chance_is_known_for_twelve_and_sixteen_slices():
    assert d.random_displacement(12) == pytest.approx(3.97, abs=0.005)
    assert d.random_displacement(16) == pytest.approx(5.31, abs=0.005)


def test_chance_is_the_mean_over_random_orders():
    rng = np.random.default_rng(0)
    found = [d.mean_displacement(np.arange(9), rng.random(9)) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(d.random_displacement(9), rel=0.02)


@settings(max_examples=40, deadline=None)
@given(lists, st.randoms())
def test_ties_count_the_mean_over_all_orders_of_the_tied_slices(scores, random):
    positions = random.sample(range(50), len(scores))
    assert d.mean_displacement(positions, scores) == pytest.approx(loop_displacement(positions, scores))


@given(lists)
def test_the_order_in_which_the_slices_are_listed_does_not_matter(scores):
    positions = np.arange(len(scores)) * 3
    order = np.random.default_rng(len(scores)).permutation(len(scores))
    expected = d.mean_displacement(positions, scores)
    assert d.mean_displacement(positions[order], np.array(scores)[order]) == pytest.approx(expected)


def test_ten_percent_empty_slices_set_a_floor_of_one_at_twelve_slices():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        positions = rng.choice(1000, 12, replace=False)
        scores = np.where((positions < 50) | (positions >= 950), -1.0, positions)
        found.append(d.mean_displacement(positions, scores))
    assert np.mean(found) == pytest.approx(1.0, abs=0.08)


def test_over_a_whole_volume_the_distance_is_displacement_times_spacing():
    scores = np.random.default_rng(2).random(40).round(1)
    expected = 0.7 * d.mean_displacement(np.arange(40), scores)
    assert d.mean_distance(np.arange(40), scores, 0.7) == pytest.approx(expected)


def test_the_distance_of_a_swap_is_the_distance_of_the_swapped_slices():
    assert d.mean_distance([10, 20, 100], [1, 3, 2], 0.5) == pytest.approx(0.5 * (0 + 80 + 80) / 3)


def test_the_random_distance_is_the_mean_over_random_orders():
    positions, rng = np.array([2.0, 3, 10, 40]), np.random.default_rng(3)
    found = [d.mean_distance(positions, rng.random(4), 0.2) for _ in range(4000)]
    assert d.random_distance(positions, 0.2) == pytest.approx(np.mean(found), rel=0.03)
    assert d.random_distance(np.arange(12), 1.0) == pytest.approx(d.random_displacement(12))


def test_pairwise_accuracy_counts_pairs_and_gives_half_for_ties():
    assert d.pairwise_accuracy([1, 2, 3], [1, 3, 2]) == pytest.approx(2 / 3)
    assert d.pairwise_accuracy([1, 2, 3], [0, 0, 1]) == pytest.approx(2.5 / 3)
    assert d.pairwise_accuracy([5], [1]) == 0.5


@given(lists)
def test_average_ranks_and_spearman_agree_with_scipy(scores):
    positions = np.arange(len(scores))
    assert d.average_ranks(scores) == pytest.approx(rankdata(scores) - 1)
    expected = spearmanr(positions, scores).statistic if len(set(scores)) > 1 else 0.0
    assert d.spearman(positions, scores) == pytest.approx(expected, abs=1e-12)


def test_different_numbers_of_positions_and_scores_are_refused():
    with pytest.raises(ValueError, match="3 positions, but 2 scores"):
        d.mean_displacement([1, 2, 3], [1, 2])


@pytest.fixture
def tube_with_sample():
    """Twelve noisy slices of a bright tube; the sample is in slices 3 to 8."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :32]
    slices = rng.normal(20, 3, (12, 24, 32))
    slices[:, np.abs(np.hypot(y - 12, x - 16) - 10) < 1] = 230
    for index in range(3, 9):
        slices[index, np.hypot(y - 12, x - 16) < 4 + index % 2] = 110
    return slices.round().clip(0, 255).astype(np.uint8)


def test_slices_with_nothing_but_the_tube_are_empty(tube_with_sample):
    assert list(np.flatnonzero(d.foreground_slices(tube_with_sample))) == [3, 4, 5, 6, 7, 8]


def test_a_volume_that_shows_the_same_everywhere_has_no_empty_slices():
    same = np.full((5, 6, 8), 7, np.uint8)
    assert d.foreground_slices(same).all()
    assert d.foreground_slices(same[:1]).all()
