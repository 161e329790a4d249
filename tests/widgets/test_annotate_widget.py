"""The Annotate stage as a person uses it: classes, strokes, complete, next, propose, undo, versions, import."""

from __future__ import annotations

import time
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from localizing import trained
from painting import heard, on_disk, opened, settled, stroke, two_classes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_sortingloss.events import Progress, Result
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import read_classes
from napari_sortingloss.widgets.annotate import class_panel, import_labels, suggestions
from napari_sortingloss.widgets.annotate.stage import AnnotateWidget
from napari_sortingloss.widgets.annotate.suggestions import Hint, Place, evenly
from napari_sortingloss.widgets.session.session import Session
from napari_sortingloss.widgets.toolkit.shortcuts import SHORTCUTS


@pytest.fixture
def stage(viewer: Any) -> AnnotateWidget:
    made = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def ready(stage: AnnotateWidget, study: Study, opened_session: Session, qtbot: Any) -> AnnotateWidget:
    """The stage with two classes and the annotations of the first fish open."""
    opened(stage.annotating, qtbot, "fish_a")
    settled(stage.annotating, qtbot)
    shown(stage, qtbot)
    return stage


@pytest.fixture
def opened_session(study: Study, session: Session, qtbot: Any) -> Session:
    two_classes(study)
    session.set_study(study)
    qtbot.waitUntil(lambda: len(session.volumes) == 2 and len(session.classes) == 2)
    return session


def shown(stage: AnnotateWidget, qtbot: Any) -> None:
    """Wait until the stage shows what is so."""
    qtbot.waitUntil(
        lambda: (
            not (
                stage._soon.isActive()
                or stage.background.busy
                or stage.session._background.busy
                or stage.annotating.busy
                or stage.areas._timer.isActive()
            )
        ),
        timeout=20_000,
    )


def done(stage: AnnotateWidget, qtbot: Any) -> None:
    settled(stage.annotating, qtbot)
    shown(stage, qtbot)


def complete(stage: AnnotateWidget, qtbot: Any, index: int, value: int = 1) -> None:
    """Paint a slice and mark it complete with the button."""
    stage.annotating.go_to(index)
    stroke(stage.annotating.layer, (index, 9, 12), value, length=5)
    shown(stage, qtbot)
    stage.complete_button.click()
    done(stage, qtbot)


# ------------------------------------------------------------------------------------------------ nothing there yet
def test_without_a_study_it_says_what_it_is_for_and_where_to_begin(stage, session):
    assert "Paint a few slices" in stage.hint.text()
    assert stage.content.isHidden()
    assert not stage.complete_button.isEnabled()
    asked = heard(session.stage_requested)
    stage.link.click()
    assert asked == ["Study"]


def test_a_study_without_volumes_sends_to_the_study_stage(stage, session, tmp_path, qtbot):
    session.set_study(Study.create(tmp_path / "empty"))
    shown(stage, qtbot)
    assert "no volumes" in stage.hint.text()
    asked = heard(session.stage_requested)
    stage.link.click()
    assert asked == ["Study"]


def test_without_classes_the_first_one_is_invited(stage, opened, qtbot, study):
    qtbot.waitUntil(lambda: stage.annotating.state == "open")
    shown(stage, qtbot)
    assert not stage.classes.invitation.isHidden()
    assert stage.classes.table.isHidden()
    stage.classes.add_button.click()
    qtbot.waitUntil(
        lambda: [row.name for row in stage.classes.table.model_.rows] == ["class 1", "background"]
    )
    editor = stage.classes.table.findChild(QLineEdit)
    qtbot.keyClicks(editor, "eye lens")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: stage.classes.table.model_.rows[0].name == "eye lens")
    assert read_classes(study)[0].name == "eye lens"
    assert (stage.annotating.layer.mode, stage.annotating.layer.selected_label) == ("paint", 1)


