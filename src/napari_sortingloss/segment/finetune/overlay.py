"""Colours a slice by what its pixels are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices import IGNORE

OPACITY, UNKNOWN = 0.5, 0.4
"""How much of a class's colour there is, and how bright an unknown pixel stays."""


def overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8], colors: Sequence[str]) -> NDArray[np.uint8]:
    """Return a slice in grey with its classes in colour.

    Parameters
    ----------
    image, labels : ndarray of uint8, shape (h, w)
        Labels are 0 for background, k for class number k, ``IGNORE`` where nothing is known, which is darkened.
    colors : sequence of str
        ``"#rrggbb"`` of each class.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    shown = np.repeat(image[..., None].astype(np.float32), 3, axis=2)
    for number, color in enumerate(colors, start=1):
        rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        there = labels == number
        shown[there] = (1 - OPACITY) * shown[there] + OPACITY * rgb
    shown[labels == IGNORE] *= UNKNOWN
    return shown.astype(np.uint8)
