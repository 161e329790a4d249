"""Region, hull and box from a map: the largest part above a threshold, and a sentence where it cannot be trusted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.region import find_region, hull_of, largest_part

SHAPE = (36, 30, 42)
VOXEL_SIZE = (0.4, 0.25, 0.3)
GRID = Grid((12, 10, 14), (3.0, 3.0, 3.0), (1.0, 1.0, 1.0))
SKEWED = Grid((9, 8, 11), (4.0, 3.5, 1.25), (1.5, -0.5, 7.0))


def find(evidence, grid=GRID, **settings):
    return find_region(evidence.astype(np.float32), grid, SHAPE, VOXEL_SIZE, **settings)


def two_values(grid=GRID, low=0.0, high=1.0):
    """A block of high evidence and a smaller one apart."""
    evidence = np.full(grid.shape, low, np.float32)
    evidence[2:6, 3:7, 4:9] = high
    evidence[9:11, 1:3, 11:13] = high
    return evidence


def test_the_largest_part_above_the_threshold_is_the_region():
    region = find(two_values(), threshold=0.5)
    expected = np.zeros(GRID.shape, bool)
    expected[2:6, 3:7, 4:9] = True
    np.testing.assert_array_equal(region.mask, expected)
    assert region.box == ((6, 18), (9, 21), (12, 27))
    assert region.warnings == ()


def test_the_fraction_told_is_that_above_the_threshold_before_the_largest_part_was_taken():
    region = find(two_values(), threshold=0.5)
    assert region.threshold == 0.5
    assert region.fraction == pytest.approx((4 * 4 * 5 + 2 * 2 * 2) / 1680)


@pytest.mark.parametrize("points", [3, 4])
def test_a_map_of_few_points_along_x_is_not_taken_for_a_colour_picture(points):
    grid = Grid((12, 10, points), (3.0, 3.0, 3.0), (1.0, 1.0, 1.0))
    evidence = np.zeros(grid.shape, np.float32)
    evidence[2:6, 3:7] = np.linspace(0.8, 1, points)
    assert (
        find(evidence, grid).mask.sum() == 16 * points
    )  # scikit-image warns of colours, and warnings are errors


def test_a_point_at_the_threshold_is_not_above_it():
    evidence = two_values()
    evidence[2, 3, 4] = 0.5
    assert not find(evidence, threshold=0.5).mask[2, 3, 4]


def test_parts_that_touch_at_corners_only_are_two():
    mask = np.zeros((4, 5, 6), bool)
    mask[0:2, 0:2, 0:2] = True
    mask[2, 2, 2:5] = True
    assert largest_part(mask).sum() == 8


def test_of_two_parts_of_one_size_the_first_is_taken():
    mask = np.zeros((4, 5, 6), bool)
    mask[0, 0, 0:2] = mask[3, 4, 4:6] = True
    assert np.argwhere(largest_part(mask)).tolist() == [[0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("fraction", [0.03, 0.2, 0.9])
def test_a_fraction_is_the_share_of_the_whole_volume_above_the_threshold(fraction):
    evidence = np.random.default_rng(0).permutation(1680).reshape(GRID.shape)
    region = find(evidence, fraction=fraction)
    assert (evidence > region.threshold).sum() == round(fraction * 1680)
    assert region.fraction == pytest.approx(fraction, abs=0.5 / 1680)


def test_the_smallest_fraction_is_one_point():
    evidence = np.random.default_rng(0).permutation(1680).reshape(GRID.shape)
    region = find(evidence, fraction=0.0001)
    assert np.argwhere(region.mask).tolist() == np.argwhere(evidence == 1679).tolist()


def test_values_that_many_points_share_are_taken_all_or_not_at_all():
    evidence = np.zeros(GRID.shape)
    evidence[:6] = 1
    evidence[0, 0, 0] = 2
    assert find(evidence, fraction=0.3).mask.sum() == 1
    assert find(evidence, fraction=0.5).mask.sum() == 840


def test_a_plateau_larger_than_the_fraction_is_taken_whole():
    region = find(two_values(), fraction=0.0001)
    assert region.mask.sum() == 80
    assert region.box == ((6, 18), (9, 21), (12, 27))


def test_without_threshold_and_fraction_two_populations_are_told_apart():
    rng = np.random.default_rng(0)
    evidence = two_values(low=10, high=30) + rng.normal(0, 2, GRID.shape)
    region = find(evidence)
    assert 15 < region.threshold < 25
    assert region.box == ((6, 18), (9, 21), (12, 27))


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, float("nan")])
@pytest.mark.parametrize("settings", [{}, {"threshold": 0.5}, {"fraction": 0.03}])
def test_in_a_flat_map_nothing_is_found_and_that_is_said(value, settings):
    region = find(np.full(GRID.shape, value), **settings)
    assert region.box == NO_BOX
    assert region.hull is None
    assert (region.fraction, region.mask.any()) == (0.0, False)
    assert region.warnings == ("The network sees no difference anywhere in this volume: nothing was found.",)


def test_a_threshold_above_everything_leaves_nothing_and_says_so():
    region = find(two_values(), threshold=2.0)
    assert (region.box, region.hull, region.threshold) == (NO_BOX, None, 2.0)
    assert region.warnings == ("Nothing lies above this threshold.",)


def test_what_is_no_number_counts_as_the_lowest():
    evidence = two_values()
    evidence[0, 0, :3] = np.nan, np.inf, -np.inf
    region = find(evidence, threshold=0.5)
    assert region.box == ((6, 18), (9, 21), (12, 27))
    assert region.fraction == pytest.approx(88 / 1680)


def test_the_evidence_given_is_not_changed():
    evidence = two_values()
    evidence[0, 0, 0] = np.nan
    before = evidence.copy()
    find_region(evidence, GRID, SHAPE, VOXEL_SIZE)
    np.testing.assert_array_equal(evidence, before)


def test_specks_are_taken_all_together_with_a_warning():
    evidence = np.zeros(GRID.shape)
    for point in ((1, 1, 1), (3, 8, 5), (10, 4, 12)):
        evidence[point] = 1
    region = find(evidence, threshold=0.5)
    assert region.box == ((3, 33), (3, 27), (3, 39))
    assert region.warnings[0].startswith("The region falls apart into specks; the box holds all of them.")


def test_a_small_region_in_one_piece_is_no_speck():
    evidence = np.zeros(GRID.shape)
    evidence[4:7, 4:7, 4:7] = 1
    assert find(evidence, threshold=0.5).warnings == ()


def test_a_region_of_two_points_along_an_axis_says_that_the_grid_is_too_coarse():
    evidence = np.zeros(GRID.shape)
    evidence[2:6, 4:6, 4:9] = 1
    (warning,) = find(evidence, threshold=0.5).warnings
    assert warning.startswith(
        "The grid is too coarse: along y the region is 2 of 10 points long, one every 3 voxels."
    )


def test_a_short_region_on_the_voxels_themselves_is_not_called_coarse():
    evidence = np.zeros(SHAPE)
    evidence[2:6, 4:6, 4:9] = 1
    assert find(evidence, Grid.of_voxels(SHAPE), threshold=0.5).warnings == ()


def test_a_volume_of_two_points_along_an_axis_can_be_two_points_long():
    grid = Grid((12, 2, 14), (3.0, 15.0, 3.0), (1.0, 7.0, 1.0))
    evidence = np.zeros(grid.shape)
    evidence[2:6, :, 4:9] = 1
    assert find(evidence, grid, threshold=0.5).warnings == ()


def test_a_box_of_nearly_the_whole_volume_is_doubted():
    evidence = np.ones(GRID.shape)
    evidence[5, 5, 5] = 0
    (warning,) = find(evidence, threshold=0.5).warnings
    assert warning.startswith("The box is nearly the whole volume")


def random_masks():
    """Masks of all kinds: scattered, lumps, ellipsoids, lines, planes, single points."""
    from scipy import ndimage

    rng = np.random.default_rng(5)
    masks = {
        "scattered": rng.random(SKEWED.shape) < 0.2,
        "lumps": ndimage.gaussian_filter(rng.random(SKEWED.shape), 1.5) > 0.5,
        "everything": np.ones(SKEWED.shape, bool),
    }
    for name, where in {
        "plane": np.s_[4],
        "line": np.s_[4, :, 5],
        "point": np.s_[4, 7, 5],
        "two corners": (np.array([0, 8]), np.array([0, 7]), np.array([10, 0])),
    }.items():
        masks[name] = np.zeros(SKEWED.shape, bool)
        masks[name][where] = True
    z, y, x = np.ogrid[-1:1:9j, -1:1:8j, -1:1:11j]
    masks["ellipsoid"] = z**2 + y**2 + x**2 < 0.9
    return masks


MASKS = random_masks()
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def corners_of(mask, grid):
    cells = np.argwhere(mask)[:, None] + np.array(list(np.ndindex(2, 2, 2)))[None] - 0.5
    return grid.to_voxels(cells.reshape(-1, 3))


def volume_of(hull):
    a, b, c = (hull.vertices[hull.faces[:, i]] for i in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


@every_mask
def test_the_hull_is_that_of_all_corners_of_all_cells(mask):
    hull = hull_of(mask, SKEWED)
    expected = ConvexHull(corners_of(mask, SKEWED))
    assert volume_of(hull) == pytest.approx(expected.volume)
    mine = {tuple(v) for v in np.round(hull.vertices, 6)}
    assert {tuple(v) for v in np.round(expected.points[expected.vertices], 6)} <= mine


@every_mask
def test_every_cell_lies_behind_every_triangle(mask):
    """So the hull holds the region, and all of its triangles face outwards."""
    hull = hull_of(mask, SKEWED)
    a, b, c = (hull.vertices[hull.faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    heights = corners_of(mask, SKEWED) @ normals.T - np.einsum("ij,ij->i", a, normals)
    assert heights.max() < 1e-6


@every_mask
def test_the_surface_is_closed_each_edge_is_gone_along_once_in_either_direction(mask):
    faces = hull_of(mask, SKEWED).faces
    edges = Counter((int(face[i]), int(face[(i + 1) % 3])) for face in faces for i in range(3))
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)
    assert np.unique(faces).tolist() == list(range(faces.max() + 1))


def test_the_hull_of_one_point_is_its_cell():
    mask = np.zeros(SKEWED.shape, bool)
    mask[2, 3, 4] = True
    hull = hull_of(mask, SKEWED)
    assert len(hull.vertices) == 8
    assert hull.vertices.min(axis=0).tolist() == [7.5, 8.25, 11.375]
    assert hull.vertices.max(axis=0).tolist() == [11.5, 11.75, 12.625]


def test_an_empty_mask_has_no_hull():
    assert hull_of(np.zeros(SKEWED.shape, bool), SKEWED) is None


def test_a_hull_of_many_points_is_the_same_as_of_all_their_corners():
    z, y, x = np.ogrid[-1:1:40j, -1:1:30j, -1:1:50j]
    mask = (z**2 + y**2 + x**2 < 0.8) | ((np.abs(z - 0.5) < 0.1) & (np.abs(y) < 0.05) & (x > 0))
    grid = Grid(mask.shape, (1.0, 2.0, 0.5), (0.0, 0.5, 0.25))
    expected = ConvexHull(corners_of(mask, grid)).volume
    assert volume_of(hull_of(mask, grid)) == pytest.approx(expected)