def test_it_opens_what_is_current_only_while_it_is_looked_at(own_viewer, study, qtbot):
    window = own_viewer.window._qt_window
    with qtbot.waitExposed(window):
        window.show()
    hidden = AnnotateWidget(own_viewer)
    dock = own_viewer.window.add_dock_widget(hidden)
    dock.hide()
    hidden.session.set_study(study)
    qtbot.waitUntil(lambda: hidden.session.current_volume == "fish_a")
    hidden.session.set_current_volume("fish_b")
    qtbot.wait(50)
    assert hidden.annotating.state == "closed"
    dock.show()
    opened(hidden.annotating, qtbot, "fish_b")


# ---------------------------------------------------------------------------------------------------- what is shown
def test_the_head_says_volume_slice_and_status(ready, qtbot):
    ready.annotating.go_to(7)
    shown(ready, qtbot)
    assert ready.head.text() == "fish_a · slice 7 of 24 · ○ empty"
    stroke(ready.annotating.layer, (7, 9, 12))
    shown(ready, qtbot)
    assert ready.head.text() == "fish_a · slice 7 of 24 · ◐ partial"
    assert ready.slices.status(7) == "partial"
    assert ready.slices.current == 7
    assert "unknown" in ready.classes.note.text()


def test_in_3d_no_slice_is_in_view_and_the_buttons_say_so(ready, viewer, qtbot):
    viewer.dims.ndisplay = 3
    shown(ready, qtbot)
    assert "no slice in view" in ready.head.text()
    assert not ready.complete_button.isEnabled()
    assert "2D" in ready.complete_button.toolTip()
    viewer.dims.ndisplay = 2


def test_the_table_says_how_much_of_the_slice_is_painted_in_its_unit(ready, qtbot, voxel_size):
    ready.annotating.go_to(7)
    layer = ready.annotating.layer
    stroke(layer, (7, 9, 12), 2)
    shown(ready, qtbot)
    count = int(np.count_nonzero(layer.data[7] == 2))
    rows = {row.name: row.area for row in ready.classes.table.model_.rows}
    assert rows["retina"] == f"{count * voxel_size[1] * voxel_size[2]:.2g} mm²"
    assert rows["eye lens"] == ""
    ready.annotating.go_to(8)
    shown(ready, qtbot)
    assert {row.area for row in ready.classes.table.model_.rows} == {""}


def test_saving_is_shown_not_asked_for(ready, qtbot):
    stroke(ready.annotating.layer, (7, 9, 12))
    done(ready, qtbot)
    ready._on_tick()
    assert ready.saved.text().startswith("✓ saved")
    assert "nothing to save by hand" in ready.saved.toolTip()


def test_the_strip_goes_to_a_slice(ready, qtbot):
    ready.slices.chosen.emit(19)
    assert ready.annotating.slice_in_view() == ("z", 19)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_fits_a_narrow_dock_with_long_names(ready, study, viewer, theme, qtbot):
    from napari_sortingloss.study.classes import add_class

    add_class(study, "an extraordinarily long name of a structure that nobody can read at once")
    ready.session.refresh()
    qtbot.waitUntil(lambda: len(ready.session.classes) == 3)
    viewer.theme = theme
    shown(ready, qtbot)
    assert ready.scroll.widget().minimumSizeHint().width() <= 350 - 12 - 16
    ready.resize(350, 700)
    ready.saved.setText("✓ saved 59 min ago")
    QApplication.processEvents()
    assert ready.saved.width() >= ready.saved.fontMetrics().horizontalAdvance(ready.saved.text())


# -------------------------------------------------------------------------------------------------- classes and keys
def test_choosing_a_class_takes_up_the_brush_with_it(ready, viewer):
    layer = ready.annotating.layer
    layer.mode = "pan_zoom"
    viewer.layers.selection.active = viewer.layers["fish_a"]
    ready.classes.table.chosen.emit(2)
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    assert viewer.layers.selection.active is layer


