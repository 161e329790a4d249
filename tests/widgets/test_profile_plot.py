"""Profiles along the axes: interval and threshold drawn in, a click finds the slice."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPointF, Qt

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.study.localizations.reading import Profile
from napari_sortingloss.widgets.localize.profile_plot import ProfilePlot
from napari_sortingloss.widgets.toolkit.theme import colors

SHAPE = (24, 18, 30)
VOXEL = (0.4, 0.25, 0.3)
BOX = ((4, 20), (3, 15), (6, 24))


def profile(axis: int, threshold: float | None = 0.5) -> Profile:
    n = SHAPE[axis] // 2
    values = tuple(1.0 - abs(i - n / 2) / n for i in range(n))
    return Profile(0.5, 2.0, values, *BOX[axis], threshold, f"mean sensitivity along {'zyx'[axis]}")


@pytest.fixture
def plot(keep, viewer) -> ProfilePlot:
    made = keep(ProfilePlot())
    made.apply_theme(colors(viewer))
    made.set_profiles({"zyx"[i]: profile(i) for i in range(3)}, SHAPE, VOXEL, "mm")
    made.resize(360, made.sizeHint().height())
    return made


def test_each_axis_has_its_letter_and_runs_over_the_whole_volume(plot):
    assert plot.title.text() == "mean sensitivity along z, y and x"
    assert [letter.text() for letter in plot.letters.values()] == ["z", "y", "x"]
    for axis, size in zip("zyx", SHAPE, strict=True):
        (low, high), _ = plot.plots[axis].viewRange()
        assert low <= -0.5
        assert high >= size - 0.5


def test_the_curve_lies_at_its_voxels_and_the_threshold_at_its_value(plot):
    x, _ = plot.plots["y"]._curve.getData()
    assert list(x[:3]) == [0.5, 2.5, 4.5]
    assert plot.plots["y"]._threshold.value() == 0.5


def test_the_interval_covers_the_voxels_of_the_box(plot):
    assert plot.plots["z"]._interval.getRegion() == (3.5, 19.5)
    plot.set_box(((5, 9), (3, 15), (6, 24)))
    assert plot.plots["z"]._interval.getRegion() == (4.5, 8.5)
    plot.set_box(NO_BOX)
    assert not any(one._interval.isVisible() for one in plot.plots.values())
    plot.set_box(BOX)
    assert all(one._interval.isVisible() for one in plot.plots.values())


def test_an_axis_without_a_profile_is_left_out(plot):
    plot.set_profiles({"z": profile(0, threshold=None)}, SHAPE)
    assert not plot.plots["z"].isHidden()
    assert plot.plots["y"].isHidden()
    assert plot.letters["x"].isHidden()
    assert plot.title.text() == "mean sensitivity along z"
    assert not plot.plots["z"]._threshold.isVisible()
    plot.set_profiles({}, SHAPE)
    assert plot.isHidden()


def test_values_that_are_no_numbers_leave_a_gap(plot):
    plot.set_profiles({"z": Profile(0, 1, (float("nan"), 1.0, 2.0), 0, 3)}, (3, 4, 5))
    assert plot.plots["z"].said(0).endswith("no value")
    plot.set_profiles({"z": Profile(0, 1, (float("nan"),) * 3, 0, 0)}, (3, 4, 5))


def test_the_slice_in_view_is_marked_along_its_axis_only(plot):
    plot.set_slice("y", 7)
    assert [one._slice.isVisible() for one in plot.plots.values()] == [False, True, False]
    assert plot.plots["y"]._slice.value() == 7
    plot.set_slice("z", None)
    assert not any(one._slice.isVisible() for one in plot.plots.values())


def test_a_place_is_told_with_its_length_its_value_and_the_threshold(plot):
    assert plot.plots["z"].said(10) == "z 10 · 4 mm · 0.917 · threshold 0.5"
    plot.set_profiles({"z": profile(0)}, SHAPE)
    assert "mm" not in plot.plots["z"].said(10)


def test_a_click_asks_for_the_slice_under_it(plot, qtbot):
    asked: list[Any] = []
    plot.position_clicked.connect(lambda *what: asked.append(what))
    plot.show()
    qtbot.waitExposed(plot)
    qtbot.wait(50)
    one = plot.plots["x"]
    place = one.plotItem.vb.mapViewToScene(QPointF(21, 0.8))
    where = one.mapFromScene(place)
    qtbot.mouseMove(one.viewport(), where)
    qtbot.mouseClick(one.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: bool(asked))
    assert asked == [("x", 21)]
    one.scene().sigMouseMoved.emit(place)
    assert one.toolTip().startswith("x 21")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_takes_the_colours_of_the_theme(plot, viewer, theme):
    viewer.theme = theme
    wanted = colors(viewer)
    plot.apply_theme(wanted)
    assert plot.plots["z"].backgroundBrush().color().name() == wanted.background
