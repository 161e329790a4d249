"""Painting: what is recorded, undone, put in place and refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.errors import BadSetting, OutOfSpace, StudyError
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations import open_annotations as keeping
from napari_sortingloss.study.annotations.change import Change, decode, encode
from napari_sortingloss.study.annotations.editor import AnnotationEditor

DAB = ((3, 4), (6, 12), (10, 30))


@pytest.fixture
def editor(study, store):
    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        yield editor


def statuses(editor):
    return {(one.axis, one.index): one.status for one in editor.annotations.slices()}


def test_a_stroke_is_recorded_as_one_step(editor, paint):
    action = paint(editor, DAB, 2)
    assert (action.what, action.box, action.axis, action.slices, action.voxels) == (
        "stroke",
        DAB,
        "z",
        (3,),
        120,
    )
    assert statuses(editor) == {("z", 3): "partial"}
    assert editor.undo_text == "stroke"
    assert editor.redo_text == ""
    editor.flush()
    assert editor.pending == 0
    assert editor.saved_at is not None
    assert editor.problem is None
    assert editor.can_paint


def test_undo_and_redo_bring_labels_and_statuses_back_exactly(editor, paint):
    states = [(np.array(editor.labels), statuses(editor))]
    paint(editor, DAB, 2)
    states.append((np.array(editor.labels), statuses(editor)))
    paint(editor, ((3, 5), (8, 20), (25, 40)), 5)
    states.append((np.array(editor.labels), statuses(editor)))
    editor.set_status("z", 3, "complete")
    states.append((np.array(editor.labels), statuses(editor)))
    paint(editor, ((3, 4), (0, 10), (0, 90)), 0, what="eraser")
    states.append((np.array(editor.labels), statuses(editor)))
    for labels, known in reversed(states[:-1]):
        assert editor.undo() is not None
        np.testing.assert_array_equal(editor.labels, labels)
        assert statuses(editor) == known
    assert editor.undo() is None
    for labels, known in states[1:]:
        assert editor.redo() is not None
        np.testing.assert_array_equal(editor.labels, labels)
        assert statuses(editor) == known
    assert editor.redo() is None


def test_undo_reaches_back_over_sessions(study, store, paint):
    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, DAB, 2)
        paint(editor, DAB, 3, what="polygon")
    with AnnotationEditor(study, "fish") as editor:
        assert editor.undo_text == "polygon"
        editor.undo()
        assert editor.redo_text == "polygon"
    with AnnotationEditor(Study.open(study.path), "fish") as editor:
        assert (editor.labels[3, 6:12, 10:30] == 2).all()
        assert editor.redo_text == "polygon"
        editor.redo()
        assert (editor.labels[3, 6:12, 10:30] == 3).all()
        editor.undo()
        editor.undo()
        assert not editor.labels.any()
        paint(editor, DAB, 4)
        assert editor.redo_text == ""  # something new was done
        assert editor.redo() is None


def test_what_a_drag_paints_twice_is_undone_to_what_was_there(editor):
    before = np.array(editor.labels)
    before[3, 5:9, 5:9] = 9
    editor.labels[...] = before
    steps = []
    for y in range(4, 9):
        part = (slice(3, 4), slice(y, y + 3), slice(6, 11))
        old = np.array(editor.labels[part])
        editor.labels[part] = y
        steps.append(Change((3, y, 6), None, old, y))
    editor.record(steps)
    assert len(np.unique(editor.labels)) == 7
    editor.undo()
    np.testing.assert_array_equal(editor.labels, before)


boxes = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, 6)) for n in (6, 7, 8)))


@given(
    st.lists(st.lists(st.tuples(boxes, st.integers(0, 3)), min_size=1, max_size=4), min_size=1, max_size=6)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_overlapping_strokes_are_undone_and_redone_exactly(study, store, strokes):
    name = study.free_name("fish")
    store(name, np.zeros((6, 7, 8), np.uint8))
    with AnnotationEditor(study, name) as editor:
        states = [np.array(editor.labels)]
        for dabs in strokes:
            changes = []
            for box, value in dabs:
                part = tuple(slice(low, low + size) for low, size in box)
                view = editor.labels[part]
                mask = np.asarray(view != value)
                changes.append(Change(tuple(low for low, _ in box), mask, np.array(view[mask]), value))
                view[mask] = value
            editor.record(changes)
            states.append(np.array(editor.labels))
        steps = 0
        while editor.undo():
            steps += 1
        np.testing.assert_array_equal(editor.labels, states[0])
        while editor.redo():
            steps -= 1
        np.testing.assert_array_equal(editor.labels, states[-1])
        assert steps == 0


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_changes_survive_the_journal(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    changes = []
    for _ in range(data.draw(st.integers(1, 5))):
        shape = tuple(data.draw(st.integers(1, 5)) for _ in range(3))
        mask = rng.random(shape) < 0.5 if data.draw(st.booleans()) else None
        form = shape if mask is None else int(mask.sum())
        old = rng.integers(0, 256, form, dtype=np.uint8)
        new = rng.integers(0, 256, form, dtype=np.uint8) if data.draw(st.booleans()) else 7
        changes.append(Change((1, 2, 3), mask, old, new))
    again = decode(encode(changes))
    for one, two in zip(changes, again, strict=True):
        assert one.start == two.start
        np.testing.assert_array_equal(one.old, two.old)
        np.testing.assert_array_equal(one.new, two.new)
        assert (one.mask is None) == (two.mask is None)
        if one.mask is not None:
            np.testing.assert_array_equal(one.mask, two.mask)


def test_points_of_several_steps_become_one_change():
    first = tuple(np.array(i) for i in ([3, 3, 3], [5, 5, 6], [7, 8, 7]))
    second = tuple(np.array(i) for i in ([3, 3], [5, 9], [8, 9]))
    change = Change.of_points([(first, np.array([1, 0, 4]), 2), (second, np.array([2, 6]), 2)])
    assert change.start == (3, 5, 7)
    assert change.shape == (1, 5, 3)
    assert change.voxels == 4
    assert change.new == 2
    labels = np.zeros((10, 10, 10), np.uint8)
    change.put(labels, change.old)
    assert [int(labels[at]) for at in ((3, 5, 7), (3, 5, 8), (3, 6, 7), (3, 9, 9))] == [1, 0, 4, 6]
    assert Change.of_points([]) is None


def test_painting_across_another_axis_begins_slices_of_that_axis(editor, paint):
    paint(editor, ((3, 9), (6, 12), (10, 11)), 2, axis="x")
    assert statuses(editor) == {("x", 10): "partial"}


def test_a_complete_slice_stays_complete_when_it_is_painted_on(editor, paint):
    editor.set_status("z", 3, "complete")
    paint(editor, DAB, 2)
    assert statuses(editor) == {("z", 3): "complete"}


def test_apply_reads_anew_what_is_there(editor, paint):
    paint(editor, DAB, 2)
    mask = np.ones((1, 3, 3), bool)
    wrong = np.full(9, 77, np.uint8)
    overlapping = [Change((3, 6, 10), mask, wrong, 5), Change((3, 7, 11), mask, wrong, 6)]
    action = editor.apply(overlapping, what="interpolation", complete=True)
    assert action.voxels == 18
    assert int(editor.labels[3, 7, 11]) == 6
    assert statuses(editor) == {("z", 3): "complete"}
    editor.undo()
    assert np.count_nonzero(editor.labels == 2) == 120
    assert statuses(editor) == {("z", 3): "partial"}


def test_apply_takes_a_box_with_its_labels(editor):
    values = np.random.default_rng(1).integers(0, 3, (2, 8, 20), dtype=np.uint8)
    box = ((3, 5), (6, 14), (10, 30))
    editor.apply(box, values)
    np.testing.assert_array_equal(editor.labels[3:5, 6:14, 10:30], values)
    assert statuses(editor) == {("z", 3): "partial", ("z", 4): "partial"}
    editor.apply(box, 0, complete=True)
    assert not editor.labels.any()
    assert statuses(editor) == {("z", 3): "complete", ("z", 4): "complete"}
    with pytest.raises(BadSetting, match="inside the volume"):
        editor.apply(((3, 38), (0, 1), (0, 1)), 1)
    with pytest.raises(BadSetting, match="give as many labels"):
        editor.apply(box, values[:1])


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_slice_is_put_in_place_along_any_axis(editor, paint, axis):
    shape = editor.annotations.read_slice(axis, 4).shape
    labels = np.random.default_rng(1).integers(0, 3, shape, dtype=np.uint8)
    action = editor.put_slice(axis, 4, labels, what="accepted", status="complete")
    np.testing.assert_array_equal(editor.annotations.read_slice(axis, 4), labels)
    assert statuses(editor) == {(axis, 4): "complete"}
    assert (action.axis, action.slices) == (axis, (4,))
    editor.undo()
    assert not editor.labels.any()
    assert statuses(editor) == {}
    with pytest.raises(BadSetting, match="this very slice"):
        editor.put_slice(axis, 4, labels.T if shape[0] != shape[1] else labels[1:])
    with pytest.raises(BadSetting, match="this very slice"):
        editor.put_slice(axis, 4, labels.astype(np.int16))
    with pytest.raises(BadSetting, match="no status"):
        editor.put_slice(axis, 4, labels, status="done")


def test_what_changes_nothing_is_no_step(editor, paint):
    paint(editor, DAB, 2)
    editor.set_status("z", 3, "partial")
    editor.apply(DAB, 2)
    editor.put_slice("z", 3, editor.annotations.read_slice("z", 3))
    editor.record([])
    with editor.bulk("nothing") as bulk:
        bulk.commit()
    editor.undo()
    assert not editor.labels.any()
    assert editor.undo() is None


def test_whoever_listens_hears_of_changed_labels_and_statuses(editor, paint):
    heard = []
    editor.changed.connect(heard.append)
    stroke = paint(editor, DAB, 2)
    editor.set_status("z", 3, "complete")
    editor.undo()
    undone = editor.undo()
    assert heard == [stroke, None, None, undone]
    assert undone.box == DAB


def test_whoever_asked_hears_that_all_is_saved_from_another_thread(study, store, paint):
    store("fish")
    threads = set()
    with AnnotationEditor(study, "fish", on_saved=lambda: threads.add(threading.current_thread())) as editor:
        paint(editor, DAB, 2)
        editor.flush()
    assert threads
    assert threading.main_thread() not in threads


def test_an_editor_that_did_nothing_leaves_nothing(study, store):
    store("fish")
    AnnotationEditor(study, "fish").close()
    assert not (study.path / "annotations" / "fish").exists()
    study.remove_volume("fish")


def test_a_closed_editor_refuses_and_may_be_closed_again(editor, paint):
    paint(editor, DAB, 2)
    editor.close()
    editor.close()
    assert not editor.can_paint
    with pytest.raises(StudyError, match="closed"):
        editor.set_status("z", 1, "complete")


def test_a_volume_is_neither_renamed_nor_removed_while_it_is_painted_on(study, store, paint):
    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        for change in (lambda: study.rename_volume("fish", "cod"), lambda: study.remove_volume("fish")):
            with pytest.raises(StudyError, match="open for painting; close them first"):
                change()
        paint(editor, DAB, 2)
    study.rename_volume("fish", "cod")
    with pytest.raises(StudyError, match="it has annotations"):
        study.remove_volume("cod")
    with AnnotationEditor(study, "cod") as editor:
        assert np.count_nonzero(editor.labels) == 120
        assert editor.undo_text == "stroke"


# ------------------------------------------------------------------------------------------------------- a full disk
def test_a_disk_that_is_nearly_full_is_said_before_a_page_could_fail(study, store, paint, monkeypatch):
    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, DAB, 2)
        before = np.array(editor.labels)
        monkeypatch.setattr(Study, "free_bytes", lambda self: 10 << 20)
        assert not editor.can_paint
        assert isinstance(editor.problem, OutOfSpace)
        for change in (
            lambda: editor.apply(DAB, 5),
            lambda: editor.put_slice("z", 3, np.ones((70, 90), np.uint8)),
            lambda: editor.set_status("z", 3, "complete"),
            editor.undo,
            lambda: editor.restore(editor.versions()[0]),
        ):
            with pytest.raises(OutOfSpace, match="nothing that was painted is lost"):
                change()
        np.testing.assert_array_equal(editor.labels, before)
        assert statuses(editor) == {("z", 3): "partial"}
        monkeypatch.undo()
        assert editor.can_paint
        editor.apply(DAB, 5)
        editor.undo()
        np.testing.assert_array_equal(editor.labels, before)


def test_annotating_does_not_begin_on_a_full_disk(study, store, monkeypatch):
    store("fish")
    monkeypatch.setattr(Study, "free_bytes", lambda self: 10 << 20)
    with pytest.raises(OutOfSpace):
        AnnotationEditor(study, "fish")


def test_strokes_that_the_disk_cannot_take_wait_until_it_can(study, store, paint, monkeypatch):
    from napari_sortingloss.study.annotations import journal as journal

    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, DAB, 2)
        editor.flush()
        write = journal._write_at

        def full(file, at, data):
            file.seek(at)
            file.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(journal, "_write_at", full)
        for value in (3, 4):
            paint(editor, DAB, value)
        with pytest.raises(OutOfSpace):
            editor.flush()
        assert isinstance(editor.problem, OutOfSpace)
        assert editor.pending == 2
        monkeypatch.setattr(journal, "_write_at", write)
        editor.flush()
        assert editor.pending == 0
        assert editor.problem is None
    with AnnotationEditor(study, "fish") as editor:
        assert (editor.labels[3, 6:12, 10:30] == 4).all()
        for value in (3, 2, 0):
            editor.undo()
            assert (editor.labels[3, 6:12, 10:30] == value).all()


def test_a_disk_that_fails_at_the_end_is_said_and_lets_others_paint(study, store, paint, monkeypatch):
    store("fish")
    editor = AnnotationEditor(study, "fish")
    paint(editor, DAB, 2)
    editor.flush()

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(keeping, "write_table", fails)
    editor.set_status("z", 3, "complete")
    with pytest.raises(Exception, match="Cannot save the annotations of 'fish'"):
        editor.close()
    monkeypatch.undo()
    with AnnotationEditor(study, "fish") as editor:
        assert statuses(editor) == {("z", 3): "complete"}
        assert editor.undo_text == "slice 3 along z is complete"
        assert editor.undo().box == NO_BOX