def test_napari_s_choice_of_a_label_is_followed_and_an_unknown_one_can_become_a_class(ready, study, qtbot):
    layer = ready.annotating.layer
    layer.selected_label = 2
    assert ready.classes.table.value == 2
    layer.selected_label = 9
    assert ready.classes.table.value is None
    assert ready.classes.add_button.text() == "+ class 9"
    ready.classes.add_button.click()
    qtbot.waitUntil(lambda: read_classes(study)[-1].value == 9)
    qtbot.waitUntil(lambda: ready.classes.table.value == 9)
    assert ready.classes.add_button.text() == "+ class"


def press(viewer: Any, key: str) -> None:
    """Press a key over the image."""
    viewer.window._qt_viewer._key_map_handler.press_key(key)


def test_keys_over_the_image_choose_classes_tools_and_slices(ready, viewer, qtbot):
    layer = ready.annotating.layer
    viewer.layers.selection.active = layer
    press(viewer, "2")
    assert (layer.selected_label, layer.mode) == (2, "paint")
    press(viewer, "0")
    assert layer.selected_label == 255
    press(viewer, "1")
    assert layer.selected_label == 1
    press(viewer, "G")
    assert layer.mode == "polygon"
    press(viewer, "E")
    assert layer.mode == "erase"
    ready.annotating.go_to(3)
    press(viewer, "C")
    done(ready, qtbot)
    assert ready.annotating.status() == "complete"
    wanted = ready.suggestions.next("z", 3)
    press(viewer, "N")
    assert ready.annotating.slice_in_view() == ("z", wanted.index)
    shown(ready, qtbot)
    press(viewer, "Shift-N")
    assert ready.annotating.slice_in_view() == ("z", 3)


def test_napari_s_keys_are_its_own_on_other_layers(ready, viewer):
    other = viewer.add_labels(np.zeros((4, 5), int), name="mine")
    viewer.layers.selection.active = other
    press(viewer, "2")
    assert other.mode == "paint"
    assert other.selected_label == 1
    viewer.layers.remove(other)


def test_m_makes_a_class_instead_of_walking_through_the_whole_volume(ready, viewer, study, qtbot):
    viewer.layers.selection.active = ready.annotating.layer
    press(viewer, "M")
    qtbot.waitUntil(lambda: [one.name for one in read_classes(study)] == ["eye lens", "retina", "class 1"])
    qtbot.waitUntil(lambda: ready.annotating.layer.selected_label == 3)


def test_another_key_of_a_class_works_over_the_image(ready, viewer, qtbot):
    ready.classes.table.edited.emit(2, "key", "r")
    qtbot.waitUntil(lambda: ready.session.classes[1].key == "r")
    viewer.layers.selection.active = ready.annotating.layer
    press(viewer, "R")
    assert ready.annotating.layer.selected_label == 2


@pytest.mark.parametrize("key", ["c", "n", "e", "0", "?"])
def test_keys_that_are_taken_are_refused_in_a_sentence(ready, study, key):
    ready.classes.table.edited.emit(2, "key", key)
    assert f"'{key}'" in ready.bar.text
    assert ready.bar.level == "error"
    assert read_classes(study)[1].key == "2"


def test_a_class_is_removed_after_a_question_and_its_paint_stays(ready, study, qtbot, monkeypatch):
    stroke(ready.annotating.layer, (7, 9, 12), 2)
    answers = [False, True]
    monkeypatch.setattr(class_panel, "confirm_removal", lambda parent, name: answers.pop(0))
    for _ in range(2):
        ready.classes.table.select(2)
        ready.classes.table.remove_requested.emit(2)
    qtbot.waitUntil(lambda: [one.name for one in ready.session.classes] == ["eye lens"])
    assert np.any(ready.annotating.layer.data == 2)


def test_a_colour_is_asked_for_and_kept(ready, study, qtbot, monkeypatch):
    monkeypatch.setattr(class_panel, "ask_color", lambda parent, found: "#010203")
    ready.classes.table.color_requested.emit(1)
    qtbot.waitUntil(lambda: ready.session.classes[0].color == "#010203")


