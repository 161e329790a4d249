"""The rotation task in the Pre-train stage: chosen, trained, shown, and not asked to order slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QColor, QImage

from napari_sortingloss.events import Snapshot
from napari_sortingloss.widgets.pretrain.stage import PretrainWidget
from napari_sortingloss.widgets.runs.batch_strip import GAP, PER_ROW, BatchStrip
from napari_sortingloss.widgets.toolkit.theme import colors

LONG = 90_000


@pytest.fixture
def stage(viewer, opened) -> PretrainWidget:
    made = PretrainWidget(viewer)
    viewer.window.add_dock_widget(made)
    made.panel.watcher._timer.setInterval(50)
    made.session._timer.setInterval(200)
    made.form.task.setCurrentIndex(made.form.task.findData("rotation"))
    return made


def test_the_task_brings_its_own_fields_and_curves(stage):
    assert {"pairs", "axes"} <= set(stage.form.edits)
    assert "slices" not in stage.form.edits
    assert {"together", "reach", "angle_step", "hidden"} <= set(stage.form.form.edits)
    assert [plot.curve.metric for plot in stage.panel.curves.plots] == ["loss", "accuracy", "angle_error"]
    assert stage.start_button.isEnabled()
    stage.form.task.setCurrentIndex(0)
    assert [plot.curve.metric for plot in stage.panel.curves.plots] == ["loss", "mean_displacement"]


def test_a_run_shows_pairs_and_tables_and_offers_no_order(stage, qtbot):
    tiny = {"size": 32, "pairs": 4, "workers": 1, "precision": "32"}
    stage.form.set_value(**tiny, steps=3, checkpoint_every=1000, validate_every=2)
    stage.start_button.click()
    qtbot.waitUntil(lambda: "has finished" in stage.bar.text, timeout=LONG)
    assert "accuracy" in stage.bar.text
    assert "random 0.14" in stage.bar.text
    assert stage.bar._link.isHidden()
    assert not stage.order_button.isVisibleTo(stage)
    panel = stage.panel
    qtbot.waitUntil(lambda: not panel.confusion.isHidden() and panel.strip.tiles > 0, timeout=LONG)
    assert not panel.tabs.isTabVisible(1)
    menu = panel.table.menu_for(panel.run.id)
    order = next(a for a in menu.actions() if "Order" in a.text())
    assert not order.isEnabled()
    assert order.toolTip() == "It did not learn to order slices"
    menu.deleteLater()


@pytest.fixture
def strip(keep, viewer) -> BatchStrip:
    made = keep(BatchStrip())
    made.apply_theme(colors(viewer))
    made.resize(400, 200)
    return made


def png(tiles: int, side: int = 8) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", np.full((side, tiles * side), 120, np.uint8))[1].tobytes())


def frame(strip: BatchStrip, tile: int) -> tuple[QColor, QColor]:
    """Return the colours on the left edge and just right of a tile of the first row."""
    image: QImage = strip.grab().toImage()
    side = strip._side(strip.width())
    left = tile * (side + GAP)
    return image.pixelColor(left, side // 2), image.pixelColor(left + side + 1, 1)


def test_a_pair_shares_one_frame_and_one_sign(strip: Any):
    snapshot = Snapshot(
        step=1, picture="a.png", tiles=4, captions=("a", "b"), correct=(True, False), title="pairs", group=2,
        about="What it means.",
    )  # fmt: skip
    strip.set_snapshot(snapshot, png(4))
    assert strip.title == "pairs · 1 of 2 right"
    assert "What it means." in strip.toolTip()
    shown = strip._colors
    assert frame(strip, 0)[0] == QColor(shown.good)
    assert frame(strip, 2)[0] == QColor(shown.error)
    assert frame(strip, 1)[0] != frame(strip, 0)[0]
    assert PER_ROW % 2 == 0
