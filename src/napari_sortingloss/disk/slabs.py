"""Moves slabs of a volume through memory: how thick they are, read one ahead of the work, or put aside for a second pass."""

from __future__ import annotations

import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Slab = NDArray[Any]

#: Bytes of one slab as it comes from the source. About six times as much is in memory at once: the slab that is
#: read ahead, the one that is worked on, and its 8-bit, averaged and pyramid forms.
SLAB_BYTES = 32 << 20
#: A volume's decoded voxels are put aside in memory up to this size, in a file beyond.
SPOOL_BYTES = 256 << 20


class Readable(Protocol):
    """What can be read slab by slab along z."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (z, y, x)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a voxel."""

    def read(self, start: int, stop: int) -> Slab:
        """Read slices [start, stop) as (z, y, x)."""


def slab_height(
    shape: tuple[int, int, int], itemsize: int, multiple: int = 1, budget: int = SLAB_BYTES
) -> int:
    """Choose how many slices are handled at a time.

    Parameters
    ----------
    shape : tuple of int
        Of the volume, (z, y, x).
    itemsize : int
        Bytes of a voxel.
    multiple : int
        The height is a multiple of it, e.g. the factor of a downsampling.
    budget : int
        Bytes that a slab may take; exceeded only where `multiple` slices alone are larger.

    Returns
    -------
    int
        At least `multiple`.
    """
    slices = budget // max(1, shape[1] * shape[2] * itemsize)
    whole = -(-shape[0] // multiple) * multiple
    return max(multiple, min(slices // multiple * multiple, whole))


def steps(length: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield the half-open intervals of `height` that cover 0 to `length`."""
    for start in range(0, length, height):
        yield start, min(start + height, length)


class Ahead(Generic[T]):
    """Runs an iterator one item ahead in a thread of its own, so that reading and working overlap.

    Iterating yields each item, and ``None`` every `tick` seconds while none is ready, so that the consumer can report
    that it is alive. An exception of the iterator is raised in the consumer. `close` ends the thread and closes the
    iterator.
    """

    def __init__(self, items: Iterator[T], tick: float = 0.25) -> None:
        self._items, self._tick = items, tick
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def __iter__(self) -> Iterator[T | None]:
        upcoming = self._submit()
        while True:
            if not wait((upcoming,), self._tick).done:
                yield None
                continue
            got = upcoming.result()
            if not got:
                return
            upcoming = self._submit()
            yield got[0]

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the item being read, drop it, and close the iterator."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _submit(self) -> Future[tuple[T] | tuple[()]]:
        def step() -> tuple[T] | tuple[()]:
            for item in self._items:
                return (item,)
            return ()

        return self._thread.submit(step)


class Spool:
    """Slabs put aside in order, to be read again in any order.

    Small volumes stay in memory as they came. Large ones lie in a file without a name, which the system removes with
    the process however that ends.

    Parameters
    ----------
    shape : tuple of int
        Of what will be put aside in all, (z, y, x).
    dtype : dtype
    folder : Path
        Where the file lies; it exists.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[Any], folder: Path) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._starts: list[int] = []
        self._slabs: list[Slab] = []
        self._filled = 0
        self._file: IO[bytes] | None = None
        if self.nbytes(shape, dtype) > SPOOL_BYTES:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115

    @staticmethod
    def nbytes(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> int:
        """Return the size of all slabs in bytes."""
        return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize

    def append(self, slab: Slab) -> None:
        """Put the next slab aside; it must not be changed afterwards."""
        if self._file is None:
            self._starts.append(self._filled)
            self._slabs.append(slab)
        else:
            rest = np.ascontiguousarray(slab, self.dtype).data.cast("B")
            while rest:
                rest = rest[self._file.write(rest) :]
        self._filled += len(slab)

    def slabs(self) -> Iterator[Slab]:
        """Yield everything in order, cut wherever it is cheapest."""
        if self._file is None:
            yield from self._slabs
            return
        for start, stop in steps(self._filled, slab_height(self.shape, self.dtype.itemsize)):
            yield self.read(start, stop)

    def read(self, start: int, stop: int) -> Slab:
        """Read slices [start, stop)."""
        if self._file is None:
            first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)
            base = self._starts[first]
            return np.concatenate(self._slabs[first:last])[start - base : stop - base]
        slab: Slab = np.empty((stop - start, *self.shape[1:]), self.dtype)
        rest = slab.data.cast("B")
        self._file.seek(start * slab[0].nbytes)
        while rest:
            got = self._file.readinto(rest)  # type: ignore[attr-defined]
            if not got:
                raise OSError("the temporary file ended early")
            rest = rest[got:]
        return slab

    def close(self) -> None:
        """Let go of the memory or the file."""
        self._starts, self._slabs = [], []
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
