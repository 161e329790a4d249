"""Boxes of voxels: half-open, checked on the way in, grown no further than the volume."""

from __future__ import annotations

import pytest

from napari_sortingloss.boxes import NO_BOX, box_of, grown, share_of, shifted, size_of, whole
from napari_sortingloss.errors import BadSetting

SHAPE = (30, 26, 34)
BOX = ((3, 10), (0, 26), (5, 6))


def test_the_whole_volume_is_a_box_with_all_of_its_voxels():
    assert whole(SHAPE) == ((0, 30), (0, 26), (0, 34))
    assert share_of(whole(SHAPE), SHAPE) == 1.0


def test_a_box_ends_before_its_upper_ends():
    assert size_of(BOX) == (7, 26, 1)
    assert share_of(BOX, SHAPE) == 7 * 26 / (30 * 26 * 34)


def test_no_box_has_no_voxels():
    assert size_of(NO_BOX) == (0, 0, 0)
    assert share_of(NO_BOX, SHAPE) == 0.0


def test_lists_from_json_become_a_box():
    assert box_of([[3, 10], [0, 26], [5, 6]], SHAPE) == BOX


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([[3, 10], [0, 27], [5, 6]], "along y it goes from 0 to 27, the volume from 0 to 26"),
        ([[-1, 10], [0, 26], [5, 6]], "along z it goes from -1 to 10"),
        ([[3, 10], [0, 26], [6, 6]], "along x it goes from 6 to 6"),
        ([[10, 3], [0, 26], [5, 6]], "along z it goes from 10 to 3"),
        ([[3, 10], [0, 26]], "is no box"),
        ([3, 10, 26], "is no box"),
        ([["a", "b"]] * 3, "is no box"),
        (None, "is no box"),
    ],
)
def test_what_is_no_box_of_the_volume_is_refused(values, why):
    with pytest.raises(BadSetting, match=why):
        box_of(values, SHAPE)


def test_the_refusal_says_what_was_wanted():
    with pytest.raises(BadSetting, match="Cannot crop 'fish': along z"):
        box_of([[0, 99], [0, 1], [0, 1]], SHAPE, "Cannot crop 'fish'")


def test_a_box_grows_on_both_sides_and_stops_at_the_ends():
    assert grown(BOX, SHAPE, (2, 5, 6)) == ((1, 12), (0, 26), (0, 12))


def test_a_part_of_a_voxel_grows_a_box_by_the_whole_voxel():
    assert grown(BOX, SHAPE, (0.1, 0.0, 0.5)) == ((2, 11), (0, 26), (4, 7))


def test_a_box_moved_there_and_back_is_the_same():
    there = shifted(BOX, (100, 20, 3))
    assert there == ((103, 110), (20, 46), (8, 9))
    assert shifted(there, (-100, -20, -3)) == BOX
