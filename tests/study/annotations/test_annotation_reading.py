"""Reading annotations: statuses, targets, and files that are missing, damaged or being written."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.study import VolumeRecord
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import IGNORE, AnnotatedSlice, Annotations, annotated
from napari_sortingloss.study.classes import BACKGROUND


@pytest.fixture
def annotations(study, store):
    store("fish", axis="y", direction="-")
    return Annotations(study, "fish")


def test_a_volume_without_annotations_is_empty_and_takes_no_memory(study, annotations):
    with study.transaction() as document:
        document["volumes"]["huge"] = VolumeRecord("huge", (20_000, 10_000, 10_000)).to_json()
    for one in (annotations, Annotations(study, "huge")):
        assert not one.exists
        assert one.labels().shape == one.shape
        assert not one.labels()[3:5, ::7, 1].any()
        assert one.slices() == ()
        assert one.status("y", 2) == "empty"
    assert annotated(study) == {}
    assert not annotations.path.exists()


def test_annotating_a_large_volume_begins_at_once_and_takes_no_room(study):
    with study.transaction() as document:
        document["volumes"]["large"] = VolumeRecord("large", (2000, 1000, 1000)).to_json()
    began = time.perf_counter()
    with AnnotationEditor(study, "large") as editor:
        took = time.perf_counter() - began
        editor.apply(((1500, 1501), (400, 410), (500, 520)), 3)
        file = editor.path / "labels.npy"
        assert file.stat().st_size == 2_000_000_128
        assert file.stat().st_blocks * 512 < 1 << 20
    assert took < 2.0
    assert Annotations(study, "large").labels()[1500, 405, 510] == 3


def test_anyone_can_read_the_labels_as_an_npy_file(study, annotations, paint):
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, ((3, 4), (5, 9), (10, 30)), 7)
    array = np.load(annotations.path / "labels.npy", mmap_mode="r")
    assert (array.shape, array.dtype) == (annotations.shape, np.uint8)
    assert (array[3, 5:9, 10:30] == 7).all()
    assert np.count_nonzero(array) == 80


def test_slices_come_in_the_order_of_volume_slices(study, annotations):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, annotations.shape, dtype=np.uint8)
    with AnnotationEditor(study, "fish") as editor:
        editor.apply(((0, 37), (0, 70), (0, 90)), values)
    np.testing.assert_array_equal(annotations.read_slice("z", 5), values[5])
    np.testing.assert_array_equal(annotations.read_slice("y", 6), values[:, 6])
    np.testing.assert_array_equal(annotations.read_slice("x", 7), values[:, :, 7])
    volume = study.volume("fish")
    assert annotations.read_slice("y", 6).shape == volume.read_slices([0]).shape[1:]


def test_flipping_the_direction_moves_no_annotation(study, annotations, paint):
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, ((3, 8), (6, 7), (10, 30)), 2)
    before = annotations.slices()
    study.update_volume("fish", direction="+")
    assert (
        Annotations(study, "fish").slices() == before == (AnnotatedSlice("y", 6, "partial", before[0].time),)
    )


def test_a_target_obeys_the_status(study, annotations):
    labels = np.zeros((37, 90), np.uint8)
    labels[2, :4] = [3, 9, BACKGROUND, 5]
    with AnnotationEditor(study, "fish") as editor:
        editor.put_slice("y", 6, labels, status="partial")
    partial = annotations.target("y", 6, [9, 3])
    assert partial.dtype == np.uint8
    assert partial[2, :5].tolist() == [2, 1, 0, IGNORE, IGNORE]
    with AnnotationEditor(study, "fish") as editor:
        editor.set_status("y", 6, "complete")
    complete = annotations.target("y", 6, [9, 3])
    assert complete[2, :5].tolist() == [2, 1, 0, IGNORE, 0]
    assert (np.delete(complete, 2, axis=0) == 0).all()
    assert (annotations.target("z", 2, [9, 3]) == IGNORE).all()  # nothing was said of slices across z
    for wrong in ([3, 3], [0], [BACKGROUND]):
        with pytest.raises(BadSetting, match="name each class once"):
            annotations.target("y", 6, wrong)


def test_a_slice_that_is_not_there_is_refused(annotations):
    for axis, index in (("z", 37), ("x", -1), ("q", 0)):
        with pytest.raises(BadSetting, match="choose a slice of the volume"):
            annotations.read_slice(axis, index)
        with pytest.raises(BadSetting):
            annotations.status(axis, index)


def test_annotated_volumes_are_those_with_slices_that_are_not_empty(study, store, annotations, paint):
    store("other")
    store("third")
    for name in ("third", "fish"):
        with AnnotationEditor(study, name) as editor:
            paint(editor, ((3, 4), (6, 7), (10, 30)), 2)
    with AnnotationEditor(study, "third") as editor:
        editor.undo()
    assert list(annotated(study)) == ["fish"]
    assert list(annotated(study, ["f*"])) == ["fish"]
    assert annotated(study, ["other"]) == {}
    with pytest.raises(StudyError, match="whale"):
        annotated(study, ["whale"])


def test_the_stamp_changes_with_everything(study, annotations, paint):
    seen = [annotations.stamp]
    with AnnotationEditor(study, "fish") as editor:
        for _ in range(2):
            paint(editor, ((3, 4), (6, 7), (10, 30)), 2)
            seen.append(annotations.stamp)
            editor.set_status("y", 6, "complete")
            seen.append(annotations.stamp)
            editor.undo()
            seen.append(annotations.stamp)
            editor.undo()
            seen.append(annotations.stamp)
    assert len(set(seen)) == len(seen)


def test_a_reader_sees_labels_and_statuses_while_somebody_paints(study, annotations, paint):
    with AnnotationEditor(study, "fish") as editor:
        for index in range(12):
            paint(editor, ((3, 9), (index, index + 1), (10, 30)), 2)
            assert annotations.status("y", index) == "partial"
            assert (annotations.read_slice("y", index)[3:9, 10:30] == 2).all()
        editor.set_status("y", 4, "complete")
        assert annotations.status("y", 4) == "complete"
        assert annotations.slices() == editor.annotations.slices()
        editor.flush()
        assert annotations.slices() == Annotations(study, "fish").slices() == editor.annotations.slices()
        with pytest.raises(ValueError, match="read-only"):
            annotations.labels()[0, 0, 0] = 1
        with pytest.raises(ValueError, match="read-only"):
            editor.annotations.labels()[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "cut off"),
        (lambda path: path.write_bytes(b"nonsense" * 40), "no array"),
        (lambda path: np.save(path, np.zeros((37, 90, 70), np.uint8)), "37 x 90 x 70 voxels of uint8"),
        (lambda path: np.save(path, np.zeros((37, 70, 90), np.int16)), "of int16"),
    ],
)
def test_damaged_labels_are_said_to_be(study, annotations, paint, damage, why):
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, ((3, 4), (6, 7), (10, 30)), 2)
    damage(annotations.path / "labels.npy")
    with pytest.raises(StudyError, match=why):
        Annotations(study, "fish").labels()
    with pytest.raises(StudyError, match="restore the folder from a backup"):
        AnnotationEditor(study, "fish")
    (annotations.path / "labels.npy").unlink()  # and nobody holds the lock afterwards
    with AnnotationEditor(study, "fish") as editor:
        assert np.count_nonzero(editor.labels) == 20  # the journal knows it all


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"schema_version": 1, "slices": [{"axis": "z", "index": 99, "status": "partial"}]}',
        '{"schema_version": 1, "slices": [{"axis": "z", "index": 1, "status": "done"}]}',
    ],
)
def test_a_damaged_table_of_slices_is_said_to_be_and_made_anew_from_the_journal(
    study, annotations, paint, text
):
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, ((3, 4), (6, 7), (10, 30)), 2)
    before = annotations.slices()
    (annotations.path / "slices.json").write_text(text)
    with pytest.raises(StudyError, match=r"slices\.json"):
        Annotations(study, "fish").slices()
    AnnotationEditor(study, "fish").close()
    assert Annotations(study, "fish").slices() == before


def test_a_table_of_a_newer_program_is_left_alone(study, annotations):
    annotations.path.mkdir(parents=True)
    (annotations.path / "slices.json").write_text('{"schema_version": 2, "slices": []}')
    with pytest.raises(StudyError, match="update napari-sortingloss"):
        annotations.slices()
