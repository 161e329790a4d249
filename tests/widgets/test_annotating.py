"""Annotations open in a viewer: real strokes on a real Labels layer are recorded, undone, kept and never lost."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from painting import box, heard, on_disk, opened, settled, stroke, two_classes
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import read_classes, remove_class
from napari_sortingloss.widgets.annotate.painting import Annotating, annotating_of
from napari_sortingloss.widgets.session.session import Session, session_of
from napari_sortingloss.widgets.viewer import layers

SHAPE = (24, 18, 30)


@pytest.fixture
def annotating(opened_classes: Session, qtbot: Any) -> Annotating:
    """With the annotations of the first fish open."""
    made = annotating_of(opened_classes)
    made.open("fish_a")
    opened(made, qtbot, "fish_a")
    return made


@pytest.fixture
def opened_classes(study: Study, opened: Session, qtbot: Any) -> Session:
    two_classes(study)
    opened.refresh()
    qtbot.waitUntil(lambda: len(opened.classes) == 2)
    return opened


# ------------------------------------------------------------------------------------------------------- the layer
def test_the_layer_lies_on_its_volume_and_is_ours(annotating, viewer):
    layer, volume = annotating.layer, viewer.layers["fish_a"]
    assert layer.name == "fish_a · annotations"
    assert np.shares_memory(layer.data, annotating.editor.labels)
    assert isinstance(annotating.editor.labels, np.memmap)
    assert layer.data.shape == SHAPE
    for name in ("scale", "translate", "units", "axis_labels"):
        assert np.array_equal(getattr(layer, name), getattr(volume, name)), name
    mark = layer.metadata[layers.MARK]
    assert (mark["volume"], mark["content"]) == ("fish_a", "annotations")
    assert [one.name for one in viewer.layers] == ["fish_a", "fish_a · annotations"]
    assert viewer.layers.selection.active is layer


def test_it_begins_with_the_brush_and_the_first_class_in_its_colour(annotating, study):
    layer = annotating.layer
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    lens = read_classes(study)[0]
    shown = layer.colormap.map(np.array([1, 0], np.uint8))
    assert [round(255 * c) for c in shown[0][:3]] == [int(lens.color[i : i + 2], 16) for i in (1, 3, 5)]
    assert shown[1][3] == 0


# ------------------------------------------------------------------------------------------------------ strokes
def test_a_stroke_is_on_disk_and_makes_its_slice_partial(annotating, study, qtbot):
    annotating.go_to(5)
    stroke(annotating.layer, (5, 9, 12))
    assert annotating.statuses("z") == {5: "partial"}
    settled(annotating, qtbot)
    found = on_disk(study, "fish_a")
    assert found.status("z", 5) == "partial"
    assert box(found.labels(), 1)[0] == (5, 6)
    assert np.array_equal(found.labels(), annotating.layer.data)


def test_a_stroke_across_another_axis_belongs_to_that_axis(annotating, viewer):
    layers.step_along(viewer, "x")
    annotating.go_to(20)
    assert annotating.slice_in_view() == ("x", 20)
    stroke(annotating.layer, (5, 9, 20), length=1)
    assert annotating.statuses("x") == {20: "partial"}
    assert annotating.statuses("z") == {}


def test_napari_tells_of_a_polygon_before_it_is_painted_and_it_is_recorded_all_the_same(
    annotating, qtbot, study
):
    annotating.go_to(3)
    annotating.layer.paint_polygon([[3, 4, 4], [3, 4, 12], [3, 12, 12]], 2)
    before = np.array(annotating.layer.data)
    assert np.count_nonzero(before == 2) > 20
    annotating.undo()
    settled(annotating, qtbot)
    assert not np.any(annotating.layer.data)
    annotating.redo()
    settled(annotating, qtbot)
    assert np.array_equal(annotating.layer.data, before)


def test_single_voxels_set_from_a_script_are_recorded(annotating, qtbot):
    layer = annotating.layer
    layer.data_setitem((np.array([2, 2, 9]), np.array([3, 5, 7]), np.array([4, 4, 20])), 2)
    assert annotating.statuses("z") == {2: "partial", 9: "partial"}
    annotating.undo()
    settled(annotating, qtbot)
    assert not np.any(layer.data)
    annotating.redo()
    settled(annotating, qtbot)
    assert layer.data[9, 7, 20] == 2
    assert np.count_nonzero(layer.data) == 3


def test_strokes_over_each_other_are_undone_one_by_one(annotating, qtbot):
    layer = annotating.layer
    pictures = [np.array(layer.data)]
    for value, x in ((1, 8), (2, 10), (0, 9)):
        stroke(layer, (5, 9, x), value)
        pictures.append(np.array(layer.data))
    for picture in reversed(pictures[:-1]):
        layer.undo()  # napari's own key and menu call this
        settled(annotating, qtbot)
        assert np.array_equal(layer.data, picture)
    for picture in pictures[1:]:
        layer.redo()
        settled(annotating, qtbot)
        assert np.array_equal(layer.data, picture)


def test_undo_reaches_back_over_sessions(annotating, session, qtbot, viewer):
    stroke(annotating.layer, (5, 9, 12))
    annotating.close()
    assert "fish_a · annotations" not in [one.name for one in viewer.layers]
    annotating.open("fish_a")
    layer = opened(annotating, qtbot, "fish_a")
    assert np.any(layer.data)
    assert annotating.undo_text == "stroke"
    layer.undo()
    settled(annotating, qtbot)
    assert not np.any(layer.data)
    assert annotating.statuses("z") == {}


def test_nothing_is_undone_in_the_middle_of_a_stroke(annotating, qtbot):
    layer = annotating.layer
    stroke(layer, (5, 9, 12))
    with layer.block_history():
        layer.paint((5, 3, 3), 2)
        layer.undo()
        assert not annotating.busy
    assert layer.data[5, 9, 12] == 1
    assert annotating.undo_text == "stroke"


def test_napari_keeps_no_history_of_its_own(annotating):
    for x in range(5, 15):
        stroke(annotating.layer, (5, 9, x))
    assert len(annotating.layer._undo_history) == 0


def test_a_drag_of_the_mouse_in_the_window_paints_and_ctrl_z_undoes(study, own_viewer, qtbot):
    two_classes(study)
    session = session_of(own_viewer)
    session.set_study(study)
    qtbot.waitUntil(lambda: len(session.volumes) == 2)
    made = annotating_of(session)
    made.open("fish_a")
    layer = opened(made, qtbot, "fish_a")
    window = own_viewer.window._qt_window
    window.resize(1000, 700)
    with qtbot.waitExposed(window):
        window.show()
    made.go_to(6)
    own_viewer.reset_view()
    canvas = own_viewer.window._qt_viewer.canvas.native
    nudge = iter(range(10_000))

    def over_the_volume() -> bool:
        own_viewer.reset_view()
        middle = QPoint(canvas.width() // 2, canvas.height() // 2)
        qtbot.mouseMove(canvas, middle + QPoint(next(nudge) % 2, 0))
        place = layer.world_to_data(own_viewer.cursor.position)
        return all(3 < at < n - 3 for at, n in zip(place, SHAPE, strict=True))

    qtbot.waitUntil(over_the_volume)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 6):
        drag(canvas, middle + QPoint(6 * step, 0))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(30, 0))
    qtbot.waitUntil(lambda: made.undo_text == "stroke")
    assert box(layer.data, 1)[0] == (6, 7)
    assert made.statuses("z") == {6: "partial"}
    settled(made, qtbot)
    assert np.array_equal(on_disk(study, "fish_a").labels(), layer.data)
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not np.any(layer.data))
    settled(made, qtbot)
    assert made.statuses("z") == {}


def drag(canvas: Any, where: QPoint) -> None:
    """Move the mouse with its left button down, which qtbot does not do."""
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent

    place = QPointF(where)
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        place,
        canvas.mapToGlobal(place),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(canvas, event)


# ------------------------------------------------------------------------------------------------------- classes
def test_a_value_that_is_no_class_becomes_one_when_it_is_painted(annotating, study, session, qtbot):
    told = heard(annotating.noticed)
    stroke(annotating.layer, (5, 9, 12), 7)
    stroke(annotating.layer, (5, 9, 18), 7)
    qtbot.waitUntil(lambda: [one.value for one in session.classes] == [1, 2, 7])
    assert session.classes[2].name == "class 7"
    assert len(told) == 1
    assert "class 7" in told[0]


def test_the_painted_background_is_no_class(annotating, study, qtbot):
    stroke(annotating.layer, (5, 9, 12), 255)
    settled(annotating, qtbot)
    assert [one.value for one in read_classes(study)] == [1, 2]


def test_the_label_of_a_removed_class_is_not_painted_with(annotating, study, session, qtbot):
    remove_class(study, 2)
    annotating.close()
    session.refresh()
    qtbot.waitUntil(lambda: len(session.classes) == 1)
    annotating.open("fish_a")
    layer = opened(annotating, qtbot, "fish_a")
    told = heard(annotating.noticed)
    layer.selected_label = 2
    assert layer.selected_label == 1
    assert "removed" in told[0]


def test_another_colour_of_a_class_is_seen_at_once(annotating, study, session, qtbot):
    from napari_sortingloss.study.classes import update_class

    update_class(study, 1, color="#112233")
    session.refresh()
    qtbot.waitUntil(lambda: session.classes[0].color == "#112233")
    shown = annotating.layer.colormap.map(np.array([1], np.uint8))[0]
    assert [round(255 * c) for c in shown[:3]] == [0x11, 0x22, 0x33]


# --------------------------------------------------------------------------------------------- slices and other changes
def test_the_status_of_the_slice_in_view_can_be_set_and_undone(annotating, qtbot, study):
    annotating.go_to(4)
    annotating.set_status("complete")
    settled(annotating, qtbot)
    assert annotating.status() == "complete"
    assert on_disk(study, "fish_a").status("z", 4) == "complete"
    annotating.undo()
    settled(annotating, qtbot)
    assert annotating.status() == "empty"


def test_the_brush_stays_in_hand_when_a_status_changes(annotating, qtbot):
    annotating.layer.mode = "fill"
    annotating.set_status("complete")
    settled(annotating, qtbot)
    assert annotating.layer.mode == "fill"


def test_a_slice_of_another_volume_can_be_put_in(annotating, session, study, viewer, qtbot):
    labels = np.zeros((20, 26), np.uint8)
    labels[3:7, 4:9] = 2
    done = heard(annotating.acted)
    annotating.put_slice("fish_b", "x", 11, labels, "from sorting-1", "complete")
    qtbot.waitUntil(lambda: len(done) == 1)
    assert session.current_volume == "fish_b"
    assert annotating.volume == "fish_b"
    assert annotating.slice_in_view() == ("x", 11)
    assert np.array_equal(annotating.layer.data[:, :, 11], labels)
    assert annotating.status() == "complete"
    assert annotating.undo_text == "from sorting-1"
    assert [one.name for one in viewer.layers] == ["fish_b", "fish_b · annotations"]


def test_a_slice_of_another_shape_is_refused_in_a_sentence(annotating, qtbot):
    told = heard(annotating.failed)
    annotating.put_slice("fish_a", "z", 3, np.zeros((5, 5), np.uint8), "x", None)
    qtbot.waitUntil(lambda: len(told) == 1)
    assert "slice 3" in str(told[0])
    assert annotating.writable


def test_nothing_can_be_painted_during_a_long_change_and_the_tool_comes_back(annotating, qtbot):
    import threading

    gate = threading.Event()
    annotating.layer.mode = "fill"
    annotating.do(lambda editor: gate.wait(10) and None, long=True)
    assert not annotating.layer.editable
    assert annotating.why_not == "Wait until the change under way is done"
    gate.set()
    settled(annotating, qtbot)
    assert annotating.layer.editable
    assert annotating.layer.mode == "fill"


# ---------------------------------------------------------------------------------------- other volumes, other programs
def test_another_volume_takes_its_place(annotating, session, study, viewer, qtbot):
    stroke(annotating.layer, (5, 9, 12))
    session.set_current_volume("fish_b")
    assert annotating.state == "closed"
    assert "fish_a · annotations" not in [one.name for one in viewer.layers]
    annotating.open("fish_b")
    layer = opened(annotating, qtbot, "fish_b")
    assert layer.data.shape == (20, 26, 16)
    with AnnotationEditor(study, "fish_a") as editor:  # nobody holds it any more
        assert np.any(editor.labels)


def test_going_back_and_forth_quickly_ends_where_the_person_is(annotating, session, qtbot, viewer):
    for name in ("fish_b", "fish_a", "fish_b", "fish_a", "fish_b"):
        session.set_current_volume(name)
        annotating.open(name)
    opened(annotating, qtbot, "fish_b")
    settled(annotating, qtbot)
    assert [one.name for one in viewer.layers if "annotations" in one.name] == ["fish_b · annotations"]
    assert len(annotating.shared.made) == 1


def test_what_another_program_has_open_can_be_looked_at_only(opened_classes, study, qtbot):
    made = annotating_of(opened_classes)
    told = heard(made.failed)
    with AnnotationEditor(study, "fish_a") as editor:
        editor.apply(((5, 6), (2, 8), (3, 9)), 2)
        made.open("fish_a")
        qtbot.waitUntil(lambda: made.state == "looking")
        assert not made.layer.editable
        assert made.layer.data[5, 4, 4] == 2
        assert "another program or window" in str(told[0])
        editor.set_status("z", 5, "complete")
        editor.flush()
        opened_classes.refresh()
        qtbot.waitUntil(lambda: made.statuses("z") == {5: "complete"})
    made.close()
    made.open("fish_a")
    opened(made, qtbot, "fish_a")
    assert made.layer.editable


def test_damaged_annotations_are_one_sentence_and_no_layer(annotating, study, viewer, qtbot):
    stroke(annotating.layer, (5, 9, 12))
    annotating.close()
    settled(annotating, qtbot)
    told = heard(annotating.failed)
    (study.path / "annotations" / "fish_a" / "labels.npy").write_bytes(b"nonsense")
    annotating.open("fish_a")
    qtbot.waitUntil(lambda: len(told) == 1)
    assert "annotations of 'fish_a'" in str(told[0])
    assert annotating.state == "closed"
    assert annotating.layer is None


def test_a_layer_taken_away_by_the_person_loses_nothing(annotating, study, viewer, qtbot):
    stroke(annotating.layer, (5, 9, 12))
    viewer.layers.remove(annotating.layer)
    assert annotating.state == "hidden"
    qtbot.waitUntil(lambda: not annotating.busy)
    assert on_disk(study, "fish_a").status("z", 5) == "partial"
    annotating.open("fish_a")
    assert np.any(opened(annotating, qtbot, "fish_a").data)


def test_a_converted_layer_goes_on_painting_into_the_study(annotating, study, qtbot):
    told = heard(annotating.noticed)
    layer = annotating.layer
    layer.data = layer.data.astype(np.int32)
    assert np.shares_memory(layer.data, annotating.editor.labels)
    assert "cannot be exchanged" in told[0]
    stroke(layer, (5, 9, 12))
    settled(annotating, qtbot)
    assert on_disk(study, "fish_a").labels()[5, 9, 12] == 1


def test_another_study_lets_go_of_the_old_one(annotating, session, study, qtbot, tmp_path):
    stroke(annotating.layer, (5, 9, 12))
    session.set_study(Study.create(tmp_path / "other"))
    assert annotating.state == "closed"
    qtbot.waitUntil(lambda: not annotating.busy)
    with AnnotationEditor(study, "fish_a") as editor:
        assert np.any(editor.labels)


# --------------------------------------------------------------------------------------------------- a disk that is full
def test_on_a_full_disk_nothing_can_be_painted_until_there_is_room(annotating, qtbot, monkeypatch):
    usage = namedtuple("usage", "total used free")
    failed, noticed = heard(annotating.failed), heard(annotating.noticed)
    with monkeypatch.context() as patch:
        patch.setattr(
            "napari_sortingloss.study.folder.shutil.disk_usage", lambda path: usage(10**9, 10**9, 1000)
        )
        stroke(annotating.layer, (5, 9, 12))
        annotating.check()
        assert not annotating.layer.editable
        annotating.check()
    assert len(failed) == 1
    assert "nearly full" in str(failed[0])
    annotating.check()
    assert annotating.layer.editable
    assert annotating.layer.mode == "paint"
    assert "room" in noticed[0]
    settled(annotating, qtbot)
    assert annotating.statuses("z") == {5: "partial"}


# ---------------------------------------------------------------------------------------------------------------- the end
def test_closing_napari_writes_everything_and_lets_go(annotating, session, study):
    stroke(annotating.layer, (5, 9, 12))
    session.shutdown()
    with AnnotationEditor(study, "fish_a") as editor:
        assert editor.annotations.status("z", 5) == "partial"
        assert np.any(editor.labels)


def test_closing_napari_while_annotations_are_being_opened_lets_go_too(opened_classes, study):
    made = annotating_of(opened_classes)
    made.open("fish_a")
    opened_classes.shutdown()
    with AnnotationEditor(study, "fish_a") as editor:
        assert not np.any(editor.labels)


def test_closing_the_window_in_the_middle_of_painting_loses_nothing(study, own_viewer, qtbot):
    from napari_sortingloss.widgets.annotate.stage import AnnotateWidget

    two_classes(study)
    window = own_viewer.window._qt_window
    with qtbot.waitExposed(window):
        window.show()
    stage = AnnotateWidget(own_viewer)
    own_viewer.window.add_dock_widget(stage)
    stage.session.set_study(study)
    layer = opened(stage.annotating, qtbot, "fish_a")
    for x in range(4, 20, 4):
        stroke(layer, (5, 9, x))
    painted = np.array(layer.data)
    session = stage.session
    own_viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    assert session.closed
    with AnnotationEditor(study, "fish_a") as editor:
        assert np.array_equal(editor.labels, painted)
        assert editor.undo_text == "stroke"


# ---------------------------------------------------------------------------------------------------- the Study stage
def test_a_volume_that_is_painted_on_can_be_renamed_in_the_study_stage(
    annotating, study, session, viewer, qtbot
):
    from napari_sortingloss.widgets.study.stage import StudyWidget

    stage = StudyWidget(viewer)
    viewer.window.add_dock_widget(stage)
    stroke(annotating.layer, (5, 9, 12))
    stage.actions_.rename("fish_a", "medaka")
    qtbot.waitUntil(lambda: "medaka" in session.volumes)
    assert session.current_volume == "medaka"
    annotating.open("medaka")
    assert opened(annotating, qtbot, "medaka").data[5, 9, 12] == 1
    assert annotating.layer.name == "medaka · annotations"


def test_the_layer_follows_another_voxel_size(annotating, study, session, qtbot):
    study.update_volume("fish_a", voxel_size=(0.8, 0.5, 0.6))
    session.refresh()
    qtbot.waitUntil(lambda: tuple(annotating.layer.scale) == (0.8, 0.5, 0.6))
    annotating.go_to(20)
    assert annotating.slice_in_view() == ("z", 20)
