"""The generated sample study: six phantom fish as micro-CT would show them, with the exact truth about each."""

from __future__ import annotations

from napari_sortingloss.samples.phantoms import COUNT, SAMPLE_CLASSES, Phantom, make_phantom
from napari_sortingloss.samples.study import sample_study

__all__ = ["COUNT", "SAMPLE_CLASSES", "Phantom", "make_phantom", "sample_study"]
