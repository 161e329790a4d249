"""Coarse maps of float32 as OME-Zarr 0.5 images of one level that lie where they belong on their volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Shape
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.ome import group_metadata
from napari_sortingloss.errors import StudyError, readable_os_errors

Floats = NDArray[np.float32]
Grid = Mapping[str, Any]


class FloatMapWriter:
    """Writes one map, slab by slab along z; memory stays bounded by one row of chunks.

    Parameters
    ----------
    path : Path
        The folder of the image, which is made.
    shape : tuple of int
        Points along (z, y, x).
    grid : mapping
        ``{"shape", "scale", "offset"}`` in voxels of the volume, as ``Grid.to_json`` gives it.

    Raises
    ------
    OutOfSpace, UserError
        If the disk is full or fails.
    """

    def __init__(self, path: Path, shape: Shape, grid: Grid) -> None:
        from napari_sortingloss.formats.units import UNKNOWN
        from napari_sortingloss.formats.writers.sinks import ZarrSink

        z, y, x = (int(n) for n in shape)
        if list(grid["shape"]) != [z, y, x]:
            raise ValueError(f"a map of {(z, y, x)} points does not fit its grid {tuple(grid['shape'])}")
        self.path, self.shape, self.grid = path, (z, y, x), grid
        self._what = f"Cannot write '{path.name}'"
        self._done = 0
        with readable_os_errors(self._what):
            self._sink = ZarrSink(path, path.stem, self.shape, np.dtype(np.float32), UNKNOWN)

    @property
    def written(self) -> int:
        """How many slices along z have been written."""
        return self._done

    def write(self, start: int, slab: NDArray[np.floating[Any]]) -> None:
        """Write the next slices along z, shape (n, y, x); slabs come in order, without gaps."""
        if start != self._done or slab.shape[1:] != self.shape[1:] or start + len(slab) > self.shape[0]:
            raise ValueError(
                f"a slab {slab.shape} at slice {start} does not follow slice {self._done} of {self.shape}"
            )
        with readable_os_errors(self._what):
            self._sink.write(np.array(slab, np.float32, order="C"))  # the caller may use the array again
        self._done += len(slab)

    def finish(self, name: str, voxel_size: tuple[float, float, float], unit: str) -> None:
        """Say where the map lies, and see that it is complete."""
        if self._done != self.shape[0]:
            raise ValueError(f"only {self._done} of {self.shape[0]} slices of '{self.path.name}' came")
        with readable_os_errors(self._what):
            self._sink.close()
            place_map(self.path, name, self.grid, voxel_size, unit)


def place_map(path: Path, name: str, grid: Grid, voxel_size: tuple[float, float, float], unit: str) -> None:
    """Write the OME attributes of a map: where its points lie, in the frame and unit of its volume's image.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    document = group_metadata(name, voxel_size, unit, [(1, 1, 1)], {"kind": path.stem, "grid": dict(grid)})
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    del multiscale["type"], multiscale["metadata"]
    multiscale["datasets"][0]["coordinateTransformations"] = [
        {"type": kind, kind: [float(g) * s for g, s in zip(grid[key], voxel_size, strict=True)]}
        for kind, key in (("scale", "scale"), ("translation", "offset"))
    ]
    atomic.write_json(path / "zarr.json", document)


def read_float_map(path: Path) -> Floats:
    """Read a whole map.

    Raises
    ------
    StudyError
        If it is missing or damaged.
    """
    import zarr

    try:
        array: Any = zarr.open_array(path / "0", mode="r")
        return np.asarray(array[...], np.float32)
    except Exception as error:  # whatever zarr and its codecs raise at a broken file
        raise StudyError(
            f"Cannot read '{path}'",
            "the stored map is missing or damaged",
            "localise the volume again with this run",
        ) from error