def test_a_name_that_is_taken_is_refused_in_the_bar(ready, qtbot):
    ready.classes.table.edited.emit(2, "name", "Eye lens")
    qtbot.waitUntil(lambda: "there is a class 'eye lens' already" in ready.bar.text)


def test_every_key_is_given_once(ready):
    keys = [s.keys for s in SHORTCUTS if s.stage in ("annotate", "any")]
    assert len(keys) == len(set(keys))


# ------------------------------------------------------------------------------------------- complete, undo, propose
def test_complete_becomes_reopen_and_unpainted_becomes_background(ready, qtbot, study):
    complete(ready, qtbot, 7)
    assert ready.complete_button.text() == "Reopen"
    assert "background" in ready.classes.note.text()
    assert on_disk(study, "fish_a").status("z", 7) == "complete"
    ready.complete_button.click()
    done(ready, qtbot)
    assert ready.complete_button.text() == "Complete"
    assert ready.annotating.status() == "partial"


def test_the_undo_button_says_what_it_takes_back(ready, qtbot):
    assert not ready.undo_button.isEnabled()
    ready.annotating.go_to(7)
    stroke(ready.annotating.layer, (7, 9, 12))
    shown(ready, qtbot)
    assert ready.undo_button.toolTip() == "Undo: stroke (Ctrl+Z)"
    ready.undo_button.click()
    done(ready, qtbot)
    assert not np.any(ready.annotating.layer.data)
    assert not ready.undo_button.isEnabled()


def test_what_is_undone_out_of_sight_is_told_with_a_way_to_go_there(ready, qtbot):
    ready.annotating.go_to(7)
    stroke(ready.annotating.layer, (7, 9, 12))
    ready.annotating.go_to(20)
    shown(ready, qtbot)
    ready.undo_button.click()
    done(ready, qtbot)
    assert ready.bar.text == "Undone: stroke, on slice 7 along z."
    ready.bar._link.click()
    assert ready.annotating.slice_in_view() == ("z", 7)


def test_labels_are_proposed_between_complete_slices_and_undone_in_one_step(ready, qtbot):
    assert "complete on both sides" in ready.propose_button.toolTip()
    complete(ready, qtbot, 4)
    complete(ready, qtbot, 10)
    ready.annotating.go_to(6)
    layer = ready.annotating.layer
    stroke(layer, (6, 2, 2), 2)
    shown(ready, qtbot)
    before = np.array(layer.data)
    assert ready.propose_button.toolTip().startswith("Interpolate between slices 4 and 10")
    ready.propose_button.click()
    done(ready, qtbot)
    assert all(np.any(layer.data[z] == 1) for z in range(5, 10))
    assert np.array_equal(layer.data[6][before[6] == 2], before[6][before[6] == 2])
    assert "look through them" in ready.bar.text
    assert ready.annotating.statuses("z")[5] == "partial"
    ready.undo_button.click()
    done(ready, qtbot)
    assert np.array_equal(layer.data, before)


def test_a_slice_can_be_cleared_and_that_undone(ready, qtbot):
    complete(ready, qtbot, 7)
    before = np.array(ready.annotating.layer.data)
    ready.clear_button.click()
    done(ready, qtbot)
    assert not np.any(ready.annotating.layer.data)
    assert ready.annotating.status() == "empty"
    ready.undo_button.click()
    done(ready, qtbot)
    assert np.array_equal(ready.annotating.layer.data, before)
    assert ready.annotating.status() == "complete"


