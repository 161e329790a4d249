"""The table of scores, and scores of several volumes summed up."""

from __future__ import annotations

import pytest

from napari_sortingloss.widgets.segment.judged import summed_up
from napari_sortingloss.widgets.segment.score_table import ScoreRow, ScoreTable, mean_of, rows_of
from napari_sortingloss.widgets.toolkit.theme import colors

COLORS = {"lens": "#e69f00", "retina": "#56b4e9"}


@pytest.fixture
def table(keep, viewer) -> ScoreTable:
    made = keep(ScoreTable())
    made.apply_theme(colors(viewer))
    return made


def entry(name: str, lens: float, retina: float | None, counts: list[list[int]]) -> dict:
    return {
        "name": name,
        "iou": {"lens": lens, "retina": retina},
        "dice": {"lens": lens, "retina": retina},
        "surface_distance_mm": {"lens": 0.2, "retina": None},
        "mean_iou": lens,
        "mean_dice": lens,
        "unseen_only": True,
        "confusion": {"labels": ["background", "lens"], "counts": counts},
    }


def texts(table: ScoreTable, row: int) -> list[str]:
    item = table.tree.topLevelItem(row)
    return [item.text(column) for column in range(5) if not table.tree.isColumnHidden(column)]


def test_each_class_has_a_row_with_the_run_before_beside_it_and_the_mean_comes_last(table):
    rows = rows_of(COLORS, {"lens": {"iou": 0.91}, "retina": {"iou": 0.79}}, {"lens": 0.9, "retina": 0.72})
    table.set_scores(rows, "2 held-back slices")
    assert [texts(table, row) for row in range(3)] == [
        ["lens", "0.91", "0.90"],
        ["retina", "0.79", "0.72"],
        ["mean", "0.85", "0.81"],
    ]
    assert table.said() == "mean IoU 0.85 (last run 0.81) on 2 held-back slices"


def test_without_a_run_before_its_column_is_not_there(table):
    table.set_scores([ScoreRow("lens", "#e69f00", 0.91)], "held-back slices")
    assert texts(table, 0) == ["lens", "0.91"]
    assert "last run" not in table.said()


def test_what_was_not_measured_is_a_dash_and_does_not_count(table):
    rows = [ScoreRow("lens", "", 0.8, dice=0.9, distance=0.05), ScoreRow("retina", "", None)]
    table.set_scores(rows, "a reference")
    assert texts(table, 0) == ["lens", "0.80", "0.90", "0.05 mm"]
    assert texts(table, 1) == ["retina", "–", "–", "–"]
    assert mean_of(rows).iou == 0.8


def test_scores_of_volumes_are_summed_up_by_class_and_their_tables_added():
    found = summed_up(
        {"a": entry("a", 0.8, None, [[5, 1], [2, 6]]), "b": entry("b", 0.6, 0.4, [[7, 0], [1, 4]])}
    )
    assert found["mean_iou"] == pytest.approx(0.7)
    assert found["classes"]["lens"]["iou"] == pytest.approx(0.7)
    assert found["classes"]["retina"] == {"iou": 0.4, "dice": 0.4, "surface_distance_mm": None}
    assert found["confusion"]["counts"] == [[12, 1], [3, 10]]
    assert found["unseen_only"]
    assert summed_up({}) == {}


def test_tables_that_tell_other_things_apart_are_not_added():
    other = {**entry("b", 0.6, 0.4, [[1]]), "confusion": {"labels": ["background"], "counts": [[1]]}}
    assert "confusion" not in summed_up({"a": entry("a", 0.8, 0.5, [[5, 1], [2, 6]]), "b": other})
