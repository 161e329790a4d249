"""Fits a slice of any size and voxel size into the square the network sees, without distorting the specimen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def fitted_shape(
    shape: tuple[int, int], spacing: tuple[float, float], size: int, field: float = 0.0
) -> tuple[int, int]:
    """Return the height and width in pixels that a slice takes up inside the square.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the slice in voxels.
    spacing : tuple of float
        Height and width of one voxel, in any common unit.
    size : int
        Side of the square in pixels.
    field : float
        Side of the square in the unit of `spacing`; a slice that is longer fills the square all the same.

    Returns
    -------
    tuple of int
        Without a `field`, the physically longer side is `size` and the other in proportion; at least 1 each.
    """
    height, width = shape[0] * spacing[0], shape[1] * spacing[1]
    longer = max(height, width, field)
    return max(1, round(size * height / longer)), max(1, round(size * width / longer))


def fit_slice(
    image: NDArray[np.uint8], spacing: tuple[float, float], size: int, field: float = 0.0
) -> NDArray[np.uint8]:
    """Resize a slice isotropically and centre it on a black square.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w)
        The slice.
    spacing : tuple of float
        Height and width of one voxel, in any common unit; different values are evened out.
    size : int
        Side of the square in pixels.
    field : float
        Side of the square in the unit of `spacing`, see `fitted_shape`: with the same field, a millimetre is as many
        pixels in one volume as in another.

    Returns
    -------
    ndarray of uint8, shape (size, size)
        A new array. Shrinking averages (no aliasing), enlarging interpolates linearly.

    Raises
    ------
    ValueError
        If the slice is empty or a spacing is not a positive number.
    """
    if image.ndim != 2 or 0 in image.shape or not all(0 < s < math.inf for s in spacing):
        raise ValueError(f"cannot fit a slice of shape {image.shape} with voxels of {spacing}")
    h, w = fitted_shape((image.shape[0], image.shape[1]), spacing, size, field)
    square = np.zeros((size, size), np.uint8)
    top, left = (size - h) // 2, (size - w) // 2
    square[top : top + h, left : left + w] = resize(image, h, w)
    return square


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a slice in another number of pixels: shrinking averages (no aliasing), enlarging interpolates linearly."""
    import cv2

    resized = np.ascontiguousarray(image)
    # Averaging is only right along a shrinking side, and OpenCV averages only where no side grows: first shrink
    # what shrinks, then enlarge what grows.
    inner = min(height, image.shape[0]), min(width, image.shape[1])
    if inner != resized.shape:
        resized = cv2.resize(resized, inner[::-1], interpolation=cv2.INTER_AREA)
    if (height, width) != resized.shape:
        resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)
