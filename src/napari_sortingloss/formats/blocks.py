"""A block of voxels on disk, plain or compressed, read in slabs along any of its axes without loading it whole."""

from __future__ import annotations

import contextlib
import gzip
import io
import tempfile
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from napari_sortingloss.errors import readable_os_errors
from napari_sortingloss.formats.refusals import cannot_read, reading, truncated
from napari_sortingloss.formats.units import round_digits

_PIECE = 16 * 2**20


class Block(ABC):
    """Voxels in stored (C) order; `shape` counts the slowest axis first; `read` restricts one axis.

    Attributes
    ----------
    sequential : bool
        True if the block can only be read forward along axis 0 (going back starts again).
    any_axis : bool
        True if it can be read along axes 1 and 2, too; otherwise `unpack` it for that.
    """

    sequential = False
    any_axis = True

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        self.shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.plane_bytes = self.shape[1] * self.shape[2] * self.dtype.itemsize
        self.nbytes = self.shape[0] * self.plane_bytes

    @abstractmethod
    def read(self, axis: int, low: int, high: int) -> np.ndarray:
        """Return the block restricted to ``low:high`` along `axis`, in stored order and byte order."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; reading again opens it again."""

    def unpack(self, scratch: Path | None, what: str) -> Iterator[tuple[int, int] | FileBlock]:
        """Write the block to a temporary file, yielding (planes done, planes) and at last the new block.

        Raises
        ------
        OutOfSpace
            If the disk of the temporary folder is full.
        """
        step = max(1, _PIECE // max(1, self.plane_bytes))
        with readable_os_errors(f"{what} by way of a temporary file"):
            handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - outlives this function
                prefix="napari-sortingloss-", suffix=".raw", dir=scratch, delete=False
            )
        path = Path(handle.name)
        try:
            with handle:
                for low in range(0, self.shape[0], step):
                    high = min(self.shape[0], low + step)
                    planes = self.read(0, low, high)
                    with readable_os_errors(f"{what} by way of the temporary file '{path}'"):
                        handle.write(planes.data)
                    yield high, self.shape[0]
            yield TemporaryBlock(path, 0, self.shape, self.dtype)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self.close()


