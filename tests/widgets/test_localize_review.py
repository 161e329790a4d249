"""The review of boxes in the Localize stage: layers, sliders, drag and threshold agree; all of it by keyboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from localizing import BOXES, idle, localize, mine, on_disk, see, statuses
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QScrollBar,
    QToolButton,
)

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.study import Study
from napari_sortingloss.widgets.localize.stage import LocalizeWidget
from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.workbench import Workbench


@pytest.fixture
def stage(localizer: LocalizeWidget) -> LocalizeWidget:
    return localizer


@pytest.fixture
def run(sorting_run: str) -> str:
    return sorting_run


@pytest.fixture
def found(localized: LocalizeWidget) -> LocalizeWidget:
    """The stage with both fish localised, the first one in view."""
    return localized


# ------------------------------------------------------------------------------------------------ the review
def test_selecting_a_row_shows_that_volume_with_its_layers(found, viewer, qtbot):
    found.table.selectRow(1)
    qtbot.waitUntil(lambda: "fish_b · box" in mine(viewer))
    assert found.session.current_volume == "fish_b"
    assert not [name for name in mine(viewer) if name.startswith("fish_a")]
    assert [layer.name for layer in viewer.layers if layer.visible and "·" not in layer.name] == ["fish_b"]
    assert found.panel.sliders.value() == BOXES["fish_b"]


def test_enter_accepts_and_goes_on_until_all_are_checked(found, qtbot):
    found.table.accept_requested.emit()
    assert found.review.name == "fish_b"
    assert found.checked.text() == "1 of 2 checked"
    found.table.skip_requested.emit()
    assert found.checked.text() == "2 of 2 checked"
    assert "1 accepted, 1 skipped" in found.bar.text
    assert found.bar._link.text() == "Crop 1 accepted ▸"
    idle(found, qtbot)
    assert (on_disk(found, "fish_a").status, on_disk(found, "fish_b").status) == ("accepted", "skipped")


def test_a_judgement_can_be_taken_back(found, qtbot):
    found.table.accept_requested.emit()
    found.table.selectRow(0)
    assert found.accept_button.isHidden()
    assert not found.reopen_button.isHidden()
    found.table.reopen_requested.emit()
    idle(found, qtbot)
    assert on_disk(found, "fish_a").status == "found"
    assert not found.accept_button.isHidden()


def test_a_slider_moves_the_box_in_the_viewer_and_on_disk(found, qtbot):
    box = ((5, 19), (3, 15), (6, 24))
    found.panel.box_changed.emit(box)
    assert found.review.layers.box == box
    assert found.table.row("fish_a").adjusted
    assert found.panel.reset.isEnabled()
    idle(found, qtbot)
    assert on_disk(found, "fish_a").box == box
    assert on_disk(found, "fish_a").found == BOXES["fish_a"]


def test_dragging_the_box_moves_the_sliders_and_is_kept(found, qtbot):
    box = ((5, 19), (3, 15), (7, 20))
    told: list[Any] = []
    found.panel.box_changed.connect(told.append)
    found.review.layers.box_moving.emit(box)
    assert found.panel.sliders.value() == box
    assert not found.table.row("fish_a").adjusted
    found.review.layers.box_dragged.emit(box)
    assert told == []
    idle(found, qtbot)
    assert on_disk(found, "fish_a").box == box


def test_the_threshold_cuts_region_and_box_anew_without_the_network(found, qtbot, viewer):
    before = found.panel.sliders.value()
    found.panel.fraction_changed.emit(0.05)
    idle(found, qtbot)
    after = on_disk(found, "fish_a")
    assert after.automatic is False
    assert after.box != before
    assert after.kept_fraction < 0.5
    assert found.panel.sliders.value() == after.box == found.review.layers.box
    assert not found.panel.fraction.automatic


def test_the_last_threshold_wins_however_quickly_it_is_moved(found, qtbot):
    for fraction in np.linspace(0.3, 0.04, 12):
        found.panel.fraction_changed.emit(float(fraction))
    idle(found, qtbot)
    assert on_disk(found, "fish_a").fraction == pytest.approx(0.04, abs=0.02)


def test_a_threshold_moved_just_before_going_on_still_counts(found, qtbot):
    found.panel.fraction_changed.emit(0.05)
    found.table.accept_requested.emit()
    assert found.review.name == "fish_b"
    idle(found, qtbot)
    assert on_disk(found, "fish_a").status == "accepted"
    assert on_disk(found, "fish_a").box != BOXES["fish_a"]
    assert found.panel.sliders.value() == BOXES["fish_b"]


def test_reset_goes_back_to_the_box_and_threshold_that_were_found(found, qtbot):
    found.panel.fraction_changed.emit(0.05)
    idle(found, qtbot)
    found.panel.reset.click()
    idle(found, qtbot)
    after = on_disk(found, "fish_a")
    assert after.box == BOXES["fish_a"]
    assert after.automatic
    assert not found.table.row("fish_a").adjusted
    assert not found.panel.reset.isEnabled()


def test_where_nothing_was_found_it_cannot_be_accepted_but_set_by_hand(stage, study, run, opened, qtbot):
    localize(study, "fish_a", run, NO_BOX)
    see(stage, qtbot, lambda: statuses(stage) == ["found", "none"])
    idle(stage, qtbot)
    assert "Nothing was found" in stage.panel.warnings.text()
    assert not stage.accept_button.isEnabled()
    stage.table.accept_requested.emit()
    assert "no box to accept" in stage.bar.text
    stage.panel.box_changed.emit(((1, 9), (2, 9), (3, 9)))
    assert stage.accept_button.isEnabled()
    stage.accept_button.click()
    idle(stage, qtbot)
    assert on_disk(stage, "fish_a").status == "accepted"


def test_warnings_are_said_in_words(stage, study, run, opened, qtbot):
    localize(study, "fish_a", run, warnings=("the grid is too coarse to mean anything",))
    see(stage, qtbot, lambda: "too coarse" in stage.panel.warnings.text())
    assert stage.table.model_.data(stage.table.model_.index(0, 1)) == "⚠ check"


def test_a_click_into_a_profile_shows_that_slice(found, viewer, qtbot):
    found.panel.position_chosen.emit("y", 7)
    assert viewer.dims.order[0] == 1
    assert viewer.dims.point[1] == pytest.approx(7 * 0.25)


# ------------------------------------------------------------------------------------------------ the panel itself
def test_hidden_behind_another_tab_it_touches_no_layer(study, run, viewer, qtbot):
    localize(study, "fish_a", run)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench)
    session_of(viewer).set_study(study)
    stage = bench.stages["Localize"]
    qtbot.waitUntil(lambda: stage.review.found is not None)
    idle(stage, qtbot)
    assert len(viewer.layers) == 0
    bench.show_stage("Localize")
    stage.review.appear()  # what showing does in a window that is shown
    qtbot.waitUntil(lambda: "fish_a · box" in mine(viewer))


@pytest.fixture
def in_window(own_viewer: Any, study: Study, run: str, qtbot: Any) -> LocalizeWidget:
    """The stage in a window that has the focus, with both fish localised."""
    for name in BOXES:
        localize(study, name, run)
    made = LocalizeWidget(own_viewer)
    own_viewer.window.add_dock_widget(made)
    with qtbot.waitActive(own_viewer.window._qt_window):
        own_viewer.window._qt_window.show()
        own_viewer.window._qt_window.activateWindow()
    session_of(own_viewer).set_study(study)
    qtbot.waitUntil(lambda: statuses(made) == ["found", "found"])
    qtbot.waitUntil(lambda: made.review.layers.plan is not None)
    return made


def test_enter_accepts_in_the_table_and_ends_typing_in_a_number(in_window, qtbot):
    number = in_window.panel.sliders.rows["z"].low
    number.setFocus()
    qtbot.waitUntil(number.hasFocus)
    number.selectAll()
    qtbot.keyClicks(number, "7")
    qtbot.keyClick(number, Qt.Key.Key_Return)
    assert in_window.review.found.box[0] == (7, 20)
    assert statuses(in_window) == ["found", "found"]
    in_window.table.setFocus()
    qtbot.waitUntil(in_window.table.hasFocus)
    qtbot.keyClick(in_window.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: statuses(in_window) == ["accepted", "found"])
    assert in_window.table.current() == "fish_b"
    qtbot.keyClick(in_window.table, Qt.Key.Key_Up)
    qtbot.keyClick(in_window.table, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: statuses(in_window) == ["found", "found"])
    qtbot.keyClick(in_window.table, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: statuses(in_window) == ["skipped", "found"])


def test_the_verdict_can_be_given_from_anywhere_in_the_panel(in_window, qtbot):
    in_window.form.run.setFocus()
    qtbot.keyClick(in_window.form.run, Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: statuses(in_window) == ["accepted", "found"])
    qtbot.keyClick(in_window.form.run, Qt.Key.Key_K, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: statuses(in_window) == ["accepted", "skipped"])


def test_tab_goes_from_the_run_over_the_box_to_the_verdict_and_the_primary_button(in_window):
    order, step = [], in_window.form.run
    while step is not in_window.start_button and len(order) < 300:
        order.append(step)
        step = step.nextInFocusChain()
    wanted = [
        in_window.form.run,
        in_window.form.volumes,
        in_window.table,
        in_window.panel.sliders.rows["x"].high,
        in_window.accept_button,
        in_window.skip_button,
        in_window.export_button,
        in_window.crop_button,
    ]
    places = [order.index(widget) for widget in wanted]
    assert places == sorted(places)


def test_every_control_has_a_name_for_a_screen_reader(found):
    for kind in (QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QToolButton):
        for control in found.findChildren(kind):
            qt_s_own = isinstance(control, QScrollBar) or control.objectName().startswith("qt_")
            name = control.accessibleName() or getattr(control, "text", lambda: "")()
            assert name or qt_s_own, f"{control} in {control.parent()}"


def test_both_themes_reach_the_panel(found, viewer):
    viewer.theme = "light"
    assert found.colors.dark is False
    viewer.theme = "dark"
    assert found.colors.dark is True
