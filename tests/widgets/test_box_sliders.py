"""Six faces as three double sliders: the ends stay apart, keys work, and only a person makes it speak."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_sortingloss import wording
from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.widgets.localize.box_sliders import BoxSliders

SHAPE = (24, 18, 30)
BOX = ((4, 20), (3, 15), (6, 24))


@pytest.fixture
def sliders(keep, qapp) -> BoxSliders:
    made = keep(BoxSliders())
    made.set_volume(SHAPE, (0.4, 0.25, 0.3), "mm")
    made.set_value(BOX)
    made.told = []
    made.changed.connect(made.told.append)
    return made


def test_it_shows_the_box_with_its_physical_size(sliders):
    assert sliders.value() == BOX
    row = sliders.rows["z"]
    assert (row.low.value(), row.high.value(), row.slider.value()) == (4, 20, (4, 20))
    assert [row.length.text() for row in sliders.rows.values()] == ["6.4 mm", "3 mm", "5.4 mm"]


def test_showing_another_box_or_volume_is_no_change(sliders):
    sliders.set_value(((0, 24), (0, 18), (0, 30)))
    sliders.set_volume((7, 8, 9), (1, 2, 3), "um")
    assert sliders.told == []
    assert sliders.value() == NO_BOX


def test_moving_an_end_changes_one_face(sliders):
    sliders.rows["x"].slider.setValue((6, 22))
    assert sliders.told == [((4, 20), (3, 15), (6, 22))]
    sliders.rows["y"].low.setValue(5)
    assert sliders.value() == sliders.told[-1] == ((4, 20), (5, 15), (6, 22))


@pytest.mark.parametrize(
    ("values", "span"), [((20, 20), (19, 20)), ((4, 4), (4, 5)), ((24, 24), (23, 24)), ((0, 0), (0, 1))]
)
def test_the_ends_of_a_slider_stay_a_voxel_apart(sliders, values, span):
    row = sliders.rows["z"]
    row.slider.setValue(values)
    assert sliders.value()[0] == span
    assert (row.low.value(), row.high.value(), row.slider.value()) == (*span, span)


def test_a_number_beyond_the_other_pushes_it(sliders):
    row = sliders.rows["y"]
    row.low.setValue(16)
    assert sliders.value()[1] == (16, 17)
    row.high.setValue(2)
    assert sliders.value()[1] == (1, 2)


def test_arrow_and_page_keys_move_a_face(sliders, qtbot):
    sliders.show()
    low = sliders.rows["z"].low
    low.setFocus()
    for key in (Qt.Key.Key_Up, Qt.Key.Key_PageUp, Qt.Key.Key_Down):
        qtbot.keyClick(low, key)
    assert sliders.value()[0] == (14, 20)


def test_a_typed_number_counts_once_it_is_complete(sliders, qtbot):
    sliders.show()
    high = sliders.rows["x"].high
    high.setFocus()
    high.selectAll()
    qtbot.keyClicks(high, "28")
    assert sliders.told == []
    qtbot.keyClick(high, Qt.Key.Key_Return)
    assert sliders.told == [((4, 20), (3, 15), (6, 28))]


def test_without_a_box_the_first_face_begins_with_the_whole_volume(sliders):
    sliders.set_value(NO_BOX)
    assert sliders.value() == NO_BOX
    sliders.rows["y"].high.setValue(10)
    assert sliders.told == [((0, 24), (0, 10), (0, 30))]


def test_it_fits_a_dock_also_for_a_large_volume(sliders):
    sliders.set_volume((20480, 10240, 10240), (5.5, 5.5, 5.5), "um")
    sliders.set_value(((0, 20480), (0, 10240), (0, 10240)))
    assert sliders.minimumSizeHint().width() <= 360


def test_each_input_has_a_name_of_its_own(sliders):
    names: list[Any] = [
        widget.accessibleName() for row in sliders.rows.values() for widget in (row.slider, row.low, row.high)
    ]
    assert all(names)
    assert len(set(names)) == 9


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5.83, "mm", "5.8 mm"),
        (58.3, "mm", "58 mm"),
        (99.9, "mm", "100 mm"),
        (5830, "um", "5.8 mm"),
        (583, "um", "583 µm"),
        (0.043, "mm", "0.043 mm"),
        (578, "", "578 px"),
        (12000, "", "12,000 px"),
        (3.5, "inch", "3.5 inch"),
        (0, "um", "0 µm"),
    ],
)
def test_lengths_come_with_a_fitting_unit(value, unit, text):
    assert wording.length(value, unit) == text
