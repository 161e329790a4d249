"""Scores a segmenter on some slices of volumes in memory, writing nothing: confusion counts, IoU and Dice per class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadInput
from napari_sortingloss.study.references import FOLDER
from napari_sortingloss.study.schema import AXES

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

AT_ONCE = 16
"""Slices that are read, predicted and counted together."""

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]
"""Pixels by true class (rows) and said class (columns); the first of each is the background."""


class Predicts(Protocol):
    """What scoring needs of a segmenter."""

    def predict(self, slices: Bytes, spacing: tuple[float, float], unit: str) -> NDArray[np.float32]:
        """Return probabilities, shape (n, 1 + classes, h, w), for slices of shape (n, h, w)."""


class Reference:
    """The reference labels of a volume, read slice by slice.

    Parameters
    ----------
    volume : Volume

    Raises
    ------
    BadInput
        If the study has none for it.
    """

    def __init__(self, volume: Volume) -> None:
        import zarr

        what = f"Cannot score against the reference of '{volume.name}'"
        path = volume.study.path / FOLDER / f"{volume.record.reference}.zarr"
        if volume.record.reference is None or not path.is_dir():
            raise BadInput(
                what, "the study has none", "add the volume together with its labels, or leave it out"
            )
        try:
            self._array: Any = zarr.open_array(path / "0", mode="r")
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(what, f"it cannot be read ({error})", "add the volume again") from error
        if tuple(self._array.shape) != tuple(volume.shape):
            raise BadInput(what, "it has another shape than the volume", "add the volume again")
        self._across = AXES.index(volume.axis)
        self._rows = max(1, int(self._array.chunks[self._across]))

    def slices(self, indices: Sequence[int]) -> NDArray[np.unsignedinteger[Any]]:
        """Return the labels of slices across the ordering axis, by array index; shape (n, h, w)."""
        parts: list[NDArray[Any]] = []
        at = 0
        wanted = [int(i) for i in indices]
        while at < len(wanted):  # neighbours lie in the same chunks: unpack those once
            row = wanted[at] // self._rows
            end = at
            while end < len(wanted) and wanted[end] // self._rows == row:
                end += 1
            low, high = min(wanted[at:end]), max(wanted[at:end]) + 1
            block = np.moveaxis(self._array[self._span(low, high)], self._across, 0)
            parts.append(block[[i - low for i in wanted[at:end]]])
            at = end
        if not parts:
            h, w = (n for axis, n in enumerate(self._array.shape) if axis != self._across)
            return np.empty((0, h, w), self._array.dtype)
        return np.concatenate(parts)

    def _span(self, low: int, high: int) -> tuple[slice, ...]:
        return tuple(slice(low, high) if axis == self._across else slice(None) for axis in range(3))

    def present(self, values: Sequence[int]) -> NDArray[np.bool_]:
        """Return for every slice across the ordering axis whether it shows one of these labels."""
        n = self._array.shape[self._across]
        found = np.zeros(n, bool)
        for low in range(0, n, self._rows):
            high = min(low + self._rows, n)
            block = np.moveaxis(self._array[self._span(low, high)], self._across, 0)
            found[low:high] = np.isin(block, values).any(axis=(1, 2))
        return found

    def labels(self) -> list[int]:
        """Return the labels that occur, 0 left out, ascending."""
        found: set[int] = set()
        for low in range(0, self._array.shape[0], AT_ONCE):
            found |= set(np.unique(self._array[low : low + AT_ONCE]).tolist())
        return sorted(found - {0})


def as_classes(labels: NDArray[Any], values: Sequence[int]) -> NDArray[np.intp]:
    """Return 0 for the background and k + 1 where a label is ``values[k]``; other labels count as background."""
    table = np.zeros(int(max([*values, int(labels.max(initial=0))])) + 1, np.intp)
    table[list(values)] = np.arange(1, len(values) + 1)
    return table[labels]


def confusion(true: NDArray[np.intp], said: NDArray[np.intp], classes: int) -> Counts:
    """Count pixels by true and said class.

    Parameters
    ----------
    true, said : ndarray of int, of one shape
        0 is the background.
    classes : int
        How many there are besides it.

    Returns
    -------
    ndarray of int, shape (1 + classes, 1 + classes)
    """
    side = classes + 1
    counts: Counts = np.bincount((true * side + said).ravel(), minlength=side * side).reshape(side, side)
    return counts


def predicted_counts(
    segmenter: Predicts, images: Bytes, labels: NDArray[Any], volume: Volume, values: Sequence[int]
) -> Counts:
    """Predict slices and compare them with their reference labels.

    Parameters
    ----------
    segmenter : Predicts
        Its channels are the background and the classes of `values`, in that order.
    images, labels : ndarray, shape (n, h, w)
    volume : Volume
        Whose slices they are.
    values : sequence of int
        The label of each class.
    """
    total = np.zeros((len(values) + 1,) * 2, np.int64)
    for start in range(0, len(images), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        probabilities = segmenter.predict(images[part], volume.slice_voxel_size, volume.unit)
        said = probabilities.argmax(axis=1)
        total += confusion(as_classes(labels[part], values), said, len(values))
    return total


def score_volume(
    segmenter: Predicts, volume: Volume, positions: Sequence[int], values: Sequence[int]
) -> Iterator[Counts]:
    """Read, predict and count slices of a volume, a few at a time; yields the counts of each few.

    Parameters
    ----------
    segmenter : Predicts
    volume : Volume
        With reference labels.
    positions : sequence of int
        Along the ordering axis, in the ordering direction.
    values : sequence of int
        The label of each class, in the order of the segmenter's channels.
    """
    reference = Reference(volume)
    for start in range(0, len(positions), AT_ONCE):
        part = [int(p) for p in positions[start : start + AT_ONCE]]
        images = volume.read_slices(part)
        labels = reference.slices([volume.index_of(p) for p in part])
        yield predicted_counts(segmenter, images, labels, volume, values)


def iou(counts: Counts) -> NDArray[np.float64]:
    """Return the IoU of each class but the background; NaN where it is neither true nor said anywhere."""
    hit = np.diag(counts)[1:].astype(float)
    union = counts.sum(axis=0)[1:] + counts.sum(axis=1)[1:] - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)


def dice(counts: Counts) -> NDArray[np.float64]:
    """Return the Dice coefficient of each class but the background; NaN where there is nothing of it."""
    hit = np.diag(counts)[1:].astype(float)
    both = (counts.sum(axis=0) + counts.sum(axis=1))[1:].astype(float)
    return np.divide(2 * hit, both, out=np.full(len(hit), np.nan), where=both > 0)


def mean_over_volumes(counts: Sequence[Counts], of: Any = iou) -> NDArray[np.float64]:
    """Return each class's mean over the volumes in which it occurs, shape (classes,); NaN where it never does."""
    values = np.array([of(one) for one in counts])
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))
