"""Arrays that remember how they were cut and read only that, when somebody asks for the numbers."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Cut = tuple[range | int, range | int, range | int]


class Boxes(Protocol):
    """What a view reads from: a level of a volume, or of labels."""

    shape: tuple[int, int, int]

    def box(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return the voxels from `start` up to, not including, `stop`, both (z, y, x)."""


class LazyArray:
    """A view of a level: cutting it gives another view, and only `numpy.asarray` reads voxels.

    Viewers cut an array several times before they look at it (first to what is in sight, then to one slice), so that an
    array that reads at the first cut reads far too much.

    Parameters
    ----------
    level : Level or SlabsLevel
    cut : tuple of range or int
        What of each axis (z, y, x) the view shows; an int is an axis it does not have any more.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, level: Boxes, cut: Cut) -> None:
        self._level, self._cut = level, cut

    @classmethod
    def of(cls, level: Boxes) -> LazyArray:
        """Return the view of a whole level."""
        z, y, x = level.shape
        return cls(level, (range(z), range(y), range(x)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of voxels along the axes that are left."""
        return tuple(len(part) for part in self._cut if isinstance(part, range))

    @property
    def ndim(self) -> int:
        """The number of axes that are left."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes that reading it takes."""
        return self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyArray(shape={self.shape}, dtype=uint8)"

    def __getitem__(self, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(part is Ellipsis for part in keys):
            at = next(i for i, part in enumerate(keys) if part is Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices for an array of {self.ndim} axes")
        if not all(isinstance(part, slice | int | np.integer) for part in keys):
            return np.asarray(self)[key]
        waiting = iter(keys)
        cut = [
            part if isinstance(part, int) else part[_plain(next(waiting, slice(None)))] for part in self._cut
        ]
        found = LazyArray(self._level, (cut[0], cut[1], cut[2]))
        return found if found.shape else np.asarray(found)[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("voxels on disk cannot be had without a copy")
        spans = [_span(part) for part in self._cut]
        start, stop = ([span[end] for span in spans] for end in (0, 1))
        box = self._level.box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        steps = tuple(0 if isinstance(part, int) else slice(None, None, part.step) for part in self._cut)
        found = np.asarray(box[steps])
        return found.astype(dtype or self.dtype, copy=False)


def _plain(part: slice | int | np.integer[Any]) -> Any:
    return part if isinstance(part, slice) else int(part)


def _span(part: range | int) -> tuple[int, int]:
    """Return the first voxel of a part of an axis and the one behind its last."""
    if isinstance(part, int):
        return part, part + 1
    return (min(part), max(part) + 1) if len(part) else (0, 0)
