"""Grids: where the points of a coarse map lie in the voxels, and which voxels a mask on one covers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.localize.grid import Grid, in_array_order

SHAPE = (30, 26, 34)
VOXEL_SIZE = (0.4, 0.25, 0.3)
GRID = Grid((10, 7, 9), (3.0, 4.0, 3.75), (1.0, 1.5, 1.375))


def marked(grid, *points):
    mask = np.zeros(grid.shape, bool)
    for point in points:
        mask[point] = True
    return mask


def test_one_voxel_a_point_is_the_volume_itself():
    grid = Grid.of_voxels(SHAPE)
    assert (grid.shape, grid.scale, grid.offset) == (SHAPE, (1.0,) * 3, (0.0,) * 3)
    mask = np.zeros(SHAPE, bool)
    mask[3:10, 0:26, 5:6] = True
    assert grid.box_of(mask, SHAPE) == ((3, 10), (0, 26), (5, 6))


def test_blocks_have_their_points_in_the_middle_and_cover_a_last_short_one():
    grid = Grid.of_voxels(SHAPE, 4)
    assert grid.shape == (8, 7, 9)
    assert grid.voxels(0).tolist() == [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]


def test_fractional_points_come_out_in_voxel_indices():
    found = GRID.to_voxels(np.array([[0, 0, 0], [1, 2, 4], [2.5, 0.5, -0.5]]))
    np.testing.assert_allclose(found, [[1, 1.5, 1.375], [4, 9.5, 16.375], [8.5, 3.5, -0.5]])


def test_points_along_an_axis_are_those_of_the_whole_grid():
    for axis in range(3):
        points = np.zeros((GRID.shape[axis], 3))
        points[:, axis] = np.arange(GRID.shape[axis])
        np.testing.assert_allclose(GRID.voxels(axis), GRID.to_voxels(points)[:, axis])


def test_physical_places_follow_each_axis_own_voxel_size():
    assert GRID.spacing(VOXEL_SIZE) == pytest.approx((1.2, 1.0, 1.125))
    assert GRID.translate(VOXEL_SIZE) == pytest.approx((0.4, 0.375, 0.4125))


def test_a_point_stands_for_the_cell_around_it():
    grid = Grid.of_voxels(SHAPE, 4)
    assert grid.box_of(marked(grid, (1, 2, 0)), SHAPE) == ((4, 8), (8, 12), (0, 4))


def test_a_box_holds_all_marked_points_and_ends_where_the_volume_does():
    grid = Grid.of_voxels(SHAPE, 4)
    assert grid.box_of(marked(grid, (1, 6, 0), (7, 2, 8)), SHAPE) == ((4, 30), (8, 26), (0, 34))


def test_a_voxel_that_is_partly_in_a_cell_is_in_the_box():
    grid = Grid((10, 10, 10), (2.5, 2.5, 2.5), (0.75, 0.75, 0.75))
    assert grid.box_of(marked(grid, (1, 2, 3)), (25, 25, 25)) == ((2, 5), (5, 8), (7, 10))


def test_a_cell_that_hangs_over_the_first_voxel_is_cut_there():
    grid = Grid((4, 4, 4), (8.0, 8.0, 8.0), (0.0, 0.0, 0.0))
    assert grid.box_of(marked(grid, (0, 1, 3)), SHAPE) == ((0, 5), (4, 13), (20, 29))


def test_a_cell_beyond_the_end_still_gives_a_box_of_a_voxel():
    grid = Grid((9, 9, 9), (4.0, 4.0, 4.0), (1.5, 1.5, 1.5))
    assert grid.box_of(marked(grid, (8, 7, 8)), SHAPE) == ((29, 30), (25, 26), (32, 34))


def test_nothing_marked_is_no_box():
    assert GRID.box_of(np.zeros(GRID.shape, bool), SHAPE) == NO_BOX


def test_json_brings_back_the_same_grid():
    assert Grid.from_json(json.loads(json.dumps(GRID.to_json()))) == GRID


@pytest.mark.parametrize(("axis", "expected"), [("z", (9, 1, 2)), ("y", (1, 9, 2)), ("x", (1, 2, 9))])
def test_what_belongs_to_the_ordering_axis_gets_its_place_in_the_array(axis, expected):
    assert in_array_order(9, (1, 2), axis) == expected
