"""Poses turn, mirror and scale a whole batch about the middle of the picture."""

import numpy as np
import pytest

from napari_sortingloss.slices.pose import in_pose, random_pose


def pose(seed, zoom=1.5):
    return random_pose(np.random.default_rng(seed), 32, zoom)


def test_the_centre_of_the_picture_stays_where_it_is():
    for seed in range(20):
        assert pose(seed) @ [15.5, 15.5, 1] == pytest.approx([15.5, 15.5])


def test_it_never_distorts_and_keeps_to_the_range_of_sizes():
    scales = []
    for seed in range(200):
        turn = pose(seed)[:, :2]
        first, second = np.linalg.svd(turn, compute_uv=False)
        assert first == pytest.approx(second)
        scales.append(first)
    assert 1 / 1.5 <= min(scales) < 0.75
    assert 1.35 < max(scales) <= 1.5


def test_half_of_the_poses_are_mirrored_and_every_angle_occurs():
    turns = [pose(seed)[:, :2] for seed in range(200)]
    assert 70 < sum(np.linalg.det(turn) < 0 for turn in turns) < 130
    angles = [np.arctan2(turn[0, 1], turn[1, 1]) for turn in turns]
    assert np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0].min() > 5


def test_all_slices_of_a_batch_are_moved_alike_and_outside_is_black():
    square = np.zeros((32, 32), np.uint8)
    square[4:14, 10:26] = 200
    moved = in_pose(np.stack([square, square, 255 - square]), pose(3, zoom=1.0))
    assert moved.dtype == np.uint8
    assert moved.shape == (3, 32, 32)
    assert np.array_equal(moved[0], moved[1])
    assert not np.array_equal(moved[0], square)
    assert moved[0].sum() == pytest.approx(square.sum(), rel=0.05)
    assert moved[2].min() == 0
