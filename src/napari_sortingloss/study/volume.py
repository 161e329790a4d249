"""Read access to one stored volume: slices in any direction for training, slabs for export, a pyramid for viewing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box
from napari_sortingloss.disk.atomic import read_json
from napari_sortingloss.disk.lazy import LazyArray
from napari_sortingloss.disk.level import Level, damaged
from napari_sortingloss.disk.ome import PROVENANCE, level_transforms
from napari_sortingloss.errors import BadSetting, StudyError, UserError
from napari_sortingloss.study.schema import AXES, Axis, Direction, VolumeRecord

Bytes = NDArray[np.uint8]

IMAGE = "volumes/{}.zarr"
"""The path of a volume's image in its study, ``{}`` for its name."""


def volume_path(study: Path, name: str) -> Path:
    """Return where the OME-Zarr image of a volume lies, whether or not it exists."""
    return study / IMAGE.format(name)


class Volume:
    """One volume of a study, read only; many threads may read it at once.

    Parameters
    ----------
    study : Path
        The study's folder.
    record : VolumeRecord
        What the study said about it when it was opened; a later change of axis or direction needs a new `Volume`.

    Notes
    -----
    *Positions* count slices along the ordering axis in the ordering direction, *indices* count along the array. They
    differ where the direction is ``-``: position p is index n - 1 - p.
    """

    def __init__(self, study: Path, record: VolumeRecord) -> None:
        self.study, self.record = study, record

    def __repr__(self) -> str:
        return f"Volume({self.name!r}, shape={self.shape}, axis={self.axis}{self.direction})"

    @property
    def name(self) -> str:
        """The volume's name in the study."""
        return self.record.name

    @property
    def path(self) -> Path:
        """The folder of the OME-Zarr image."""
        return volume_path(self.study, self.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in voxels."""
        return self.record.shape

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """(z, y, x) in `unit`."""
        return self.record.voxel_size

    @property
    def unit(self) -> str:
        """The unit of length, empty where unknown."""
        return self.record.unit

    @property
    def axis(self) -> Axis:
        """The ordering axis."""
        return self.record.axis

    @property
    def direction(self) -> Direction:
        """Whether positions count along the array (``+``) or against it."""
        return self.record.direction

    @property
    def n_slices(self) -> int:
        """The number of slices along the ordering axis."""
        return self.shape[AXES.index(self.axis)]

    @property
    def spacing(self) -> float:
        """The distance between neighbouring slices along the ordering axis, in `unit`."""
        return self.voxel_size[AXES.index(self.axis)]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(h, w) of a slice across the ordering axis, in voxels."""
        h, w = (n for n, axis in zip(self.shape, AXES, strict=True) if axis != self.axis)
        return h, w

    @property
    def slice_voxel_size(self) -> tuple[float, float]:
        """(h, w) spacing of a slice across the ordering axis, in `unit`."""
        h, w = (s for s, axis in zip(self.voxel_size, AXES, strict=True) if axis != self.axis)
        return h, w

    def index_of(self, position: int) -> int:
        """Return the array index of a position along the ordering axis; its own inverse."""
        return self.n_slices - 1 - position if self.direction == "-" else position

    @cached_property
    def _group(self) -> tuple[dict[str, Any], list[Level]]:
        path = self.path
        try:
            attributes = read_json(path / "zarr.json")["attributes"]
            names = [dataset["path"] for dataset in attributes["ome"]["multiscales"][0]["datasets"]]
            stamp = str(attributes.get(PROVENANCE, {}).get("id", ""))
            levels = [Level(path / name, stamp) for name in names]
            if not levels or levels[0].shape != tuple(self.shape):
                raise ValueError(f"the stored shape is not {self.shape}")
        except UserError:
            raise
        except FileNotFoundError as error:
            raise StudyError(
                f"Cannot read volume '{self.name}'",
                f"its folder '{path}' is missing or incomplete",
                "put it back or remove the volume from the study and add it again",
            ) from error
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise damaged(path) from error
        return attributes, levels

    def read_slices(self, positions: Sequence[int] | NDArray[Any], axis: Axis | None = None) -> Bytes:
        """Read whole slices at full resolution.

        Parameters
        ----------
        positions : sequence of int
            Which slices. Along the ordering axis they count in the ordering direction; along the other two, where
            there is no direction, they are array indices.
        axis : {"z", "y", "x"}, optional
            Across which axis; the ordering axis if not given.

        Returns
        -------
        ndarray of uint8, shape (n, h, w)
            (y, x) across z, (z, x) across y, (z, y) across x.

        Raises
        ------
        BadSetting
            If a position is outside the volume or the axis is none.
        StudyError
            If the volume is missing or damaged.
        """
        axis = axis or self.axis
        if axis not in AXES:
            raise BadSetting(
                f"Cannot read volume '{self.name}'", f"'{axis}' is not an axis", "choose z, y or x"
            )
        across = AXES.index(axis)
        n = self.shape[across]
        wanted = np.asarray(positions, dtype=np.intp).ravel()
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < n):
            raise BadSetting(
                f"Cannot read volume '{self.name}'",
                f"there is no slice {next(int(p) for p in wanted if not 0 <= p < n)}",
                f"choose slices from 0 to {n - 1} along {axis}",
            )
        if axis == self.axis and self.direction == "-":
            wanted = n - 1 - wanted
        return self._group[1][0].read_slices(across, wanted.tolist())

    def read_slab(self, start: int, stop: int) -> Bytes:
        """Read slices `start` up to, not including, `stop` along the array's z axis, as stored.

        Returns
        -------
        ndarray of uint8, shape (stop - start, y, x)

        Raises
        ------
        BadSetting
            If the slab is outside the volume.
        StudyError
            If the volume is missing or damaged.
        """
        z, y, x = self.shape
        if not 0 <= start <= stop <= z:
            raise BadSetting(
                f"Cannot read volume '{self.name}'",
                f"there is no slab from {start} to {stop}",
                f"choose slices from 0 to {z}",
            )
        return self.read_box(((start, stop), (0, y), (0, x)))

    def read_box(self, box: Box) -> Bytes:
        """Read the voxels of a box, as stored.

        Parameters
        ----------
        box : Box
            Half-open intervals along (z, y, x), inside the volume.

        Raises
        ------
        StudyError
            If the volume is missing or damaged.
        """
        (z0, z1), (y0, y1), (x0, x1) = box
        return self._group[1][0].box((z0, y0, x0), (z1, y1, x1))

    @property
    def provenance(self) -> dict[str, Any]:
        """What the stored image says about its origin."""
        return dict(self._group[0].get(PROVENANCE, {}))

    def levels(self) -> list[Any]:
        """Return the levels as read-only `zarr.Array`, the full one first, for other programs' functions."""
        return [level.zarr for level in self._group[1]]

    def pyramid(self) -> list[LazyArray]:
        """Return the levels as lazy arrays (z, y, x) of uint8 for a viewer, the full one first.

        napari reads exactly the voxels it shows out of them: it would read whole chunks through dask, and whole
        stacks from a `zarr.Array`. ``dask.array.from_array`` takes them where dask is wanted.
        """
        return [LazyArray.of(level) for level in self._group[1]]

    @property
    def level_scales(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        """(scale, translation) of each level, (z, y, x) in `unit`; the centre of voxel 0 of the full level is 0."""
        factors = []
        for level in self._group[1]:
            factors.append([_factor(full, size) for full, size in zip(self.shape, level.shape, strict=True)])
        return level_transforms(self.voxel_size, factors)


def _factor(full: int, size: int) -> int:
    """How often a side was halved (rounding up) from `full` to `size`, as a factor."""
    factor = 1
    while -(-full // factor) > size:
        factor *= 2
    return factor
