"""Halving a volume by averaging, one plane after the other, for the levels a viewer zooms through."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SMALLEST = 64
"""Levels are added until no side is longer than this many voxels."""

THIN = 32
"""A side this short is not halved any more while the others are: few slices stay all visible."""


def level_shapes(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return the shape of every level, the full one first; sides are halved and rounded up."""
    shapes = [shape]
    while max(shapes[-1]) > SMALLEST:
        z, y, x = (-(-n // 2) if n > THIN else n for n in shapes[-1])
        shapes.append((z, y, x))
    return shapes


def level_factors(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return how many voxels of the full level make one of each level, along each axis."""
    shapes = level_shapes(shape)
    factors = [(1, 1, 1)]
    for before, after in pairwise(shapes):
        z, y, x = (f * (2 if a < b else 1) for f, b, a in zip(factors[-1], before, after, strict=True))
        factors.append((z, y, x))
    return factors


def halve(planes: Bytes, axes: tuple[bool, bool, bool]) -> Bytes:
    """Average voxels in pairs.

    Parameters
    ----------
    planes : ndarray of uint8, shape (n, y, x)
        Two planes for each one wanted where the first axis is halved (the last may stand alone).
    axes : tuple of bool
        Which of (z, y, x) are halved.

    Returns
    -------
    ndarray of uint8
        Rounded means; at an odd end the last voxel stands for both.
    """
    for axis, halved in enumerate(axes):
        if halved and planes.shape[axis] % 2:
            planes = np.concatenate([planes, planes.take([-1], axis)], axis=axis)
    if not any(axes):
        return planes
    total = planes.astype(np.uint16) if not axes[0] else np.add(planes[0::2], planes[1::2], dtype=np.uint16)
    if axes[1]:
        total = total[:, 0::2] + total[:, 1::2]
    if axes[2]:  # neighbours along x are the two halves of one 32-bit number, which adds them without strides
        pairs = np.ascontiguousarray(total).view(np.uint32)
        total = ((pairs & 0xFFFF) + (pairs >> 16)).astype(np.uint16)
    count = sum(axes)
    total += 1 << (count - 1)
    total >>= count
    return total.astype(np.uint8)
