"""The table of classes: what is selected is what is painted."""

from __future__ import annotations

import pytest
from painting import heard
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit

from napari_sortingloss.widgets.annotate.class_table import AREA, COLOR, KEY, NAME, ClassRow, ClassTable

ROWS = (
    ClassRow(1, "eye lens", "#e69f00", "1", "1.2 mm²"),
    ClassRow(7, "retina", "#56b4e9", "r"),
    ClassRow(255, "background", "#4d5d80", "0", fixed=True),
)
Role = Qt.ItemDataRole


@pytest.fixture
def table(keep, qtbot) -> ClassTable:
    made = keep(ClassTable())
    made.set_rows(ROWS)
    made.resize(340, made.height())
    with qtbot.waitExposed(made):
        made.show()
    made.activateWindow()
    made.setFocus()
    qtbot.waitUntil(made.hasFocus)
    return made


def cell(table: ClassTable, row: int, column: int) -> QPoint:
    return table.visualRect(table.model_.index(row, column)).center()


def test_a_row_says_key_name_and_area(table):
    shown = [table.model_.data(table.model_.index(0, column)) for column in range(4)]
    assert shown == ["1", "", "eye lens", "1.2 mm²"]


def test_the_swatch_has_the_colour_and_says_it_to_a_screen_reader(table):
    rect = table.visualRect(table.model_.index(1, COLOR))
    pixel = table.viewport().grab().toImage().pixelColor(rect.center())
    assert pixel.name() == "#56b4e9"
    assert table.model_.data(table.model_.index(1, COLOR), Role.AccessibleTextRole) == "colour #56b4e9"


def test_all_rows_are_seen_without_scrolling(table):
    assert not table.verticalScrollBar().isVisible()


def test_a_click_chooses_and_a_second_one_chooses_again(table, qtbot):
    chosen = heard(table.chosen)
    for _ in range(2):
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=cell(table, 1, NAME))
    assert chosen == [7, 7]
    assert table.value == 7


def test_the_key_of_a_class_chooses_it(table, qtbot):
    chosen = heard(table.chosen)
    for key in (Qt.Key.Key_R, Qt.Key.Key_1, Qt.Key.Key_0, Qt.Key.Key_X):
        qtbot.keyClick(table, key)
    assert chosen == [7, 1, 255]


def test_selecting_from_outside_tells_nobody(table):
    chosen = heard(table.chosen)
    table.select(7)
    assert table.value == 7
    table.select(99)
    assert table.value is None
    assert chosen == []


def test_a_name_is_typed_in_place_and_told(table, qtbot):
    edited = heard(table.edited)
    table.edit_name(7)
    editor = table.findChild(QLineEdit)
    qtbot.keyClicks(editor, "iris")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: edited == [(7, "name", "iris")])
    assert table.model_.rows[1].name == "retina"  # until the study has it


def test_a_key_is_one_small_letter_and_an_empty_name_is_none(table):
    edited = heard(table.edited)
    assert table.model_.setData(table.model_.index(1, KEY), "  K ")
    assert not table.model_.setData(table.model_.index(1, NAME), "   ")
    assert not table.model_.setData(table.model_.index(0, NAME), "eye lens")
    assert edited == [(7, "key", "k")]


def test_the_painted_background_cannot_be_changed(table, qtbot):
    asked = heard(table.remove_requested), heard(table.color_requested), heard(table.edited)
    table.select(255)
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=cell(table, 2, COLOR))
    assert not table.model_.setData(table.model_.index(2, NAME), "air")
    assert asked == ([], [], [])
    assert not any(entry.isEnabled() for entry in table.context_menu().actions())


def test_delete_asks_for_removal_and_a_double_click_on_the_swatch_for_a_colour(table, qtbot):
    removed, coloured = heard(table.remove_requested), heard(table.color_requested)
    table.select(7)
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=cell(table, 0, COLOR))
    assert (removed, coloured) == ([7], [1])


def test_areas_come_without_touching_the_selection(table):
    table.select(7)
    table.set_areas({7: "0.3 mm²"})
    assert table.value == 7
    assert [row.area for row in table.model_.rows] == ["", "0.3 mm²", ""]
    assert table.model_.data(table.model_.index(1, AREA)) == "0.3 mm²"


def test_another_class_keeps_the_selection(table):
    table.select(7)
    table.set_rows((*ROWS[:2], ClassRow(9, "scales", "#009e73", "2"), ROWS[2]))
    assert table.value == 7
