"""Reads the reference labels of a volume slab by slab, for scores and for the simulated annotator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, whole
from napari_sortingloss.disk.slabs import steps
from napari_sortingloss.errors import BadInput, StudyError
from napari_sortingloss.study.schema import AXES, Axis
from napari_sortingloss.study.volumes.references import FOLDER

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

LabelArray = NDArray[np.unsignedinteger[Any]]

SLAB_VOXELS = 8 << 20
"""So many voxels are in memory at a time."""

SLICES_VOXELS = 64 << 20
"""So many voxels of chosen slices are: across y and x, each reading goes through the whole volume."""


@dataclass
class Contents:
    """What a look at all reference labels of a volume finds.

    Attributes
    ----------
    labelled : ndarray of bool, shape (n,)
        Which slices across the axis have a label.
    values : list of int
        The labels, ascending, without 0.
    """

    labelled: NDArray[np.bool_]
    values: list[int] = field(default_factory=list)


class Reference:
    """The reference labels of one volume, read only.

    Parameters
    ----------
    volume : Volume
    array : zarr.Array
        (z, y, x), uint8 or uint16.
    """

    def __init__(self, volume: Volume, array: Any) -> None:
        self.volume, self._array = volume, array
        self.shape: tuple[int, int, int] = volume.shape
        self.dtype: np.dtype[Any] = array.dtype

    def read_box(self, box: Box) -> LabelArray:
        """Return the labels in a box.

        Raises
        ------
        StudyError
            If the stored labels are damaged.
        """
        try:
            found: LabelArray = self._array[tuple(slice(low, high) for low, high in box)]
        except Exception as error:  # whatever zarr raises at a broken chunk
            raise _damaged(self.volume) from error
        return found

    def slabs(self, axis: Axis = "z") -> Iterator[tuple[int, int]]:
        """Yield half-open intervals along an axis that read whole chunks and fit the memory."""
        across = AXES.index(axis)
        plane = math.prod(self.shape) // self.shape[across]
        deep = int(self._array.chunks[across])
        height = SLAB_VOXELS // plane
        height = height // deep * deep if height >= deep else max(1, height)
        yield from steps(self.shape[across], height)

    def read_slices(self, axis: Axis, indices: Sequence[int]) -> LabelArray:
        """Return slices (n, h, w) across an axis, indices counting along the array.

        Raises
        ------
        StudyError
            If the stored labels are damaged.
        """
        across = AXES.index(axis)
        sides = [n for i, n in enumerate(self.shape) if i != across]
        out = np.empty((len(indices), *sides), self.dtype)
        if across == 0:
            for target, index in zip(out, indices, strict=True):
                target[...] = self.read_box(((index, index + 1), *whole(self.shape)[1:]))[0]
            return out
        for start, stop in self.slabs():  # once through the volume, whatever the number of slices
            slab = self.read_box(((start, stop), *whole(self.shape)[1:]))
            out[:, start:stop] = np.moveaxis(slab.take(list(indices), across), across, 0)
        return out

    def each_slice(self, axis: Axis, indices: Sequence[int]) -> Iterator[tuple[int, LabelArray]]:
        """Yield (index, slice) for slices across an axis, a bounded number of which is in memory at a time.

        Raises
        ------
        StudyError
            If the stored labels are damaged.
        """
        plane = math.prod(self.shape) // self.shape[AXES.index(axis)]
        for start, stop in steps(len(indices), max(1, SLICES_VOXELS // plane)):
            part = indices[start:stop]
            yield from zip(part, self.read_slices(axis, part), strict=True)

    def contents(self, axis: Axis) -> Iterator[tuple[float, Contents]]:
        """Look at all labels, yielding the part done and what has been found so far; the last is the whole.

        Raises
        ------
        StudyError
            If the stored labels are damaged.
        """
        across = AXES.index(axis)
        found = Contents(np.zeros(self.shape[across], np.bool_))
        seen = np.zeros(1 << 16, np.bool_)
        for start, stop in self.slabs():
            slab = self.read_box(((start, stop), *whole(self.shape)[1:]))
            seen[slab] = True
            there = (slab != 0).any(axis=tuple(a for a in range(3) if a != across))
            if across == 0:
                found.labelled[start:stop] = there
            else:
                found.labelled |= there
            found.values = [int(v) for v in np.flatnonzero(seen) if v]
            yield stop / self.shape[0], found


def open_reference(volume: Volume, what: str) -> Reference:
    """Return the reference labels of a volume.

    Parameters
    ----------
    volume : Volume
    what : str
        What cannot be done without them, for the error's sentence.

    Raises
    ------
    BadInput
        If the volume has none, or their shape is not the volume's.
    StudyError
        If they are missing on disk or damaged.
    """
    name = volume.record.reference
    if name is None:
        raise BadInput(
            what,
            f"'{volume.name}' has no reference labels",
            "add it with its label file (option 'reference'), or leave it out",
        )
    import zarr

    try:
        array: Any = zarr.open_array(volume.study / FOLDER / f"{name}.zarr" / "0", mode="r")
        shape = tuple(int(n) for n in array.shape)
        if array.dtype.kind != "u" or array.dtype.itemsize > 2:
            raise ValueError(f"labels of the type {array.dtype}")
    except Exception as error:  # whatever zarr raises at a broken folder
        raise _damaged(volume) from error
    if shape != tuple(volume.shape):
        raise BadInput(
            what,
            f"the reference labels of '{volume.name}' have the shape {shape}, the volume {tuple(volume.shape)}",
            "remove the volume and add it again with the labels that belong to it",
        )
    return Reference(volume, array)


def _damaged(volume: Volume) -> StudyError:
    return StudyError(
        f"Cannot read the reference labels of '{volume.name}'",
        f"'{FOLDER}/{volume.record.reference}.zarr' is missing or damaged",
        "put it back, or remove the volume and add it again",
    )
