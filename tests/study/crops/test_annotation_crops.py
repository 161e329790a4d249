"""Annotations of a volume that is cut, and of what is painted on the part."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from napari_sortingloss.errors import StudyError
from napari_sortingloss.study import CropSettings, Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import BACKGROUND
from napari_sortingloss.study.crops import job as cropping
from napari_sortingloss.study.crops.annotations import annotations_in_parent
from napari_sortingloss.study.crops.job import crop

BOX = ((3, 30), (5, 60), (10, 88))
CUT = tuple(slice(*span) for span in BOX)
BAND = ((0, 37), (5, 60), (0, 90))
"""A box with the whole cross-section across y."""


def cut(study, name="fish"):
    return list(crop(study, CropSettings(volumes=(name,))))[-1].value["volumes"][0]["name"]


def known(study, name):
    return {(one.axis, one.index): one.status for one in Annotations(study, name).slices()}


@pytest.fixture
def painted(study, store):
    """A volume with labels everywhere and slices of two axes that are partial or complete, in the box or not."""
    store("fish")
    values = np.random.default_rng(0).integers(0, 4, (37, 70, 90), dtype=np.uint8)
    values[:, :, 40:] = 0
    with AnnotationEditor(study, "fish") as editor:
        editor.apply(((0, 37), (0, 70), (0, 90)), values, axis="y", complete=False)
        for index in range(70):
            if index not in (2, 6, 59, 60):
                editor.set_status("y", index, "empty")
        editor.set_status("y", 6, "complete")
        editor.set_status("z", 29, "complete")
        editor.set_status("z", 30, "complete")
    return values


def test_a_crop_gets_its_part_of_the_annotations(study, painted, found_at):
    found_at("fish", BOX)
    name = cut(study)
    mine = Annotations(study, name)
    np.testing.assert_array_equal(mine.labels(), painted[CUT])
    assert known(study, name) == {("z", 26): "complete", ("y", 1): "complete", ("y", 54): "partial"}
    assert (study.path / "annotations" / name / "labels.npy").stat().st_size == 27 * 55 * 78 + 128
    with AnnotationEditor(study, name) as editor:  # its history begins here
        assert editor.undo() is None
        editor.set_status("z", 26, "partial")
    assert known(study, "fish")["z", 29] == "complete"
    assert [p for p in (study.path / "annotations").iterdir() if p.name.startswith(".")] == []


def test_a_crop_without_annotations_gets_none(study, store, painted, found_at):
    store("bare")
    found_at("bare", BOX)
    found_at("fish", ((0, 2), (62, 70), (41, 90)))
    for name in (cut(study, "bare"), cut(study)):
        assert not Annotations(study, name).exists
        study.remove_volume(name)


@pytest.mark.parametrize("step", ["publish", "keep"])
def test_a_crop_that_fails_leaves_no_annotations(study, painted, found_at, monkeypatch, step):
    found_at("fish", BOX)

    def fails(*_):
        raise OSError(28, "No space left on device")

    if step == "publish":
        monkeypatch.setattr(cropping.VolumeWriter, "commit", fails)
    else:
        monkeypatch.setattr(cropping.CarriedAnnotations, "write", fails)
    with pytest.raises(Exception, match="the disk is full"):
        cut(study)
    assert list(study.volumes) == ["fish"]
    assert [path.name for path in (study.path / "annotations").iterdir()] == ["fish"]


def test_a_crop_killed_in_its_last_moment_has_its_annotations_when_the_study_is_opened(
    study, painted, found_at
):
    found_at("fish", BOX)
    name = cut(study)
    folder = study.path / "annotations"
    (folder / name).rename(folder / f".{name}.cropped")
    (folder / ".other.cropped").mkdir()
    (folder / ".older.cropped").mkdir()
    os.utime(folder / ".older.cropped", (time.time() - 9999,) * 2)
    np.testing.assert_array_equal(Annotations(Study.open(study.path), name).labels(), painted[CUT])
    assert (folder / ".other.cropped").exists()  # somebody may be cutting it now
    assert not (folder / ".older.cropped").exists()


def test_what_is_painted_on_a_crop_comes_back_as_one_step(study, store, found_at):
    store("fish")
    found_at("fish", BOX)
    name = cut(study)
    values = np.random.default_rng(0).integers(0, 4, (55, 78), dtype=np.uint8)
    with AnnotationEditor(study, name) as editor:
        editor.put_slice("z", 4, values, status="partial")
    with AnnotationEditor(study, "fish") as editor:
        editor.apply(((7, 8), (0, 70), (0, 90)), 5)
        before = np.array(editor.labels)
        action = annotations_in_parent(study, name, editor)
        assert action.voxels == np.count_nonzero(values)
        expected = before.copy()
        part = expected[7, 5:60, 10:88]
        part[values > 0] = values[values > 0]
        np.testing.assert_array_equal(editor.labels, expected)
        assert editor.annotations.status("z", 7) == "partial"
        assert name in editor.undo_text
        editor.undo()
        np.testing.assert_array_equal(editor.labels, before)
        annotations_in_parent(study, name, editor, merge="keep")
        assert (editor.labels[7] == 5).all()


def test_a_complete_slice_of_a_part_makes_known_background_of_the_whole(study, store, found_at):
    store("fish")
    found_at("fish", BOX)
    name = cut(study)
    values = np.random.default_rng(0).integers(0, 2, (55, 78), dtype=np.uint8)
    with AnnotationEditor(study, name) as editor:
        editor.put_slice("z", 4, values, status="complete")
    annotations_in_parent(study, name)
    assert known(study, "fish") == {("z", 7): "partial"}
    there = Annotations(study, "fish")
    np.testing.assert_array_equal(there.read_slice("z", 7)[5:60, 10:88], np.where(values, 1, BACKGROUND))
    target = there.target("z", 7, [1])
    np.testing.assert_array_equal(target[5:60, 10:88], values)
    assert (target[:5] == 255).all()


def test_a_whole_cross_section_keeps_its_status(study, store, found_at):
    store("fish", axis="y")
    found_at("fish", BAND)
    name = cut(study)
    values = np.random.default_rng(0).integers(0, 3, (37, 90), dtype=np.uint8)
    with AnnotationEditor(study, name) as editor:
        editor.put_slice("y", 4, values, status="complete")
        editor.put_slice("y", 5, values, status="partial")
        editor.put_slice("y", 6, values, status="partial")
    with AnnotationEditor(study, "fish") as editor:
        editor.set_status("y", 11, "complete")
    annotations_in_parent(study, name)
    assert known(study, "fish") == {("y", 9): "complete", ("y", 10): "partial", ("y", 11): "complete"}
    np.testing.assert_array_equal(Annotations(study, "fish").read_slice("y", 9), values)


def test_only_a_crop_of_a_volume_in_the_study_can_be_brought_back(study, painted, found_at):
    found_at("fish", BOX)
    name = cut(study)
    with pytest.raises(StudyError, match="it was cut from none"):
        annotations_in_parent(study, "fish")
    with study.transaction() as document:
        document["volumes"][name]["parent"] = "whale"
    with pytest.raises(StudyError, match="the study has no 'whale'"):
        annotations_in_parent(study, name)
