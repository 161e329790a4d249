"""Brings maps from one grid over a volume to another: linear between points, the mean of blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Shape
from napari_sortingloss.localize.grid import Grid

Floats = NDArray[np.float32]


def resample(values: Floats, grid: Grid, onto: Grid) -> Floats:
    """Interpolate a map linearly at the points of another grid; beyond its ends it goes on as it ended.

    Parameters
    ----------
    values : ndarray of float32, shape ``grid.shape``
    grid, onto : Grid
        Of the same volume.

    Returns
    -------
    ndarray of float32, shape ``onto.shape``
    """
    for axis in range(3):
        place = (onto.voxels(axis) - grid.offset[axis]) / grid.scale[axis]
        place = np.clip(place, 0, grid.shape[axis] - 1)
        low = np.minimum(place.astype(np.intp), max(grid.shape[axis] - 2, 0))
        high = np.minimum(low + 1, grid.shape[axis] - 1)
        share = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return np.ascontiguousarray(values, dtype=np.float32)


def block_mean(values: NDArray[np.generic], grid: Grid, step: Shape) -> tuple[Floats, Grid]:
    """Average blocks of `step` points along each axis; a block that is cut short averages what is there.

    Parameters
    ----------
    values : ndarray, shape ``grid.shape``
    grid : Grid
    step : tuple of int

    Returns
    -------
    ndarray of float32
    Grid
        On which it lies.
    """
    found = values.astype(np.float32)
    for axis, size in enumerate(step):
        if size > 1:
            starts = np.arange(0, found.shape[axis], size)
            lengths = np.diff(np.append(starts, found.shape[axis])).astype(np.float32)
            found = np.add.reduceat(found, starts, axis=axis)
            found /= lengths.reshape([-1 if a == axis else 1 for a in range(3)])
    z, y, x = found.shape
    scale, offset = zip(
        *((s * n, o + s * (n - 1) / 2) for s, o, n in zip(grid.scale, grid.offset, step, strict=True)),
        strict=True,
    )
    return found, Grid((z, y, x), scale, offset)


def step_for(shape: Shape, voxel_size: tuple[float, float, float], most: int) -> Shape:
    """Return by how many points to average along each axis so that at most `most` are left, about isotropic.

    The axis whose points lie closest is halved first.
    """
    step = [1, 1, 1]
    while np.prod([-(-n // s) for n, s in zip(shape, step, strict=True)]) > most:
        spacing = [v * s if n > s else np.inf for v, s, n in zip(voxel_size, step, shape, strict=True)]
        step[int(np.argmin(spacing))] *= 2
    return step[0], step[1], step[2]
