"""The generated sample study: six phantom fish as micro-CT would show them, with the exact truth about each."""

from __future__ import annotations

from napari_sortingloss.samples.phantoms import COUNT, SAMPLE_CLASSES, Phantom, make_phantom

__all__ = ["COUNT", "SAMPLE_CLASSES", "Phantom", "make_phantom"]
