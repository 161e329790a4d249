"""Scores a segmenter on some slices of volumes in memory, writing nothing: confusion counts, IoU and Dice per class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_sortingloss.segment.reference_labels import Reference
    from napari_sortingloss.study import Volume

AT_ONCE, PIXELS = 16, 4_000_000
"""Slices read, predicted and counted together: at most so many, and (but for a single one) at most so many pixels."""

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]
"""Pixels by true class (rows) and said class (columns); the first of each is the background."""


class HasValue(Protocol):
    """A label class."""

    @property
    def value(self) -> int:
        """Its label."""


class Predicts(Protocol):
    """What scoring needs of a segmenter."""

    @property
    def classes(self) -> Sequence[HasValue]:
        """What its channels 1, 2, ... stand for."""

    def predict(self, slices: Bytes, spacing: tuple[float, float], unit: str) -> NDArray[np.float32]:
        """Return probabilities, shape (n, 1 + classes, h, w), for slices of shape (n, h, w)."""


def as_classes(labels: NDArray[Any], values: Sequence[int]) -> NDArray[np.intp]:
    """Return 0 for the background and k + 1 where a label is ``values[k]``; other labels count as background."""
    table = np.zeros(int(max([*values, int(labels.max(initial=0))])) + 1, np.intp)
    table[list(values)] = np.arange(1, len(values) + 1)
    found: NDArray[np.intp] = table[labels]
    return found


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
        What it says of a class that is not in `values` counts as background.
    images, labels : ndarray, shape (n, h, w)
    volume : Volume
        Whose slices they are.
    values : sequence of int
        The labels to score.
    """
    channels = as_classes(np.array([0, *(c.value for c in segmenter.classes)]), values)
    total = np.zeros((len(values) + 1,) * 2, np.int64)
    together = _together(images.shape[1:])
    for start in range(0, len(images), together):
        part = slice(start, start + together)
        probabilities = segmenter.predict(images[part], volume.slice_voxel_size, volume.unit)
        said = channels[probabilities.argmax(axis=1)]
        total += confusion(as_classes(labels[part], values), said, len(values))
    return total


def score_volume(
    segmenter: Predicts, volume: Volume, reference: Reference, positions: Sequence[int], values: Sequence[int]
) -> Iterator[Counts]:
    """Read, predict and count slices of a volume, a few at a time; yields the counts of each few.

    Parameters
    ----------
    segmenter : Predicts
    volume : Volume
    reference : Reference
        Its reference labels.
    positions : sequence of int
        Along the ordering axis, in the ordering direction.
    values : sequence of int
        The labels to score.
    """
    together = _together(volume.slice_shape)
    for start in range(0, len(positions), together):
        part = [int(p) for p in positions[start : start + together]]
        images = volume.read_slices(part)
        labels = reference.read_slices(volume.axis, [volume.index_of(p) for p in part])
        yield predicted_counts(segmenter, images, labels, volume, values)


def _together(shape: Sequence[int]) -> int:
    return max(1, min(AT_ONCE, PIXELS // max(1, math.prod(shape))))


def iou(counts: Counts) -> NDArray[np.float64]:
    """Return the IoU of each class but the background; NaN where it is neither true nor said anywhere."""
    hit = np.diag(counts)[1:].astype(float)
    union = counts.sum(axis=0)[1:] + counts.sum(axis=1)[1:] - hit
    return _ratio(hit, union)


def dice(counts: Counts) -> NDArray[np.float64]:
    """Return the Dice coefficient of each class but the background; NaN where there is nothing of it."""
    hit = np.diag(counts)[1:].astype(float)
    both = (counts.sum(axis=0) + counts.sum(axis=1))[1:].astype(float)
    return _ratio(2 * hit, both)


def mean_over_volumes(counts: Sequence[Counts], of: Any = iou) -> NDArray[np.float64]:
    """Return each class's mean over the volumes in which it occurs, shape (classes,); NaN where it never does."""
    values = np.array([of(one) for one in counts])
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return _ratio(total, known.sum(axis=0).astype(float))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found
