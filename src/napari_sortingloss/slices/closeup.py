"""Close-ups: the same part of several slices, nearer than the whole, where there is something to see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices.reader import MILLIMETRES, SliceVolume, load_slices

OVERVIEW = 32
"""Side in pixels of the small copies by which a place is chosen."""

NEAR_ENOUGH = 1.05
"""Below this factor a close-up is the whole slice."""


class PartOf:
    """One rectangle of every slice of a volume; what `load_slices` needs of a volume.

    Parameters
    ----------
    slices : SliceVolume
        The whole slices.
    rows, columns : slice
        The rectangle in voxels, inside the slices.

    Attributes
    ----------
    slice_shape, slice_voxel_size, unit
        As in `SliceVolume`.
    """

    def __init__(self, slices: SliceVolume, rows: slice, columns: slice) -> None:
        self._slices, self._rows, self._columns = slices, rows, columns
        self.unit = slices.unit
        self.slice_shape: tuple[int, int] = (rows.stop - rows.start, columns.stop - columns.start)
        self.slice_voxel_size: tuple[float, float] = slices.slice_voxel_size

    def read_slices(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the rectangle of the slices at these positions, shape (n, h, w)."""
        return self._slices.read_slices(positions)[:, self._rows, self._columns]


def draw_zoom(rng: np.random.Generator, most: float) -> float:
    """Draw a magnification from 1 to `most`, every doubling as likely as the next; 1 draws nothing."""
    return float(most ** rng.random()) if most > 1 else 1.0


def load_closeup(
    volume: SliceVolume,
    positions: Sequence[int] | NDArray[np.intp],
    size: int,
    field: float,
    zoom: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Read the same part of several slices, magnified, and fit each to a square.

    All slices show the same place, so that only what is in them tells their order. The place is drawn with a
    probability that grows with its mean grey value over the slices, so that close-ups seldom show nothing.

    Parameters
    ----------
    volume : SliceVolume
    positions : sequence of int
        Which slices, in the order wanted.
    size : int
        Side of the square in pixels.
    field : float
        Side of the square in mm before magnification; 0 where each volume fills the square.
    zoom : float
        The square shows a part whose side is 1 / `zoom` of that.
    rng : numpy.random.Generator
        Where the place comes from.

    Returns
    -------
    ndarray of uint8, shape (len(positions), size, size)
    """
    if zoom < NEAR_ENOUGH:
        return load_slices(volume, positions, size, field)
    millimetres = MILLIMETRES.get(volume.unit, 0.0)
    lengths = [n * s for n, s in zip(volume.slice_shape, volume.slice_voxel_size, strict=True)]
    whole = field / millimetres if millimetres and field else max(lengths)
    side = whole / zoom
    down, across = _place(load_slices(volume, positions, OVERVIEW).mean(axis=0), rng)
    longer = max(lengths)
    parts: list[slice] = []
    for share, n, spacing, length in zip(
        (down, across), volume.slice_shape, volume.slice_voxel_size, lengths, strict=True
    ):
        kept = min(n, max(1, round(side / spacing)))
        # The overview is a centred square of the longer side: from there back to voxels.
        centre = ((share - 0.5) * longer + 0.5 * length) / spacing
        start = min(max(0, round(centre - kept / 2)), n - kept)
        parts.append(slice(start, start + kept))
    near = PartOf(volume, parts[0], parts[1])
    return load_slices(near, positions, size, side * millimetres)


def _place(overview: NDArray[np.floating], rng: np.random.Generator) -> tuple[float, float]:
    """Draw a place of a picture by its grey values above the median; from 0 to 1 down and across."""
    weights = np.clip(overview - np.median(overview), 0, None).ravel()
    total = float(weights.sum())
    if total <= 0:
        return float(rng.random()), float(rng.random())
    row, column = divmod(int(rng.choice(weights.size, p=weights / total)), overview.shape[1])
    inside = rng.random(2)
    return (row + float(inside[0])) / overview.shape[0], (column + float(inside[1])) / overview.shape[1]
