"""The plot of predicted against true position: flipped volumes stand out, a click on a dot finds its slice."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPointF, Qt

from napari_sortingloss.study import VolumeRecord
from napari_sortingloss.widgets.pretrain.order_actions import stored_index
from napari_sortingloss.widgets.pretrain.order_plot import OrderPlot, said
from napari_sortingloss.widgets.toolkit.theme import colors


def entry(flipped: bool = False, n: int = 20, **more: Any) -> dict[str, Any]:
    positions = list(range(n))
    return {
        "positions": positions,
        "predicted": [float(p) for p in (positions[::-1] if flipped else positions)],
        "flipped": flipped,
        "spearman": -1.0 if flipped else 1.0,
        "slices": n,
        "mean_displacement": 10.0 if flipped else 0.0,
        "random_displacement": 6.7,
        **more,
    }


@pytest.fixture
def plot(keep, viewer) -> OrderPlot:
    made = keep(OrderPlot())
    made.apply_theme(colors(viewer))
    return made


def test_without_an_order_it_says_how_to_get_one(plot):
    assert not plot.hint.isHidden()
    assert plot.plot.isHidden()
    assert plot.flip_button.isHidden()


def test_a_volume_that_looks_flipped_is_marked_and_can_be_flipped_with_one_click(plot):
    asked: list[str] = []
    plot.flip_requested.connect(asked.append)
    plot.set_order({"a": entry(), "b": entry(flipped=True)})
    assert [plot.choice.itemText(i) for i in range(2)] == ["a", "b ⚠"]
    assert plot.flip_button.isHidden()
    plot.show_volume("b")
    assert not plot.flip_button.isHidden()
    plot.flip_button.click()
    assert asked == ["b"]


def test_choosing_a_volume_here_tells_the_session_but_following_it_does_not(plot):
    chosen: list[str] = []
    plot.volume_chosen.connect(chosen.append)
    plot.set_order({"a": entry(), "b": entry()})
    plot.show_volume("b")
    assert chosen == []
    plot.choice.setCurrentIndex(0)
    assert chosen == ["a"]


def test_a_click_on_a_dot_asks_for_its_slice_and_rings_it(plot, qtbot):
    asked: list[Any] = []
    plot.slice_chosen.connect(lambda *what: asked.append(what))
    plot.set_order({"a": entry(n=160)})
    plot.resize(380, 300)
    plot.show()
    qtbot.wait(50)
    where = plot.plot.mapFromScene(plot.plot.plotItem.vb.mapViewToScene(QPointF(70, 70)))
    qtbot.mouseMove(plot.plot.viewport(), where)
    qtbot.mouseClick(plot.plot.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: bool(asked))
    assert asked == [("a", 70)]
    assert plot._chosen.points()[0].pos() == QPointF(70, 70)


def test_the_volume_in_view_stays_when_the_order_is_read_again(plot):
    plot.set_order({"a": entry(), "b": entry()})
    plot.show_volume("b")
    plot.set_order({"a": entry(), "b": entry(flipped=True)})
    assert plot.shown == "b"
    assert not plot.flip_button.isHidden()


def test_figures_have_units_and_the_random_level():
    text = said(entry(mean_displacement_mm=0.2))
    assert text == "mean displacement 0.0 of 20 slices (0.20 mm), random 6.7 · Spearman +1.00"
    assert "mm" not in said(entry())


def test_a_position_along_the_direction_is_found_in_the_stored_array():
    record = VolumeRecord("a", (24, 18, 30), axis="y")
    assert stored_index(record, 3) == 3
    assert stored_index(VolumeRecord("a", (24, 18, 30), axis="y", direction="-"), 3) == 14
