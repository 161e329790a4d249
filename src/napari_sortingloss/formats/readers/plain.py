"""Bare voxels: raw binary files whose shape a person gives, .npy files, and arrays that are already open."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadSetting, NeedsOption
from napari_sortingloss.formats.blocks import FileBlock, shortage
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.orientation import Layout
from napari_sortingloss.formats.refusals import (
    cannot_read,
    not_this_format,
    pick_axes,
    reading,
    refuse_dtype,
)
from napari_sortingloss.formats.source import Lookahead, VoxelSource
from napari_sortingloss.formats.stored import StoredSource
from napari_sortingloss.formats.units import geometry

_COMMON = ("uint8", "uint16", "float32", "float64")


def open_raw(path: Path, options: ReadOptions) -> StoredSource:
    """Open a raw binary file with the shape, type, offset and byte order of `options`.

    Raises
    ------
    BadInput
        If shape or type are not given, or the file's size does not fit them; the error says what would fit.
    """
    what = cannot_read(path)
    if options.raw_shape is None or options.raw_dtype is None:
        size = path.stat().st_size
        raise NeedsOption(
            what,
            f"a raw file ({size:,} bytes) does not say its own size and number type",
            "give the options raw-shape and raw-dtype, for example 300 512 512 (slices, rows, columns) and uint16",
        )
    if len(options.raw_shape) != 3 or min(options.raw_shape) < 1:
        raise BadSetting(
            f"Cannot use raw shape = {options.raw_shape}",
            "a volume has three sizes of at least 1",
            "give slices, rows and columns",
        )
    shape = options.raw_shape
    pick_axes(what, shape, "zyx")
    dtype = np.dtype(options.raw_dtype).newbyteorder(">" if options.raw_big_endian else "<")
    needed = math.prod(shape) * dtype.itemsize
    found = path.stat().st_size - options.raw_offset
    if found != needed:
        raise NeedsOption(
            what, shortage(shape, dtype, needed, found), _raw_advice(shape, dtype, found, options)
        )
    return StoredSource(
        FileBlock(path, options.raw_offset, shape, dtype),
        name=stem_of(path),
        path=path,
        format="raw voxels",
        metadata={"raw_offset": options.raw_offset, "raw_big_endian": options.raw_big_endian},
    )


def _raw_advice(shape: tuple[int, ...], dtype: np.dtype[Any], found: int, options: ReadOptions) -> str:
    plane = shape[1] * shape[2] * dtype.itemsize
    fits = [
        f"type {name}"
        for name in _COMMON
        if name != dtype.name and math.prod(shape) * np.dtype(name).itemsize == found
    ]
    if found > plane and found % plane == 0:
        fits.append(f"shape {found // plane} {shape[1]} {shape[2]}")
    extra = found - math.prod(shape) * dtype.itemsize
    if 0 < extra <= 2**16:
        fits.append(f"offset {options.raw_offset + extra}")
    if fits:
        return "what would fit: " + ", or ".join(fits)
    return "check the shape (slices, rows, columns), the number type and the offset"


def open_npy(path: Path, options: ReadOptions) -> StoredSource:
    """Open a .npy file without loading it.

    Raises
    ------
    BadInput
        If the file is damaged, cut off, not 3D, or holds objects.
    """
    what = cannot_read(path)
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise not_this_format(what, "NumPy .npy")
        file.seek(0)
        with reading(what):
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
        offset = file.tell()
    refuse_dtype(what, dtype)
    kept = pick_axes(what, shape)
    stored = tuple(shape[a] for a in kept)
    layout = Layout(order=(2, 1, 0)) if fortran else Layout()
    return StoredSource(
        FileBlock(path, offset, stored[::-1] if fortran else stored, dtype),
        name=stem_of(path),
        path=path,
        format="NumPy",
        layout=layout,
    )


class ArraySource(VoxelSource):
    """Anything with ``shape``, ``dtype`` and slicing: numpy, dask, zarr, h5py, a memory map."""

    def __init__(
        self,
        array: Any,
        *,
        axes: tuple[int, int, int],
        name: str,
        format: str,
        path: Path | None = None,
        **more: Any,
    ) -> None:
        self._array, self._axes = array, axes
        self._order = tuple(int(np.argsort(np.argsort(axes))[i]) for i in range(3))
        shape = tuple(int(array.shape[a]) for a in axes)
        dtype = np.dtype(array.dtype)
        depth = _chunk_depth(array, axes[0])
        super().__init__(
            name=name, path=path, format=format, shape=shape, dtype=dtype, together=depth, **more
        )
        refuse_dtype(self.what, dtype)
        slice_bytes = shape[1] * shape[2] * dtype.itemsize
        self._ahead = Lookahead.within_budget(self._fetch, shape[0], depth, slice_bytes)

    def _fetch(self, start: int, stop: int) -> np.ndarray:
        index: list[Any] = [0] * len(self._array.shape)
        for axis in self._axes:
            index[axis] = slice(None)
        index[self._axes[0]] = slice(start, stop)
        return np.asarray(self._array[tuple(index)]).transpose(self._order)

    def _read(self, start: int, stop: int) -> np.ndarray:
        return self._ahead.get(start, stop)


def _chunk_depth(array: Any, axis: int) -> int:
    """Return how many slices one chunk (or shard) of a chunked array holds, 1 for plain arrays."""
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not chunks:
        return 1
    depth = chunks[axis]
    return max(1, int(max(depth) if isinstance(depth, tuple) else depth))


def array_source(
    array: Any, name: str, voxel_size: tuple[float, float, float] | None = None, unit: str = ""
) -> VoxelSource:
    """Wrap an array or the data of a napari layer.

    Parameters
    ----------
    array : array-like
        (z, y, x), also with further axes of length 1; numpy, dask, zarr or anything that slices like them.
    name : str
        The suggested name of the volume.
    voxel_size : tuple of float, optional
        Along (z, y, x).
    unit : str
        The unit of `voxel_size`.

    Raises
    ------
    BadInput
        If it is 2D, 4D, colour, complex or one slice thick.
    """
    what = cannot_read(name)
    found = array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
    refuse_dtype(what, np.dtype(found.dtype))
    a, b, c = pick_axes(what, tuple(int(n) for n in found.shape))
    return ArraySource(found, axes=(a, b, c), name=name, format="array", geometry=geometry(voxel_size, unit))
