"""Crops, tiles and the pixel size that slices of different volumes share."""

import itertools

import numpy as np
import pytest

from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.tiles import (
    blending_weights,
    common_pixel,
    cut_out,
    cut_turned,
    pixel_shape,
    resize_labels,
    tiles,
)


@pytest.mark.parametrize(
    ("spacings", "pixel"),
    [
        ([((0.25, 0.26), "mm"), ((0.25, 0.25), "mm")], 0.0),  # as good as the same
        ([((0.25, 0.4), "mm")], 0.25),
        ([((0.2, 0.2), "mm"), ((300, 300), "um")], 0.2),
        ([((0.2, 0.2), ""), ((0.4, 0.4), "mm")], 0.0),
        ([((0.1, 0.1), "mm"), ((1.0, 1.0), "mm")], 0.0),  # one scale for both would lose the small one
        ([], 0.0),
    ],
)
def test_slices_keep_their_voxels_unless_these_differ(spacings, pixel):
    assert common_pixel(spacings) == pytest.approx(pixel)


def test_the_shape_at_a_pixel_size_follows_the_voxel_size_of_each_side():
    assert pixel_shape((100, 50), (0.2, 0.4), "mm", 0.4) == (50, 50)
    assert pixel_shape((100, 50), (200, 400), "um", 0.4) == (50, 50)
    assert pixel_shape((100, 50), (0.2, 0.4), "", 0.4) == (100, 50)
    assert pixel_shape((100, 50), (0.2, 0.4), "mm", 0.0) == (100, 50)


def test_labels_are_resized_without_mixing_and_stay_in_place():
    labels = np.zeros((30, 21), np.uint8)
    labels[9:21, 6:15] = 7
    smaller, larger = resize_labels(labels, 10, 7), resize_labels(labels, 90, 63)
    assert set(np.unique(smaller)) == set(np.unique(larger)) == {0, 7}
    for resized, factor in ((smaller, 1 / 3), (larger, 3)):
        rows, columns = np.nonzero(resized)
        assert (rows.mean() + 0.5) / factor == pytest.approx(15)
        assert (columns.mean() + 0.5) / factor == pytest.approx(10.5)


def test_a_crop_stays_inside_a_large_slice():
    image = np.arange(100 * 120, dtype=np.uint32).reshape(100, 120).astype(np.uint8)
    labels = (image % 3).astype(np.uint8)
    for centre in [(0, 0), (99, 119), (50, 60)]:
        crop, known = cut_out(image, labels, centre, (32, 48))
        assert crop.shape == (32, 48)
        np.testing.assert_array_equal(known, crop % 3)
    np.testing.assert_array_equal(cut_out(image, labels, (0, 0), (32, 48))[0], image[:32, :48])


def test_around_a_small_slice_its_edge_is_repeated_and_nothing_is_known():
    image, labels = np.repeat(np.arange(10, dtype=np.uint8)[:, None], 40, 1), np.ones((10, 40), np.uint8)
    crop, known = cut_out(image, labels, (5, 20), (32, 32))
    np.testing.assert_array_equal(crop[11:21], image[:, 4:36])
    assert (known[11:21] == 1).all()
    assert (crop[:11] == 0).all()
    assert (crop[21:] == 9).all()
    assert (known[21:] == IGNORE).all()


@pytest.mark.parametrize("shape", [(50, 50), (100, 333), (257, 256), (1000, 40)])
def test_tiles_cover_every_pixel_and_overlap(shape):
    seen = np.zeros(shape, int)
    found = tiles(shape, 64, 16)
    for rows, columns in found:
        assert 0 <= rows.start < rows.stop <= shape[0]
        assert (rows.stop - rows.start, columns.stop - columns.start) == tuple(min(64, s) for s in shape)
        seen[rows, columns] += 1
    assert seen.min() >= 1
    starts = sorted({rows.start for rows, _ in found})
    assert all(b - a <= 48 for a, b in itertools.pairwise(starts))


def test_blended_tiles_of_a_smooth_picture_are_that_picture():
    picture = np.add.outer(np.linspace(0, 1, 150), np.linspace(0, 2, 90)).astype(np.float32)
    total, weight = np.zeros_like(picture), np.zeros_like(picture)
    for rows, columns in tiles(picture.shape, 64, 16):
        own = blending_weights((rows.stop - rows.start, columns.stop - columns.start), 16)
        total[rows, columns] += own * picture[rows, columns]
        weight[rows, columns] += own
    assert weight.min() > 0
    np.testing.assert_allclose(total / weight, picture, rtol=1e-5)


def turned(angle, mirror=1):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[mirror * c, s], [-mirror * s, c]])


def test_a_turned_crop_keeps_image_and_labels_together():
    image = np.zeros((50, 70), np.uint8)
    image[20:30, 30:50] = 200
    labels = (image > 0).astype(np.uint8)
    seen, known = cut_turned(image, labels, (25, 40), (64, 96), turned(0.7))
    inside = known != IGNORE
    assert ((seen > 100) == (known == 1))[inside].mean() > 0.99
    assert (known == 1).sum() == pytest.approx(200, rel=0.05)


def test_a_crop_that_is_not_turned_is_the_plain_one():
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 255, (2, 60, 80), dtype=np.uint8)
    plain = cut_out(image, labels, (22, 48), (32, 32))
    same = cut_turned(image, labels, (22, 48), (32, 32), turned(0.0))
    for one, other in zip(plain, same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_around_a_turned_slice_its_edge_is_repeated_and_nothing_is_known():
    image, labels = np.full((20, 20), 7, np.uint8), np.zeros((20, 20), np.uint8)
    seen, known = cut_turned(image, labels, (10, 10), (32, 32), turned(np.pi / 4))
    assert (seen == 7).all()
    assert (known == 0).sum() == pytest.approx(400, rel=0.05)
    assert set(np.unique(known)) == {0, IGNORE}
