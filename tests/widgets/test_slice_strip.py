"""The slices at a glance: status by height, the slice in view, suggestions; a click or a key goes there."""

from __future__ import annotations

import numpy as np
import pytest
from painting import heard
from qtpy.QtCore import QPoint, Qt

from napari_sortingloss.widgets.annotate.slice_strip import BARS, MARKS, SIDE, SliceStrip
from napari_sortingloss.widgets.toolkit.theme import colors


@pytest.fixture
def strip(keep, viewer, qtbot) -> SliceStrip:
    made = keep(SliceStrip())
    made.apply_theme(colors(viewer))
    made.resize(300, made.sizeHint().height())
    made.set_slices(800, {67: "complete", 402: "partial", 588: "complete"})
    made.set_current(214)
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_every_annotated_slice_can_be_seen_among_eight_hundred(strip):
    ranks = strip.columns()
    for index, rank in ((67, 2), (402, 1), (588, 2)):
        assert ranks[round(strip.x_of(index))] == rank
    assert np.count_nonzero(ranks) >= 9


def test_complete_and_partial_differ_in_height_not_in_colour_alone(strip):
    picture = strip.grab().toImage()
    background = picture.pixelColor(round(strip.x_of(500)), MARKS + 2)

    def top(index: int) -> int:
        x = round(strip.x_of(index))
        return next(y for y in range(MARKS, MARKS + BARS) if picture.pixelColor(x, y) != background)

    assert top(67) == MARKS
    assert top(402) >= MARKS + BARS // 2 - 1
    assert top(500) >= MARKS + BARS - 3


def test_where_slices_are_wider_than_pixels_each_has_its_own_bar(strip):
    strip.set_slices(10, {2: "complete", 3: "partial"})
    ranks = strip.columns()
    assert ranks[round(strip.x_of(2))] == 2
    assert ranks[round(strip.x_of(3))] == 1
    assert ranks[round(strip.x_of(4))] == 0
    assert 20 < np.count_nonzero(ranks == 2) < 30


def test_it_is_said_in_words_too(strip):
    assert strip.said == "2 complete, 1 partial of 800"
    assert strip.accessibleDescription() == strip.said
    strip.set_slices(24, {})
    assert strip.said == "none annotated of 24"


def test_a_click_goes_to_the_slice_under_it(strip, qtbot):
    went = heard(strip.chosen)
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(round(strip.x_of(300)), 20))
    assert abs(went[0] - 300) <= 2
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(0, 20))
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(299, 20))
    assert went[1:] == [0, 799]


def test_a_click_beside_a_mark_goes_to_the_marked_slice(strip, qtbot):
    strip.set_suggested([700, 120])
    went = heard(strip.chosen)
    for index in (588, 120):
        x = round(strip.x_of(index)) + 2
        qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(x, 20))
    assert went == [588, 120]


@pytest.mark.parametrize(
    ("key", "index"),
    [
        (Qt.Key.Key_Left, 213),
        (Qt.Key.Key_Right, 215),
        (Qt.Key.Key_PageUp, 204),
        (Qt.Key.Key_PageDown, 224),
        (Qt.Key.Key_Home, 0),
        (Qt.Key.Key_End, 799),
    ],
)
def test_keys_step_through_the_slices(strip, qtbot, key, index):
    went = heard(strip.chosen)
    qtbot.keyClick(strip, key)
    assert went == [index]


def test_the_slice_in_view_has_a_mark_below(strip):
    def below(index: int) -> object:
        return strip.grab().toImage().pixelColor(round(strip.x_of(index)), MARKS + BARS + 4)

    assert below(214) != below(300)
    strip.set_current(None)
    assert below(214) == below(300)


def test_the_place_of_a_slice_and_the_slice_at_a_place_agree(strip):
    assert strip.index_at(SIDE) == 0
    for index in (0, 1, 399, 799):
        assert strip.index_at(strip.x_of(index)) == index
