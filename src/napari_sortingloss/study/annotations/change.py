"""One change of labels, what was there and what is there now, and its form in the journal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.study.schema import AXES, Axis

Labels = NDArray[np.uint8]

_HEADER = 9  # start, shape, whether there is a mask, how many voxels, the new value or -1


@dataclass(frozen=True, eq=False)
class Change:
    """Voxels of a box that got other labels.

    Attributes
    ----------
    start : tuple of int
        (z, y, x) of the box's first voxel.
    mask : ndarray of bool, shape (z, y, x), or None
        Which voxels of the box changed; all where None.
    old : ndarray of uint8
        What was there: one value for each voxel of the mask in C order, or of the box's shape where there is no mask.
    new : int or ndarray of uint8
        What is there now, one value for all or in the form of `old`.
    """

    start: tuple[int, int, int]
    mask: NDArray[np.bool_] | None
    old: Labels
    new: int | Labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of the box in voxels."""
        z, y, x = (self.old if self.mask is None else self.mask).shape
        return z, y, x

    @property
    def box(self) -> Box:
        """The box, half-open intervals."""
        z, y, x = ((low, low + size) for low, size in zip(self.start, self.shape, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """How many voxels changed."""
        return int(self.old.size)

    def indices(self, axis: Axis) -> list[int]:
        """Return the indices along an axis at which a voxel changed."""
        across = AXES.index(axis)
        first, size = self.start[across], self.shape[across]
        if self.mask is None or size == 1:
            return list(range(first, first + size)) if self.voxels else []
        others = tuple(i for i in range(3) if i != across)
        return (np.flatnonzero(self.mask.any(axis=others)) + first).tolist()

    def put(self, labels: Labels, values: int | Labels) -> None:
        """Set the voxels of the change to `values`; touches no other voxel."""
        view = labels[tuple(slice(low, high) for low, high in self.box)]
        if self.mask is None:
            view[...] = values
        else:
            view[self.mask] = values

    def put_into(self, window: Labels, origin: Sequence[int], values: int | Labels) -> None:
        """Set those voxels of the change that lie in a copied part of the labels, whose first voxel is `origin`."""
        here, there = [], []
        for low, size, first, length in zip(self.start, self.shape, origin, window.shape, strict=True):
            start, stop = max(low, first), min(low + size, first + length)
            if start >= stop:
                return
            here.append(slice(start - low, stop - low))
            there.append(slice(start - first, stop - first))
        part, view = tuple(here), window[tuple(there)]
        if self.mask is None:
            view[...] = values if isinstance(values, int) else values[part]
            return
        mask = self.mask[part]
        if isinstance(values, int):
            view[mask] = values
            return
        spread = np.zeros(self.shape, np.uint8)
        spread[self.mask] = values
        view[mask] = spread[part][mask]

    @classmethod
    def between(cls, start: Sequence[int], old: Labels, new: Labels) -> Change | None:
        """Return the change of a box from `old` to `new`, both (z, y, x); None where they are the same."""
        mask = old != new
        if not mask.any():
            return None
        # Only the part where something changed, so that what is written stays small.
        spans = []
        for axis in range(3):
            others = tuple(i for i in range(3) if i != axis)
            hit = np.flatnonzero(mask.any(axis=others))
            spans.append((int(hit[0]), int(hit[-1]) + 1))
        part = tuple(slice(low, high) for low, high in spans)
        mask = np.ascontiguousarray(mask[part])
        z, y, x = (int(s) + low for s, (low, _) in zip(start, spans, strict=True))
        after = np.asarray(new[part])[mask]
        one = bool((after == after[0]).all())
        return cls((z, y, x), mask, np.asarray(old[part])[mask], int(after[0]) if one else after)

    @classmethod
    def of_points(
        cls, items: Sequence[tuple[Sequence[NDArray[Any]], NDArray[Any] | int, NDArray[Any] | int]]
    ) -> Change | None:
        """Return the one change that several steps of a stroke make, each (indices, old values, new values).

        Parameters
        ----------
        items : sequence of tuple
            In the order in which they were made, as a napari Labels layer keeps them: three arrays of indices along
            (z, y, x), what was there before this step, and what came there.

        Returns
        -------
        Change or None
            None where nothing was touched.
        """
        points = [np.stack([np.atleast_1d(a) for a in indices]).astype(np.intp) for indices, _, _ in items]
        if not sum(p.shape[1] for p in points):
            return None
        low = np.min([p.min(axis=1) for p in points if p.size], axis=0)
        high = np.max([p.max(axis=1) for p in points if p.size], axis=0) + 1
        shape = tuple((high - low).tolist())
        mask = np.zeros(shape, np.bool_)
        old, new = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        local = [tuple(p - low[:, None]) for p in points]
        for where, (_, _, value) in zip(local, items, strict=True):
            mask[where] = True
            new[where] = value
        for where, (_, value, _) in zip(reversed(local), reversed(items), strict=True):
            old[where] = (
                value  # the first step that touched a voxel comes last here, and knows what was there
            )
        z, y, x = low.tolist()
        after = new[mask]
        one = bool((after == after[0]).all())
        return cls((z, y, x), mask, old[mask], int(after[0]) if one else after)


def redo(labels: Labels, changes: Sequence[Change]) -> None:
    """Make changes, in their order."""
    for change in changes:
        change.put(labels, change.new)


def undo(labels: Labels, changes: Sequence[Change]) -> None:
    """Take changes back, the last one first: where they overlap, the first one knows what was there."""
    for change in reversed(changes):
        change.put(labels, change.old)


def difference(labels: Labels, box: Box, values: Labels | int) -> list[Change]:
    """Return what is to change, if anything, for a box of labels to hold `values`."""
    before = np.array(labels[tuple(slice(low, high) for low, high in box)])
    after = np.broadcast_to(np.asarray(values, np.uint8), before.shape)
    made = Change.between([low for low, _ in box], before, after)
    return [] if made is None else [made]


def as_they_are(labels: Labels, changes: Sequence[Change]) -> list[Change]:
    """Return changes that are to be made with what is there before each of them, the earlier ones made."""
    found: list[Change] = []
    for change in changes:
        before = np.array(labels[tuple(slice(low, high) for low, high in change.box)])
        for earlier in found:
            earlier.put_into(before, change.start, earlier.new)
        after = before.copy()
        change.put_into(after, change.start, change.new)
        made = Change.between(change.start, before, after)
        if made is not None:
            found.append(made)
    return found


def touched_slices(changes: Sequence[Change], axis: Axis) -> list[int]:
    """Return the indices along an axis at which any of several changes changed a voxel, in order."""
    return sorted({index for change in changes for index in change.indices(axis)})


def box_around(changes: Sequence[Change]) -> Box:
    """Return the smallest box that holds several changes."""
    return hull([change.box for change in changes if change.voxels])


def hull(boxes: Sequence[Box]) -> Box:
    """Return the smallest box that holds several boxes; `NO_BOX` for none."""
    boxes = [box for box in boxes if box != NO_BOX]
    if not boxes:
        return NO_BOX
    z, y, x = ((min(b[i][0] for b in boxes), max(b[i][1] for b in boxes)) for i in range(3))
    return z, y, x


def encode(changes: Sequence[Change]) -> bytes:
    """Return changes as bytes: how many, a row of numbers for each, all masks (one bit a voxel), all values."""
    header: list[int] = [len(changes)]
    masks: list[bytes] = []
    values: list[bytes] = []
    for change in changes:
        old, new, mask = change.old, change.new, change.mask
        header += change.start
        header += old.shape if mask is None else mask.shape
        header += (mask is not None, old.size, new if isinstance(new, int) else -1)
        if mask is not None:
            masks.append(np.asarray(mask, np.bool_).tobytes())
        values.append(np.asarray(old, np.uint8).tobytes())
        if not isinstance(new, int):
            values.append(np.asarray(new, np.uint8).tobytes())
    bits = np.packbits(np.frombuffer(b"".join(masks), np.bool_))  # together: a stroke has many small ones
    return b"".join((np.array(header, "<i4").tobytes(), bits.tobytes(), *values))


def decode(data: bytes) -> list[Change]:
    """Return the changes that `encode` wrote.

    Raises
    ------
    ValueError
        If they are cut off.
    """
    count = int(np.frombuffer(data, "<i4", 1)[0])
    rows = np.frombuffer(data, "<i4", count * _HEADER, 4).reshape(count, _HEADER).tolist()
    sizes = [math.prod(row[3:6]) if row[6] else 0 for row in rows]
    at = 4 * (1 + count * _HEADER)
    packed = np.frombuffer(data, np.uint8, -(-sum(sizes) // 8), at)
    masks = np.unpackbits(packed, count=sum(sizes)).view(np.bool_)
    at, begin = at + packed.size, 0
    changes = []
    for (z, y, x, *shape, masked, voxels, new), size in zip(rows, sizes, strict=True):
        mask = masks[begin : begin + size].reshape(shape) if masked else None
        begin += size
        form = (voxels,) if masked else tuple(shape)
        old = np.frombuffer(data, np.uint8, voxels, at).reshape(form)
        at += voxels
        after: int | Labels = new
        if new < 0:
            after = np.frombuffer(data, np.uint8, voxels, at).reshape(form)
            at += voxels
        changes.append(Change((z, y, x), mask, old, after))
    return changes
