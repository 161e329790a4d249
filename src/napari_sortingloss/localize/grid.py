"""Where the points of a coarse map lie in a volume: the one place that turns grid points into voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box, Shape
from napari_sortingloss.study.schema import Axis

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """A regular grid of points over a volume, in the order of its array (z, y, x), whatever its ordering direction.

    Attributes
    ----------
    shape : tuple of int
        Points along z, y and x.
    scale : tuple of float
        Voxels from one point to the next.
    offset : tuple of float
        Where the first point lies, in voxel indices (the centre of the first voxel is 0).
    """

    shape: Shape
    scale: Triple
    offset: Triple

    @classmethod
    def of_voxels(cls, shape: Shape, step: int = 1) -> Self:
        """Return the grid of blocks of `step` voxels a side that cover a volume of this shape."""
        z, y, x = (math.ceil(n / step) for n in shape)
        middle = (step - 1) / 2
        return cls((z, y, x), (float(step),) * 3, (middle,) * 3)

    def voxels(self, axis: int) -> NDArray[np.float64]:
        """Return where the points along one axis lie, in voxel indices."""
        return np.asarray(self.offset[axis] + self.scale[axis] * np.arange(self.shape[axis]), np.float64)

    def to_voxels(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the voxel indices of fractional grid points, shape (n, 3) in the order z, y, x."""
        return np.asarray(points, np.float64) * self.scale + self.offset

    def spacing(self, voxel_size: Triple) -> Triple:
        """Return the physical distance of the points."""
        z, y, x = (s * v for s, v in zip(self.scale, voxel_size, strict=True))
        return z, y, x

    def translate(self, voxel_size: Triple) -> Triple:
        """Return the physical place of the first point, the centre of the volume's first voxel being at 0."""
        z, y, x = (o * v for o, v in zip(self.offset, voxel_size, strict=True))
        return z, y, x

    def box_of(self, mask: NDArray[np.bool_], shape: Shape) -> Box:
        """Return the box of the voxels that a mask on the grid covers, each point standing for the cell around it.

        Parameters
        ----------
        mask : ndarray of bool, shape `shape` of the grid
        shape : tuple of int
            Of the volume; the box ends there at the latest.

        Returns
        -------
        Box
            `NO_BOX` where nothing is marked.
        """
        spans = []
        for axis in range(3):
            marked = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            if not len(marked):
                return NO_BOX
            half = self.scale[axis] / 2
            first = self.offset[axis] + self.scale[axis] * marked[0] - half + 0.5
            last = self.offset[axis] + self.scale[axis] * marked[-1] + half + 0.5
            low = int(np.clip(math.floor(first + 1e-6), 0, shape[axis] - 1))
            spans.append((low, int(np.clip(math.ceil(last - 1e-6), low + 1, shape[axis]))))
        return spans[0], spans[1], spans[2]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {"shape": list(self.shape), "scale": list(self.scale), "offset": list(self.offset)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(tuple(values["shape"]), tuple(values["scale"]), tuple(values["offset"]))


def in_array_order(along: float | int, across: tuple[float, float], axis: Axis) -> tuple[Any, Any, Any]:
    """Put a value along the ordering axis and the two of its slices (h, w) into the order z, y, x."""
    place = "zyx".index(axis)
    values = [across[0], across[1]]
    values.insert(place, along)
    return values[0], values[1], values[2]
