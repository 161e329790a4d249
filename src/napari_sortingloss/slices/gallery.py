"""Draws what an augmentation does to slices, as one picture for the documentation and for checking by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices import AugmentLevel
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.slices.loader import step_rng

GAP = 4
"""Pixels between two slices."""


def gallery(
    images: Sequence[NDArray[np.uint8]], level: AugmentLevel, seed: int, copies: int = 6
) -> NDArray[np.uint8]:
    """Return a picture with one row a slice: the slice itself on the left, changed copies beside it.

    Parameters
    ----------
    images : sequence of ndarray of uint8, each of shape (size, size)
        The slices, at least one, all of one size.
    level : {"none", "normal", "tough"}
        The augmentation to show.
    seed : int
        Equal seeds give equal pictures.
    copies : int
        How many changed copies of each slice.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        On white; the gap after the first column is three times as wide.
    """
    augmenter = Augmenter(level)
    size = images[0].shape[0]
    pitch = size + GAP
    picture = np.full((len(images) * pitch + GAP, (1 + copies) * pitch + 3 * GAP), 255, np.uint8)
    for row, image in enumerate(images):
        top = GAP + row * pitch
        picture[top : top + size, GAP : GAP + size] = image
        for copy in range(copies):
            left = 3 * GAP + (1 + copy) * pitch
            picture[top : top + size, left : left + size] = augmenter(image, step_rng(seed, row, copy))
    return picture
