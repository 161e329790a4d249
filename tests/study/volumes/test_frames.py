"""Boxes and labels between a crop, its parent and the original: exact for every box, and for crops of crops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sortingloss.boxes import NO_BOX, Box, shifted, size_of, whole
from napari_sortingloss.disk.slabs import steps
from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.study import VolumeRecord
from napari_sortingloss.study.schema import family
from napari_sortingloss.study.volumes.frames import (
    box_between,
    box_in_crop,
    box_in_original,
    box_in_parent,
    cut,
    paste,
    paste_slabs,
)

ORIGINAL = VolumeRecord("fish", (11, 14, 17), (0.4, 0.25, 0.3), "mm")


def cropped(parent: VolumeRecord, box: Box, name: str = "crop") -> VolumeRecord:
    offset = tuple(low for low, _ in shifted(box, parent.offset))
    return parent.replace(name=name, shape=size_of(box), offset=offset, parent=parent.name)


@st.composite
def boxes(draw, shape):
    spans = []
    for size in shape:
        low = draw(st.integers(0, size - 1))
        spans.append((low, draw(st.integers(low + 1, size))))
    return tuple(spans)


@st.composite
def lines(draw):
    """An original, a crop of it, a crop of that, and a box in the last one."""
    first = cropped(ORIGINAL, draw(boxes(ORIGINAL.shape)), "one")
    second = cropped(first, draw(boxes(first.shape)), "two")
    return first, second, draw(boxes(second.shape))


@given(lines())
@settings(max_examples=150, deadline=None)
def test_a_box_goes_up_and_comes_down_again_exactly(line):
    first, second, box = line
    in_first = box_between(second, first, box)
    in_original = box_in_original(second, box)
    assert in_original == box_in_original(first, in_first) == box_between(second, ORIGINAL, box)
    assert box_in_crop(second, in_original) == box
    assert box_in_crop(first, in_original) == in_first
    assert box_between(first, second, in_first) == box
    assert box_in_original(ORIGINAL, in_original) == in_original


@given(lines())
@settings(max_examples=100, deadline=None)
def test_labels_go_up_and_come_down_again_exactly(line):
    first, second, _ = line
    everything = np.random.default_rng(0).integers(1, 256, ORIGINAL.shape, dtype=np.uint8)
    in_first = cut(everything, first, ORIGINAL)
    in_second = cut(in_first, second, first)
    np.testing.assert_array_equal(in_second, cut(everything, second, ORIGINAL))
    up = paste(in_second, second, first)
    assert up.shape == first.shape
    np.testing.assert_array_equal(paste(up, first, ORIGINAL), paste(in_second, second, ORIGINAL))
    np.testing.assert_array_equal(cut(paste(in_second, second, ORIGINAL), second, ORIGINAL), in_second)
    assert np.count_nonzero(paste(in_second, second, ORIGINAL)) == in_second.size


@given(lines(), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_slabs_are_what_pasting_at_once_gives(line, height):
    _, second, _ = line
    labels = np.random.default_rng(1).integers(1, 9, second.shape, dtype=np.uint16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_sortingloss.study.volumes.frames.slab_height", lambda *_, **__: height)
        slabs = list(paste_slabs(labels, second, ORIGINAL))
    assert [len(s) for s in slabs] == [b - a for a, b in steps(ORIGINAL.shape[0], height)]
    np.testing.assert_array_equal(np.concatenate(slabs), paste(labels, second, ORIGINAL))
    assert {s.dtype for s in slabs} == {labels.dtype}


def test_what_lies_outside_of_a_crop_is_cut_off():
    crop = cropped(ORIGINAL, ((2, 6), (3, 9), (4, 10)))
    assert box_in_crop(crop, ((0, 4), (0, 14), (9, 17))) == ((0, 2), (0, 6), (5, 6))
    assert box_in_crop(crop, ((6, 8), (3, 9), (4, 10))) == NO_BOX


def test_a_volume_that_does_not_contain_the_crop_is_refused():
    crop = cropped(ORIGINAL, ((2, 6), (3, 9), (4, 10)))
    beside = cropped(ORIGINAL, ((4, 11), (0, 14), (0, 17)), "beside")
    with pytest.raises(
        BadSetting, match="Cannot bring 'crop' into the frame of 'beside': it does not lie inside"
    ):
        paste(np.ones(crop.shape), crop, beside)
    with pytest.raises(BadSetting, match=r"they have 3 x 3 x 3 voxels \(z, y, x\) and the volume 4 x 6 x 6"):
        paste(np.ones((3, 3, 3)), crop, ORIGINAL)
    with pytest.raises(BadSetting, match="they have"):
        paste_slabs(np.ones((3, 3, 3)), crop, ORIGINAL)


def test_the_parent_is_looked_up_in_the_study(study, store):
    fish = store("fish")
    one = cropped(fish, ((2, 30), (3, 60), (4, 80)), "one")
    two = cropped(one, ((1, 20), (1, 20), (1, 20)), "two")
    for record in (one, two):
        store(record.name, np.zeros(record.shape, np.uint8), offset=record.offset, parent=record.parent)
    box = ((0, 5), (1, 6), (2, 7))
    assert box_in_parent(study, two, box) == ((1, 6), (2, 7), (3, 8))
    assert box_in_parent(study, one, box_in_parent(study, two, box)) == box_in_original(two, box)
    with pytest.raises(StudyError, match="it was cut from none"):
        box_in_parent(study, fish, whole(fish.shape))
    with pytest.raises(StudyError, match="the study has no 'gone'"):
        box_in_parent(study, two.replace(parent="gone"), box)


def test_a_family_is_all_that_was_cut_from_one_original():
    one, two = (cropped(ORIGINAL, ((2, 6), (3, 9), (4, 10)), n) for n in ("one", "two"))
    grandchild = cropped(one, ((0, 2), (0, 2), (0, 2)), "grandchild")
    other, orphan = ORIGINAL.replace(name="cod"), one.replace(name="orphan", parent="gone")
    records = {r.name: r for r in (ORIGINAL, other, one, orphan, two, grandchild)}
    assert family(records, "grandchild") == family(records, "fish") == ["fish", "one", "two", "grandchild"]
    assert family(records, "cod") == ["cod"]
    assert family(records, "orphan") == ["orphan"]


def test_a_flipped_direction_or_another_axis_leaves_boxes_as_they_are():
    """Positions along a flipped axis count backwards; boxes are in array order all the same."""
    for axis, direction in (("z", "-"), ("y", "-"), ("x", "+")):
        fish = ORIGINAL.replace(axis=axis, direction=direction)
        crop = cropped(fish, ((2, 6), (3, 9), (4, 10)))
        assert box_in_original(crop, whole(crop.shape)) == ((2, 6), (3, 9), (4, 10))
