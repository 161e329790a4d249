"""Slices between two annotated ones, from the distances to their outlines."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.segment.annotator.interpolate import (
    Between,
    interpolate_between,
    interpolated_slices,
    nearest_complete,
    propose,
    propose_between,
)
from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import BACKGROUND

SHAPE = (20, 16, 24)
VOXEL_SIZE = (0.4, 0.25, 0.3)


def disc(radius, middle=(20.0, 20.0), shape=(40, 44), spacing=(1.0, 1.0), value=1):
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = ((y - middle[0]) * spacing[0]) ** 2 + ((x - middle[1]) * spacing[1]) ** 2 < radius**2
    return np.where(inside, value, 0).astype(np.uint8)


def width(labels):
    return int((labels != 0).any(axis=0).sum())


def test_the_radius_of_a_disc_changes_evenly():
    between = Between(disc(4), disc(12))
    assert [width(between.at(t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)] == [7, 11, 15, 19, 23]


def test_the_ends_are_the_slices_themselves():
    lower, upper = disc(5), disc(9, value=3)
    assert np.array_equal(interpolate_between(lower, upper, 0.0), lower)
    assert np.array_equal(interpolate_between(lower, upper, 1.0), upper)


def test_an_outline_moves_by_lengths_not_by_voxels():
    """A bar grows to the left and upwards; where voxels are long, fewer of them are grown over."""
    lower, upper = np.zeros((2, 40, 44), np.uint8)
    lower[20:30, 20:30] = 1
    upper[20:30, 12:30] = 1
    upper[16:20, 12:30] = 1
    square, long = (interpolate_between(lower, upper, 0.5, s) for s in ((1.0, 1.0), (2.0, 1.0)))
    assert not np.array_equal(square, long)
    assert np.array_equal(long, interpolate_between(lower, upper, 0.5, (4.0, 2.0)))


def test_two_classes_that_touch_stay_together_and_leave_no_gap():
    lower, upper = np.zeros((2, 30, 40), np.uint8)
    lower[5:25, 5:15], lower[5:25, 15:35] = 1, 2
    upper[5:25, 5:25], upper[5:25, 25:35] = 1, 2
    found = interpolate_between(lower, upper, 0.5)
    assert (found[10, 5:20] == 1).all()
    assert (found[10, 20:35] == 2).all()


def test_a_class_that_only_one_slice_shows_ends_in_the_middle():
    lower, upper = disc(8), np.zeros((40, 44), np.uint8)
    sizes = [(interpolate_between(lower, upper, t) != 0).sum() for t in (0.0, 0.2, 0.4, 0.5, 0.9)]
    assert sizes[0] > sizes[1] > sizes[2] > 0
    assert sizes[3:] == [0, 0]


def test_what_is_cut_away_around_the_outlines_changes_nothing(monkeypatch):
    lower, upper = disc(6, (12, 14)), disc(7, (18, 20))
    cut = interpolate_between(lower, upper, 0.4)
    monkeypatch.setattr(
        "napari_sortingloss.segment.annotator.interpolate._around", lambda _: (slice(None), slice(None))
    )
    assert np.array_equal(interpolate_between(lower, upper, 0.4), cut)


def test_slices_that_are_labelled_all_over_stay_so():
    full = np.full((12, 10), 4, np.uint8)
    assert (interpolate_between(full, full, 0.5) == 4).all()
    assert not interpolate_between(np.zeros_like(full), np.zeros_like(full), 0.5).any()


def test_painted_background_is_background():
    lower = disc(5)
    painted = np.where(lower == 0, BACKGROUND, lower)
    assert np.array_equal(interpolate_between(painted, painted, 0.5), lower)


def test_slices_of_different_shapes_are_refused():
    with pytest.raises(BadInput, match=r"their shapes \(40, 44\) and \(30, 44\) differ"):
        interpolate_between(disc(3), disc(3, shape=(30, 44)), 0.5)


@pytest.fixture
def study(study_dir):
    study = Study.create(study_dir)
    values = np.zeros(SHAPE, np.uint8)
    with VolumeWriter(
        study, VolumeRecord(name="fish", shape=SHAPE, voxel_size=VOXEL_SIZE, unit="mm", axis="y")
    ) as writer:
        writer.write(0, values)
        writer.commit()
    return study


def paint(editor, axis, index, radius, status="complete", value=2):
    sides = [n for n, a in zip(SHAPE, "zyx", strict=True) if a != axis]
    sizes = [s for s, a in zip(VOXEL_SIZE, "zyx", strict=True) if a != axis]
    labels = disc(radius, [n / 2 for n in sides], sides, sizes, value)
    editor.put_slice(axis, index, labels, status=status)
    return labels


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_proposals_fill_the_slices_between_and_paint_over_nothing(study, axis):
    with AnnotationEditor(study, "fish") as editor:
        low = paint(editor, axis, 4, 1.0)
        paint(editor, axis, 8, 1.8)
        own = np.zeros_like(low)
        own[low.shape[0] // 2, low.shape[1] // 2] = 7
        own[low.shape[0] // 2 + 1, low.shape[1] // 2] = BACKGROUND
        editor.put_slice(axis, 6, own, status="partial")
        before = editor.labels.copy()
        action = propose(editor, axis, 8, 4)
        after = editor.labels.copy()
        statuses = [editor.annotations.status(axis, i) for i in range(3, 10)]
        middle = editor.annotations.read_slice(axis, 6)
        assert (after[before != 0] == before[before != 0]).all()
        assert set(np.unique(after[(before == 0) & (after != 0)])) == {2}
        assert (middle[own != 0] == own[own != 0]).all()
        assert (middle == 2).sum() > (low == 2).sum()
        assert statuses == ["empty", "complete", "partial", "partial", "partial", "complete", "empty"]
        assert action.what == "proposed by interpolation"
        editor.undo()
        assert np.array_equal(editor.labels, before)
        assert editor.annotations.status(axis, 5) == "empty"


def test_only_the_classes_asked_for_are_proposed(study):
    with AnnotationEditor(study, "fish") as editor:
        for index in (3, 6):
            labels = paint(editor, "z", index, 1.0)
            labels[0, 0] = 5
            editor.put_slice("z", index, labels, status="complete")
        found = propose_between(editor.annotations, "z", 3, 6, [5])
    assert sorted(found) == [4, 5]
    assert set(np.unique(found[4])) == {0, 5}


def test_where_all_is_painted_nothing_is_proposed(study):
    with AnnotationEditor(study, "fish") as editor:
        for index in (3, 4, 5):
            paint(editor, "z", index, 1.0)
        assert propose(editor, "z", 3, 5) is None


def test_what_cannot_be_interpolated_is_said(study):
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, "y", 3, 1.0)
        paint(editor, "y", 7, 1.0, status="partial")
        paint(editor, "y", 4, 1.0)
        with pytest.raises(BadInput, match="slice 7 is partial; mark it complete"):
            propose_between(editor.annotations, "y", 3, 7)
        with pytest.raises(BadInput, match="slices 3 and 4 are neighbours"):
            propose_between(editor.annotations, "y", 3, 4)
        with pytest.raises(BadSetting, match="slices 3 and 16 are no two slices; choose two from 0 to 15"):
            propose_between(editor.annotations, "y", 3, 16)
        with pytest.raises(BadInput, match="there is no complete slice behind it"):
            nearest_complete(editor.annotations, "y", 5)
        with pytest.raises(BadInput, match="no slice across x is complete"):
            next(interpolated_slices(editor.annotations, "x", [0], VOXEL_SIZE))


def test_a_whole_volume_comes_from_its_complete_slices(study):
    with AnnotationEditor(study, "fish") as editor:
        low, high = paint(editor, "y", 4, 1.0), paint(editor, "y", 10, 2.0)
        paint(editor, "y", 7, 0.5, status="partial")
        assert nearest_complete(editor.annotations, "y", 7) == (4, 10)
    annotations = Annotations(study, "fish")
    found = list(interpolated_slices(annotations, "y", range(16), VOXEL_SIZE))
    assert len(found) == 16
    assert all(np.array_equal(found[i], low) for i in range(5))
    assert all(np.array_equal(found[i], high) for i in range(10, 16))
    sizes = [int((f != 0).sum()) for f in found[4:11]]
    assert sizes == sorted(sizes)
    assert np.array_equal(found[7], interpolate_between(low, high, 0.5, (0.4, 0.3)))
