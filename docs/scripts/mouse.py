"""A real mouse and keyboard for the scripts that drive the window: events as a person's hand makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE, PLAIN = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
BETWEEN_MOVES = 12
"""Milliseconds; napari takes no two moves of the mouse within five."""


def click(widget: QWidget, where: QPoint | None = None) -> None:
    """Click on a widget that a person can see and press.

    Raises
    ------
    SystemExit
        If it is hidden or greyed.
    """
    if not widget.isVisible() or not widget.isEnabled():
        raise SystemExit(f"'{getattr(widget, 'text', str)()}' cannot be pressed: {widget.toolTip()}")
    QTest.mouseClick(widget, LEFT, PLAIN, where or widget.rect().center())


def type_into_focus(text: str = "", key: Qt.Key | None = None) -> None:
    """Type a text, or press a key, wherever the focus is."""
    focus = QApplication.focusWidget()
    if focus is None:
        raise SystemExit("nothing has the focus")
    if key is None:
        QTest.keyClicks(focus, text)
    else:
        QTest.keyClick(focus, key)


def drop(widget: QWidget, paths: Sequence[Path]) -> None:
    """Drag files over a widget and let go of them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    copy = Qt.DropAction.CopyAction
    middle = widget.rect().center()
    QApplication.sendEvent(widget, QDragEnterEvent(middle, copy, data, LEFT, PLAIN))
    QApplication.sendEvent(widget, QDropEvent(QPointF(middle), copy, data, LEFT, PLAIN))


class Canvas:
    """The mouse over the image, at voxels of a layer.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Labels
    """

    def __init__(self, viewer: Any, layer: Any) -> None:
        self._viewer, self._layer = viewer, layer
        self._canvas = viewer.window._qt_viewer.canvas

    @property
    def native(self) -> QWidget:
        """The widget the image is drawn in, which takes napari's keys."""
        return self._canvas.native

    def at(self, voxel: Sequence[float]) -> QPointF:
        """Return where a voxel (z, y, x) of the slice in view is drawn."""
        world = self._layer.data_to_world(voxel)
        row, column = (world[i] for i in self._viewer.dims.displayed)
        x, y = self._canvas.view.scene.transform.map([column, row])[:2]
        return QPointF(float(x), float(y))

    def move(self, voxel: Sequence[float], held: Qt.MouseButton = NONE) -> None:
        """Move the mouse to a voxel."""
        self._send(QEvent.Type.MouseMove, self.at(voxel), NONE, held)
        QTest.qWait(BETWEEN_MOVES)

    def click(self, voxel: Sequence[float], button: Qt.MouseButton = LEFT) -> None:
        """Press and release a button over a voxel."""
        self._send(QEvent.Type.MouseButtonPress, self.at(voxel), button, button)
        self._send(QEvent.Type.MouseButtonRelease, self.at(voxel), button, NONE)

    def double_click(self, voxel: Sequence[float]) -> None:
        """Press twice."""
        self._send(QEvent.Type.MouseButtonDblClick, self.at(voxel), LEFT, LEFT)
        self._send(QEvent.Type.MouseButtonRelease, self.at(voxel), LEFT, NONE)

    def drag(self, first: Sequence[float], last: Sequence[float], moves: int = 12) -> None:
        """Draw from one voxel to another."""
        self.move(first)
        self._send(QEvent.Type.MouseButtonPress, self.at(first), LEFT, LEFT)
        for share in np.linspace(1 / moves, 1, moves):
            self.move(np.asarray(first) + share * (np.asarray(last, float) - first), LEFT)
        self._send(QEvent.Type.MouseButtonRelease, self.at(last), LEFT, NONE)

    def outline(self, corners: Sequence[Sequence[float]]) -> None:
        """Click around an area with the polygon tool, and close it by a double click."""
        for corner in corners:
            self.click(corner)
        self.double_click(corners[-1])

    def _send(self, kind: QEvent.Type, where: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        native = self.native
        place = QPointF(native.mapToGlobal(where.toPoint()))
        QApplication.sendEvent(native, QMouseEvent(kind, where, place, button, held, PLAIN))
