"""Views of a volume for reading: its slices along any of the three axes, and the square middle of each slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices.reader import SliceVolume
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume


class SlicesAlong:
    """The slices of a volume along one of its axes; what `load_slices` needs of a volume.

    Parameters
    ----------
    volume : Volume
    axis : {"z", "y", "x"}
        Slices across z are (y, x), across y (z, x), across x (z, y).

    Attributes
    ----------
    name : str
        The volume's name.
    n_slices : int
        How many slices there are along the axis.
    spacing : float
        The distance of neighbouring slices, in `unit`.
    slice_shape, slice_voxel_size, unit
        As in `SliceVolume`.

    Notes
    -----
    Positions along the volume's ordering axis count in its ordering direction; along the other two, which have none,
    they count along the array.

    Raises
    ------
    ValueError
        If there is no such axis.
    """

    def __init__(self, volume: Volume, axis: Axis) -> None:
        across = AXES.index(axis)
        rows, columns = (i for i in range(3) if i != across)
        self.volume, self.axis = volume, axis
        self.name = volume.name
        self.unit = volume.unit
        self.n_slices: int = volume.shape[across]
        self.spacing: float = volume.voxel_size[across]
        self.slice_shape: tuple[int, int] = (volume.shape[rows], volume.shape[columns])
        self.slice_voxel_size: tuple[float, float] = (volume.voxel_size[rows], volume.voxel_size[columns])

    def read_slices(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the slices at these positions, shape (n, h, w).

        Raises
        ------
        BadSetting
            If a position is outside the volume.
        StudyError
            If the volume is missing or damaged.
        """
        return self.volume.read_slices(positions, axis=self.axis)


class SquareOf:
    """A physically square part of every slice, as large as the slice's shorter side.

    Parameters
    ----------
    slices : SliceVolume
        The whole slices.
    at : float
        Where the square lies along the longer side: from 0, the first voxels, to 1, the last; 0.5 is the middle.

    Attributes
    ----------
    slice_shape, slice_voxel_size, unit
        As in `SliceVolume`. The voxel size is that of an exact square: it makes up for the rounding to whole voxels,
        so that the square is filled and no black edge comes into view.
    """

    def __init__(self, slices: SliceVolume, at: float = 0.5) -> None:
        self._slices = slices
        self.unit = slices.unit
        lengths = [n * s for n, s in zip(slices.slice_shape, slices.slice_voxel_size, strict=True)]
        parts: list[slice] = []
        for n, spacing in zip(slices.slice_shape, slices.slice_voxel_size, strict=True):
            kept = min(n, max(1, round(min(lengths) / spacing)))
            start = round(at * (n - kept))
            parts.append(slice(start, start + kept))
        self._rows, self._columns = parts
        self.slice_shape: tuple[int, int] = (
            self._rows.stop - self._rows.start,
            self._columns.stop - self._columns.start,
        )
        side = min(lengths)
        self.slice_voxel_size: tuple[float, float] = (side / self.slice_shape[0], side / self.slice_shape[1])

    def read_slices(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return that part of the slices at these positions, shape (n, h, w)."""
        return self._slices.read_slices(positions)[:, self._rows, self._columns]


def squares_across(slices: SliceVolume, overlap: float = 0.5) -> tuple[float, ...]:
    """Return where squares have to lie (`at` of `SquareOf`) so that together they cover whole slices.

    Parameters
    ----------
    slices : SliceVolume
    overlap : float
        Neighbours share at least this part of their side.

    Returns
    -------
    tuple of float
        From 0 to 1, evenly; (0.5,) for square slices.
    """
    height, width = (n * s for n, s in zip(slices.slice_shape, slices.slice_voxel_size, strict=True))
    rest = max(height, width) / min(height, width) - 1.0
    count = 1 + int(np.ceil(rest / (1 - overlap) - 0.02))  # a hair over is no reason for another
    return tuple(float(at) for at in np.linspace(0, 1, count)) if count > 1 else (0.5,)
