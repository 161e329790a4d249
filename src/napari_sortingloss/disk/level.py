"""One level of a stored volume: whole slices and boxes out of its memory-mapped files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.atomic import read_json
from napari_sortingloss.disk.mapped_shards import DamagedShardError, ForeignShardError, copy_box, copy_slices
from napari_sortingloss.disk.shard_layout import Layout
from napari_sortingloss.errors import StudyError

Bytes = NDArray[np.uint8]


class Level:
    """One level of a volume, read only; many threads may read it at once.

    Parameters
    ----------
    folder : Path
        The folder of the level's Zarr array.
    stamp : str
        What tells this volume from an earlier one of the same name.

    Raises
    ------
    StudyError
        If the level is missing or damaged.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, folder: Path, stamp: str) -> None:
        self.folder, self._stamp = folder, stamp
        try:
            metadata = read_json(folder / "zarr.json")
            self._layout = Layout.from_metadata(metadata)
            z, y, x = (int(n) for n in metadata["shape"])
        except (OSError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError) as error:
            raise damaged(folder) from error
        self.shape: tuple[int, int, int] = (z, y, x)
        self._foreign = self._layout is None

    @property
    def layout(self) -> Layout | None:
        """How the voxels lie on disk; None where another program wrote them."""
        return self._layout

    @cached_property
    def zarr(self) -> Any:
        """The same level as a read-only `zarr.Array`."""
        import zarr

        return zarr.open_array(self.folder, mode="r")

    def read_slices(self, axis: int, indices: Sequence[int]) -> Bytes:
        """Return whole slices (n, h, w) across `axis` (0, 1 or 2 for z, y or x).

        Raises
        ------
        StudyError
            If the file is damaged.
        """
        h, w = (size for i, size in enumerate(self.shape) if i != axis)
        out = np.empty((len(indices), h, w), np.uint8)
        if self._layout is not None and not self._foreign:
            try:
                copy_slices(out, self.folder, self._stamp, self._layout, axis, indices)
                return out
            except ForeignShardError:
                self._foreign = True
            except (DamagedShardError, OSError) as error:
                raise damaged(self.folder) from error
        for target, index in zip(out, indices, strict=True):
            cut: list[int | slice] = [slice(None)] * 3
            cut[axis] = index
            target[...] = self._through_zarr(tuple(cut))
        return out

    def box(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Bytes:
        """Return the voxels from `start` up to, not including, `stop`, both (z, y, x).

        Raises
        ------
        StudyError
            If the file is damaged.
        """
        z, y, x = (max(0, e - s) for s, e in zip(start, stop, strict=True))
        for axis, n in enumerate((z, y, x)):
            if n == 1 and z * y * x == math.prod(self.shape) // self.shape[axis]:
                return np.expand_dims(self.read_slices(axis, [start[axis]])[0], axis)
        out = np.empty((z, y, x), np.uint8)
        if self._layout is not None and not self._foreign:
            try:
                copy_box(out, self.folder, self._stamp, self._layout, start)
                return out
            except ForeignShardError:
                self._foreign = True
            except (DamagedShardError, OSError) as error:
                raise damaged(self.folder) from error
        out[...] = self._through_zarr(tuple(slice(s, e) for s, e in zip(start, stop, strict=True)))
        return out

    def _through_zarr(self, cut: tuple[int | slice, ...]) -> Any:
        try:
            return self.zarr[cut]
        except Exception as error:
            raise damaged(self.folder) from error


def damaged(path: Path) -> StudyError:
    """Return the error of a stored image that cannot be read."""
    return StudyError(
        f"Cannot read '{path}'",
        "the stored volume is damaged or incomplete",
        "remove the volume from the study and add it again",
    )