class FileBlock(Block):
    """An uncompressed block inside a file.

    It is read with plain reads rather than through a memory map: the resident memory stays small whatever the size
    of the file, and a file that shrinks meanwhile gives an error instead of ending the program.

    Raises
    ------
    BadInput
        If the file is shorter than the block.
    """

    def __init__(self, path: Path, offset: int, shape: Sequence[int], dtype: Any) -> None:
        super().__init__(shape, dtype)
        self.path, self.offset = path, offset
        self._file: IO[bytes] | None = None
        found = path.stat().st_size - offset
        if found < self.nbytes:
            raise truncated(cannot_read(path), shortage(self.shape, self.dtype, self.nbytes, found))

    def read(self, axis: int, low: int, high: int) -> np.ndarray:
        """Read only the bytes that are asked for (along axis 2, the whole block in pieces)."""
        n, rows, columns = self.shape
        if axis == 0:
            return self._fill(low * self.plane_bytes, (high - low, rows, columns))
        shape = list(self.shape)
        shape[axis] = high - low
        out = np.empty(shape, self.dtype)
        if axis == 1:
            row_bytes = columns * self.dtype.itemsize
            for plane in range(n):
                out[plane] = self._fill(plane * self.plane_bytes + low * row_bytes, (high - low, columns))
            return out
        step = max(1, _PIECE // max(1, self.plane_bytes))
        for first in range(0, n, step):
            last = min(n, first + step)
            piece = self._fill(first * self.plane_bytes, (last - first, rows, columns))
            out[first:last] = piece[:, :, low:high]
        return out

    def _fill(self, position: int, shape: tuple[int, ...]) -> np.ndarray:
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
        out = np.empty(shape, self.dtype)
        self._file.seek(self.offset + position)
        read_fully(self._file, out, cannot_read(self.path))
        return out

    def close(self) -> None:
        """Let go of the file; reading again opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


class FilesBlock(Block):
    """An uncompressed block spread over several files, each holding equally many planes.

    Raises
    ------
    BadInput
        If a file is missing or too short.
    """

    def __init__(self, paths: Sequence[Path], offset: int, shape: Sequence[int], dtype: Any) -> None:
        super().__init__(shape, dtype)
        self._each = self.shape[0] // len(paths)
        self._parts = [FileBlock(p, offset, (self._each, *self.shape[1:]), dtype) for p in paths]

    def read(self, axis: int, low: int, high: int) -> np.ndarray:
        """Read from the files that hold the range, opening one at a time."""
        found = []
        for number, part in enumerate(self._parts):
            shift = 0 if axis else number * self._each
            first, last = max(low - shift, 0), min(high - shift, part.shape[axis])
            if first < last:
                with contextlib.closing(part):
                    found.append(part.read(axis, first, last))
        return np.concatenate(found)

    def close(self) -> None:
        """Nothing to let go of: files are open only while they are read."""
        return


class StreamBlock(Block):
    """A compressed block, decoded once while it is read forward along axis 0; going back starts again.

    Parameters
    ----------
    open_stream : callable
        Returns a new stream of the decoded bytes.
    offset : int
        Decoded bytes before the first voxel.
    what : str
        The opening words of an error.
    """

    sequential = True
    any_axis = False

    def __init__(
        self, open_stream: Callable[[], BinaryIO], offset: int, shape: Sequence[int], dtype: Any, what: str
    ) -> None:
        super().__init__(shape, dtype)
        self._open, self._offset, self._what = open_stream, offset, what
        self._stream: BinaryIO | None = None
        self._next = 0

    def read(self, axis: int, low: int, high: int) -> np.ndarray:
        """Decode forward to the range; a range that lies behind starts the stream again."""
        if axis != 0:
            raise ValueError("a compressed block is read along its slowest axis only")
        if self._stream is None or low < self._next:
            self.close()
            self._stream = self._open()
            skip_bytes(self._stream, self._offset, self._what)
        skip_bytes(self._stream, (low - self._next) * self.plane_bytes, self._what)
        out = np.empty((high - low, *self.shape[1:]), self.dtype)
        self._next = high
        try:
            read_fully(self._stream, out, self._what)
            if high == self.shape[0]:
                self._stream.read(1)  # makes gzip compare its checksum
        except BaseException:
            self.close()
            raise
        return out

    def close(self) -> None:
        """Let go of the stream; reading again starts it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._next = 0


class TemporaryBlock(FileBlock):
    """A block in a temporary file, which is removed by `close`, or when the block or the program ends."""

    def __init__(self, path: Path, offset: int, shape: Sequence[int], dtype: Any) -> None:
        super().__init__(path, offset, shape, dtype)
        self._remove = weakref.finalize(self, path.unlink, missing_ok=True)

    def close(self) -> None:
        """Remove the file."""
        super().close()
        self._remove()


def shortage(shape: Sequence[int], dtype: np.dtype[Any], needed: int, found: int) -> str:
    """Say how many bytes a block needs and how many there are."""
    size = " x ".join(map(str, shape))
    return f"{size} voxels of {dtype.newbyteorder('=').name} need {needed:,} bytes, but {max(found, 0):,} are there"


def read_fully(stream: IO[bytes] | BinaryIO, out: np.ndarray, what: str) -> None:
    """Fill an array from a stream.

    Raises
    ------
    BadInput
        If the stream ends before the array is full.
    """
    view = memoryview(cast(Any, out.reshape(-1).view(np.uint8)))
    done, reader = 0, cast(io.RawIOBase, stream)
    while done < len(view):
        count = reader.readinto(view[done : done + _PIECE])
        if not count:
            raise truncated(what, f"{len(view) - done:,} bytes of the voxels being read are missing")
        done += count


def skip_bytes(stream: BinaryIO, count: int, what: str) -> None:
    """Read and forget `count` bytes of a stream."""
    while count > 0:
        piece = stream.read(min(count, _PIECE))
        if not piece:
            raise truncated(what, f"{count:,} bytes before the voxels being read are missing")
        count -= len(piece)


class ZlibStream(io.RawIOBase):
    """The decoded bytes of a bare zlib stream that begins at `offset` of a file."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)
        self._decoder = zlib.decompressobj()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decode into a buffer; 0 at the end of the stream."""
        view = memoryview(buffer).cast("B")
        while not self._decoder.eof:
            data = self._decoder.unconsumed_tail or self._file.read(2**18)
            if not data:
                return 0
            piece = self._decoder.decompress(data, len(view))
            if piece:
                view[: len(piece)] = piece
                return len(piece)
        return 0

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


def gzip_stream(path: Path, offset: int = 0) -> BinaryIO:
    """Open the decoded bytes of a gzip stream that begins at `offset` of a file."""
    return cast(BinaryIO, _GzipStream(path, offset))


class _GzipStream(gzip.GzipFile):
    """A `gzip.GzipFile` that begins inside a file, which it closes with itself."""

    def __init__(self, path: Path, offset: int) -> None:
        self._under = path.open("rb")
        self._under.seek(offset)
        super().__init__(fileobj=self._under, mode="rb")

    def close(self) -> None:
        super().close()
        self._under.close()


def check_gzip_length(path: Path, needed: int, offset: int = 0) -> None:
    """Find out before a long job whether a .gz file is cut off.

    The last four bytes of a gzip file hold its decoded length; only where they disagree is the whole file decoded
    once, because a few programs write several members or padding.

    Raises
    ------
    BadInput
        If fewer than `needed` bytes come out of the stream at `offset`, or it is damaged.
    """
    what = cannot_read(path)
    with path.open("rb") as file:
        file.seek(-4, io.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
    if length == needed % 2**32:
        return
    found = 0
    with reading(what), gzip_stream(path, offset) as stream:
        try:
            while piece := stream.read(_PIECE):
                found += len(piece)
        except EOFError:
            expected = round_digits(100 * found / needed, 2)
            raise truncated(what, f"only about {expected:g} % of its voxels are there") from None
    if found < needed:
        raise truncated(what, f"it unpacks to {found:,} bytes, but its header says {needed:,}")
