"""Fitting slices: physical proportions are kept, nothing is cut, shrinking averages."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.slices.fit import fit_slice, fitted_shape
from napari_sortingloss.slices.reader import BYTES_AT_ONCE, load_slices


def test_a_physical_square_fills_the_picture_whatever_its_voxels():
    image = np.full((20, 80), 200, np.uint8)
    assert (fit_slice(image, (0.4, 0.1), 56) == 200).all()


@pytest.mark.parametrize(
    ("spacing", "filled"), [((1.0, 1.0), (64, 32)), ((0.2, 0.8), (32, 64)), ((0.1, 0.8), (16, 64))]
)
def test_the_longer_physical_side_fills_the_picture_and_the_rest_is_black(spacing, filled):
    fitted = fit_slice(np.full((60, 30), 255, np.uint8), spacing, 64)
    rows, columns = fitted.any(axis=1), fitted.any(axis=0)
    assert (rows.sum(), columns.sum()) == filled
    assert fitted.sum() == 255 * filled[0] * filled[1]


def test_the_slice_sits_in_the_centre():
    fitted = fit_slice(np.full((60, 20), 255, np.uint8), (1.0, 1.0), 63)
    np.testing.assert_array_equal(fitted, fitted[:, ::-1])


def test_a_sphere_stays_round_when_voxels_are_not_square():
    y, x = np.mgrid[:30, :90]
    disc = (255 * (np.hypot((y - 14.5) * 0.9, (x - 44.5) * 0.3) < 9)).astype(np.uint8)
    inside = fit_slice(disc, (0.9, 0.3), 112) > 127
    assert inside.any(axis=1).sum() == pytest.approx(inside.any(axis=0).sum(), abs=3)


def test_shrinking_averages_instead_of_picking():
    stripes = np.zeros((120, 240), np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_array_equal(fit_slice(stripes, (1.0, 0.5), 60), 100)


def test_shrinking_one_side_while_the_other_grows_still_averages():
    stripes = np.zeros((240, 20), np.uint8)
    stripes[::2] = 200
    fitted = fit_slice(stripes, (0.1, 1.2), 60)
    np.testing.assert_array_equal(fitted, 100)


def test_a_view_with_any_strides_is_read_right():
    voxels = np.random.default_rng(0).integers(0, 256, (20, 30, 40), np.uint8)
    across = voxels[:, :, 7]
    np.testing.assert_array_equal(
        fit_slice(across, (0.5, 0.2), 32), fit_slice(np.ascontiguousarray(across), (0.5, 0.2), 32)
    )


def test_the_slice_is_not_changed_and_not_shared():
    image = np.full((16, 16), 9, np.uint8)
    fit_slice(image, (1, 1), 16)[:] = 0
    assert (image == 9).all()


def test_a_needle_keeps_at_least_one_pixel():
    assert fitted_shape((1000, 2), (1.0, 1.0), 100) == (100, 1)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((0, 4), (1, 1)),
        ((3, 4, 5), (1, 1)),
        ((3, 4), (0, 1)),
        ((3, 4), (1, float("nan"))),
        ((3, 4), (float("inf"), 1)),
    ],
)
def test_what_cannot_be_fitted_is_refused(shape, spacing):
    with pytest.raises(ValueError, match="cannot fit"):
        fit_slice(np.zeros(shape, np.uint8), spacing, 8)


def test_slices_are_read_in_the_order_asked_for(volume):
    slices = load_slices(volume, np.array([7, 0, 22]), 48)
    assert slices.shape == (3, 48, 48)
    assert slices.max(axis=(1, 2)).tolist() == [70, 0, 220]


def test_the_voxel_size_of_the_slice_shapes_what_is_read(volume):
    image = load_slices(volume, [5], 80)[0] > 0
    assert (image.any(axis=1).sum(), image.any(axis=0).sum()) == (80, 30)  # 8.0 x 3.0 physical units


def test_reading_many_slices_holds_few_of_them_at_full_size(volume, monkeypatch):
    monkeypatch.setattr("napari_sortingloss.slices.reader.BYTES_AT_ONCE", 5 * 40 * 30)
    assert load_slices(volume, range(23), 16)[:, 8, 8].tolist() == [10 * i for i in range(23)]
    assert volume.largest_read == 5


def test_a_slice_larger_than_the_limit_is_read_alone(volume, monkeypatch):
    monkeypatch.setattr("napari_sortingloss.slices.reader.BYTES_AT_ONCE", 1)
    load_slices(volume, [1, 2], 16)
    assert volume.largest_read == 1
    assert BYTES_AT_ONCE >= 1 << 20