def test_an_earlier_version_is_brought_back_and_that_can_be_undone(ready, study, qtbot):
    stroke(ready.annotating.layer, (7, 9, 12))
    ready.annotating.close()
    ready.show_again()
    layer = opened(ready.annotating, qtbot, "fish_a")
    first = np.array(layer.data)
    stroke(layer, (9, 5, 5), 2)
    second = np.array(layer.data)
    dialogs = []
    ready.annotating.ask(
        lambda editor: editor.versions(), lambda found: dialogs.append(ready.actions_._list_versions(found))
    )
    qtbot.waitUntil(lambda: bool(dialogs))
    (dialog,) = dialogs
    assert not dialog.restore_button.isEnabled()
    texts = [version.text for version in dialog.versions]
    assert texts[-1] == "the beginning"
    dialog.list.setCurrentItem(dialog.list.topLevelItem(0))
    dialog.restore_button.click()
    done(ready, qtbot)
    assert np.array_equal(layer.data, first)
    assert "earlier version is back" in ready.bar.text
    ready.undo_button.click()
    done(ready, qtbot)
    assert np.array_equal(layer.data, second)


# ------------------------------------------------------------------------------------------------- which slice is next
@pytest.mark.parametrize(
    ("annotated", "first", "reason"),
    [
        ((), 11, "begin in the middle"),
        ((11,), 17, "half way between slice 11 and the last one"),
        ((2, 20), 11, "half way between slices 2 and 20"),
        ((20,), 9, "half way between the first slice and slice 20"),
    ],
)
def test_without_a_run_slices_are_spaced_evenly(annotated, first, reason):
    found = evenly(24, annotated)
    assert found[0][0] == first
    assert reason in found[0][1]
    assert len({index for index, _ in found} | set(annotated)) == len(found) + len(annotated)


def test_nothing_is_suggested_once_all_is_annotated():
    assert evenly(5, range(5)) == []


def test_the_next_suggested_slice_is_shown_with_its_reason_and_one_can_go_back(ready, qtbot):
    ready.annotating.go_to(2)
    shown(ready, qtbot)
    assert ready.reason.text().startswith("11: nothing is annotated yet: begin in the middle · also: ")
    assert ready.slices.suggested[0] == 11
    assert ready.back_button.toolTip() == "You have not jumped yet"
    ready.next_button.click()
    shown(ready, qtbot)
    assert ready.annotating.slice_in_view() == ("z", 11)
    assert ready.reason.text().startswith("this one: nothing is annotated yet")
    ready.back_button.click()
    shown(ready, qtbot)
    assert ready.annotating.slice_in_view() == ("z", 2)
    assert not ready.back_button.isEnabled()


def test_the_other_suggestions_are_links(ready, qtbot):
    other = ready.suggestions.hints[1]
    ready.reason.linkActivated.emit(f"slice:{other.axis}:{other.index}")
    assert ready.annotating.slice_in_view() == (other.axis, other.index)


def test_what_a_run_suggests_comes_first_and_says_whose_it_is(ready, qtbot, monkeypatch):
    found = ("sorting-1", (Hint("fish_a", "z", 19, "far from what you painted"),))
    monkeypatch.setattr(suggestions, "_ranked", lambda study, runs, volume: found)
    ready.annotating.go_to(3)
    stroke(ready.annotating.layer, (3, 9, 12))
    done(ready, qtbot)
    qtbot.waitUntil(lambda: ready.suggestions.run == "sorting-1")
    shown(ready, qtbot)
    assert ready.reason.text() == "19: far from what you painted · by sorting-1"
    ready.next_button.click()
    assert ready.annotating.slice_in_view() == ("z", 19)


def test_across_another_axis_slices_are_spaced_evenly_and_next_stays_across_it(ready, qtbot, monkeypatch):
    found = ("sorting-1", (Hint("fish_a", "z", 19, "far from what you painted"),))
    monkeypatch.setattr(suggestions, "_ranked", lambda study, runs, volume: found)
    ready.annotating.go_to(9, "x")
    qtbot.waitUntil(lambda: bool(ready.suggestions.hints) and ready.suggestions.hints[0].axis == "x")
    shown(ready, qtbot)
    assert ready.reason.text().startswith("14: nothing is annotated yet: begin in the middle")
    ready.next_button.click()
    assert ready.annotating.slice_in_view() == ("x", 14)


