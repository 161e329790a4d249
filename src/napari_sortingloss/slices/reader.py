"""Reads slices of a study's volume and fits them to the network's square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices.fit import fit_slice

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

    def read_slices(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the slices at these positions along the ordering axis, shape (n, h, w)."""


def load_slices(
    volume: SliceVolume, positions: Sequence[int] | NDArray[np.intp], size: int
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

    Returns
    -------
    ndarray of uint8, shape (len(positions), size, size)
        The slices as `fit_slice` gives them. Memory stays bounded whatever the size of the volume.
    """
    wanted = [int(p) for p in positions]
    fitted = np.empty((len(wanted), size, size), np.uint8)
    height, width = volume.slice_shape
    at_once = max(1, BYTES_AT_ONCE // (height * width))
    for start in range(0, len(wanted), at_once):
        for offset, image in enumerate(volume.read_slices(wanted[start : start + at_once])):
            fitted[start + offset] = fit_slice(image, volume.slice_voxel_size, size)
    return fitted
