"""A box of voxels as planar shapes, and back from a shape that was dragged; knows neither Qt nor napari.

Corners are in voxel indices, where the centre of the first voxel is 0, so that a box from voxel 3 reaches from 2.5. At
the border of the volume it is drawn half a voxel further in, through the centres of the outermost voxels: a shape that
sticks out of the volume would move the first step of napari's sliders off the slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, Shape

NEAR = 0.01
"""Voxels within which two corners are the same; the corners of napari's shapes are float32."""

Span = tuple[int, int]


def edges_of(box: Box, shape: Shape) -> NDArray[np.float64]:
    """Return where the faces of a box are drawn, shape (3, 2), in voxel indices."""
    return np.array(
        [
            (max(low - 0.5, 0.0), min(high - 0.5, size - 1.0))
            for (low, high), size in zip(box, shape, strict=True)
        ]
    )


def rectangle(box: Box, shape: Shape, across: Sequence[int]) -> NDArray[np.float64]:
    """Return the four corners, shape (4, 3), of a box seen along one axis.

    Parameters
    ----------
    box : Box
    shape : tuple of int
        Of the volume.
    across : sequence of int
        The two axes of the plane; the third coordinate is 0.
    """
    edges = edges_of(box, shape)
    first, second = across
    corners = np.zeros((4, 3))
    corners[:, first] = edges[first][[0, 0, 1, 1]]
    corners[:, second] = edges[second][[0, 1, 1, 0]]
    return corners


def faces(box: Box, shape: Shape) -> list[NDArray[np.float64]]:
    """Return the six faces of a box, each of shape (4, 3)."""
    edges = edges_of(box, shape)
    made = []
    for axis in range(3):
        flat = rectangle(box, shape, [a for a in range(3) if a != axis])
        for place in edges[axis]:
            face = flat.copy()
            face[:, axis] = place
            made.append(face)
    return made


def box_from(
    points: NDArray[np.floating], drawn: NDArray[np.float64], box: Box, shape: Shape, across: Sequence[int]
) -> Box:
    """Return the box that a person made of a rectangle by dragging.

    A rectangle that was moved keeps its size, a corner that was moved by itself takes its two sides with it, and of
    anything else (turned, or with more or fewer corners) the bounds count. All is rounded to whole voxels and ends at
    the volume.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        The corners as they are now, in voxel indices.
    drawn : ndarray, shape (4, 3)
        The corners as `rectangle` drew them.
    box : Box
        What was drawn.
    shape : tuple of int
        Of the volume.
    across : sequence of int
        The two axes of the plane.
    """
    points = np.asarray(points, np.float64)
    plane = list(across)
    if len(points) == 4:
        moved = np.flatnonzero((np.abs(points - drawn)[:, plane] > NEAR).any(axis=1))
        if len(moved) == 1:
            points = np.stack([points[moved[0]], drawn[(moved[0] + 2) % 4]])
    spans = list(box)
    for axis in plane:
        now = float(points[:, axis].min()), float(points[:, axis].max())
        was = float(drawn[:, axis].min()), float(drawn[:, axis].max())
        spans[axis] = _span(now, was, box[axis], shape[axis])
    return spans[0], spans[1], spans[2]


def _span(now: tuple[float, float], was: tuple[float, float], span: Span, size: int) -> Span:
    low, high = span
    by_low, by_high = now[0] - was[0], now[1] - was[1]
    if abs(by_low - by_high) < NEAR:
        shift = int(np.clip(round((by_low + by_high) / 2), -low, size - high))
        return low + shift, high + shift
    if abs(by_low) > NEAR:
        low = round(now[0] + 0.5)
    if abs(by_high) > NEAR:
        high = round(now[1] + 0.5)
    low = int(np.clip(low, 0, size - 1))
    return low, int(np.clip(high, low + 1, size))
