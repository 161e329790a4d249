"""The table in which boxes are gone through by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_sortingloss.widgets.localize.review_table import ReviewRow, ReviewTable, percent, sizes

ROWS = (
    ReviewRow("a", "found", 1000, 0.26),
    ReviewRow("b", "accepted", 24_000_000_000, 0.25, adjusted=True),
    ReviewRow("c", "none", 1000),
    ReviewRow("d", "found", 1000, 0.5, warnings=("the grid is coarse",)),
    ReviewRow("e", "skipped", 1000, 1.0),
)


@pytest.fixture
def table(keep: Any, qtbot: Any) -> ReviewTable:
    made = keep(ReviewTable())
    made.set_rows(ROWS)
    made.resize(420, 200)
    with qtbot.waitExposed(made):
        made.show()
    made.activateWindow()
    made.setFocus()
    qtbot.waitUntil(made.hasFocus)
    return made


def shown(table: ReviewTable, row: int) -> list[str]:
    return [table.model_.data(table.model_.index(row, column)) for column in range(4)]


def test_a_row_says_state_kept_share_and_size_before_and_after(table):
    assert shown(table, 0) == ["a", "◐ check", "26 %", "1 kB → 260 B"]
    assert shown(table, 1) == ["b", "✓ accepted", "25 % ✎", "24.0 → 6.0 GB"]
    assert shown(table, 2)[1:3] == ["○ not yet", ""]
    assert shown(table, 3)[1] == "⚠ check"
    assert shown(table, 4)[1] == "– skipped"


def test_where_there_is_little_room_the_size_before_gives_way_to_the_name(table, qtbot):
    table.resize(300, 200)
    qtbot.waitUntil(lambda: shown(table, 1)[3] == "→ 6.0 GB")
    assert "24.0 → 6.0 GB" in table.model_.data(table.model_.index(1, 0), Qt.ItemDataRole.ToolTipRole)


def test_a_warning_is_in_the_tooltip(table):
    assert "the grid is coarse" in table.model_.data(table.model_.index(3, 0), Qt.ItemDataRole.ToolTipRole)


def test_up_and_down_tell_where_the_person_went(table, qtbot):
    went: list[str] = []
    table.chosen.connect(went.append)
    table.select("a")
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Up)
    assert went == ["b", "c", "b"]


@pytest.mark.parametrize(
    ("key", "signal"),
    [
        (Qt.Key.Key_Return, "accept_requested"),
        (Qt.Key.Key_Enter, "accept_requested"),
        (Qt.Key.Key_S, "skip_requested"),
        (Qt.Key.Key_R, "reopen_requested"),
        (Qt.Key.Key_N, "next_requested"),
    ],
)
def test_keys_of_the_table_judge_the_current_volume(table, qtbot, key, signal):
    asked: list[str] = []
    getattr(table, signal).connect(lambda: asked.append(signal))
    table.select("a")
    qtbot.keyClick(table, key)
    qtbot.waitUntil(lambda: asked == [signal])


def test_the_next_to_check_is_the_next_unchecked_and_begins_anew_at_the_end(table):
    table.select("a")
    assert table.next_unchecked() == "d"
    assert table.following() == "d"
    table.select("d")
    assert table.next_unchecked() == "a"
    table.set_rows([ReviewRow(row.name, "accepted") for row in ROWS])
    assert table.next_unchecked() == ""


def test_new_rows_leave_the_current_volume_and_tell_nobody(table):
    went: list[str] = []
    table.chosen.connect(went.append)
    table.select("d")
    table.set_rows([ReviewRow("new", "none"), *ROWS])
    assert table.current() == "d"
    assert table.selected() == ("d",)
    table.set_rows([ReviewRow("d", "accepted")])
    assert table.current() == "d"
    assert went == []


def test_several_rows_can_be_selected_for_the_next_job(table):
    table.selectAll()
    assert table.selected() == ("a", "b", "c", "d", "e")
    table.set_rows([ReviewRow("first", "none"), *ROWS])
    assert table.selected() == ("a", "b", "c", "d", "e")


def test_the_menu_offers_what_fits_the_volume(table):
    table.select("c")
    offered = {entry.text().partition("\t")[0]: entry.isEnabled() for entry in table.context_menu().actions()}
    assert offered == {"Accept": False, "Skip": False, "Check again": False, "Next to check": True}
    table.select("b")
    offered = {entry.text().partition("\t")[0]: entry.isEnabled() for entry in table.context_menu().actions()}
    assert offered == {"Accept": True, "Skip": True, "Check again": True, "Next to check": True}


def test_shares_and_sizes_are_short():
    assert [percent(v) for v in (1.0, 0.9996, 0.26, 0.0312, 0.0004, 0.0)] == [
        "100 %", "100 %", "26 %", "3.1 %", "0.04 %", "0 %"
    ]  # fmt: skip
    assert sizes(24e9, 6.2e9) == "24.0 → 6.2 GB"
    assert sizes(1.2e9, 3.1e8) == "1.2 GB → 310 MB"
