"""Maps on other grids: linear functions stay what they are, block means lie where their blocks do."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.resample import block_mean, resample, step_for

COARSE = Grid((6, 5, 7), (4.0, 6.0, 5.0), (1.5, 2.5, -2.0))
FINE = Grid((11, 13, 9), (1.7, 1.8, 3.0), (2.0, 3.0, 0.0))


def linear(grid):
    z, y, x = np.meshgrid(*(grid.voxels(axis) for axis in range(3)), indexing="ij")
    return (3 + 0.5 * z - 2 * y + 0.25 * x).astype(np.float32)


def test_a_linear_function_is_exact_along_all_axes():
    np.testing.assert_allclose(resample(linear(COARSE), COARSE, FINE), linear(FINE), rtol=1e-5, atol=1e-4)


def test_the_same_grid_gives_the_same_map():
    values = np.random.default_rng(0).random(COARSE.shape, np.float32)
    np.testing.assert_allclose(resample(values, COARSE, COARSE), values, rtol=1e-6)


def test_beyond_its_ends_a_map_goes_on_as_it_ended():
    wide = Grid((3, 3, 3), (100.0, 100.0, 100.0), (-90.0, -90.0, -90.0))
    values = np.random.default_rng(0).random(COARSE.shape, np.float32)
    found = resample(values, COARSE, wide)
    np.testing.assert_allclose(found[0, 0, 0], values[0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(found[2, 2, 2], values[-1, -1, -1], rtol=1e-6)
    np.testing.assert_allclose(found[0, 2, 0], values[0, -1, 0], rtol=1e-6)


def test_a_map_of_one_point_along_an_axis_is_the_same_all_along_it():
    grid = Grid((1, 5, 7), (30.0, 6.0, 5.0), (15.0, 2.5, -2.0))
    values = np.random.default_rng(0).random(grid.shape, np.float32)
    onto = Grid((4, 5, 7), (8.0, 6.0, 5.0), (0.0, 2.5, -2.0))
    np.testing.assert_allclose(resample(values, grid, onto), np.repeat(values, 4, axis=0), rtol=1e-6)


def test_a_map_stays_float32_and_in_one_piece():
    found = resample(linear(COARSE), COARSE, FINE)
    assert (found.dtype, found.shape) == (np.float32, FINE.shape)
    assert found.flags.c_contiguous


def test_blocks_are_averaged_and_a_short_last_one_counts_what_is_there():
    values = np.arange(5 * 4 * 7, dtype=np.uint8).reshape(5, 4, 7)
    found, grid = block_mean(values, Grid.of_voxels(values.shape), (2, 1, 3))
    assert grid.shape == found.shape == (3, 4, 3)
    assert found[0, 0, 0] == pytest.approx(values[0:2, 0, 0:3].mean())
    assert found[2, 3, 2] == pytest.approx(values[4:, 3, 6:].mean())
    assert found[1, 2, 1] == pytest.approx(values[2:4, 2, 3:6].mean())


def test_block_means_lie_in_the_middle_of_their_blocks():
    grid = Grid((8, 6, 9), (2.0, 3.0, 1.5), (0.5, 1.0, -2.0))
    found, onto = block_mean(linear(grid), grid, (2, 3, 1))
    assert onto == Grid((4, 2, 9), (4.0, 9.0, 1.5), (1.5, 4.0, -2.0))
    np.testing.assert_allclose(found, linear(onto), rtol=1e-5, atol=1e-4)


def test_blocks_of_one_point_change_nothing():
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    grid = Grid.of_voxels(values.shape)
    found, onto = block_mean(values, grid, (1, 1, 1))
    np.testing.assert_array_equal(found, values)
    assert onto == grid


def test_what_is_small_enough_is_not_averaged():
    assert step_for((30, 26, 34), (0.4, 0.25, 0.3), 30 * 26 * 34) == (1, 1, 1)


def test_the_limit_is_kept_counting_short_blocks_too():
    shape = (301, 263, 345)
    for most in (1_000_000, 50_000, 77, 1):
        step = step_for(shape, (0.4, 0.25, 0.3), most)
        assert np.prod([-(-n // s) for n, s in zip(shape, step, strict=True)]) <= most


def test_points_become_about_equally_far_apart():
    step = step_for((200, 400, 300), (0.8, 0.1, 0.3), 200_000)
    spacing = np.array(step) * (0.8, 0.1, 0.3)
    assert spacing.max() <= 2 * spacing.min()


def test_an_axis_of_one_voxel_is_not_averaged_further():
    assert step_for((1, 64, 64), (0.01, 1.0, 1.0), 64)[0] == 1
