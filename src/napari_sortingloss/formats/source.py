"""A volume that can be read slab by slab, whatever it is stored in."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from napari_sortingloss.formats.refusals import reading, truncated
from napari_sortingloss.formats.units import UNKNOWN, Geometry

__all__ = ["BUDGET", "Geometry", "Lookahead", "VoxelSource", "in_threads", "native"]

Item = TypeVar("Item")
Out = TypeVar("Out")

BUDGET = 192 * 2**20
"""Bytes that a source may keep in memory beyond the slab it returns."""


def native(dtype: Any) -> np.dtype[Any]:
    """Return the type in which voxels of a stored type come out: native byte order, float32 for float16."""
    found = np.dtype(dtype).newbyteorder("=")
    return np.dtype(np.float32) if found == np.float16 else found


class VoxelSource(ABC):
    """One volume, read in slabs along z; a context manager that closes itself.

    Attributes
    ----------
    name : str
        A suggested name: the file's stem or the folder's name.
    path : Path or None
        Where it comes from; None for arrays.
    format : str
        The format in words, e.g. ``"OME-TIFF"``.
    shape : tuple of int
        (z, y, x).
    dtype : numpy.dtype
        In native byte order.
    geometry : Geometry
    metadata : dict
        Provenance, ready for JSON: the dataset chosen, the stored orientation and so on.
    sequential : bool
        True if only reading forward is cheap (compressed streams).
    together : int
        How many slices are best read together (the depth of a chunk); reading fewer is right but slower.
    """

    def __init__(
        self,
        *,
        name: str,
        path: Path | None,
        format: str,
        shape: tuple[int, ...],
        dtype: Any,
        geometry: Geometry = UNKNOWN,
        metadata: dict[str, Any] | None = None,
        sequential: bool = False,
        together: int = 1,
    ) -> None:
        self.name = name
        self.path = path
        self.format = format
        self.shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype: np.dtype[Any] = native(dtype)
        self.geometry = geometry
        self.metadata: dict[str, Any] = metadata or {}
        self.sequential = sequential
        self.together = together
        self._lock = threading.Lock()

    @property
    def what(self) -> str:
        """The opening words of an error about this source."""
        return f"Cannot read '{self.path.name if self.path else self.name}'"

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read slices ``start`` to ``stop - 1``.

        Returns
        -------
        numpy.ndarray
            (stop - start, y, x), contiguous, of `dtype`.

        Raises
        ------
        BadInput
            If the file turns out to be damaged or cut off.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise IndexError(f"slices {start}:{stop} of a volume of {self.shape[0]}")
        with self._lock, reading(self.what):
            slab = np.ascontiguousarray(self._read(start, stop), dtype=self.dtype)
        expected = (stop - start, *self.shape[1:])
        if slab.shape != expected:
            raise truncated(self.what, f"slices {start}-{stop - 1} have shape {slab.shape}, not {expected}")
        return slab

    @abstractmethod
    def _read(self, start: int, stop: int) -> np.ndarray:
        """Return the slab in any memory layout and byte order."""

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Do what has to be done before the first `read`, yielding (slices done, slices in all).

        Nothing for most sources. A compressed file with turned axes is unpacked to a temporary file here, or within
        the first `read` if this was not called.
        """
        return iter(())

    def close(self) -> None:
        """Let go of files and temporary files; harmless when repeated."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.format} {self.shape} {self.dtype}>"


class Lookahead:
    """Serve slabs from larger, aligned reads, so that a chunk is not decoded again for each slab.

    Parameters
    ----------
    fetch : callable
        ``fetch(start, stop)`` returns an array.
    length : int
        The number of slices in all.
    depth : int
        The number of slices of an aligned read; 1 switches the cache off.
    """

    def __init__(self, fetch: Callable[[int, int], np.ndarray], length: int, depth: int) -> None:
        self._fetch, self._length, self._depth = fetch, length, max(1, depth)
        self._start, self._kept = 0, np.empty((0,))

    @classmethod
    def within_budget(
        cls, fetch: Callable[[int, int], np.ndarray], length: int, chunk: int, slice_bytes: int
    ) -> Lookahead:
        """Align to chunks of `chunk` slices, unless one row of chunks exceeds the memory budget."""
        return cls(fetch, length, chunk if chunk * slice_bytes <= BUDGET else 1)

    def get(self, start: int, stop: int) -> np.ndarray:
        """Return slices ``start`` to ``stop - 1``."""
        if self._depth == 1:
            return self._fetch(start, stop)
        parts = []
        while start < stop:
            first = start - start % self._depth
            if first != self._start or not len(self._kept):
                if start == first and stop - start >= self._depth:
                    whole = stop - stop % self._depth
                    parts.append(self._fetch(start, whole))
                    start = whole
                    continue
                self._kept = self._fetch(first, min(first + self._depth, self._length))
                self._start = first
            end = min(stop, first + len(self._kept))
            parts.append(self._kept[start - first : end - first])
            start = end
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def in_threads(function: Callable[[Item], Out], items: Iterable[Item]) -> list[Out]:
    """Apply a decoder that releases the interpreter lock to several items, in order, on a few threads."""
    todo = list(items)
    workers = min(len(todo), 4, os.cpu_count() or 1)
    if workers < 2:
        return [function(item) for item in todo]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, todo))
