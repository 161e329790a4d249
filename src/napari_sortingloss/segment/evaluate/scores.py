"""Counts how well labels agree: confusion table, IoU and Dice per class, and the distance between surfaces in mm."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LabelArray = NDArray[np.unsignedinteger[Any]]

PIECE = 1 << 22
"""So many voxels are counted at a time."""

MOST_POINTS = 4_000_000
"""Of a class's surface at most so many voxels are kept; of a larger one evenly fewer."""

FINEST = 512_000_000
"""Of volumes with more voxels than this the surfaces are taken from every second voxel, and so on."""

QUERIES = 200_000
"""Distances are asked for so many surface voxels at a time."""

OTHER = "other labels"
"""The row of the confusion table for labels of the reference that the prediction cannot have."""


class Confusion:
    """A table of how often a true class and a predicted one came together, filled slab by slab.

    Parameters
    ----------
    values : sequence of int
        The class values, 1 to 254, in the order of the table; background comes first and other labels last.

    Attributes
    ----------
    counts : ndarray of int64, shape (len(values) + 2, len(values) + 2)
        Rows are true, columns predicted: background, the classes, other labels.
    other : set of int
        The labels met in the truth that are no class.
    """

    def __init__(self, values: Sequence[int]) -> None:
        self.values = tuple(int(value) for value in values)
        self._size = len(self.values) + 2
        self.counts: NDArray[np.int64] = np.zeros((self._size, self._size), np.int64)
        self.other: set[int] = set()
        self._table = np.full(1 << 16, self._size - 1, np.uint16)
        self._table[0] = 0
        for index, value in enumerate(self.values):
            self._table[value] = index + 1

    def add(self, truth: LabelArray, predicted: LabelArray, known: NDArray[np.bool_] | None = None) -> None:
        """Count voxels.

        Parameters
        ----------
        truth, predicted : ndarray of uint8 or uint16
            Labels of the same shape; 0 is background.
        known : ndarray of bool, optional
            Which of them count; all when left out.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if truth.shape != predicted.shape:
            raise ValueError(f"labels of the shapes {truth.shape} and {predicted.shape} cannot be compared")
        rows = max(1, PIECE // max(1, math.prod(truth.shape[1:])))
        for start in range(0, len(truth), rows):
            part = slice(start, start + rows)
            real, said = truth[part], predicted[part]
            if known is None:
                real, said = real.ravel(), said.ravel()
            else:
                real, said = real[known[part]], said[known[part]]
            row = self._table[real]
            pairs = row.astype(np.intp) * self._size + self._table[said]
            self.counts += np.bincount(pairs, minlength=self._size**2).reshape(self._size, self._size)
            strange = row == self._size - 1
            if strange.any():
                self.other.update(np.flatnonzero(np.bincount(real[strange])).tolist())

    def merge(self, other: Confusion) -> None:
        """Add another table of the same classes."""
        self.counts += other.counts
        self.other |= other.other

    @property
    def total(self) -> int:
        """The number of voxels counted."""
        return int(self.counts.sum())

    def iou(self) -> dict[int, float | None]:
        """Return for each class intersection over union; None where neither truth nor prediction has it."""
        return {
            value: _ratio(hit, hit + missed + wrong)
            for value, (hit, missed, wrong) in zip(self.values, self._cases(), strict=True)
        }

    def dice(self) -> dict[int, float | None]:
        """Return for each class 2 |A and B| / (|A| + |B|); None where neither truth nor prediction has it."""
        return {
            value: _ratio(2 * hit, 2 * hit + missed + wrong)
            for value, (hit, missed, wrong) in zip(self.values, self._cases(), strict=True)
        }

    def _cases(self) -> list[tuple[int, int, int]]:
        """For each class: voxels found, missed, and wrongly taken for it."""
        found = []
        for index in range(1, self._size - 1):
            hit = int(self.counts[index, index])
            found.append((hit, int(self.counts[index].sum()) - hit, int(self.counts[:, index].sum()) - hit))
        return found

    def to_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Return ``{"labels": [...], "counts": [[...]]}``; other labels only where there are some.

        Parameters
        ----------
        names : mapping of int to str
            The name of each class value.
        """
        labels = ["background", *(names[value] for value in self.values), OTHER]
        counts = self.counts
        if not (counts[-1].any() or counts[:, -1].any()):
            labels, counts = labels[:-1], counts[:-1, :-1]
        return {"labels": labels, "counts": counts.tolist()}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is defined; None where nothing is."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def surface_steps(shape: Sequence[int], voxel_size: Sequence[float]) -> tuple[int, int, int]:
    """Return of which voxels surfaces are taken along each axis: each one (1), every second (2), and so on.

    Parameters
    ----------
    shape : sequence of int
        Of the volume.
    voxel_size : sequence of float
        The finest axes are thinned out first.
    """
    steps = [1, 1, 1]
    while math.prod(-(-n // s) for n, s in zip(shape, steps, strict=True)) > FINEST:
        axis = min(range(3), key=lambda a: voxel_size[a] * steps[a])
        steps[axis] *= 2
    return steps[0], steps[1], steps[2]


@dataclass(frozen=True)
class SurfaceScore:
    """How far two surfaces are apart, in the unit of the voxel size.

    Attributes
    ----------
    mean : float
        Mean symmetric surface distance.
    hausdorff95 : float
        The larger of the two directed 95 % quantiles.
    """

    mean: float
    hausdorff95: float


class Surfaces:
    """The surfaces of each class in two labellings, gathered slab by slab, and the distance between them.

    A surface voxel belongs to the class and has one of its six neighbours outside it; at the volume's border the outside
    begins with the border. What is kept is the surface, not the volume, so that memory is that of the surface.

    Parameters
    ----------
    values : sequence of int
        The class values.
    spacing : sequence of float
        The size of a voxel along each axis of the slabs, the slabs' own axis first.
    steps : sequence of int
        As `surface_steps`, in the same order of axes.

    Attributes
    ----------
    thinned : bool
        Whether some surface was so large that only part of it was kept.
    """

    def __init__(
        self, values: Sequence[int], spacing: Sequence[float], steps: Sequence[int] = (1, 1, 1)
    ) -> None:
        self.values = tuple(int(v) for v in values)
        self.thinned = False
        self._spacing = np.asarray(spacing, np.float64) * np.asarray(steps)
        self._steps = tuple(int(s) for s in steps)
        self._points = {(value, which): _Points() for value in self.values for which in (0, 1)}
        self._tail: tuple[LabelArray, LabelArray, NDArray[np.bool_] | None] | None = None
        self._index = 0  # of the first plane that is not done yet, among those taken

    def add(
        self,
        start: int,
        truth: LabelArray,
        predicted: LabelArray,
        known: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take the next slab; slabs come in order and without gaps.

        Parameters
        ----------
        start : int
            The first plane's index along the slabs' axis.
        truth, predicted : ndarray of uint8 or uint16, shape (n, a, b)
        known : ndarray of bool, shape (n, a, b), optional
            From which voxels distances are measured. The others still belong to the surfaces that they are measured
            to. Given for all slabs or for none.
        """
        cut = (slice(-start % self._steps[0], None, self._steps[0]), *_every(self._steps[1:]))
        if not truth[cut].size:
            return
        parts = [truth[cut], predicted[cut], None if known is None else known[cut]]
        outside = [None if part is None else np.zeros((1, *part.shape[1:]), part.dtype) for part in parts]
        before = self._tail or outside
        joined = [
            None if part is None or old is None else np.concatenate([old, part])
            for old, part in zip(before, parts, strict=True)
        ]
        self._gather(joined[0], joined[1], joined[2])
        self._tail = tuple(None if part is None else part[-2:] for part in joined)  # type: ignore[assignment]

    def finish(self) -> Generator[None, None, dict[int, SurfaceScore | None]]:
        """Measure the distances, yielding now and then.

        Returns
        -------
        dict of int to SurfaceScore or None
            None for classes that the truth or the prediction does not have (where it counts).
        """
        if self._tail is not None:
            last = [
                None if part is None else np.concatenate([part, np.zeros_like(part[:1])])
                for part in self._tail
            ]
            self._gather(last[0], last[1], last[2])
            self._tail = None
        found = {}
        for value in self.values:
            found[value] = yield from self._measure(self._points[value, 0], self._points[value, 1])
        self._points.clear()
        return found

    def _gather(
        self, truth: LabelArray | None, predicted: LabelArray | None, known: NDArray[np.bool_] | None
    ) -> None:
        """Take the surface voxels of all planes but the first and the last, which are there as neighbours."""
        if truth is None or predicted is None or len(truth) < 3:
            return
        for which, labels in enumerate((truth, predicted)):
            there = np.zeros(1 << 16, np.bool_)
            there[labels[1:-1]] = True
            for value in self.values:
                if there[value]:
                    points = np.argwhere(_surface(labels == value))
                    counts = None if known is None else known[1:-1][tuple(points.T)]
                    points[:, 0] += self._index
                    self._points[value, which].add(points.astype(np.int32), counts)
        self._index += len(truth) - 2

    def _measure(self, truth: _Points, predicted: _Points) -> Generator[None, None, SurfaceScore | None]:
        self.thinned = self.thinned or truth.step > 1 or predicted.step > 1
        if not (truth.count and predicted.count):
            return None
        total, number, far = 0.0, 0, []
        for one, other in ((truth, predicted), (predicted, truth)):
            distances = yield from self._distances(one, other)
            if distances.size:
                total, number = total + float(distances.sum()), number + len(distances)
                far.append(float(np.quantile(distances, 0.95)))
        return SurfaceScore(total / number, max(far)) if number else None

    def _distances(self, one: _Points, other: _Points) -> Generator[None, None, NDArray[np.float64]]:
        from scipy.spatial import cKDTree

        tree = cKDTree(other.all() * self._spacing, balanced_tree=False, compact_nodes=False)
        points = one.counted()
        parts = [np.zeros(0)]
        for start in range(0, len(points), QUERIES):
            parts.append(tree.query(points[start : start + QUERIES] * self._spacing)[0])
            yield
        return np.concatenate(parts)


class _Points:
    """Voxels of one surface, of which evenly fewer are kept when they are very many."""

    def __init__(self) -> None:
        self.count, self.step = 0, 1
        self._parts: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.bool_]] = []

    def add(self, points: NDArray[np.int32], counts: NDArray[np.bool_] | None) -> None:
        said = np.ones(len(points), np.bool_) if counts is None else counts
        self._parts.append(points[:: self.step])
        self._counts.append(said[:: self.step])
        self.count += len(self._parts[-1])
        while self.count > MOST_POINTS:
            self._parts, self._counts = [self.all()[::2]], [np.concatenate(self._counts)[::2]]
            self.count, self.step = len(self._parts[0]), 2 * self.step

    def all(self) -> NDArray[np.int32]:
        return np.concatenate(self._parts)

    def counted(self) -> NDArray[np.int32]:
        return self.all()[np.concatenate(self._counts)]


def _every(steps: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(None, None, step) for step in steps)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return of the inner planes of a mask the voxels that have a neighbour outside it."""
    own = mask[1:-1]
    deep = own & mask[:-2] & mask[2:]
    deep[:, 1:] &= own[:, :-1]
    deep[:, :-1] &= own[:, 1:]
    deep[:, :, 1:] &= own[:, :, :-1]
    deep[:, :, :-1] &= own[:, :, 1:]
    deep[:, [0, -1]] = False
    deep[:, :, [0, -1]] = False
    surface: NDArray[np.bool_] = own & ~deep
    return surface
