"""Keeps Mesa's software renderer alive where layers are removed: napari on a remote desktop or a virtual machine."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from napari_sortingloss.widgets.toolkit.theme import unwrap

_looked_after: weakref.WeakKeyDictionary[Any, _Calm] = weakref.WeakKeyDictionary()
"""Canvases whose renderer is known, with what is drawn first in them where that is Mesa's."""


def look_after_canvas(viewer: Any) -> None:
    """Begin each picture of a viewer's canvas with a program that draws nothing, if Mesa's software renderer draws it.

    With Mesa 22.3 and napari 0.9.2 the next picture after a layer was removed, by whomever, can end with a segmentation
    fault: where it was hidden or painted on, or several go at a time. The driver then still holds something of a program
    that was deleted with the layer. It lets go of it once any other program was drawn to the end.

    Parameters
    ----------
    viewer : napari.Viewer
        Nothing is done for a viewer without a window.
    """
    shown = getattr(getattr(unwrap(viewer), "window", None), "_qt_viewer", None)
    if shown is not None and shown.canvas._scene_canvas not in _looked_after:
        canvas = shown.canvas._scene_canvas
        _looked_after[canvas] = _Calm()
        canvas.events.draw.connect(_looked_after[canvas].begin, position="first")


class _Calm:
    """What is drawn before everything else in a canvas."""

    def __init__(self) -> None:
        self._needed: bool | None = None  # not known before there is something to draw on
        self._program: Any = None

    def begin(self, event: object = None) -> None:
        """Draw nothing, to the end."""
        from vispy import gloo

        if self._needed is None:
            self._needed = "llvmpipe" in str(gloo.gl.glGetParameter(gloo.gl.GL_RENDERER))
        if not self._needed:
            return
        if self._program is None:
            self._program = gloo.Program(
                "attribute vec2 point; void main() { gl_Position = vec4(point, 0.0, 1.0); }",
                "void main() { gl_FragColor = vec4(0.0); }",
            )
            self._program["point"] = np.zeros((3, 2), np.float32)
        self._program.draw("triangles")
        gloo.gl.glFinish()
