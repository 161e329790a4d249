"""A menu that is narrower than its entry shows that there is more, and all of it in the tooltip."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip

from napari_sortingloss.widgets.toolkit.elided_combo import ElidedCombo

LONG = "sorting-261129-071138 · 2.3 of 16 slices"


@pytest.fixture
def menu(keep: Any) -> ElidedCombo:
    made = keep(ElidedCombo())
    made.addItems([LONG, "short"])
    made.setToolTip("The run")
    made.resize(160, made.sizeHint().height())
    made.show()
    return made


def tooltip(menu: ElidedCombo) -> str:
    middle = menu.rect().center()
    QToolTip.hideText()
    QApplication.sendEvent(menu, QHelpEvent(QEvent.Type.ToolTip, middle, menu.mapToGlobal(QPoint(5, 5))))
    return QToolTip.text()


def test_what_does_not_fit_ends_in_an_ellipsis(menu):
    assert menu.shown.endswith("…")
    assert LONG.startswith(menu.shown[:-1])
    assert menu.currentText() == LONG


def test_what_fits_is_shown_as_it_is(menu):
    menu.setCurrentIndex(1)
    assert menu.shown == "short"
    menu.setCurrentIndex(0)
    menu.resize(600, menu.height())
    assert menu.shown == LONG


def test_the_tooltip_begins_with_what_does_not_fit(menu):
    assert tooltip(menu) == f"{LONG}\nThe run"
    menu.setCurrentIndex(1)
    assert tooltip(menu) == "The run"


def test_a_long_entry_asks_for_no_wider_panel(menu):
    assert menu.minimumSizeHint().width() < 160