def test_a_run_can_be_asked_by_a_link(ready, study, qtbot, monkeypatch):
    asked: list[str] = []

    def job(study: Study, settings: Any) -> Any:
        asked.append(settings.run)
        yield Progress(done=1, total=1)
        yield Result(value={"slices": []})

    import napari_sortingloss.segment.suggest.job as suggest

    monkeypatch.setattr(suggest, "suggest", job)
    monkeypatch.setattr(suggestions, "import_gently", lambda *modules: None)
    run = trained(study)
    ready.session.refresh()
    qtbot.waitUntil(lambda: f"ask {run}" in ready.reason.text())
    ready.annotating.go_to(9, "x")  # across which no run ranks slices
    qtbot.waitUntil(lambda: "ask" not in ready.reason.text())
    ready.annotating.go_to(3, "z")
    qtbot.waitUntil(lambda: f"ask {run}" in ready.reason.text())
    ready.reason.linkActivated.emit(f"ask:{run}")
    qtbot.waitUntil(lambda: asked == [run])
    qtbot.waitUntil(lambda: ready.suggestions.job is None)


def test_the_same_anatomy_in_another_volume_is_a_jump_and_a_way_back(ready, qtbot, monkeypatch):
    monkeypatch.setattr(suggestions, "_same", lambda study, runs, volume, index: [Place("fish_b", "z", 13)])
    menus = []
    offer = ready.actions_._offer_places
    monkeypatch.setattr(ready.actions_, "_offer_places", lambda places: menus.append(offer(places)))
    ready.annotating.go_to(6)
    shown(ready, qtbot)
    ready.same_button.click()
    qtbot.waitUntil(lambda: bool(menus))
    (entry,) = menus[0].actions()
    assert entry.text() == "fish_b · slice 13 along z"
    entry.trigger()
    menus[0].close()
    opened(ready.annotating, qtbot, "fish_b")
    assert ready.annotating.slice_in_view() == ("z", 13)
    ready.actions_.back()
    opened(ready.annotating, qtbot, "fish_a")
    assert ready.annotating.slice_in_view() == ("z", 6)


def looked_at(study: Study, run: str) -> None:
    """Leave what a run that was asked for suggestions leaves: what it sees in each volume, and its list."""
    from napari_sortingloss.disk import atomic
    from napari_sortingloss.segment.suggest.job import FILE
    from napari_sortingloss.segment.suggest.slice_features import (
        SliceFeatures,
        sampled_positions,
        weights_stamp,
        write_features,
    )

    seen_by = study.run(run)
    for volume in study.select(None):
        at = sampled_positions(volume, seen_by.kind)
        place = (at / volume.n_slices).astype(np.float32)
        found = SliceFeatures(
            volume=volume.name,
            axis=volume.axis,
            positions=at,
            indices=at,
            slices=volume.n_slices,
            embeddings=np.stack([np.sin(3 * place), np.cos(3 * place)], axis=1),
            anatomy=place,
            foreground=np.ones(len(at), bool),
            doubt=np.full(len(at), np.nan, np.float32),
            step=20,
        )
        write_features(seen_by, volume, found, weights_stamp(seen_by, "best"))
    atomic.write_json(seen_by.path / FILE, {"run": run, "step": 20, "slices": []})


def test_a_run_that_looked_ranks_anew_after_each_stroke_and_finds_the_same_anatomy(ready, study, qtbot):
    run = trained(study)
    looked_at(study, run)
    ready.session.refresh()
    qtbot.waitUntil(lambda: ready.suggestions.run == run)
    shown(ready, qtbot)
    first = ready.suggestions.hints[0]
    assert f"by {run}" in ready.reason.text()
    ready.annotating.go_to(first.index)
    stroke(ready.annotating.layer, (first.index, 9, 12))
    qtbot.waitUntil(lambda: bool(ready.suggestions.hints) and ready.suggestions.hints[0].index != first.index)
    places: list[Any] = []
    ready.suggestions.same_anatomy("fish_a", 12, places.extend)
    qtbot.waitUntil(lambda: bool(places))
    assert [(place.volume, place.axis) for place in places] == [("fish_b", "z")]
    assert abs(places[0].index - 10) <= 1


