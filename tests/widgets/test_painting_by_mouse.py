"""Painting with a real mouse at voxel sizes that binary numbers cannot hold: all of it lands on the slice in view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import napari.viewer
import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from conftest import close_viewer
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.widgets.annotate.layer import AnnotationLayer
from napari_sortingloss.widgets.viewer.layers import LayerPlan

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
THROTTLED = 12
"""Milliseconds; napari takes no two moves of the mouse within five."""
SHAPE = (61, 47, 53)
CLASSES = (LabelClass(1, "lens", "#e69f00", "1"), LabelClass(2, "retina", "#56b4e9", "2"))
PLACES = {
    "0.1018 mm": ((0.1018, 0.1018, 0.1018), (0, 0, 0)),
    "0.65 um, cut out": ((0.65, 0.7, 0.55), (17, 101, 3)),
    "a third": ((1 / 3, 2 / 3, 1 / 7), (0, 0, 0)),
    "1e-3, far out": ((1e-3, 3e-3, 1.1e-3), (1234, 77, 5001)),
}


class Mouse:
    """Clicks and drags over the canvas, at voxels of the layer."""

    def __init__(self, viewer: Any, layer: Any, offset: Sequence[int]) -> None:
        self._viewer, self._layer, self._offset = viewer, layer, np.asarray(offset)
        self._canvas = viewer.window._qt_viewer.canvas

    def at(self, voxel: Sequence[float]) -> QPointF:
        """Return where a voxel of the slice in view is drawn."""
        world = (np.asarray(voxel, float) + self._offset) * self._layer.scale
        row, column = (world[i] for i in self._viewer.dims.displayed)
        x, y = self._canvas.view.scene.transform.map([column, row])[:2]
        return QPointF(x, y)

    def _send(self, kind: QEvent.Type, where: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        native = self._canvas.native
        place = QPointF(native.mapToGlobal(where.toPoint()))
        event = QMouseEvent(kind, where, place, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(native, event)

    def move(self, voxel: Sequence[float], held: Qt.MouseButton = Qt.MouseButton.NoButton) -> None:
        self._send(QEvent.Type.MouseMove, self.at(voxel), Qt.MouseButton.NoButton, held)
        QTest.qWait(THROTTLED)

    def click(self, voxel: Sequence[float], button: Qt.MouseButton = LEFT) -> None:
        self._send(QEvent.Type.MouseButtonPress, self.at(voxel), button, button)
        self._send(QEvent.Type.MouseButtonRelease, self.at(voxel), button, Qt.MouseButton.NoButton)

    def double_click(self, voxel: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseButtonDblClick, self.at(voxel), LEFT, LEFT)
        self._send(QEvent.Type.MouseButtonRelease, self.at(voxel), LEFT, Qt.MouseButton.NoButton)

    def drag(self, first: Sequence[float], last: Sequence[float]) -> None:
        self.move(first)
        self._send(QEvent.Type.MouseButtonPress, self.at(first), LEFT, LEFT)
        for share in np.linspace(0.25, 1, 4):
            self.move(np.asarray(first) + share * (np.asarray(last) - first), LEFT)
        self._send(QEvent.Type.MouseButtonRelease, self.at(last), LEFT, Qt.MouseButton.NoButton)


class Painter:
    """The annotations of a volume in a viewer, and a mouse over them."""

    def __init__(self, viewer: Any, place: str) -> None:
        scale, offset = PLACES[place]
        translate = tuple(o * s for o, s in zip(offset, scale, strict=True))
        self.labels = np.zeros(SHAPE, np.uint8)
        plan = LayerPlan("study", "fish", "volume", "fish", [self.labels], scale, translate, "mm", "z")
        viewer.dims.ndisplay = 2
        self.viewer, self.view = viewer, AnnotationLayer(viewer, plan, self.labels, CLASSES)
        self.layer = self.view.layer
        self.layer.brush_size = 4
        self.mouse = Mouse(viewer, self.layer, offset)

    def go_to(self, axis: int, index: int) -> None:
        self.view.go_to(index, "zyx"[axis])  # type: ignore[arg-type]
        self.viewer.reset_view()
        QApplication.processEvents()
        assert self.view.slice_in_view() == ("zyx"[axis], index)

    def hard_indices(self, axis: int) -> list[int]:
        """Return a slice whose coordinate napari would cut off to the slice before, if there is one, and another one."""
        low, _, step = self.viewer.dims.range[axis]
        point = list(self.viewer.dims.point)
        for index in range(10, SHAPE[axis] - 10):
            point[axis] = low + index * step
            if int(self.layer.world_to_data(point)[axis]) != index:
                return [index, SHAPE[axis] // 2 + 1]
        return [SHAPE[axis] // 2 + 1]

    def corner(self, axis: int, index: int, row: float, column: float) -> list[float]:
        voxel = [row, column]
        voxel.insert(axis, index)
        return voxel

    def painted(self, axis: int) -> list[int]:
        return sorted(set(np.nonzero(self.labels)[axis].tolist()))


@pytest.fixture(scope="module")
def own_window(_window: Any) -> Iterator[Any]:
    """A viewer of these tests alone: a mouse over the canvas makes it draw off screen, which windows shown before disturb."""
    made = napari.viewer.Viewer(show=False)
    yield made
    close_viewer(made)


@pytest.fixture
def paint_at(own_window: Any) -> Iterator[Any]:
    made: list[Painter] = []

    def at(place: str) -> Painter:
        made.append(Painter(own_window, place))
        return made[-1]

    yield at
    for painter in made:
        painter.view.detach()
    own_window.layers.clear()
    own_window.dims.order = (0, 1)


def brush(painter: Painter, axis: int, index: int) -> None:
    painter.layer.mode = "paint"
    painter.mouse.drag(painter.corner(axis, index, 10, 12), painter.corner(axis, index, 14, 20))


def polygon(painter: Painter, axis: int, index: int) -> None:
    painter.layer.mode = "polygon"
    corners = [(8, 9), (8, 20), (19, 20), (19, 9)]
    for row, column in corners:
        painter.mouse.click(painter.corner(axis, index, row, column))
    painter.mouse.double_click(painter.corner(axis, index, *corners[-1]))


def encircle(painter: Painter, axis: int, index: int) -> None:
    """Napari's stroke with the right button, which fills what it has gone around."""
    painter.layer.mode = "paint"
    painter.layer.brush_size = 1
    painter.mouse.click(painter.corner(axis, index, 8, 9), RIGHT)
    for row, column in ((8, 20), (19, 20), (19, 9), (9, 9), (8, 9)):
        painter.mouse.move(painter.corner(axis, index, row, column))
    painter.layer.brush_size = 4


