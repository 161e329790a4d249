"""Narrow and low panels: rows that break, pairs that get a row each, and windows that fit a small screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from localizing import localize, trained
from painting import two_classes
from qtpy.QtCore import QSize
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.stage import SMALLEST
from napari_sortingloss.widgets.toolkit import small_screen
from napari_sortingloss.widgets.toolkit.flow import FlowRow
from napari_sortingloss.widgets.toolkit.forms import Fold
from napari_sortingloss.widgets.toolkit.pair_grid import PairGrid
from napari_sortingloss.widgets.toolkit.small_screen import CONTROLS, fit_screen
from napari_sortingloss.widgets.workbench import Workbench

NARROW = 300


# -------------------------------------------------------------------------------------------------------- rows that break
@pytest.fixture
def row(keep: Any) -> FlowRow:
    made = keep(FlowRow(spacing=6))
    made.buttons = [QPushButton(f"button {i}") for i in range(4)]
    for button in made.buttons:
        button.setFixedSize(80, 20)
        made.add(button)
    made.show()
    return made


def lines(row: FlowRow) -> list[list[int]]:
    """Where the widgets of each line end, from the first line to the last."""
    found: dict[int, list[int]] = {}
    for widget in row.widgets:
        if not widget.isHidden():
            found.setdefault(widget.y(), []).append(widget.geometry().right() + 1)
    return [found[top] for top in sorted(found)]


@pytest.mark.parametrize(
    ("width", "expected"), [(340, [4]), (338, [4]), (337, [3, 1]), (200, [2, 2]), (90, [1] * 4)]
)
def test_as_many_as_fit_stand_in_a_line_and_all_end_at_the_right(row, width, expected):
    row.resize(width, row.heightForWidth(width))
    assert [len(line) for line in lines(row)] == expected
    assert {line[-1] for line in lines(row)} == {width}
    assert row.heightForWidth(width) == 26 * len(expected) - 6


def test_hidden_widgets_take_no_room(row):
    row.buttons[1].hide()
    row.resize(260, 20)
    QApplication.processEvents()
    assert [len(line) for line in lines(row)] == [3]


def test_a_pinned_widget_stays_at_the_left_and_a_stretched_one_takes_what_is_left(keep):
    made = keep(FlowRow(spacing=6))
    help_, middle, last = QPushButton("?"), QLabel("saved"), QPushButton("Start")
    for widget in (help_, last):
        widget.setFixedSize(40, 20)
    made.add(help_, pin=True)
    made.add(last)
    made.resize(300, 20)
    made.show()
    assert (help_.x(), last.x()) == (0, 260)
    made.add(middle, stretch=True, at=1)
    QApplication.processEvents()
    assert (middle.x(), middle.geometry().right() + 1) == (46, 254)


def test_a_row_in_a_layout_gets_the_height_that_its_lines_need(keep):
    box = keep(QWidget())
    layout = QVBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    top, made = QLabel("above"), FlowRow(spacing=6)
    layout.addWidget(top, 1)
    layout.addWidget(made)
    for _ in range(3):
        button = QPushButton("long enough")
        button.setFixedSize(100, 20)
        made.add(button)
    box.resize(400, 200)
    box.show()
    QApplication.processEvents()
    assert made.height() == 20
    box.resize(220, 200)
    QApplication.processEvents()
    assert made.height() == 46


# ------------------------------------------------------------------------------------------- pairs of label and input
@pytest.fixture
def grid(keep: Any) -> QWidget:
    box = keep(QWidget())
    layout = PairGrid(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(8)
    layout.setVerticalSpacing(4)
    box.inputs = {}
    for i, (name, at) in enumerate(
        (("Network", (0, 0)), ("Steps", (0, 2)), ("Encoder", (1, 0)), ("Run", (1, 2)))
    ):
        label, edit = QLabel(name), QLineEdit(str(i))
        edit.setMinimumWidth(40)
        layout.addWidget(label, *at)
        layout.addWidget(edit, at[0], at[1] + 1)
        box.inputs[name] = (label, edit)
    box.about = QLabel("all about it, over the whole width")
    box.about.setWordWrap(True)
    layout.addWidget(box.about, 2, 0, 1, 4)
    box.show()
    return box


def tops(box: QWidget) -> list[int]:
    return [edit.y() for _, edit in box.inputs.values()]


def test_two_pairs_stand_in_a_row_where_there_is_room_and_one_where_there_is_not(grid):
    grid.resize(400, 120)
    QApplication.processEvents()
    assert tops(grid)[0] == tops(grid)[1] < tops(grid)[2] == tops(grid)[3]
    grid.resize(220, grid.layout().heightForWidth(220))
    QApplication.processEvents()
    assert tops(grid) == sorted(set(tops(grid)))
    assert len({edit.x() for _, edit in grid.inputs.values()}) == 1
    assert {edit.geometry().right() + 1 for _, edit in grid.inputs.values()} == {220}
    for label, edit in grid.inputs.values():
        assert label.geometry().right() < edit.x()
        assert abs(label.geometry().center().y() - edit.geometry().center().y()) <= 1
    assert grid.about.geometry().bottom() < grid.height()


def test_it_asks_for_no_more_than_one_pair_needs(grid):
    assert grid.layout().minimumSize().width() < 150
    assert grid.layout().heightForWidth(220) > grid.layout().heightForWidth(500)


def test_an_input_that_is_hidden_leaves_no_gap(grid):
    grid.resize(220, 200)
    QApplication.processEvents()
    before = grid.about.y()
    for part in grid.inputs["Steps"]:
        part.hide()
    QApplication.processEvents()
    assert grid.about.y() < before


def test_the_title_of_a_fold_is_shortened_and_whole_in_the_tooltip(keep):
    title = "More (size, field of view, learning rate…)"
    made = keep(Fold(title, QWidget()))
    made.show()
    made.resize(160, 30)
    QApplication.processEvents()
    assert made._button.text().endswith("…")
    assert made._button.toolTip() == title
    made.resize(600, 30)
    QApplication.processEvents()
    assert made._button.text() == title


# --------------------------------------------------------------------------------------------------------- the stages
@pytest.fixture
def bench(viewer: Any, study: Any, qtbot: Any) -> Workbench:
    """All stages with something to show."""
    two_classes(study)
    localize(study, "fish_a", trained(study))
    made = Workbench(viewer)
    viewer.window.add_dock_widget(made)
    session = session_of(viewer)
    session.set_study(study)
    qtbot.waitUntil(lambda: len(session.runs) == 1 and len(session.localized) == 1)
    return made


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_stage_fits_a_panel_of_300_pixels(bench, viewer, theme):
    viewer.theme = theme
    for title, stage in bench.stages.items():
        for fold in stage.findChildren(Fold):
            fold.set_open(True)
        margins = stage.frame.contentsMargins()
        room = NARROW - margins.left() - margins.right()
        scroll_bar = stage.scroll.verticalScrollBar().sizeHint().width()
        content = stage.scroll.widget().minimumSizeHint().width()
        assert content <= room - scroll_bar, title
        for i in range(stage.frame.count()):
            assert stage.frame.itemAt(i).widget().minimumSizeHint().width() <= room, title
    assert bench.tabs.tabBar().sizeHint().width() <= NARROW


def test_a_panel_asks_for_almost_nothing_and_scrolls_as_a_whole_where_it_gets_no_more(bench, qtbot):
    for stage in bench.stages.values():
        assert (stage.minimumWidth(), stage.minimumHeight()) == SMALLEST
    window = QMainWindow()
    window.setCentralWidget(bench.stages["Localize"])
    window.resize(150, 100)
    with qtbot.waitExposed(window):
        window.show()
    outer = bench.stages["Localize"].layout().itemAt(0).widget()
    bench.stages["Localize"].show()
    qtbot.waitUntil(lambda: outer.verticalScrollBar().maximum() > 0)
    button = bench.stages["Localize"].start_button
    outer.ensureWidgetVisible(button)
    QApplication.processEvents()
    assert not button.visibleRegion().isEmpty()
    window.takeCentralWidget().setParent(bench)
    window.close()
    window.deleteLater()


class _Screen:
    def __init__(self, *size: int) -> None:
        self._size = size

    def availableSize(self) -> QSize:
        return QSize(*self._size)


class _Window:
    """A window on a screen of some size."""

    def __init__(self, window: QMainWindow, *size: int) -> None:
        self._window, self._size = window, size

    def screen(self) -> _Screen:
        return _Screen(*self._size)

    def findChild(self, *what: Any) -> Any:
        return self._window.findChild(*what)


def least(window: QMainWindow) -> QSize:
    QApplication.processEvents()
    return window.minimumSizeHint().expandedTo(window.minimumSize())


def test_on_a_small_screen_the_controls_of_napari_scroll_and_the_window_fits(own_viewer, qtbot):
    window = own_viewer.window._qt_window
    with qtbot.waitExposed(window):
        window.show()
    own_viewer.window.add_dock_widget(Workbench(own_viewer))
    own_viewer.add_image(np.zeros((4, 5, 6)))
    layer = own_viewer.add_labels(np.zeros((4, 5, 6), int))
    dock = window.findChild(QDockWidget, CONTROLS)
    controls = dock.widget()
    fit_screen(_Window(window, 1280, 720))
    assert dock.widget() is controls
    fit_screen(_Window(window, 853, 480))
    fit_screen(_Window(window, 853, 480))
    assert isinstance(dock.widget(), QScrollArea)
    assert dock.widget().widget() is controls
    assert controls.isVisible()
    assert least(window).height() <= 480
    assert least(window).width() <= 853
    layer.mode = "paint"
    own_viewer.layers.clear()
    own_viewer.add_image(np.zeros((4, 5, 6)))
    assert controls.currentWidget().isVisible()


def test_where_napari_has_no_such_dock_nothing_happens(qapp):
    window = QMainWindow()
    fit_screen(_Window(window, 640, 360))
    assert window.findChild(QDockWidget, CONTROLS) is None
    window.deleteLater()


def test_the_size_that_counts_as_small_is_what_napari_needs_with_labels(own_viewer, qtbot):
    window = own_viewer.window._qt_window
    with qtbot.waitExposed(window):
        window.show()
    own_viewer.add_labels(np.zeros((4, 5, 6), int))
    assert least(window).height() <= small_screen.LEAST_HEIGHT
