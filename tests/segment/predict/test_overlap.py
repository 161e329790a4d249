"""Labels whose overlap with the truth can be expected to be the largest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_sortingloss.segment.predict.overlap import OverlapLimits, labels_above

MOST = 510


def totals(*of_classes):
    """Probabilities of each class at the voxels of one slice, as two axes add them up."""
    p = np.asarray(of_classes, np.float64).reshape(1, len(of_classes), 1, -1)
    return np.rint(MOST * p).astype(np.uint16)


def limits(*pieces):
    counted = OverlapLimits(pieces[0].shape[1], MOST)
    for piece in pieces:
        counted.add(piece)
    return counted.limits()


def expected_dice(p, labelled):
    return 2 * p[labelled].sum() / (labelled.sum() + p.sum())


@pytest.mark.parametrize("seed", range(5))
def test_no_choice_of_voxels_has_a_larger_expected_dice(seed):
    p = np.random.default_rng(seed).integers(200, MOST, 9) / MOST
    (limit,) = limits(totals(p))
    found = labels_above(totals(p), [limit], [5]).ravel() == 5
    best = max(
        expected_dice(p, np.array(choice))
        for choice in itertools.product([False, True], repeat=9)
        if any(choice)
    )
    assert expected_dice(p, found) == pytest.approx(best)


def test_a_class_that_is_in_doubt_is_labelled_below_one_half():
    sure, doubtful = [1.0] * 10 + [0.0] * 40, [0.6] * 10 + [0.45] * 20 + [0.05] * 20
    found = labels_above(totals(doubtful), limits(totals(doubtful)), [5]).ravel()
    assert found.tolist() == [5] * 30 + [0] * 20
    assert labels_above(totals(sure), limits(totals(sure)), [5]).ravel().tolist() == [5] * 10 + [0] * 40


def test_what_one_of_three_axes_says_alone_is_not_enough():
    p = [0.32] * 50
    assert not labels_above(totals(p), limits(totals(p)), [5]).any()


def test_a_class_that_is_nowhere_is_labelled_nowhere():
    found = totals([0.9, 0.1, 0.0], [0.0, 0.0, 0.0])
    assert labels_above(found, limits(found), [5, 7]).ravel().tolist() == [5, 0, 0]


def test_of_two_classes_the_one_that_is_further_above_its_limit_is_taken():
    found = totals([0.45, 0.5, 0.3], [0.5, 0.45, 0.3])
    assert labels_above(found, [int(0.4 * MOST), int(0.49 * MOST)], [5, 7]).ravel().tolist() == [5, 5, 0]
    assert labels_above(found, [int(0.49 * MOST), int(0.4 * MOST)], [5, 7]).ravel().tolist() == [7, 7, 0]


def test_a_volume_counted_in_pieces_has_the_limits_of_the_whole():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, MOST + 1, (6, 3, 4, 5)).astype(np.uint16)
    assert np.array_equal(limits(whole), limits(whole[:1], whole[1:4], whole[4:]))
