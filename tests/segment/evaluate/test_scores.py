"""IoU, Dice, the confusion table and surface distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from napari_sortingloss.segment.evaluate import scores
from napari_sortingloss.segment.evaluate.scores import Confusion, Surfaces, mean, surface_steps

SPACING = (0.4, 0.25, 0.3)


def measured(surfaces):
    """What the surfaces say in the end."""
    steps = surfaces.finish()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def two_labellings(seed=0, shape=(14, 11, 17)):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 3, shape, np.uint8) for _ in range(2))


def test_counts_are_those_of_single_voxels():
    truth = np.array([[0, 1, 1, 2]], np.uint8)
    predicted = np.array([[1, 1, 0, 2]], np.uint8)
    table = Confusion((1, 2))
    table.add(truth, predicted)
    assert table.to_json({1: "bone", 2: "brain"}) == {
        "labels": ["background", "bone", "brain"],
        "counts": [[0, 1, 0], [1, 1, 0], [0, 0, 1]],
    }
    assert table.iou() == {1: 1 / 3, 2: 1.0}
    assert table.dice() == {1: 0.5, 2: 1.0}


def test_a_class_in_neither_is_left_out_of_the_mean():
    table = Confusion((1, 2))
    table.add(np.array([[1, 1]], np.uint8), np.array([[1, 0]], np.uint8))
    assert table.iou() == {1: 0.5, 2: None}
    assert mean(list(table.iou().values())) == 0.5
    assert mean([None]) is None


def test_a_class_in_only_one_of_both_scores_zero():
    table = Confusion((1, 2))
    table.add(np.array([[1, 0]], np.uint8), np.array([[0, 2]], np.uint8))
    assert table.iou() == {1: 0.0, 2: 0.0}


def test_slabs_in_pieces_give_the_table_of_the_whole(monkeypatch):
    truth, predicted = two_labellings()
    whole, pieces = Confusion((1, 2)), Confusion((1, 2))
    whole.add(truth, predicted)
    monkeypatch.setattr(scores, "PIECE", 300)
    for start in range(0, len(truth), 5):
        pieces.add(truth[start : start + 5], predicted[start : start + 5])
    assert np.array_equal(whole.counts, pieces.counts)
    assert whole.total == truth.size


def test_voxels_that_are_not_known_do_not_count():
    truth, predicted = two_labellings()
    known = np.zeros(truth.shape, bool)
    known[3:6, :, ::2] = True
    table, cut = Confusion((1, 2)), Confusion((1, 2))
    table.add(truth, predicted, known)
    cut.add(truth[3:6, :, ::2], predicted[3:6, :, ::2])
    assert np.array_equal(table.counts, cut.counts)


def test_labels_that_are_no_class_are_background_that_is_told_apart():
    table = Confusion((1,))
    table.add(np.array([[1, 7, 300]], np.uint16), np.array([[1, 1, 0]], np.uint8))
    assert table.other == {7, 300}
    assert table.iou() == {1: 0.5}
    found = table.to_json({1: "bone"})
    assert found["labels"] == ["background", "bone", "other labels"]
    assert found["counts"][2] == [1, 1, 0]


def by_distance_maps(truth, predicted, spacing):
    """The textbook way, on the whole volume."""

    def surface(mask):
        return mask & ~binary_erosion(mask)

    a, b = surface(truth), surface(predicted)
    to_b, to_a = (distance_transform_edt(~s, sampling=spacing) for s in (b, a))
    there, back = to_b[a], to_a[b]
    symmetric = (there.sum() + back.sum()) / (len(there) + len(back))
    return symmetric, max(np.quantile(there, 0.95), np.quantile(back, 0.95))


def balls(shape=(24, 18, 30)):
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    truth = ((z - 11) ** 2 / 60 + (y - 9) ** 2 / 30 + (x - 14) ** 2 / 90 < 1).astype(np.uint8)
    predicted = ((z - 12) ** 2 / 90 + (y - 8) ** 2 / 40 + (x - 17) ** 2 / 60 < 1).astype(np.uint8)
    predicted[:3, :2] = 1  # and something at the border
    return truth, predicted


@pytest.mark.parametrize("height", [1, 2, 5, 24])
def test_surface_distances_are_those_of_distance_maps_whatever_the_slabs(height):
    truth, predicted = balls()
    surfaces = Surfaces((1,), SPACING)
    for start in range(0, len(truth), height):
        surfaces.add(start, truth[start : start + height], predicted[start : start + height])
    found = measured(surfaces)[1]
    expected = by_distance_maps(truth == 1, predicted == 1, SPACING)
    assert (found.mean, found.hausdorff95) == pytest.approx(expected)
    assert not surfaces.thinned


def test_measuring_lets_go_now_and_then(monkeypatch):
    monkeypatch.setattr(scores, "QUERIES", 100)
    surfaces = Surfaces((1,), SPACING)
    surfaces.add(0, *balls())
    assert len(list(surfaces.finish())) > 5


def test_a_shift_of_two_voxels_along_the_thick_axis_is_its_length():
    truth, predicted = np.zeros((2, 20, 12, 15), np.uint8)
    truth[8, 3:9, 4:11] = 1
    predicted[10, 3:9, 4:11] = 1
    surfaces = Surfaces((1,), SPACING)
    surfaces.add(0, truth, predicted)
    found = measured(surfaces)[1]
    assert found.mean == pytest.approx(0.8)
    assert found.hausdorff95 == pytest.approx(0.8)


def test_there_is_no_distance_to_a_surface_that_is_not_there():
    truth, predicted = balls()
    surfaces = Surfaces((1, 2), SPACING)
    surfaces.add(0, truth, np.zeros_like(predicted))
    assert measured(surfaces) == {1: None, 2: None}


def test_distances_are_measured_only_from_voxels_that_count():
    truth, predicted = balls()
    known = np.zeros(truth.shape, bool)
    known[12:] = True
    surfaces, halves = Surfaces((1,), SPACING), Surfaces((1,), SPACING)
    surfaces.add(0, truth, predicted, known)
    halves.add(0, truth, predicted, np.ones_like(known))
    found, everywhere = measured(surfaces)[1], measured(halves)[1]
    assert everywhere.mean == pytest.approx(by_distance_maps(truth == 1, predicted == 1, SPACING)[0])
    assert found.mean < everywhere.mean  # the wrong corner is in the other half
    nothing = Surfaces((1,), SPACING)
    nothing.add(0, truth, predicted, np.zeros_like(known))
    assert measured(nothing) == {1: None}


def test_very_large_surfaces_are_thinned_out_and_said_to_be(monkeypatch):
    truth, predicted = balls()
    exact = by_distance_maps(truth == 1, predicted == 1, SPACING)[0]
    monkeypatch.setattr(scores, "MOST_POINTS", 600)
    surfaces = Surfaces((1,), SPACING)
    surfaces.add(0, truth, predicted)
    found = measured(surfaces)[1]
    assert surfaces.thinned
    assert found.mean == pytest.approx(exact, abs=0.15)


def test_huge_volumes_are_thinned_out_along_their_finest_axes(monkeypatch):
    assert surface_steps((24, 18, 30), SPACING) == (1, 1, 1)
    monkeypatch.setattr(scores, "FINEST", 4_000)
    assert surface_steps((24, 18, 30), SPACING) == (1, 2, 2)


@pytest.mark.parametrize("height", [1, 3, 24])
def test_every_second_voxel_gives_about_the_same_distance(height):
    truth, predicted = (np.repeat(np.repeat(m, 2, 1), 2, 2) for m in balls())
    spacing = (0.4, 0.125, 0.15)
    surfaces = Surfaces((1,), spacing, (2, 2, 2))
    for start in range(0, len(truth), height):
        surfaces.add(start, truth[start : start + height], predicted[start : start + height])
    exact = by_distance_maps(truth == 1, predicted == 1, spacing)[0]
    assert measured(surfaces)[1].mean == pytest.approx(exact, abs=0.3)
