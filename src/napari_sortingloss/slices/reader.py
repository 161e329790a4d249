"""Reads slices of a study's volume and fits them to the network's square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices.fit import fit_slice

MILLIMETRES = {
    "nm": 1e-6,
    "um": 1e-3,
    "µm": 1e-3,
    "micrometer": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "m": 1e3,
}
"""Millimetres in one unit of a volume's voxel size."""

MOST_UNLIKE = 3.0
"""Volumes whose sizes differ by more than this factor are not brought to one scale: the smallest would be lost."""

BYTES_AT_ONCE = 32 << 20
"""How much of a volume is held at full resolution while it is being fitted."""


class SliceVolume(Protocol):
    """What reading needs of a volume; `napari_sortingloss.study.Volume` is one."""

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Height and width of a slice in voxels."""

    @property
    def slice_voxel_size(self) -> tuple[float, float]:
        """Height and width of one voxel of a slice."""

    @property
    def unit(self) -> str:
        """The unit of the voxel size, empty where it is not known."""

    def read_slices(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the slices at these positions along the ordering axis, shape (n, h, w)."""


def field_of_view(volume: SliceVolume) -> float:
    """Return the longer side of a volume's slices in mm, 0 where the unit is not known."""
    height, width = (n * s for n, s in zip(volume.slice_shape, volume.slice_voxel_size, strict=True))
    return max(height, width) * MILLIMETRES.get(volume.unit, 0.0)


def common_field(volumes: Sequence[SliceVolume]) -> float:
    """Return a field of view in which the slices of all volumes have the same scale.

    Parameters
    ----------
    volumes : sequence of SliceVolume

    Returns
    -------
    float
        The longest side of all slices in mm; 0 where there is no common scale: a unit is not known, or the volumes are
        too unlike in size.
    """
    fields = [field_of_view(volume) for volume in volumes]
    if not fields or min(fields) <= 0 or max(fields) > MOST_UNLIKE * min(fields):
        return 0.0
    return max(fields)


def load_slices(
    volume: SliceVolume, positions: Sequence[int] | NDArray[np.intp], size: int, field: float = 0.0
) -> NDArray[np.uint8]:
    """Read slices and fit each to a square.

    Parameters
    ----------
    volume : SliceVolume
        Where to read; positions count along its ordering axis and direction.
    positions : sequence of int
        Which slices, in the order wanted.
    size : int
        Side of the square in pixels.
    field : float
        Side of the square in mm, so that all volumes have one scale; 0 lets each volume fill the square.

    Returns
    -------
    ndarray of uint8, shape (len(positions), size, size)
        The slices as `fit_slice` gives them. Memory stays bounded whatever the size of the volume.
    """
    wanted = [int(p) for p in positions]
    fitted = np.empty((len(wanted), size, size), np.uint8)
    height, width = volume.slice_shape
    at_once = max(1, BYTES_AT_ONCE // (height * width))
    millimetres = MILLIMETRES.get(volume.unit)
    side = field / millimetres if millimetres else 0.0
    for start in range(0, len(wanted), at_once):
        for offset, image in enumerate(volume.read_slices(wanted[start : start + at_once])):
            fitted[start + offset] = fit_slice(image, volume.slice_voxel_size, size, side)
    return fitted