def fill(painter: Painter, axis: int, index: int) -> None:
    painter.layer.mode = "fill"
    painter.mouse.click(painter.corner(axis, index, 15, 15))


TOOLS = {"brush": brush, "polygon": polygon, "encircle": encircle, "fill": fill}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_paints_the_slice_in_view_across_each_axis(paint_at, place, tool):
    painter = paint_at(place)
    for axis in range(3):
        for index in painter.hard_indices(axis):
            painter.labels[:] = 0
            painter.go_to(axis, index)
            TOOLS[tool](painter, axis, index)
            assert painter.painted(axis) == [index]


@pytest.mark.parametrize("tool", ["polygon", "encircle"])
def test_an_outline_fills_the_voxels_that_it_goes_through_and_no_others(paint_at, tool):
    painter = paint_at("0.1018 mm")
    painter.go_to(0, 30)
    TOOLS[tool](painter, 0, 30)
    rows, columns = np.nonzero(painter.labels[30])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 19, 9, 20)
    assert painter.labels[30, 8:20, 9:21].all()


@pytest.mark.parametrize("place", PLACES)
def test_erasing_takes_away_from_the_slice_in_view_alone(paint_at, place):
    painter = paint_at(place)
    index = painter.hard_indices(0)[0]
    painter.labels[:] = 1
    painter.go_to(0, index)
    painter.layer.mode = "erase"
    painter.mouse.drag([index, 10, 12], [index, 14, 20])
    assert sorted(set(np.nonzero(painter.labels == 0)[0].tolist())) == [index]


@pytest.mark.parametrize("place", PLACES)
def test_a_brush_in_three_dimensions_is_centred_on_the_slice_in_view(paint_at, place):
    painter = paint_at(place)
    painter.layer.n_edit_dimensions = 3
    index = painter.hard_indices(0)[0]
    painter.go_to(0, index)
    painter.layer.mode = "paint"
    painter.layer.brush_size = 7
    painter.mouse.click([index, 12, 20])
    slices = painter.painted(0)
    assert (slices[0] + slices[-1]) / 2 == index


@pytest.mark.parametrize("place", PLACES)
def test_picking_takes_the_label_of_the_slice_in_view(paint_at, place):
    painter = paint_at(place)
    index = painter.hard_indices(0)[0]
    painter.labels[index] = 2
    painter.go_to(0, index)
    painter.layer.mode = "pick"
    painter.mouse.click([index, 12, 20])
    assert painter.layer.selected_label == 2
