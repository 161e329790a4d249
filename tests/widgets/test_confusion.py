"""The table of what a network takes for what: drawn with degrees, read by colour and by tooltip, hidden where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtGui import QColor

from napari_sortingloss.events import Matrix
from napari_sortingloss.widgets.pretrain.panel import RunPanel
from napari_sortingloss.widgets.runs.confusion import (
    MIDDLE,
    ConfusionPlot,
    ConfusionRow,
    Table,
    _luminance,
    _mixed,
    said_share,
)
from napari_sortingloss.widgets.runs.run_watch import RunHistory
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.theme import colors

LABELS = ("-90°", "-60°", "-30°", "0°", "30°", "60°", "90°")


def matrix(counts=None, split="validation", labels=LABELS, **more) -> Matrix:
    k = len(labels)
    counts = counts if counts is not None else (8 * np.eye(k, dtype=int) + np.eye(k, k=1, dtype=int)).tolist()
    return Matrix(step=10, counts=counts, labels=labels, what="angle", split=split, **more)


@pytest.fixture
def plot(keep, viewer) -> ConfusionPlot:
    made = keep(ConfusionPlot("validation"))
    made.apply_theme(colors(viewer))
    made.resize(200, 200)
    return made


@pytest.fixture
def row(keep, viewer) -> ConfusionRow:
    made = keep(ConfusionRow())
    made.apply_theme(colors(viewer))
    return made


def pixel(plot: ConfusionPlot, row: int, column: int) -> QColor:
    side = plot._side(plot.width())
    at = plot._margin(plot.width()) + column * side + 2, 1 + row * side + 3
    return plot.grab().toImage().pixelColor(*at)


def test_the_share_of_a_row_is_what_the_eye_sees(plot):
    counts = np.zeros((7, 7), int)
    counts[0, 0], counts[0, 1] = 30, 10
    counts[1, 1] = 2
    plot.set_matrix(matrix(counts.tolist()))
    often, seldom, never = (pixel(plot, 0, column) for column in (0, 1, 2))
    ground, full = QColor(plot._colors.raised), pixel(plot, 1, 1)
    assert never == ground
    assert full == QColor(plot._colors.validation)
    far = [abs(c.red() - ground.red()) + abs(c.blue() - ground.blue()) for c in (seldom, often, full)]
    assert 0 < far[0] < far[1] < far[2]


def test_a_row_that_was_never_asked_is_empty_and_no_error():
    table = Table.of(matrix(np.zeros((7, 7), int).tolist()))
    assert table.shares.sum() == 0
    assert table.accuracy == 0


def test_the_tooltip_of_a_cell_gives_the_angles_and_the_counts(plot):
    plot.set_matrix(matrix())
    side, left = plot._side(200), plot._margin(200)
    at = left + 4 * side + 2, 1 + 3 * side + 2
    assert plot.tip_at(*at) == "true angle 0°, network says 30°: 1 of 9"
    assert plot.tip_at(2, 2) == "-90°: 89 % of 9 right"
    assert plot.tip_at(left + 2, 1 + 7 * side + 3) == "network says -90°"
    assert plot.tip_at(2, 1 + 7 * side + 3) == ""
    assert plot.tip_at(left + 7 * side + 3, 5) == ""


@pytest.mark.parametrize("width", [130, 170, 200, 400])
@pytest.mark.parametrize(
    "labels", [LABELS, tuple(f"{a}°" for a in range(-90, 91, 15)), ("-90°", "0°", "90°")]
)
def test_it_fits_the_width_it_is_given(plot, width, labels):
    k = len(labels)
    plot.set_matrix(matrix(np.eye(k, dtype=int).tolist(), labels=labels))
    plot.resize(width, plot.heightForWidth(width))
    assert plot._margin(width) + k * plot._side(width) <= width
    assert not plot.grab().toImage().isNull()


NAMES = ("background", "eye lens", "swim bladder of the larva", "spine")


def named(**more) -> Matrix:
    counts = [[980, 20, 0, 0], [0, 30, 10, 0], [1, 0, 999, 0], [0, 0, 0, 0]]
    return matrix(counts, labels=NAMES, **more)


def test_names_are_numbered_and_the_columns_have_the_numbers(plot):
    table = Table.of(named())
    assert table.rows == ("1 background", "2 eye lens", "3 swim bladder of the larva", "4 spine")
    assert table.columns == ("1", "2", "3", "4")


@pytest.mark.parametrize("width", [240, 360])
def test_a_long_name_leaves_room_for_the_cells_and_is_whole_in_the_tooltip(plot, width):
    plot.set_matrix(named())
    plot.resize(width, plot.heightForWidth(width))
    assert plot._margin(width) < width / 2
    side = plot._side(width)
    assert side >= 24
    assert plot.tip_at(4, 1 + 2 * side + 2) == "3 swim bladder of the larva: 100 % of 1,000 right"
    assert plot.tip_at(4, 1 + 3 * side + 2) == "4 spine: none there"
    assert plot.tip_at(plot._margin(width) + 2 * side + 2, 1 + 4 * side + 4) == f"network says {NAMES[2]}"


@pytest.mark.parametrize(
    ("share", "said"), [(0, ""), (0.0004, "<1"), (0.02, "2"), (0.75, "75"), (0.999, "100"), (1, "100")]
)
def test_a_share_is_said_in_percent(share, said):
    assert said_share(share) == said


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_numbers_in_the_cells_can_be_read_on_every_shade(viewer, theme, split):
    viewer.theme = theme
    found = colors(viewer)
    for share in np.linspace(0, 1, 21):
        behind = _mixed(found.raised, QColor(getattr(found, split)), share)
        ink = 0.0 if _luminance(behind) > MIDDLE else 1.0
        low, high = sorted((ink, _luminance(behind)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_tables_of_names_stand_one_below_the_other_and_those_of_numbers_side_by_side(row):
    row.resize(400, 600)
    row.show()
    for one, below in ((named, True), (matrix, False)):
        row.set_matrices({"train": one(split="train"), "validation": one()})
        row.layout().activate()
        train, validation = (row.plots[split].geometry() for split in ("train", "validation"))
        assert (validation.top() > train.bottom()) == below


@pytest.mark.parametrize("counts", [[[1, 2], [3]], [[1, 2, 3]], []])
def test_a_table_that_is_none_is_not_drawn(row, counts):
    row.set_matrices({"train": matrix(counts, "train")})
    assert row.empty


def test_training_and_validation_stand_side_by_side_and_say_how_much_is_right(row):
    row.set_matrices({"train": matrix(split="train"), "validation": matrix()})
    assert not row.empty
    assert "angle" in row._title.text()
    assert not row._names["train"].isHidden()
    assert "90 % right" in row._names["validation"].text()
    row.set_matrices({"train": matrix(split="train")})
    assert row._names["validation"].isHidden()
    assert row.plots["validation"].isHidden()
    row.set_matrices({})
    assert row.empty


def test_another_theme_draws_it_in_other_colours(plot, viewer):
    plot.set_matrix(matrix())
    dark = pixel(plot, 0, 0)
    viewer.theme = "light"
    plot.apply_theme(colors(viewer))
    assert pixel(plot, 0, 0) != dark


def test_the_history_of_a_run_keeps_the_last_table_of_each_split():
    history = RunHistory()
    history.take([matrix(split="train"), matrix(), matrix(np.eye(7, dtype=int).tolist())])
    assert set(history.matrices) == {"train", "validation"}
    assert history.matrices["validation"].counts[0][0] == 1


def test_it_is_hidden_for_runs_without_classes(keep, viewer):
    panel = keep(RunPanel(Background(None)))
    keep(panel.status)  # a stage lays it out elsewhere
    panel.apply_theme(colors(viewer))
    panel._on_history(RunHistory())
    assert panel.confusion.isHidden()
    history = RunHistory()
    history.take([matrix()])
    panel._on_history(history)
    assert not panel.confusion.isHidden()
    panel.show_order()
    assert panel.confusion.isHidden()
