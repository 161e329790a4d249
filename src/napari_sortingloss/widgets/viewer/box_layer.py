"""The box of a localisation as a Shapes layer: a rectangle in each of its slices, six faces in 3D, and draggable in 2D.

napari's shapes are planar and belong to one slice. So in 2D there is one rectangle whose layer is scaled along the
axis of the slider such that its single plane is as thick as the box: napari itself then shows it in all slices of the
box and in no other, and stepping through the slices costs nothing. It is drawn anew when the view is turned.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sortingloss.boxes import NO_BOX, Box, Shape
from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.box_geometry import box_from, faces, rectangle
from napari_sortingloss.widgets.viewer.view import go_to, layer_order, slice_in_view

EDGE = "#f0e442"
"""Yellow of the palette of Okabe and Ito; light enough for a CT, and for dark and light canvases with one in it."""
FACE_ALPHA = 0.06
THIN = 300
"""The longest side of the volume over the width of a line."""

_SAME = 1e-9


class BoxLayer:
    """Keeps one Shapes layer showing one box, and tells when a person drags it.

    Outside the slices of the box nothing is shown: what is seen there will be cut away. The lines are equally thick in
    all directions whatever the voxel size, since the layer counts in units of the longest side of a voxel.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Shapes
        A layer of ours. Whatever else is drawn into it is taken away again.

    Attributes
    ----------
    box : Box
        As it is shown.
    dragged : psygnal.Signal
        ``dragged(Box)``: the person let go of it in another place.
    moving : psygnal.Signal
        ``moving(Box)``: the person is dragging it; for what follows quickly.
    """

    dragged = Signal(object)
    moving = Signal(object)

    def __init__(self, viewer: Any, layer: Any) -> None:
        viewer = unwrap(viewer)
        self._viewer = weakref.ref(viewer)
        self.layer = layer
        self.box: Box = NO_BOX
        self._shape: Shape = (1, 1, 1)
        self._voxel_size: NDArray[np.float64] = np.ones(3)
        self._offset: NDArray[np.float64] = np.zeros(3)
        self._drawn: NDArray[np.float64] | None = None
        self._across: tuple[int, int] = (1, 2)
        self._styled: tuple[float, Any] | None = None
        self._busy = False
        self._thick = False
        self._selecting = layer.mode == "select"
        layer.events.data.connect(self._on_data)
        layer.events.mode.connect(self._on_mode)
        layer.mouse_drag_callbacks.insert(0, self._on_press)
        viewer.dims.events.order.connect(self._on_view)
        viewer.dims.events.ndisplay.connect(self._on_view)
        viewer.dims.events.point.connect(self._on_step)

    def detach(self) -> None:
        """Let go of the layer, which is no longer ours or no longer there."""
        viewer, layer = self._viewer(), self.layer
        layer.events.data.disconnect(self._on_data)
        layer.events.mode.disconnect(self._on_mode)
        if self._on_press in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_press)
        if viewer is not None:
            viewer.dims.events.order.disconnect(self._on_view)
            viewer.dims.events.ndisplay.disconnect(self._on_view)
            viewer.dims.events.point.disconnect(self._on_step)

    def show(
        self, box: Box, shape: Shape, voxel_size: Sequence[float], offset: Sequence[int] = (0, 0, 0)
    ) -> None:
        """Show a box of a volume.

        Parameters
        ----------
        box : Box
            In voxels of the volume; nothing is shown of `NO_BOX`.
        shape, voxel_size, offset : sequence
            Of the volume, (z, y, x); the offset in voxels.
        """
        self.box, self._shape = box, shape
        self._voxel_size = np.asarray(voxel_size, np.float64)
        self._offset = np.asarray(offset, np.float64)
        self._draw()

    def set_box(self, box: Box) -> None:
        """Show another box of the same volume."""
        if box != self.box:
            self.box = box
            self._draw()

    def edit(self) -> None:
        """Make the box ready to be dragged: its layer active, in selecting mode, with its handles shown."""
        viewer = self._viewer()
        if viewer is None or self.box == NO_BOX:
            return
        viewer.layers.selection.active = self.layer
        self._selecting = True
        self._select()

    def look_at(self) -> None:
        """Step to the middle of the box, if the slice in view is outside it."""
        viewer = self._viewer()
        if viewer is None or viewer.dims.ndisplay == 3 or self.box == NO_BOX:
            return
        axis, index, _ = slice_in_view(viewer, self.layer.units, self._voxel_size, self._offset)
        low, high = self.box[axis]
        if not low <= index < high:
            middle = (low + high - 1) // 2
            go_to(viewer, self.layer.units, self._voxel_size, self._offset, axis, middle)

    @property
    def _side(self) -> float:
        """The unit of the layer's coordinates."""
        return float(self._voxel_size.max())

    def _draw(self) -> None:
        viewer = self._viewer()
        if viewer is None or self.layer not in viewer.layers:
            return
        before, look = self.layer.nshapes, self._look()
        translate = self._offset * self._voxel_size
        scale = np.full(3, self._side)
        if self.box == NO_BOX:
            self._drawn, shapes = None, []
        elif viewer.dims.ndisplay == 3:
            self._drawn, shapes = None, faces(self.box, self._shape)
        else:
            slider, *across = layer_order(viewer.dims.order)
            self._across = across[0], across[1]
            self._drawn = rectangle(self.box, self._shape, self._across)
            shapes = [self._drawn]
            low, high = self.box[slider]
            scale[slider] = (high - low) * self._voxel_size[slider]
            translate[slider] += (low + high - 1) / 2 * self._voxel_size[slider]
        self._thick = True
        self._busy = True
        try:
            self._place(scale, translate)
            units = self._voxel_size / self._side
            self.layer.data = [(points * units, "rectangle") for points in shapes]
            if shapes and len(shapes) != before:
                self._restyle(look, len(shapes))
            self._select()
        finally:
            self._busy = False

    def _place(self, scale: NDArray[np.float64], translate: NDArray[np.float64]) -> None:
        """Move the layer without a word: drawing the shapes, or the axis being out of view, makes all others follow."""
        events = self.layer.events
        if np.abs(self.layer.scale - scale).max() > _SAME * self._side:
            with events.scale.blocker():
                self.layer.scale = scale
        if not np.array_equal(self.layer.translate, translate):
            with events.translate.blocker():
                self.layer.translate = translate

    def _look(self) -> tuple[float, Any]:
        """Return the line's width and colour, which a person may have changed."""
        layer = self.layer
        if layer.nshapes:
            self._styled = float(layer.edge_width[0]), np.array(layer.edge_color[0])
        if self._styled is not None:
            return self._styled
        side = max(n * s for n, s in zip(self._shape, self._voxel_size, strict=True))
        return side / THIN / self._side, EDGE

    def _restyle(self, look: tuple[float, Any], count: int) -> None:
        width, colour = look
        self.layer.edge_width = [width] * count
        self.layer.edge_color = colour
        face = np.array(self.layer.edge_color[0])
        face[3] = FACE_ALPHA if count > 1 else 0.0
        self.layer.face_color = face

    def _select(self) -> None:
        viewer = self._viewer()
        if viewer is None or viewer.dims.ndisplay == 3 or not self._selecting:
            return
        if self.layer.mode != "select":
            self.layer.mode = "select"
        self.layer.selected_data = {0} if self.layer.nshapes else set()

    def _on_view(self, event: object = None) -> None:
        self._draw()

    def _on_step(self, event: object = None) -> None:
        if not self._thick and self._drawn is not None:
            self._draw()

    def _on_mode(self, event: object = None) -> None:
        viewer = self._viewer()
        if viewer is not None and viewer.dims.ndisplay == 2 and not self._busy:
            self._selecting = self.layer.mode == "select"

    def _on_press(self, layer: Any, event: Any) -> Iterator[None]:
        """Put the rectangle into the very slice in view: napari finds a shape under the mouse in no other plane."""
        self._meet_slice()
        yield
        last = self.box
        while event.type == "mouse_move":
            now = self._read()
            if now is not None and now != last:
                last = now
                self.moving.emit(now)
            yield

    def _meet_slice(self) -> None:
        viewer = self._viewer()
        if viewer is None or self._drawn is None or not len(self.layer.data):
            return
        slider, index, point = slice_in_view(viewer, self.layer.units, self._voxel_size, self._offset)
        low, high = self.box[slider]
        if not low <= index < high:
            return
        translate = self._offset * self._voxel_size
        translate[slider] = point
        self._place(np.full(3, self._side), translate)
        self._thick = False

    def _read(self) -> Box | None:
        """Return the box that the rectangle stands for now."""
        if self._drawn is None or not self.layer.nshapes:
            return None
        points = np.asarray(self.layer.data[0], np.float64) * self._side / self._voxel_size
        return box_from(points, self._drawn, self.box, self._shape, self._across)

    def _on_data(self, event: Any) -> None:
        """Take over a rectangle that was dragged; bring back one that was deleted; take away what was added."""
        if self._busy:
            return
        action = str(getattr(event.action, "value", event.action))
        if action == "changed" and self.layer.nshapes == 1:
            box = self._read()
            changed = box is not None and box != self.box
            if box is not None:
                self.box = box
            self._draw()
            if changed:
                self.dragged.emit(self.box)
        elif action in ("added", "removed", "changed"):
            QTimer.singleShot(0, self._draw)  # napari is not done with the shape yet
