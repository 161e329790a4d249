"""Boxes and labels on their way between a volume and what was cut from it: whole voxels, exact both ways.

A crop's `VolumeRecord.offset` counts voxels of the original, the volume at the head of its line that was cut from
nothing; so a crop of a crop is placed like any other, and two crops of one original can be compared directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box, shifted, whole
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.study.schema import VolumeRecord

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

_SLAB_BYTES = 16 << 20


def box_in_original(record: VolumeRecord, box: Box) -> Box:
    """Return a box of a volume in the frame of the original that it was cut from; the same for an original."""
    return shifted(box, record.offset)


def box_in_parent(study: Study, record: VolumeRecord, box: Box) -> Box:
    """Return a box of a crop in the frame of the volume that it was cut from.

    Raises
    ------
    StudyError
        If it was cut from nothing, or that volume is not in the study any more.
    """
    parent = study.volumes.get(record.parent or "")
    if parent is None:
        raise StudyError(
            f"Cannot find a box of '{record.name}' in the volume it was cut from",
            f"the study has no '{record.parent}'" if record.parent else "it was cut from none",
            "use its place in the original, which it remembers",
        )
    return box_between(record, parent, box)


def box_between(record: VolumeRecord, other: VolumeRecord, box: Box) -> Box:
    """Return a box of one volume in the frame of another one of the same original; it may reach out of it."""
    return shifted(box, _between(record, other))


def box_in_crop(record: VolumeRecord, box: Box) -> Box:
    """Return the part of a box that a crop has, in the crop's own frame.

    Parameters
    ----------
    record : VolumeRecord
        Of the crop.
    box : Box
        In the frame of the original.

    Returns
    -------
    Box
        `NO_BOX` where the crop has nothing of it.
    """
    z, y, x = (
        (max(0, low - start), min(size, high - start))
        for (low, high), start, size in zip(box, record.offset, record.shape, strict=True)
    )
    return (z, y, x) if all(low < high for low, high in (z, y, x)) else NO_BOX


def place_in(record: VolumeRecord, target: VolumeRecord) -> Box:
    """Return the box of another volume of the same original that a crop covers.

    Raises
    ------
    BadSetting
        If the crop is not inside that volume.
    """
    box = box_between(record, target, whole(record.shape))
    for (low, high), size in zip(box, target.shape, strict=True):
        if not 0 <= low < high <= size:
            raise BadSetting(
                f"Cannot bring '{record.name}' into the frame of '{target.name}'",
                "it does not lie inside it",
                "choose the volume that it was cut from",
            )
    return box


def paste(labels: NDArray[Any], record: VolumeRecord, target: VolumeRecord) -> NDArray[Any]:
    """Return labels of a crop in the frame of the volume that it was cut from, 0 around them.

    Parameters
    ----------
    labels : ndarray, shape `record.shape`
    record, target : VolumeRecord
        Of the crop, and of its parent or any other volume of the same original that contains it.

    Returns
    -------
    ndarray of the same type, shape `target.shape`

    Raises
    ------
    BadSetting
        If the labels have another shape or the crop does not lie inside the target.
    """
    out = np.zeros(target.shape, labels.dtype)
    _check(labels, record)
    out[_cut(place_in(record, target))] = labels
    return out


def paste_slabs(labels: Any, record: VolumeRecord, target: VolumeRecord) -> Iterator[NDArray[Any]]:
    """Yield what `paste` returns slab by slab along z, in bounded memory.

    Parameters
    ----------
    labels : array-like, shape `record.shape`
        Anything that slices give numpy arrays of, e.g. a `zarr.Array`.
    record, target : VolumeRecord
        See `paste`.

    Raises
    ------
    BadSetting
        As `paste`, at once.
    """
    _check(labels, record)
    return _slabs(labels, place_in(record, target), target.shape)


def _slabs(labels: Any, box: Box, shape: tuple[int, int, int]) -> Iterator[NDArray[Any]]:
    (first, last), *across = box
    dtype = np.dtype(labels.dtype)
    for start, stop in steps(shape[0], slab_height(shape, dtype.itemsize, budget=_SLAB_BYTES)):
        slab = np.zeros((stop - start, *shape[1:]), dtype)
        low, high = max(start, first), min(stop, last)
        if low < high:
            inside = slice(low - start, high - start)
            slab[(inside, *_cut(across))] = np.asarray(labels[low - first : high - first])
        yield slab


def cut(labels: Any, record: VolumeRecord, target: VolumeRecord) -> NDArray[Any]:
    """Return the part of a larger volume's labels that a crop has: what `paste` undoes.

    Parameters
    ----------
    labels : array-like, shape `target.shape`
    record, target : VolumeRecord
        Of the crop, and of a volume of the same original that contains it.

    Raises
    ------
    BadSetting
        If the labels have another shape or the crop does not lie inside the target.
    """
    _check(labels, target)
    return np.asarray(labels[_cut(place_in(record, target))])


def _between(record: VolumeRecord, other: VolumeRecord) -> list[int]:
    return [a - b for a, b in zip(record.offset, other.offset, strict=True)]


def _cut(spans: Any) -> tuple[slice, ...]:
    return tuple(slice(low, high) for low, high in spans)


def _check(labels: Any, record: VolumeRecord) -> None:
    if tuple(labels.shape) != record.shape:
        theirs, ours = (" x ".join(map(str, s)) for s in (labels.shape, record.shape))
        raise BadSetting(
            f"Cannot use these labels for '{record.name}'",
            f"they have {theirs} voxels (z, y, x) and the volume {ours}",
            "give labels of this very volume",
        )
