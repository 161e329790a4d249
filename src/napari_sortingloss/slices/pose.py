"""Shows the slices of a batch as if the specimen had been scanned turned, mirrored, and larger or smaller."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ZOOM = 1.5
"""The most by which a specimen is enlarged or reduced."""


def random_turn(rng: np.random.Generator, zoom: float, *, mirrored: bool = True) -> NDArray[np.float64]:
    """Draw a turn by any angle, a change of size and, in half of the cases, a mirroring.

    Parameters
    ----------
    rng : numpy.random.Generator
    zoom : float
        The size changes by a factor from 1/zoom to zoom, both equally likely.
    mirrored : bool
        Whether to mirror at all.

    Returns
    -------
    ndarray, shape (2, 2)
        The linear map of (x, y).
    """
    angle = rng.uniform(-math.pi, math.pi)
    factor = math.exp(rng.uniform(-1, 1) * math.log(zoom))
    mirror = -1.0 if rng.random() < 0.5 and mirrored else 1.0
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    return np.array([[mirror * cos, sin], [-mirror * sin, cos]])


def random_pose(rng: np.random.Generator, size: int, zoom: float = ZOOM) -> NDArray[np.float64]:
    """Draw a turn by any angle, a mirroring (or none) and a change of size, about the centre of a square.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Side of the square in pixels.
    zoom : float
        The size changes by a factor from 1/zoom to zoom, both equally likely.

    Returns
    -------
    ndarray, shape (2, 3)
        The affine map of (x, y) pixels, as OpenCV takes it.
    """
    turn = random_turn(rng, zoom)
    centre = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, centre - turn @ centre])


def in_pose(slices: NDArray[np.uint8], pose: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return all slices in one and the same pose; what comes in from outside is black.

    Parameters
    ----------
    slices : ndarray of uint8, shape (n, size, size)
    pose : ndarray, shape (2, 3)
        From `random_pose`.

    Returns
    -------
    ndarray of uint8, shape (n, size, size)
    """
    import cv2

    side = slices.shape[1:]
    return np.stack([np.asarray(cv2.warpAffine(s, pose, (side[1], side[0])), dtype=np.uint8) for s in slices])
