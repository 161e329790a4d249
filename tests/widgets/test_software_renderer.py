"""A window drawn by the software renderer lives through the removal of layers."""

from __future__ import annotations

import subprocess
import sys

REMOVE = """
import time
import warnings
import napari
import numpy as np
from qtpy.QtWidgets import QApplication
from napari_sortingloss.widgets.session.session import session_of

viewer = napari.Viewer(show=True)
viewer.window._qt_window._save_current_window_settings = lambda: None
session_of(viewer)

def live(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.005)

volume = np.random.default_rng(0).integers(0, 255, (160, 80, 70)).astype(np.uint8)
viewer.add_image([volume, volume[::2, ::2, ::2]], multiscale=True)
for turn in range(2):
    labels = viewer.add_labels(np.zeros(volume.shape, np.uint8))
    labels.mode = "paint"
    live(0.4)
    if turn == 0:
        labels.visible = False
        live(0.4)
    viewer.layers.remove(labels)
    live(0.4)
    viewer.dims.set_point(0, 30 + turn)
    live(0.8)
viewer.close()
print("alive")
"""


def test_layers_that_are_hidden_or_painted_on_can_be_removed_at_once(qapp):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REMOVE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip().endswith("alive"), done.stderr