def test_without_a_run_that_looked_the_same_anatomy_says_what_to_do(ready, qtbot):
    ready.annotating.go_to(6)
    shown(ready, qtbot)
    ready.same_button.click()
    qtbot.waitUntil(lambda: "ask a run for suggestions first" in ready.bar.text)


# ------------------------------------------------------------------------------------------------------------- import
@pytest.fixture
def label_file(tmp_path: Any) -> Any:
    labels = np.zeros((24, 18, 30), np.uint8)
    labels[4:8, 5:12, 8:20] = 1
    labels[6:10, 13:16, 8:20] = 5
    path = tmp_path / "drawn.tif"
    tifffile.imwrite(path, labels)
    return path, labels


def test_an_import_says_first_what_it_would_overwrite_and_is_undone_in_one_step(
    ready, label_file, qtbot, monkeypatch
):
    path, labels = label_file
    layer = ready.annotating.layer
    ready.annotating.go_to(5)
    stroke(layer, (5, 8, 12), 2)
    done(ready, qtbot)
    before = np.array(layer.data)
    monkeypatch.setattr(import_labels, "choose_labels", lambda parent: path)
    dialogs = []
    make = ready.actions_.importing.propose
    monkeypatch.setattr(ready.actions_.importing, "propose", lambda path: dialogs.append(make(path)))
    ready.import_button.click()
    (dialog,) = dialogs
    assert not dialog.import_button.isEnabled()
    qtbot.waitUntil(dialog.import_button.isEnabled)
    assert "none that is painted changes" in dialog.plan.text()
    dialog.merge.button(1).setChecked(True)
    assert not dialog.import_button.isEnabled()
    qtbot.waitUntil(dialog.import_button.isEnabled)
    overwritten = int(np.count_nonzero((before > 0) & (labels > 0) & (before != labels)))
    assert dialog.plan.text().startswith("⚠")
    assert f"{overwritten} painted ones are overwritten" in dialog.plan.text()
    dialog.import_button.click()
    assert not layer.editable
    assert "being imported" in ready.actions_.importing.why_not()
    qtbot.waitUntil(lambda: "got labels" in ready.bar.text, timeout=20_000)
    done(ready, qtbot)
    assert layer.editable
    assert np.array_equal(np.array(layer.data)[labels == 1], labels[labels == 1])
    assert np.all(np.array(layer.data)[labels == 5] == 5)
    assert [one.value for one in ready.session.classes] == [1, 2, 5]
    ready.undo_button.click()
    done(ready, qtbot)
    assert np.array_equal(layer.data, before)


def test_a_file_of_another_shape_is_refused_before_anything_happens(ready, tmp_path, qtbot):
    path = tmp_path / "other.tif"
    tifffile.imwrite(path, np.ones((5, 6, 7), np.uint8))
    dialog = ready.actions_.importing.propose(path)
    qtbot.waitUntil(lambda: "5 x 6 x 7" in dialog.plan.text())
    assert not dialog.import_button.isEnabled()
    dialog.reject()


def test_labels_in_a_file_with_several_volumes_are_imported_after_saying_which(
    ready, label_file, tmp_path, qtbot
):
    _, labels = label_file
    path = tmp_path / "several.h5"
    with h5py.File(path, "w") as file:
        file["first"], file["second"] = np.zeros_like(labels), labels
    dialog = ready.actions_.importing.propose(path)
    qtbot.waitUntil(lambda: "holds 2 volumes" in dialog.plan.text())
    assert dialog.reading.fold.is_open
    dialog.reading.edits["dataset"].set_value("second")
    qtbot.waitUntil(dialog.import_button.isEnabled)
    dialog.import_button.click()
    qtbot.waitUntil(lambda: "got labels" in ready.bar.text, timeout=20_000)
    done(ready, qtbot)
    assert np.array_equal(np.array(ready.annotating.layer.data), labels)


