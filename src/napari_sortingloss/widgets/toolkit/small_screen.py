"""Lets napari's window fit a small or magnified screen, where its own layer controls would push our buttons off it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea

LEAST_WIDTH, LEAST_HEIGHT = 1000, 640
"""With the controls of labels napari alone is 593 pixels high at least, and they make its column 350 wide."""
CONTROLS = "layer controls"
LEAST = 50
"""Pixels that napari's docks have at least."""


def fit_screen(window: QMainWindow) -> None:
    """Let napari's layer controls scroll where the screen is too small for them; harmless when repeated."""
    room = window.screen().availableSize()
    dock = window.findChild(QDockWidget, CONTROLS)
    if dock is None or (room.width() >= LEAST_WIDTH and room.height() >= LEAST_HEIGHT):
        return
    controls = dock.widget()
    if controls is None or isinstance(controls, QScrollArea):
        return
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    scroll.setWidget(controls)
    dock.setWidget(scroll)
    controls.show()
    dock.setMinimumSize(LEAST, LEAST)  # what it held before has set it
    dock.layout().invalidate()
    dock.layout().activate()
