"""The box in a Shapes layer: seen in each of its slices and in 3D, dragged with the mouse, never lost."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.widgets.viewer.box_layer import BoxLayer, layer_order

SHAPE = (24, 18, 30)
VOXEL = (0.4, 0.25, 0.3)
OFFSET = (5, 7, 2)
BOX = ((4, 20), (3, 15), (6, 24))


def made(viewer: Any) -> SimpleNamespace:
    """Add a volume of three different voxel sizes that lies off the origin, and a box on it."""
    place = tuple(o * s for o, s in zip(OFFSET, VOXEL, strict=True))
    viewer.add_image(np.zeros(SHAPE, np.uint8), scale=VOXEL, translate=place, units=("mm",) * 3)
    layer = viewer.add_shapes(ndim=3, units=("mm",) * 3, opacity=1.0)
    box = BoxLayer(viewer, layer)
    told: list[Any] = []
    box.dragged.connect(told.append)
    box.show(BOX, SHAPE, VOXEL, OFFSET)
    return SimpleNamespace(viewer=viewer, layer=layer, box=box, told=told)


@pytest.fixture
def shown(viewer):
    parts = made(viewer)
    yield parts
    parts.box.detach()
    viewer.dims.ndisplay = 2


def seen(layer: Any) -> int:
    """Return how many shapes napari draws in the slice in view."""
    return int(np.count_nonzero(layer._data_view._displayed))


def corners(layer: Any, index: int = 0) -> np.ndarray:
    """Return the physical corners of a shape."""
    return np.array([layer.data_to_world(point) for point in layer.data[index]])


def slices_with_box(parts: Any, axis: int) -> list[int]:
    found = []
    for step in range(SHAPE[axis]):
        parts.viewer.dims.set_current_step(axis, step)
        if seen(parts.layer):
            found.append(step)
    return found


@pytest.mark.parametrize(("axis", "order"), [(0, (0, 1, 2)), (1, (1, 0, 2)), (2, (2, 0, 1)), (2, (2, 1, 0))])
def test_the_box_is_seen_in_each_of_its_slices_and_in_no_other(shown, axis, order):
    shown.viewer.dims.order = order
    assert slices_with_box(shown, axis) == list(range(*BOX[axis]))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_the_rectangle_lies_around_the_voxels_of_the_box_in_physical_units(shown, order):
    shown.viewer.dims.order = order
    for axis in order[1:]:
        low, high = BOX[axis]
        expected = [(OFFSET[axis] + low - 0.5) * VOXEL[axis], (OFFSET[axis] + high - 0.5) * VOXEL[axis]]
        found = corners(shown.layer)[:, axis]
        assert [found.min(), found.max()] == pytest.approx(expected)


def test_the_sliders_keep_to_the_slices_of_the_volume(shown):
    for ndisplay in (2, 3, 2):
        shown.viewer.dims.ndisplay = ndisplay
        shown.box.set_box(tuple((0, n) for n in SHAPE) if ndisplay == 3 else BOX)
        assert tuple(shown.viewer.dims.nsteps) == SHAPE
        starts = [axis.start for axis in shown.viewer.dims.range]
        assert starts == pytest.approx([o * s for o, s in zip(OFFSET, VOXEL, strict=True)])


def test_in_3d_there_are_six_faces_around_the_box(shown):
    shown.viewer.dims.ndisplay = 3
    assert shown.layer.nshapes == seen(shown.layer) == 6
    points = np.concatenate([corners(shown.layer, i) for i in range(6)])
    low = [(o + b[0] - 0.5) * s for o, b, s in zip(OFFSET, BOX, VOXEL, strict=True)]
    high = [(o + b[1] - 0.5) * s for o, b, s in zip(OFFSET, BOX, VOXEL, strict=True)]
    np.testing.assert_allclose(points.min(axis=0), low, rtol=1e-5)
    np.testing.assert_allclose(points.max(axis=0), high, rtol=1e-5)
    shown.viewer.dims.ndisplay = 2
    assert shown.layer.nshapes == 1


def test_the_line_keeps_the_looks_a_person_gave_it(shown):
    shown.layer.edge_color = "red"
    shown.layer.edge_width = 0.7
    shown.viewer.dims.ndisplay = 3
    shown.viewer.dims.ndisplay = 2
    shown.box.set_box(((5, 9), (2, 8), (3, 9)))
    np.testing.assert_allclose(shown.layer.edge_color, [[1, 0, 0, 1]])
    assert shown.layer.edge_width == [0.7]


def test_a_volume_of_four_dimensions_beside_it_changes_nothing(shown):
    shown.viewer.add_image(np.zeros((3, *SHAPE), np.uint8), scale=(1, *VOXEL), units=("mm",) * 4)
    for step in range(3):
        shown.viewer.dims.set_current_step(0, step)
        shown.viewer.dims.set_current_step(1, OFFSET[0] + 10)
        assert seen(shown.layer) == 1
    shown.viewer.dims.order = (0, 2, 1, 3)
    shown.viewer.dims.set_current_step(2, OFFSET[1] + 5)
    assert seen(shown.layer) == 1


def test_the_order_of_the_last_three_dimensions():
    assert layer_order((0, 1, 2)) == (0, 1, 2)
    assert layer_order((0, 3, 1, 2)) == (2, 0, 1)


def test_a_shape_that_was_changed_becomes_the_box_in_whole_voxels(shown):
    points = np.array(shown.layer.data[0])
    points[[2, 3], 1] += 1.2 * VOXEL[1] / max(VOXEL)
    shown.layer.data = [(points, "rectangle")]
    assert shown.told == [((4, 20), (3, 16), (6, 24))]
    assert shown.box.box == shown.told[0]
    found = corners(shown.layer)[:, 1]
    assert found.max() == pytest.approx((OFFSET[1] + 16 - 0.5) * VOXEL[1])


def test_a_change_of_less_than_a_voxel_snaps_back_in_silence(shown):
    before = np.array(shown.layer.data[0])
    shown.layer.data = [(before + np.array([0, 0.1, 0.1]), "rectangle")]
    assert shown.told == []
    np.testing.assert_allclose(shown.layer.data[0], before)


def test_a_deleted_rectangle_comes_back(shown, qtbot):
    shown.layer.selected_data = {0}
    shown.layer.remove_selected()
    qtbot.waitUntil(lambda: shown.layer.nshapes == 1)
    assert shown.box.box == BOX
    assert shown.told == []


def test_what_else_is_drawn_into_the_layer_goes_away_again(shown, qtbot):
    shown.layer.add(np.array([[0, 1, 1], [0, 1, 4], [0, 4, 4.0]]), shape_type="polygon")
    qtbot.waitUntil(lambda: shown.layer.nshapes == 1)
    assert list(shown.layer.shape_type) == ["rectangle"]
    assert shown.told == []


def test_without_a_box_there_is_nothing_and_nothing_breaks(shown):
    shown.box.set_box(NO_BOX)
    for ndisplay in (3, 2):
        shown.viewer.dims.ndisplay = ndisplay
        assert shown.layer.nshapes == 0
    shown.box.edit()
    shown.box.set_box(BOX)
    assert shown.layer.nshapes == 1


def test_selecting_survives_stepping_a_new_box_and_a_look_in_3d(shown):
    shown.box.edit()
    assert shown.viewer.layers.selection.active is shown.layer
    shown.viewer.dims.set_current_step(0, 8)
    shown.box.set_box(((4, 20), (3, 14), (6, 24)))
    assert (shown.layer.mode, set(shown.layer.selected_data)) == ("select", {0})
    shown.viewer.dims.ndisplay = 3
    shown.viewer.dims.ndisplay = 2
    assert (shown.layer.mode, set(shown.layer.selected_data)) == ("select", {0})


def test_who_chose_to_pan_is_left_panning(shown):
    shown.box.edit()
    shown.layer.mode = "pan_zoom"
    shown.viewer.dims.ndisplay = 3
    shown.viewer.dims.ndisplay = 2
    shown.box.set_box(((4, 20), (3, 14), (6, 24)))
    assert shown.layer.mode == "pan_zoom"


def test_stepping_through_the_slices_costs_nothing(shown):
    shown.viewer.dims.set_current_step(0, 8)
    start = time.perf_counter()
    for _ in range(200):
        shown.box._on_step()
    assert (time.perf_counter() - start) / 200 < 0.002


class Mouse:
    """Drags on the canvas of a viewer that is shown, with real mouse events."""

    def __init__(self, parts: Any, qtbot: Any) -> None:
        self.parts, self.qtbot = parts, qtbot
        self.canvas = parts.viewer.window._qt_viewer.canvas

    def at(self, voxel: tuple[float, float, float]) -> QPoint:
        """Return where a voxel index (z, y, x) is on the canvas."""
        layer = self.parts.layer
        world = [(o + v) * s for o, v, s in zip(OFFSET, voxel, VOXEL, strict=True)]
        point = layer.world_to_data(world)
        shown = list(layer_order(self.parts.viewer.dims.order)[1:])[::-1]
        node = self.canvas.layer_to_visual[layer].node
        mapped = node.transforms.get_transform("visual", "canvas").map([point[axis] for axis in shown])
        return QPoint(round(mapped[0] / mapped[3]), round(mapped[1] / mapped[3]))

    def drag(self, start: tuple[float, float, float], stop: tuple[float, float, float]) -> None:
        native, first, last = self.canvas.native, self.at(start), self.at(stop)
        self.qtbot.mouseMove(native, first)
        self.qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=first)
        for share in (0.3, 0.6, 1.0):
            self.qtbot.wait(30)  # vispy and napari leave out moves that follow too quickly
            where = QPointF(first) + (QPointF(last) - QPointF(first)) * share
            event = QMouseEvent(
                QEvent.Type.MouseMove,
                where,
                QPointF(native.mapToGlobal(where.toPoint())),
                Qt.MouseButton.NoButton,
                Qt.MouseButton.LeftButton,
                Qt.KeyboardModifier.NoModifier,
            )
            QApplication.sendEvent(native, event)
        self.qtbot.wait(30)
        self.qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=last)


@pytest.fixture
def mouse(own_viewer, qtbot):
    parts = made(own_viewer)
    own_viewer.window._qt_window.resize(1000, 760)
    own_viewer.show()
    qtbot.waitExposed(own_viewer.window._qt_window)
    parts.box.edit()
    yield Mouse(parts, qtbot)
    parts.box.detach()


def test_the_mouse_drags_corners_sides_and_the_whole_in_any_slice_and_any_view(mouse, qtbot):
    parts = mouse.parts
    moving: list[Any] = []
    parts.box.moving.connect(moving.append)

    def view(order: tuple[int, int, int], step: int) -> None:
        parts.viewer.dims.order = order
        parts.viewer.dims.set_current_step(order[0], step)
        parts.viewer.reset_view()
        qtbot.wait(30)

    view((0, 1, 2), 13)
    mouse.drag((13, 14.5, 23.5), (13, 16.6, 26.4))  # a corner
    assert parts.told == [((4, 20), (3, 17), (6, 27))]
    assert moving
    view((0, 1, 2), 7)
    mouse.drag((7, 9.5, 5.5), (7, 9.5, 9.6))  # a side
    assert parts.told[1:] == [((4, 20), (3, 17), (10, 27))]
    mouse.drag((7, 9, 14), (7, 9, 10.9))  # the whole
    assert parts.told[2:] == [((4, 20), (3, 17), (7, 24))]
    view((2, 0, 1), 11)
    mouse.drag((3.5, 2.5, 11), (5.6, 4.4, 11))  # across x
    assert parts.told[3:] == [((6, 20), (5, 17), (7, 24))]
    view((1, 0, 2), 9)
    mouse.drag((10, 9, 12), (12.1, 9, 12))  # the whole, across y
    assert parts.told[4:] == [((8, 22), (5, 17), (7, 24))]
    assert set(parts.layer.selected_data) == {0}
