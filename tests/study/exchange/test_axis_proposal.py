"""Which ordering axis is proposed: the long one, or the one along which the specimen is cut off; none where nothing says."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.study.exchange.axis_proposal import AxisProposal, propose_axis

AXES = ("z", "y", "x")
VOXEL_SIZE = (0.4, 0.25, 0.3)


def specimen(lengths, middle=(0.5, 0.5, 0.5), side=20.0, noise=0.05) -> np.ndarray:
    """A noisy ellipsoid of half-axes in mm, in a cube of `side` mm with voxels of three different sizes."""
    rng = np.random.default_rng(1)
    grid = np.meshgrid(*(np.arange(0, side, size) for size in VOXEL_SIZE), indexing="ij")
    inside = sum(((g - m * side) / half) ** 2 for g, m, half in zip(grid, middle, lengths, strict=True)) < 1
    return (inside + noise * rng.standard_normal(inside.shape)).astype(np.float32)


def along(axis: int, one: float, others: float) -> tuple[float, ...]:
    return tuple(one if i == axis else others for i in range(3))


@pytest.mark.parametrize("axis", range(3))
def test_the_axis_along_which_the_specimen_is_long_is_proposed_with_its_reason(axis):
    found = propose_axis(specimen(along(axis, 8, 4)), VOXEL_SIZE)
    assert (found.axis, found.sure) == (AXES[axis], True)
    assert found.reason == f"the specimen is 1.9 times as long along {AXES[axis]} as along the others"


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [0.1, 0.9])
def test_a_specimen_that_goes_on_beyond_one_end_runs_along_that_axis(axis, end):
    found = propose_axis(specimen((6, 6, 6), along(axis, end, 0.5)), VOXEL_SIZE)
    assert (found.axis, found.sure) == (AXES[axis], True)
    assert found.reason == f"the specimen is cut off at the end of {AXES[axis]}, and not at the others"


def test_a_wide_body_that_was_scanned_in_part_runs_along_the_axis_of_the_scan():
    chest = specimen((40, 6, 9))
    assert propose_axis(chest, VOXEL_SIZE).axis == "z"
    assert propose_axis(chest, VOXEL_SIZE).sure


@pytest.mark.parametrize(
    "voxels",
    [
        specimen((5, 5, 5)),
        np.random.default_rng(0).random((9, 40, 50)),
        np.zeros((4, 5, 6), np.uint8),
        np.full((4, 5, 6), np.nan),
    ],
    ids=["a ball", "a slab of noise", "one value", "no number"],
)
def test_where_no_axis_stands_out_it_is_z_and_not_sure(voxels):
    assert propose_axis(voxels, VOXEL_SIZE) == AxisProposal("z", False, "")


def test_lengths_count_in_space_not_in_voxels():
    cube_of_voxels = specimen((5, 5, 5))
    assert not propose_axis(cube_of_voxels, VOXEL_SIZE).sure
    assert propose_axis(cube_of_voxels, (2.0, 0.25, 0.3)).axis == "z"
    assert propose_axis(cube_of_voxels, (0.4, 0.25, 2.0)).axis == "x"


def test_something_small_beside_the_specimen_does_not_count():
    voxels = specimen((4, 8, 4))
    voxels[:, 2:6, 2:5] = 1.0  # a rod from end to end of z
    assert propose_axis(voxels, VOXEL_SIZE).axis == "y"


def test_what_is_not_finite_is_left_out():
    voxels = specimen((4, 4, 8))
    voxels[::5, ::3, ::4] = np.nan
    voxels[1, 1, 1] = np.inf
    assert propose_axis(voxels, VOXEL_SIZE).axis == "x"
