"""A slice and what is painted on it are moved together."""

import numpy as np
import pytest

from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.augment import Augmenter, build_pipeline, recipe


def pair(shape=(60, 80)):
    """A slice whose grey values tell its labels: 40 for 0, 120 for 1, 200 for 2."""
    labels = np.zeros(shape, np.uint8)
    labels[15:45, 20:60] = 1
    labels[25:35, 30:40] = 2
    return np.array([40, 120, 200], np.uint8)[labels], labels


def rng(seed):
    return np.random.default_rng(seed)


def only(group, name):
    """An augmenter that does one thing of a group, always."""
    augmenter = Augmenter("normal")
    augmenter._pipeline = build_pipeline([(1.0, [f for f in recipe("normal")[group][1] if f[0] == name])])
    return augmenter


@pytest.mark.parametrize("name", ["Affine", "GridDistortion"])
def test_geometry_moves_labels_with_the_slice(name):
    image, labels = pair()
    augmenter = only(3, name)
    for seed in range(8):
        moved, painted = augmenter.paired(image, labels, rng(seed))
        assert not np.array_equal(moved, image)
        assert set(np.unique(painted)) <= {0, 1, 2, IGNORE}
        known = painted != IGNORE
        told = np.searchsorted([80, 160], moved)
        assert (told == painted)[known].mean() > 0.93  # edges are blended in the slice only


def test_what_moves_in_from_outside_is_unknown():
    image, labels = pair()
    seen = 0
    for seed in range(8):
        moved, painted = only(3, "Affine").paired(np.maximum(image, 1), labels, rng(seed))
        outside = moved == 0
        seen += outside.sum()
        assert (painted[outside] == IGNORE).mean() > 0.97 if outside.any() else True
    assert seen > 100


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (0, "Blur"),
        (0, "MedianBlur"),
        (0, "MotionBlur"),
        (1, "CLAHE"),
        (1, "Equalize"),
        (2, "RandomBrightnessContrast"),
        (2, "RandomGamma"),
        (3, "GlassBlur"),
        (4, "GaussNoise"),
    ],
)
def test_grey_values_and_glass_blur_change_the_slice_alone(group, name):
    image, labels = pair()
    image = (image + rng(0).integers(0, 20, image.shape)).astype(np.uint8)
    results = [only(group, name).paired(image, labels, rng(seed)) for seed in range(3)]
    assert all(np.array_equal(painted, labels) for _, painted in results)
    assert any(not np.array_equal(changed, image) for changed, _ in results)


@pytest.mark.parametrize("level", ["none", "light", "normal", "tough"])
def test_equal_generators_give_equal_pairs_and_the_slice_of_the_unpaired_call(level):
    image, labels = pair()
    augmenter = Augmenter(level)
    for seed in range(12):
        first, second = (augmenter.paired(image, labels, rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
        np.testing.assert_array_equal(first[0], augmenter(image, rng(seed)))


def test_neither_slice_nor_labels_are_changed_in_place():
    image, labels = pair()
    before = image.copy(), labels.copy()
    for level in ("none", "tough"):
        for seed in range(10):
            changed, painted = Augmenter(level).paired(image, labels, rng(seed))
            changed[:], painted[:] = 7, 7
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])
