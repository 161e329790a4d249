"""Reading, cutting and turning the discs that the rotation task compares."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.pretext.rotation.pairs import (
    REDRAWN,
    all_pairs,
    cut_discs,
    disc_diameter,
    draw_near,
    draw_turns,
    load_discs,
    load_squares,
    turned,
)
from napari_sortingloss.slices.along import SlicesAlong


class Drawn:
    """Loads nothing and remembers what was asked for."""

    def __init__(self, squares=None):
        self.positions = []
        self.squares = (
            squares if squares is not None else np.random.default_rng(0).integers(0, 255, (2, 8, 8))
        )

    def __call__(self, positions):
        self.positions.append(tuple(int(p) for p in positions))
        return self.squares.astype(np.uint8)


@pytest.mark.parametrize(("n", "reach", "most"), [(100, 0.2, 20), (3, 0.1, 1), (40, 0.0, 0), (5, 1.0, 4)])
@pytest.mark.parametrize("count", [2, 5])
def test_slices_lie_within_reach_of_each_other_and_in_the_volume(n, reach, most, count):
    rng, load = np.random.default_rng(1), Drawn()
    for _ in range(1500):
        draw_near(rng, n, reach, count, load)
    drawn = np.array(load.positions)
    assert drawn.shape == (1500, count)
    assert (drawn.min(), drawn.max()) == (0, n - 1)
    assert np.ptp(drawn, axis=1).max() == most


def test_slices_that_show_nothing_are_drawn_anew_a_few_times():
    half = np.zeros((2, 8, 8))
    half[0, 2:4] = 9
    for squares in (np.zeros((2, 8, 8)), half):
        load = Drawn(squares)
        draw_near(np.random.default_rng(0), 30, 0.2, 2, load)
        assert len(load.positions) == 1 + REDRAWN


@pytest.mark.parametrize("count", [2, 3, 4, 8, 9])
@pytest.mark.parametrize("classes", [5, 7, 13])
def test_no_two_slices_differ_by_more_than_the_largest_angle_and_every_angle_comes(count, classes):
    rng = np.random.default_rng(0)
    seen = np.zeros(classes, int)
    for _ in range(300):
        turns = draw_turns(rng, count, classes)
        _, _, target = all_pairs(np.zeros(count, int), turns, classes)
        assert len(target) == count * (count - 1)
        seen += np.bincount(target, minlength=classes)
    assert (seen > 0).all()
    assert np.array_equal(seen, seen[::-1])


def test_only_slices_of_a_group_are_paired_and_the_class_is_the_turn_between_them():
    groups, turns = np.array([0, 0, 1, 1]), np.array([3, 0, 1, 1])
    first, second, target = all_pairs(groups, turns, 7)
    found = set(zip(first.tolist(), second.tolist(), target.tolist(), strict=True))
    assert found == {(0, 1, 0), (1, 0, 6), (2, 3, 3), (3, 2, 3)}


def test_turning_by_ninety_degrees_is_counter_clockwise():
    square = np.zeros((20, 20), np.uint8)
    square[8:12, 13:17] = 200  # on the right
    assert np.abs(turned(square, 90, 20).astype(int) - np.rot90(square)).max() <= 1


def test_a_slice_that_is_not_turned_is_not_resampled():
    square = np.random.default_rng(0).integers(1, 255, (20, 20), np.uint8)
    inside = turned(square, 0, 26) > 0
    assert np.array_equal(turned(square, 0, 26)[inside], np.pad(square, 3)[inside])


@pytest.mark.parametrize("angle", [0, 30, 45, 77.7])
@pytest.mark.parametrize(("d", "size"), [(20, 20), (20, 31), (21, 30)])
def test_no_edge_of_the_square_is_seen_at_any_angle(angle, d, size):
    disc = turned(np.full((d, d), 200, np.uint8), angle, size)
    assert set(np.unique(disc)) == {0, 200}
    assert np.array_equal(disc, turned(np.full((d, d), 200, np.uint8), 0, size))


def test_squares_of_slices_fill_them_whatever_the_voxel_size(make_study):
    volume = make_study(1).volume("fish_0")
    for axis in ("z", "y", "x"):
        along = SlicesAlong(volume, axis)
        for at in (0.0, 0.5, 1.0):
            squares = load_squares(along, [3, 4], 32, at=at)
            assert squares.shape == (2, 32, 32) or squares.shape == (2, 31, 31)
            assert squares.any(axis=(0, 1)).all()
            assert squares.any(axis=(0, 2)).all()


def test_with_a_common_field_discs_of_small_slices_are_smaller(make_study):
    volume = make_study(1).volume("fish_0")  # 30 x 26 x 34 voxels of 0.4 x 0.25 x 0.3 mm
    diameters = [disc_diameter(SlicesAlong(volume, axis), 40, 13.0) for axis in "zyx"]
    assert diameters == [20, 31, 20]
    disc = load_discs(SlicesAlong(volume, "z"), [5], 40, 13.0)[0]
    assert np.count_nonzero(disc.any(axis=0)) == 18  # the rim is left out


def test_discs_cut_again_stay_the_same(make_study):
    discs = load_discs(SlicesAlong(make_study(1).volume("fish_0"), "z"), [0, 7, 29], 32)
    assert np.array_equal(cut_discs(discs), discs)
