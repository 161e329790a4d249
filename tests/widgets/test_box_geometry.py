"""A box as a rectangle and six faces, and back from a rectangle that was dragged."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.widgets.viewer.box_geometry import box_from, faces, rectangle

SHAPE = (24, 18, 30)
BOX = ((4, 20), (3, 15), (6, 24))
ACROSS = (1, 2)
DRAWN = rectangle(BOX, SHAPE, ACROSS)


def dragged(points: np.ndarray) -> object:
    return box_from(points.astype(np.float32), DRAWN, BOX, SHAPE, ACROSS)


def test_a_rectangle_runs_along_the_faces_of_the_outermost_voxels():
    np.testing.assert_allclose(DRAWN[:, 1:], [[2.5, 5.5], [2.5, 23.5], [14.5, 23.5], [14.5, 5.5]])


def test_no_shape_sticks_out_of_the_volume_where_it_would_shift_the_sliders():
    whole = ((0, 24), (0, 18), (0, 30))
    points = np.concatenate([*faces(whole, SHAPE), rectangle(whole, SHAPE, (0, 2))])
    assert points.min() >= 0
    assert (points <= np.array(SHAPE) - 1).all()


def test_the_six_faces_lie_on_the_box():
    points = np.stack(faces(BOX, SHAPE))
    assert points.shape == (6, 4, 3)
    np.testing.assert_allclose(points.min(axis=(0, 1)), [3.5, 2.5, 5.5])
    np.testing.assert_allclose(points.max(axis=(0, 1)), [19.5, 14.5, 23.5])
    assert all(np.isclose(np.ptp(face, axis=0), 0).sum() == 1 for face in points)


def test_what_was_not_dragged_stays():
    assert dragged(DRAWN) == BOX


def test_a_moved_rectangle_keeps_its_size_and_stops_at_the_border():
    assert dragged(DRAWN + np.array([0, 1.8, -2.3])) == ((4, 20), (5, 17), (4, 22))
    assert dragged(DRAWN + np.array([0, -40, 40])) == ((4, 20), (0, 12), (12, 30))


def test_a_dragged_side_is_rounded_to_whole_voxels():
    points = DRAWN.copy()
    points[[2, 3], 1] += 1.3
    assert dragged(points) == ((4, 20), (3, 16), (6, 24))


def test_a_side_dragged_over_the_other_leaves_one_voxel_at_least():
    points = DRAWN.copy()
    points[[2, 3], 1] = points[0, 1]
    (_, (low, high), _) = dragged(points)
    assert high == low + 1


def test_a_single_corner_takes_its_two_sides_with_it():
    points = DRAWN.copy()
    points[2] = [0, 12.6, 20.4]
    assert dragged(points) == ((4, 20), (3, 13), (6, 21))


def test_of_a_turned_rectangle_the_bounds_count():
    middle = DRAWN.mean(axis=0)
    turned = middle + (DRAWN - middle) @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert dragged(turned) == ((4, 20), (0, 18), (9, 21))


@pytest.mark.parametrize("across", [(0, 1), (0, 2), (1, 0), (2, 0)])
def test_the_other_planes_and_their_transposes_work_alike(across):
    drawn = rectangle(BOX, SHAPE, across)
    points = drawn.copy()
    points[:, across[0]] += 2
    found = box_from(points, drawn, BOX, SHAPE, across)
    low, high = BOX[across[0]]
    assert found[across[0]] == (low + 2, high + 2)
    assert all(found[axis] == BOX[axis] for axis in range(3) if axis != across[0])
