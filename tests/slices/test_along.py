"""Slices along any of the three axes, and the square parts of slices that are not square."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.slices.along import SlicesAlong, SquareOf, squares_across
from napari_sortingloss.slices.reader import load_slices
from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter

SHAPE = (14, 10, 22)


@pytest.fixture
def stored(study_dir, make_volume, voxel_size):
    """A volume ordered along y, against the array."""
    study = Study.create(study_dir)
    record = VolumeRecord("fish", SHAPE, voxel_size, unit="mm", axis="y", direction="-")
    with VolumeWriter(study, record) as writer:
        writer.write(0, make_volume(SHAPE))
        writer.commit()
    return study.volume("fish")


@pytest.mark.parametrize(
    ("axis", "n", "shape", "spacing", "voxel"),
    [
        ("z", 14, (10, 22), 0.4, (0.25, 0.3)),
        ("y", 10, (14, 22), 0.25, (0.4, 0.3)),
        ("x", 22, (14, 10), 0.3, (0.4, 0.25)),
    ],
)
def test_slices_along_an_axis_have_its_count_shape_and_voxel_size(stored, axis, n, shape, spacing, voxel):
    along = SlicesAlong(stored, axis)
    assert (along.name, along.unit, along.n_slices, along.spacing) == ("fish", "mm", n, spacing)
    assert (along.slice_shape, along.slice_voxel_size) == (shape, voxel)
    assert along.read_slices([0, n - 1]).shape == (2, *shape)


def test_positions_along_a_foreign_axis_count_along_the_array(stored):
    values = stored.read_slab(0, 14)
    assert np.array_equal(SlicesAlong(stored, "x").read_slices([3])[0], values[:, :, 3])
    assert np.array_equal(SlicesAlong(stored, "z").read_slices([3])[0], values[3])


def test_positions_along_the_ordering_axis_count_in_its_direction(stored):
    values = stored.read_slab(0, 14)
    assert np.array_equal(SlicesAlong(stored, "y").read_slices([0])[0], values[:, 9])


def test_slices_along_any_axis_are_fitted_like_those_of_a_volume(stored):
    fitted = load_slices(SlicesAlong(stored, "x"), [0, 5], 28)
    assert fitted.shape == (2, 28, 28)
    rows = fitted[0].any(axis=1).sum(), fitted[0].any(axis=0).sum()
    assert rows[0] == 28
    assert rows[1] == round(28 * 10 * 0.25 / (14 * 0.4))


def test_an_axis_that_does_not_exist_is_a_mistake(stored):
    with pytest.raises(ValueError):
        SlicesAlong(stored, "t")


@pytest.mark.parametrize(("at", "first"), [(0.0, 0), (0.5, 7), (1.0, 14)])
def test_a_square_is_physically_square_and_lies_where_it_is_asked_for(stored, at, first):
    whole = SlicesAlong(stored, "z")  # 2.5 mm x 6.6 mm
    square = SquareOf(whole, at)
    assert square.slice_shape == (10, 8)  # 2.5 mm x 2.4 mm
    assert np.array_equal(square.read_slices([2])[0], whole.read_slices([2])[0][:, first : first + 8])


def test_a_square_fills_the_network_s_square(stored):
    assert load_slices(SquareOf(SlicesAlong(stored, "z")), [5], 40)[0].any(axis=0).sum() >= 38


def test_squares_across_a_slice_cover_it(stored):
    whole = SlicesAlong(stored, "z")
    places = squares_across(whole)
    seen = np.zeros(22, bool)
    for at in places:
        part = SquareOf(whole, at)
        seen[part._columns] = True
    assert (places[0], places[-1]) == (0.0, 1.0)
    assert seen.all()


def test_a_square_slice_needs_one_square(volume):
    volume.slice_shape = (40, 80)  # voxels of 0.2 x 0.1
    assert squares_across(volume) == (0.5,)
