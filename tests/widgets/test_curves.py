"""The curves of a run: training, validation, chance, compared runs; drawn only when there is something new."""

from __future__ import annotations

import math

import pytest
from qtpy.QtGui import QPainter, QPicture

from napari_sortingloss.events import Metrics
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.widgets.runs.curves import Compared, CurvePlot, CurveRow
from napari_sortingloss.widgets.runs.run_watch import RunHistory
from napari_sortingloss.widgets.toolkit.theme import colors

CURVES = (Curve("loss", "loss"), Curve("error", "mean displacement", "slices", chance=5.3, main=True))


def history(n: int, value: float = 2.0, validated: bool = False) -> RunHistory:
    made = RunHistory()
    made.take(Metrics(step=i, values={"loss": 0.5, "error": value}) for i in range(1, n + 1))
    if validated:
        made.take([Metrics(step=n, values={"error": value + 1}, split="validation")])
    return made


@pytest.fixture
def row(keep, viewer) -> CurveRow:
    made = keep(CurveRow())
    made.apply_theme(colors(viewer))
    made.set_curves(CURVES)
    return made


def test_each_figure_of_the_task_has_a_plot_and_the_level_of_chance_where_there_is_one(row):
    loss, error = row.plots
    assert not loss._chance.isVisible()
    assert error._chance.value() == 5.3
    assert error._chance_text.toPlainText() == "random 5.3"


def test_the_level_of_chance_is_inside_the_plot_even_when_the_curve_is_far_below(row):
    row.set_history(history(50, value=0.4))
    assert row.plots[1].plot.viewRange()[1][1] > 5.3


def test_the_title_says_the_last_value_with_its_unit_that_of_validation_first(row):
    assert row.plots[1]._title.text() == "mean displacement (slices)"
    row.set_history(history(20))
    assert "2.00 slices" in row.plots[1]._title.text()
    row.set_history(history(20, validated=True))
    assert "3.00 slices" in row.plots[1]._title.text()
    assert "validation" in row._legend.text()


def test_values_that_are_no_numbers_leave_a_gap_and_do_not_blow_up_the_axis(row):
    made = history(10)
    made.take([Metrics(step=11, values={"error": math.nan})])
    row.set_history(made)
    low, high = row.plots[1].plot.viewRange()[1]
    assert 0 <= low < high < 10


def test_a_compared_run_is_drawn_in_its_colour_and_named(row):
    row.set_history(history(10), [Compared("sorting-1", "#009e73", history(30))])
    (item,) = row.plots[1]._others
    assert len(item.xData) == 30
    assert "sorting-1" in row._legend.text()
    row.set_history(history(10))
    assert row.plots[1]._others == []


def test_nothing_is_drawn_again_while_nothing_is_new(keep, viewer, monkeypatch):
    plot = keep(CurvePlot(CURVES[1]))
    plot.apply_theme(colors(viewer))
    drawn: list[int] = []
    monkeypatch.setattr(plot._train, "setData", lambda *a: drawn.append(1))
    made = history(5)
    for _ in range(3):
        plot.set_history(made)
    assert len(drawn) == 1
    made.take([Metrics(step=6, values={"error": 1.0})])
    plot.set_history(made)
    assert len(drawn) == 2


@pytest.mark.parametrize("width", [321, 380])
def test_titles_have_room_for_name_value_and_unit_in_a_narrow_dock(row, width, qtbot):
    row.set_curves((*CURVES[:1], Curve("a", "accuracy"), Curve("e", "angle error", "°", chance=68.6)))
    made = history(20)
    made.take([Metrics(step=20, values={"a": 0.143, "e": 68.57}, split="validation")])
    row.set_history(made)
    row.resize(width, 240)
    row.show()
    qtbot.waitUntil(lambda: row.width() == width)
    for plot in row.plots:
        assert plot._title.sizeHint().width() <= plot._title.width()
    assert len({plot._title.height() for plot in row.plots}) == 1
    assert "68.6 °" in row.plots[2]._title.text()


def test_with_room_for_it_a_title_takes_one_line(row, qtbot):
    row.set_history(history(20))
    row.resize(600, 240)
    row.show()
    qtbot.waitUntil(lambda: row.width() == 600)
    assert "<br>" not in row.plots[1]._title.text()
    row.resize(300, 240)
    assert "<br>" in row.plots[1]._title.text()


@pytest.mark.parametrize("value", [0.4, 2.0, 7.9])
def test_no_number_of_the_axes_is_cut_off_at_the_upper_edge(row, value, qtbot):
    row.set_history(history(50, value))
    row.resize(400, 240)
    row.show()
    plot = row.plots[1].plot
    qtbot.waitUntil(lambda: plot.viewRange()[1][1] > 5.3 and row.width() == 400)
    axis = plot.getAxis("left")
    picture = QPicture()
    painter = QPainter(picture)
    painter.setFont(plot.font())
    _, _, texts = axis.generateDrawSpecs(painter)
    painter.end()
    assert texts
    for rect, _, text in texts:
        assert axis.mapRectToScene(rect).top() >= 0, text


def test_the_level_of_chance_is_named_without_its_number_where_that_would_be_cut_off(row, qtbot):
    row.show()
    for width, said in ((110, "random"), (300, "random 5.3")):
        row.plots[1].plot.resize(width, 130)
        row.plots[1]._show_chance()
        assert row.plots[1]._chance_text.toPlainText() == said


def test_another_task_has_other_curves(row):
    row.set_curves((Curve("accuracy", "accuracy", chance=1 / 7, lower_is_better=False, main=True),))
    (plot,) = row.plots
    assert "Higher is better" in plot.plot.toolTip()
