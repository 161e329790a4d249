"""Intervals of curves: found to a voxel or two under noise, never cutting where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.intervals import INSIDE, box_of_intervals, fused_map, interval

SIZE = 240


def bump(low, high, size=SIZE, step=3, inside=0.9, outside=0.2, noise=0.0, seed=0):
    """A curve that is high between two voxels, sampled every few of them."""
    positions = np.arange(step // 2, size, step)
    high_there = (positions >= low) & (positions < high)
    curve = np.where(high_there, inside, outside) + np.random.default_rng(seed).normal(
        0, noise, len(positions)
    )
    return curve, positions


def near(found, low, high, by):
    return abs(found.low - low) <= by and abs(found.high - high) <= by


@pytest.mark.parametrize("step", [1, 3, 8])
def test_an_interval_is_found_to_half_a_step_whatever_the_sampling(step):
    found = interval(*bump(60, 181, step=step), SIZE)
    assert near(found, 60, 181, by=1 + step // 2)
    assert found.warnings == ()
    assert 0.2 < found.threshold < 0.9


@pytest.mark.parametrize("seed", range(20))
def test_noise_moves_an_interval_by_little(seed):
    found = interval(*bump(60, 180, noise=0.15, seed=seed), SIZE)
    assert near(found, 60, 180, by=8)


@pytest.mark.parametrize(("low", "high"), [(0, 100), (140, 240)])
def test_a_specimen_that_reaches_the_end_is_kept_to_the_end(low, high):
    found = interval(*bump(low, high), SIZE)
    assert near(found, low, high, by=2)
    assert (found.low == 0) == (low == 0)
    assert (found.high == SIZE) == (high == SIZE)


def test_the_boundary_between_samples_is_where_the_line_between_them_crosses():
    curve, positions = [0, 0, 1, 1, 1, 1, 0], np.arange(0, 140, 20)
    found = interval(curve, positions, 130, smooth=0.001)
    where = np.flatnonzero(np.interp(np.arange(130), positions, curve) > found.threshold)
    assert (found.low, found.high) == (where[0], where[-1] + 1)
    assert 20 < found.low < 40
    assert 100 < found.high < 120


def test_the_longer_of_two_stretches_is_taken_and_the_other_named():
    first, positions = bump(30, 80)
    second, _ = bump(120, 210)
    found = interval(np.maximum(first, second), positions, SIZE, name="y")
    assert near(found, 120, 210, by=2)
    (sentence,) = found.warnings
    assert sentence.startswith(
        f"Two stretches stand out along y, the voxels {found.low} to {found.high - 1} and 29 to 81: the longer one"
    )


def test_a_small_second_stretch_is_passed_over_in_silence():
    first, positions = bump(20, 35)
    second, _ = bump(100, 210)
    found = interval(np.maximum(first, second), positions, SIZE)
    assert near(found, 100, 210, by=2)
    assert found.warnings == ()


@pytest.mark.parametrize("level", [0.0, 0.14, 1.0])
def test_a_flat_curve_keeps_the_whole_side(level):
    found = interval(np.full(80, level), np.arange(1, SIZE, 3), SIZE, name="x")
    assert (found.low, found.high, found.threshold) == (0, SIZE, None)
    (sentence,) = found.warnings
    assert sentence.startswith("Nothing stands out along x: the whole side is kept")


def test_noise_alone_keeps_the_whole_side():
    kept = [interval(*bump(0, 0, noise=0.1, seed=seed), SIZE) for seed in range(200)]
    assert sum(found.threshold is None for found in kept) >= 198


def test_a_stretch_of_a_sample_or_two_keeps_the_whole_side():
    found = interval(*bump(100, 130, step=15), SIZE, smooth=0.001)
    assert (found.low, found.high, found.threshold) == (0, SIZE, None)
    assert "stand out along its side: the whole side is kept" in found.warnings[0]


def test_values_that_are_no_numbers_are_left_out():
    curve, positions = bump(60, 180)
    curve[[5, 30, 31, 32, 70]] = np.nan
    curve[10] = np.inf
    found = interval(curve, positions, SIZE)
    assert near(found, 60, 180, by=2)
    assert np.isfinite(found.smoothed).all()


@pytest.mark.parametrize("values", [[], [np.nan] * 6, [0.1, np.nan, 0.9, 0.8]])
def test_too_few_values_keep_the_whole_side(values):
    found = interval(values, np.arange(len(values)), 50, name="z")
    known = int(np.isfinite(values).sum())
    assert (found.low, found.high, found.threshold) == (0, 50, None)
    assert found.warnings[0].startswith(f"Only {known} slices along z could be judged")
    assert np.isfinite(found.smoothed).all()


def test_the_order_of_the_samples_does_not_matter():
    curve, positions = bump(60, 180, noise=0.1)
    shuffled = np.random.default_rng(1).permutation(len(curve))
    first, second = interval(curve, positions, SIZE), interval(curve[shuffled], positions[shuffled], SIZE)
    assert (first.low, first.high) == (second.low, second.high)


@pytest.mark.parametrize(
    ("curve", "positions"), [([1, 2], [0]), ([1, 2, 3, 4], [0, 1, 2, 10]), ([[1]], [[0]])]
)
def test_a_curve_that_does_not_fit_its_side_is_a_mistake(curve, positions):
    with pytest.raises(ValueError, match="along 10 voxels"):
        interval(curve, positions, 10)


SHAPE = (90, 120, 150)


def three():
    return [
        interval(*bump(20, 70, SHAPE[0], 2), SHAPE[0]),
        interval(*bump(0, 64, SHAPE[1], 3), SHAPE[1]),
        interval(*bump(61, 122, SHAPE[2], 2), SHAPE[2]),
    ]


def test_three_intervals_make_a_box():
    found = box_of_intervals(three())
    for (low, high), (a, b) in zip(found, ((20, 70), (0, 64), (61, 122)), strict=True):
        assert abs(low - a) <= 2
        assert abs(high - b) <= 2


@pytest.mark.parametrize("step", [1, 4])
def test_the_fused_map_is_high_in_the_box(step):
    grid = Grid.of_voxels(SHAPE, step)
    fused = fused_map(three(), grid)
    assert fused.shape == grid.shape
    assert fused.dtype == np.float32
    assert fused.min() == 0
    found = grid.box_of(fused > INSIDE, SHAPE)
    for got, expected in zip(found, box_of_intervals(three()), strict=True):
        assert abs(got[0] - expected[0]) <= step - 1
        assert abs(got[1] - expected[1]) <= step - 1


def test_the_fused_map_leaves_out_the_stretch_that_was_not_taken():
    curve, positions = bump(10, 30, SHAPE[0], 2, inside=1.0)
    curve = np.maximum(curve, bump(50, 85, SHAPE[0], 2)[0])
    intervals = [interval(curve, positions, SHAPE[0]), *three()[1:]]
    fused = fused_map(intervals, Grid.of_voxels(SHAPE, 1))
    assert (fused[:45] <= INSIDE).all()
    assert (fused[55:80, 10:50, 70:110] > INSIDE).all()


def test_an_axis_that_says_nothing_does_not_restrict_the_fused_map():
    flat = interval(np.full(45, 0.5), np.arange(0, 90, 2), SHAPE[0])
    fused = fused_map([flat, *three()[1:]], Grid.of_voxels(SHAPE, 3))
    assert (fused == fused[:1]).all()
    assert fused.max() > 0.9