def test_leaving_the_volume_during_an_import_takes_it_back_and_loses_nothing(
    ready, label_file, study, qtbot, monkeypatch
):
    from napari_sortingloss.study.exchange import import_labels as module

    path, _ = label_file
    stroke(ready.annotating.layer, (5, 8, 12), 2)
    before = np.array(ready.annotating.layer.data)
    begun: list[int] = []

    def slow(study: Study, settings: Any, editor: AnnotationEditor) -> Any:
        with editor.bulk("import of drawn.tif", "z") as bulk:
            bulk.write((9, 0, 0), np.ones((1, 18, 30), np.uint8))
            begun.append(1)
            for i in range(1000):
                time.sleep(0.01)
                yield Progress(done=i, total=1000)
            bulk.commit()

    monkeypatch.setattr(module, "import_labels", slow)
    dialog = ready.actions_.importing.propose(path)
    ready.actions_.importing.start(dialog.settings())
    dialog.reject()
    qtbot.waitUntil(lambda: bool(begun))
    ready.session.set_current_volume("fish_b")
    opened(ready.annotating, qtbot, "fish_b")
    assert ready.session.jobs.find("import-labels") is None
    assert np.array_equal(on_disk(study, "fish_a").labels(), before)


# ------------------------------------------------------------------------------------------------ when something is wrong
def test_a_layer_taken_away_can_be_shown_again(ready, viewer, qtbot):
    stroke(ready.annotating.layer, (5, 9, 12))
    viewer.layers.remove(ready.annotating.layer)
    shown(ready, qtbot)
    assert "took the annotations of fish_a out of the viewer" in ready.hint.text()
    ready.session.refresh()
    shown(ready, qtbot)
    assert ready.annotating.state == "hidden"
    ready.link.click()
    assert np.any(opened(ready.annotating, qtbot, "fish_a").data)
    shown(ready, qtbot)
    assert ready.hint.isHidden()


def test_annotations_open_elsewhere_can_be_looked_at_and_taken_once_they_are_free(
    stage, study, opened_session, qtbot
):
    stage.annotating.close()
    qtbot.waitUntil(lambda: not stage.annotating.busy)
    with AnnotationEditor(study, "fish_b") as editor:
        editor.set_status("z", 5, "complete")
        opened_session.set_current_volume("fish_b")
        qtbot.waitUntil(lambda: stage.annotating.state == "looking")
        shown(stage, qtbot)
        assert "another program or window" in stage.bar.text
        assert stage.link.text() == "Try again"
        assert not stage.complete_button.isEnabled()
        assert stage.complete_button.toolTip() == "The annotations can only be looked at"
    stage.link.click()
    opened(stage.annotating, qtbot, "fish_b")
    shown(stage, qtbot)
    assert stage.slices.status(5) == "complete"
    assert stage.bar.isHidden()


def test_a_full_disk_is_said_in_the_bar_and_at_the_bottom(ready, qtbot, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr("napari_sortingloss.study.folder.shutil.disk_usage", lambda path: Usage)
    stroke(ready.annotating.layer, (5, 9, 12))
    shown(ready, qtbot)
    assert "nearly full" in ready.bar.text
    assert ready.saved.text() == "⚠ not saved"
    assert not ready.annotating.layer.editable


def test_another_program_s_annotations_are_seen_in_the_study(ready, study, session, qtbot):
    with AnnotationEditor(study, "fish_b") as editor:
        editor.set_status("z", 3, "complete")
        editor.set_status("z", 5, "partial")
    session.refresh()
    qtbot.waitUntil(lambda: "fish_b" in session.annotated)
    assert session.annotated["fish_b"].count("complete") == 1
    assert session.annotated["fish_b"].count("partial") == 1
    qtbot.waitUntil(lambda: session.states["fish_b"].annotated)
    assert not session.states["fish_a"].annotated
