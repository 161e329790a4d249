"""The message bar: nothing moves when it comes or goes, it goes with what it was said of, and errors wait to be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QPushButton, QSpinBox, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Event, Result
from napari_sortingloss.widgets.stage import EDIT, Stage
from napari_sortingloss.widgets.study.stage import StudyWidget
from napari_sortingloss.widgets.toolkit.message_bar import LINES, MessageBar

LOST = UserError("Cannot read 'x.tif'", "it is cut off", "copy it again")
LONG = UserError("Cannot read 'x.tif'", "it is cut off " * 120, "copy it again")
AWAY = QPoint(2, 2)


@pytest.fixture
def stage(qtbot: Any) -> Iterator[Stage]:
    """A stage of 400 x 600 pixels with twelve buttons, one below the other, and room to spare."""
    window = QMainWindow()
    made = Stage(ViewerModel())
    made.rows = [QPushButton(f"row {i}") for i in range(12)]
    for row in made.rows:
        made.body.addWidget(row)
    made.body.addStretch(1)
    made.add_button("Start", lambda: None, primary=True)
    window.setCentralWidget(made)
    window.resize(400, 600)
    QCursor.setPos(AWAY)
    window.move(60, 60)
    with qtbot.waitExposed(window):
        window.show()
    qtbot.waitUntil(lambda: made.rows[-1].isVisible() and made.page.height() > 400)
    yield made
    QCursor.setPos(AWAY)
    window.close()
    window.deleteLater()


def at(widget: QWidget) -> QPoint:
    return widget.mapToGlobal(QPoint(0, 0))


def places(stage: Stage) -> list[tuple[QPoint, int, int]]:
    return [(at(row), row.width(), row.height()) for row in (*stage.rows, stage._primary)]


def covered(stage: Stage) -> list[QWidget]:
    """The rows that the bar lies over."""
    bar = stage.bar
    top, bottom = at(bar).y(), at(bar).y() + bar.height()
    return [row for row in stage.rows if at(row).y() < bottom and at(row).y() + row.height() > top]


def settle() -> None:
    for _ in range(5):
        QApplication.processEvents()


# ------------------------------------------------------------------------------------------------------- nothing moves
@pytest.mark.parametrize("error", [LOST, LONG])
@pytest.mark.parametrize("height", [600, 380])
def test_nothing_moves_when_a_message_comes_grows_and_goes(stage, height, error):
    stage.window().resize(400, height)
    settle()
    before = places(stage)
    stage.bar.show_error(error)
    settle()
    assert places(stage) == before
    stage.bar._details_button.click()
    settle()
    assert places(stage) == before
    stage.bar.dismiss()
    settle()
    assert places(stage) == before


def test_it_lies_right_above_the_buttons(stage):
    stage.bar.show_error(LOST)
    settle()
    assert at(stage.bar).y() + stage.bar.height() <= at(stage._primary).y()
    assert at(stage._primary).y() - (at(stage.bar).y() + stage.bar.height()) < 20
    assert stage.bar.width() > 350


def test_everything_under_it_is_reached_by_scrolling(stage):
    stage.window().resize(400, 380)
    settle()
    stage.bar.show_error(LONG)
    settle()
    stage.scroll.verticalScrollBar().setValue(stage.scroll.verticalScrollBar().maximum())
    settle()
    assert stage.rows[-1] not in covered(stage)
    assert at(stage.rows[-1]).y() + stage.rows[-1].height() <= at(stage.bar).y()


def test_where_the_mouse_is_it_covers_the_other_end(stage):
    stage.window().resize(400, 380)
    settle()
    scrolled = stage.scroll.verticalScrollBar()
    scrolled.setValue(scrolled.maximum())
    settle()
    pressed = stage.rows[-1]
    QCursor.setPos(pressed.mapToGlobal(pressed.rect().center()))
    settle()
    before = places(stage)
    stage.bar.show_message("notice", "Undone: stroke, on slice 7 along z.", "Go there ▸", lambda: None)
    settle()
    assert places(stage) == before
    assert stage.page.on_top
    assert pressed not in covered(stage)
    assert stage.rows[0] not in covered(stage) or scrolled.value() > 0
    stage.bar.dismiss()
    settle()
    assert places(stage) == before


def test_on_top_the_first_rows_are_reached_by_scrolling_too(stage):
    low = stage.page.mapToGlobal(QPoint(50, stage.page.height() - 10))
    QCursor.setPos(low)
    settle()
    stage.bar.show_error(LOST)
    settle()
    assert stage.page.on_top
    assert stage.rows[0] in covered(stage)
    stage.scroll.verticalScrollBar().setValue(0)
    settle()
    assert stage.rows[0] not in covered(stage)


def test_it_does_not_cover_the_input_that_has_the_focus(stage, qtbot):
    number = QSpinBox()
    stage.body.addWidget(number)
    stage.window().activateWindow()
    qtbot.waitUntil(number.isVisible)
    number.setFocus()
    qtbot.waitUntil(number.hasFocus)
    stage.window().resize(400, 420)
    settle()
    stage.scroll.ensureWidgetVisible(number)
    settle()
    stage.bar.show_error(LOST)
    settle()
    bar = (at(stage.bar).y(), at(stage.bar).y() + stage.bar.height())
    assert not (at(number).y() < bar[1] and at(number).y() + number.height() > bar[0])


def test_details_do_not_let_it_jump_to_the_other_end(stage):
    stage.bar.show_error(LOST)
    settle()
    button = stage.bar._details_button
    QCursor.setPos(button.mapToGlobal(button.rect().center()))
    button.click()
    settle()
    assert not stage.page.on_top


@pytest.mark.parametrize("height", [700, 420, 260])
@pytest.mark.parametrize("width", [400, 300])
def test_a_long_error_with_details_takes_about_half_and_scrolls_by_itself(stage, width, height):
    stage.window().resize(width, height)
    stage.bar.show_error(LONG)
    stage.bar._details_button.click()
    settle()
    lines = LINES * stage.bar._text.fontMetrics().lineSpacing()
    assert stage.bar.height() <= max(0.5 * stage.page.height(), lines + 150)
    assert stage.bar._page.height() >= lines
    assert stage.bar._page.verticalScrollBar().maximum() > 0
    assert stage.bar._text.width() < width


def test_a_short_text_needs_no_scroll_bar(stage):
    stage.bar.show_message(
        "success", "6 volumes added. Next: pre-train an encoder on them, in the next tab of this panel."
    )
    settle()
    assert stage.bar._page.verticalScrollBar().maximum() == 0
    assert stage.bar.height() < 80


def test_no_line_ends_between_a_number_and_its_unit(stage):
    text = "Cut off at 29 % of 3 volumes, 0.65 µm a side, 4 min to go."
    stage.bar.show_message("notice", text)
    shown = stage.bar._text.text().replace("\N{NO-BREAK SPACE}", "_")
    assert shown == "Cut off at 29_% of 3 volumes, 0.65_µm a side, 4_min to go."
    assert stage.bar.text == text


def test_its_buttons_break_into_lines_where_it_is_narrow(stage):
    stage.window().resize(300, 600)
    stage.bar.show_error(LOST, "Say how to read it in so many words…", lambda: None)
    settle()
    tops = {button.y() for button in stage.bar._buttons.widgets if button.isVisible()}
    assert len(tops) == 2
    for button in stage.bar._buttons.widgets:
        if button.isVisible():
            assert button.geometry().right() < stage.bar._buttons.width()
            assert button.geometry().bottom() < stage.bar._buttons.height()


def test_tab_goes_from_the_content_over_the_message_to_the_buttons(stage, qtbot):
    stage.bar.show_error(LOST, "Mend it", lambda: None)
    stage.window().activateWindow()
    stage.rows[-1].setFocus()
    qtbot.waitUntil(stage.rows[-1].hasFocus)
    order = []
    while not stage._primary.hasFocus() and len(order) < 10:
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        order.append(QApplication.focusWidget().text())
    assert order == ["Details", "Copy report", "Mend it", "✕", "?", "Start"]


def test_a_link_acts_once_and_closes_the_bar(stage):
    asked: list[str] = []
    stage.bar.show_message("notice", "There.", "Go there ▸", lambda: asked.append("went"))
    stage.bar._link.click()
    assert asked == ["went"]
    assert stage.bar.text == ""
    stage.bar.show_message("notice", "No link.")
    assert stage.bar._link.isHidden()


# ---------------------------------------------------------------------------------------- for as long as it is true
@pytest.fixture
def bar(keep: Any) -> MessageBar:
    return keep(MessageBar())


@pytest.mark.parametrize("level", ["notice", "success", "warning"])
def test_what_was_said_is_over_when_something_new_begins(bar, level):
    bar.show_message(level, "done")
    bar.begin("predict")
    assert bar.text == ""


def test_an_error_stays_until_the_same_is_tried_again(bar):
    bar.begin("add")
    bar.show_error(LOST)
    bar.begin("predict")
    assert "cut off" in bar.text
    bar.begin("add")
    assert bar.text == ""


def test_an_error_of_nothing_in_particular_stays_until_it_is_dismissed(bar):
    bar.show_error(LOST, of="")
    bar.begin("add")
    bar.begin("")
    bar.turn_to("fish_b")
    bar.forget()
    assert "cut off" in bar.text
    bar.dismiss()
    assert bar.text == ""


def test_what_was_said_of_a_volume_goes_with_it(bar):
    bar.show_message("notice", "Undone", about="fish_a")
    bar.turn_to("fish_a")
    assert bar.text == "Undone"
    bar.turn_to("fish_b")
    assert bar.text == ""


def test_what_was_said_of_all_volumes_stays(bar):
    bar.show_message("success", "6 volumes added.")
    bar.turn_to("fish_b")
    assert bar.text == "6 volumes added."


def test_another_study_takes_everything_that_was_said_of_the_first(bar):
    bar.show_message("success", "6 volumes added.")
    bar.forget()
    assert bar.text == ""
    bar.show_error(LOST, of="add")
    bar.forget()
    assert bar.text == ""


def test_nothing_lesser_takes_the_place_of_an_error_but_it_is_not_lost(bar):
    bar.show_error(LOST, of="add")
    bar.show_message("success", "fish_a predicted.", about="fish_a")
    assert bar.level == "error"
    bar.dismiss()
    assert (bar.level, bar.text) == ("success", "fish_a predicted.")


def test_what_waited_behind_an_error_goes_with_its_volume_too(bar):
    bar.show_error(LOST, of="add")
    bar.show_message("success", "fish_a predicted.", about="fish_a")
    bar.turn_to("fish_b")
    bar.dismiss()
    assert bar.text == ""


def test_a_newer_error_takes_the_place_of_an_older(bar):
    bar.show_error(LOST, of="add")
    bar.show_error(UserError("The disk is full", "nothing is left", "make room"), of="crop")
    assert "disk is full" in bar.text


# --------------------------------------------------------------------------------------------- in the stages themselves
def finishes(value: Any = None) -> Any:
    def make() -> Iterator[Event]:
        yield Result(value=value or {})

    return make


def fails() -> Iterator[Event]:
    raise LOST
    yield


def test_a_job_of_the_stage_clears_what_was_said_and_its_error_stays_until_it_is_begun_again(stage, qtbot):
    stage.bar.show_message("success", "old")
    stage.submit("Adding", fails, "add")
    assert stage.bar.text == ""
    qtbot.waitUntil(lambda: stage.bar.has_error)
    heard: list[dict[str, Any]] = []
    job = stage.submit("Exporting", finishes({"path": "x"}), "export")
    job.signals.finished.connect(heard.append)
    qtbot.waitUntil(lambda: bool(heard))
    assert stage.bar.has_error
    stage.submit("Adding", finishes(), "add")
    assert stage.bar.text == ""
    qtbot.waitUntil(lambda: stage.session.jobs.running is None)


def test_the_current_volume_and_the_study_take_their_messages_along(viewer, opened, study, tmp_path):
    widget = StudyWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.bar.show_message("notice", "fish_a is flipped.", about="fish_a")
    opened.set_current_volume("fish_b")
    assert widget.bar.text == ""
    widget.bar.show_message("notice", "Two volumes are there.")
    opened.set_current_volume("fish_a")
    assert widget.bar.text == "Two volumes are there."
    opened.set_study(None)
    assert widget.bar.text == ""


def test_an_edit_clears_the_message_of_the_one_before(viewer, opened, qtbot):
    widget = StudyWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.actions_.flip("fish_a")
    qtbot.waitUntil(lambda: "counted the other way round" in widget.bar.text)
    widget.actions_.update(("fish_a",), {"axis": "y"})
    assert widget.bar.text == ""
    qtbot.waitUntil(lambda: opened.volumes["fish_a"].axis == "y")


def test_what_was_typed_and_refused_is_said_until_it_is_typed_again(viewer, opened, qtbot):
    widget = StudyWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.details.failed.emit(LOST)
    widget.bar.begin("export")
    assert widget.bar.has_error
    widget.bar.begin(EDIT)
    assert widget.bar.text == ""


def test_it_costs_no_time_to_show_one(stage):
    began = time.perf_counter()
    for i in range(20):
        stage.bar.show_message("notice", f"message {i}")
    assert time.perf_counter() - began < 1.0


def test_the_bar_is_read_with_its_sign_and_can_be_closed_by_mouse(stage, qtbot):
    stage.bar.show_message("warning", "Look closely.")
    settle()
    assert "⚠" in {label.text() for label in stage.bar.findChildren(QLabel)}
    qtbot.mouseClick(stage.bar._close, Qt.MouseButton.LeftButton)
    assert stage.bar.text == ""
