"""Earlier versions of annotations, and actions over many voxels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.errors import BadSetting, OutOfSpace, StudyError
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations import restore as versions
from napari_sortingloss.study.annotations.editor import AnnotationEditor

DAB = ((3, 4), (6, 12), (10, 30))


def statuses(editor):
    return {(one.axis, one.index): one.status for one in editor.annotations.slices()}


@pytest.fixture
def history(study, store, paint):
    """Three sessions; returns what was there at each of the moments that can be brought back."""
    store("fish")
    states = []

    def note(editor):
        states.append((np.array(editor.labels), statuses(editor)))

    with AnnotationEditor(study, "fish") as editor:
        note(editor)
        paint(editor, DAB, 2)
        paint(editor, ((3, 6), (8, 20), (25, 40)), 5)
        editor.undo()
        note(editor)
    with AnnotationEditor(study, "fish") as editor:
        editor.set_status("z", 3, "complete")
        paint(editor, ((3, 4), (0, 9), (0, 90)), 7)
        note(editor)
        with editor.bulk("import of labels.nii") as bulk:
            rng = np.random.default_rng(0)
            for z in range(0, 37, 10):
                part = editor.labels[z : z + 10]
                bulk.write((z, 0, 0), rng.integers(0, 4, part.shape, dtype=np.uint8))
            bulk.set_status(9, "complete")
            bulk.commit()
        note(editor)
    with AnnotationEditor(study, "fish") as editor:
        editor.undo()
        editor.undo()
        paint(editor, ((3, 4), (0, 9), (0, 90)), 1)
        note(editor)
    return states


def test_versions_are_the_moments_worth_going_back_to(study, history):
    with AnnotationEditor(study, "fish") as editor:
        texts = [version.text for version in editor.versions()]
        times = [version.time for version in editor.versions()[1:]]
    assert texts == [
        "the beginning",
        "end of a session",
        "before: import of labels.nii",
        "after: import of labels.nii",
        "end of a session",
    ]
    assert times == sorted(times)
    assert all(times)


@pytest.mark.parametrize("slab", [1, 16 << 20])
def test_any_version_can_be_brought_back_and_that_undone(study, history, monkeypatch, slab):
    monkeypatch.setattr(versions, "_SLAB_BYTES", slab)
    with AnnotationEditor(study, "fish") as editor:
        for version, (labels, known) in list(zip(editor.versions(), history, strict=True)):
            action = editor.restore(version)
            np.testing.assert_array_equal(editor.labels, labels)
            assert statuses(editor) == known
            if action.voxels:
                assert version.text in editor.undo_text
                editor.undo()
            np.testing.assert_array_equal(editor.labels, history[-1][0])
            assert statuses(editor) == history[-1][1]
        for version, (labels, known) in list(zip(editor.versions(), history, strict=False)):
            editor.restore(version)
            np.testing.assert_array_equal(editor.labels, labels)
            assert statuses(editor) == known
    with AnnotationEditor(study, "fish") as editor, pytest.raises(BadSetting, match="no such version"):
        editor.restore(versions.Version(1, "", "made up"))


def test_a_bulk_action_is_one_step(study, history):
    with AnnotationEditor(study, "fish") as editor:
        before = np.array(editor.labels)
        with editor.bulk("fill", axis="y") as bulk:
            bulk.write((0, 0, 0), np.full((37, 2, 90), 9, np.uint8))
            bulk.write((0, 1, 0), np.full((37, 2, 90), 8, np.uint8))
            bulk.set_status(1, "complete")
            action = bulk.commit()
        assert (action.axis, action.slices, action.box) == ("y", (0, 1, 2), ((0, 37), (0, 3), (0, 90)))
        assert editor.annotations.status("y", 1) == "complete"
        assert (editor.labels[:, 1:3] == 8).all()
        after = np.array(editor.labels)
        editor.undo()
        np.testing.assert_array_equal(editor.labels, before)
        editor.redo()
        np.testing.assert_array_equal(editor.labels, after)


def test_a_bulk_action_that_fails_leaves_nothing(study, history, monkeypatch):
    with AnnotationEditor(study, "fish") as editor:
        before, known, text = np.array(editor.labels), statuses(editor), editor.undo_text

        def fails():
            with editor.bulk("fill") as bulk:
                bulk.write((0, 0, 0), np.full((5, 70, 90), 9, np.uint8))
                bulk.set_status(1, "complete")
                raise ZeroDivisionError

        def fills_the_disk():
            with editor.bulk("fill") as bulk:
                bulk.write((0, 0, 0), np.full((5, 70, 90), 9, np.uint8))
                monkeypatch.setattr(Study, "free_bytes", lambda self: 0)
                bulk.write((5, 0, 0), np.full((5, 70, 90), 9, np.uint8))

        for failing, error in ((fails, ZeroDivisionError), (fills_the_disk, OutOfSpace)):
            with pytest.raises(error):
                failing()
        monkeypatch.undo()
        np.testing.assert_array_equal(editor.labels, before)
        assert (statuses(editor), editor.undo_text) == (known, text)
        assert editor.can_paint


def test_what_is_painted_during_a_bulk_action_belongs_to_it(study, history, paint):
    with AnnotationEditor(study, "fish") as editor:
        before = np.array(editor.labels)
        with editor.bulk("fill") as bulk:
            assert not editor.can_paint
            bulk.write((0, 0, 0), np.full((5, 70, 90), 9, np.uint8))
            paint(editor, ((4, 7), (0, 10), (0, 10)), 3)
            for change in (
                editor.undo,
                lambda: editor.set_status("z", 1, "complete"),
                lambda: editor.bulk("x"),
            ):
                with pytest.raises(StudyError, match="'fill' is going on"):
                    change()
            bulk.commit()
        assert (editor.labels[4:7, :10, :10] == 3).all()
        assert editor.annotations.status("z", 6) == "partial"
        editor.undo()
        np.testing.assert_array_equal(editor.labels, before)
