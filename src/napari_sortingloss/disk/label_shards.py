"""Labels on disk that grow slab by slab along any axis: one compressed shard file for each slab and level.

A shard spans the whole plane across the axis along which slabs are written, so that a slab is one new file, which is
there whole or not at all; inside it lie cubes, each compressed by itself, so that a slice in any direction reads no more
than a cube's depth. Cubes of nothing but zeros take no room.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Shape
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.pyramid import level_factors, level_shapes
from napari_sortingloss.disk.shard_layout import MISSING
from napari_sortingloss.errors import StudyError

Bytes = NDArray[np.uint8]

SLAB_BYTES = 128 << 20
"""A slab of labels is no larger than this, unless it would be thinner than 16 slices."""

_SIDES = {64: 64, 32: 96, 16: 128}
"""The side of a cube across the axis of the slabs, by its depth along it: all hold about 256 kB."""

_LEVEL = 1
_THREADS = 2
_PARALLEL = 16


def slab_depth(shape: Shape, axis: int) -> int:
    """Return how many slices along `axis` (0, 1 or 2 for z, y or x) are written at a time."""
    plane = math.prod(n for i, n in enumerate(shape) if i != axis)
    depth = next((d for d in _SIDES if d * plane <= SLAB_BYTES), min(_SIDES))
    return min(depth, shape[axis])


@dataclass(frozen=True)
class ShardLayout:
    """The cubes and shards of one level.

    Attributes
    ----------
    shape : tuple of int
        (z, y, x) of the level in voxels.
    cube : tuple of int
        (z, y, x) of a cube (Zarr: the inner chunk).
    axis : int
        Along which slabs are written; a shard is one cube deep along it and spans the level across it.
    """

    shape: Shape
    cube: Shape
    axis: int

    @classmethod
    def levels(cls, shape: Shape, axis: int) -> list[ShardLayout]:
        """Return the layouts of all levels of a volume, the full one first."""
        depth = slab_depth(shape, axis)
        side = _SIDES[next(d for d in sorted(_SIDES) if d >= depth)]
        found = []
        for size, factor in zip(level_shapes(shape), level_factors(shape), strict=True):
            cube = [min(side, n) for n in size]
            cube[axis] = -(-depth // factor[axis])
            found.append(cls(size, (cube[0], cube[1], cube[2]), axis))
        return found

    @cached_property
    def cubes(self) -> Shape:
        """How many cubes the level has along each axis."""
        z, y, x = (-(-n // c) for n, c in zip(self.shape, self.cube, strict=True))
        return z, y, x

    @cached_property
    def per_shard(self) -> Shape:
        """How many cubes a shard has along each axis."""
        z, y, x = (1 if i == self.axis else n for i, n in enumerate(self.cubes))
        return z, y, x

    def file(self, level: Path, shard: int) -> Path:
        """Return where a shard of the level in this folder lies."""
        key = ["0", "0", "0"]
        key[self.axis] = str(shard)
        return level.joinpath("c", *key)

    def metadata(self) -> dict[str, Any]:
        """Return the Zarr v3 metadata (zarr.json) of the level."""
        shard = [n * c for n, c in zip(self.per_shard, self.cube, strict=True)]
        zstd = {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": False}}
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding = {
            "chunk_shape": list(self.cube),
            "codecs": [{"name": "bytes"}, zstd],
            "index_codecs": index,
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
            "dimension_names": ["z", "y", "x"],
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], axis: int) -> Self:
        """Return the layout that a zarr.json describes.

        Raises
        ------
        ValueError, KeyError, TypeError, IndexError
            If another program wrote it, or it is damaged.
        """
        z, y, x = (int(n) for n in metadata["shape"])
        cz, cy, cx = (int(n) for n in metadata["codecs"][0]["configuration"]["chunk_shape"])
        found = cls((z, y, x), (cz, cy, cx), axis)
        ours = found.metadata()
        if any(metadata.get(key) != ours[key] for key in ("codecs", "chunk_grid", "data_type", "fill_value")):
            raise ValueError("its blocks do not lie as this program puts them")
        return found


class SlabsWriter:
    """Writes one array with all its levels, of which the smaller ones take every second voxel.

    Parameters
    ----------
    folder : Path
        Of the image; `begin` makes it.
    shape : tuple of int
        (z, y, x).
    axis : int
        Along which slabs are written.
    """

    def __init__(self, folder: Path, shape: Shape, axis: int) -> None:
        self.folder, self.shape, self.axis = folder, shape, axis
        self.layouts = ShardLayout.levels(shape, axis)
        self.block = self.layouts[0].cube[axis]
        self._factors = level_factors(shape)

    def begin(self) -> None:
        """Make the folders of the levels, in which everything is zero.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        for level, layout in enumerate(self.layouts):
            (self.folder / str(level)).mkdir(parents=True)
            atomic.write_json(self.folder / str(level) / "zarr.json", layout.metadata())

    def tidy(self) -> None:
        """Remove the files that a killed program was about to write."""
        for path in self.folder.glob("*/c/**/*.tmp"):
            path.unlink(missing_ok=True)

    def has(self, start: int) -> bool:
        """Whether the slab that starts there is on the disk, whole."""
        return self.layouts[0].file(self.folder / "0", start // self.block).exists()

    def write(self, start: int, box: Bytes) -> None:
        """Write a slab, which is safe on the disk when this returns.

        Parameters
        ----------
        start : int
            Its first slice, a multiple of `block`.
        box : ndarray of uint8, shape (z, y, x)
            All `block` slices of it, or those up to the volume's end.

        Raises
        ------
        FileNotFoundError
            If the folder is not there any more; it is never made anew.
        OSError
            If the disk is full or fails.
        """
        stop = start + box.shape[self.axis]
        for level in reversed(range(len(self.layouts))):  # the full one last: it is what `has` looks for
            factor, layout = self._factors[level], self.layouts[level]
            first, last = -(-start // factor[self.axis]), -(-stop // factor[self.axis])
            if first == last:
                continue
            cut = [slice(None, None, f) for f in factor]
            cut[self.axis] = slice(first * factor[self.axis] - start, None, factor[self.axis])
            shard = first // layout.cube[self.axis]
            _write_shard(self.folder / str(level), layout, shard, box[tuple(cut)])


def _write_shard(level: Path, layout: ShardLayout, shard: int, box: Bytes) -> None:
    path = layout.file(level, shard)
    for folder in reversed(path.relative_to(level).parents[:-1]):
        (level / folder).mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    table = np.full((math.prod(layout.per_shard), 2), MISSING, dtype="<u8")
    offset = 0
    try:
        with temporary.open("xb", buffering=0) as file:
            for number, data in enumerate(_packed(layout, box)):
                if data:
                    table[number] = offset, len(data)
                    offset += len(data)
                    _write_all(file, data)
            index = table.tobytes()
            _write_all(file, index + _crc(index))
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - tests stand in for the system call
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    atomic.sync_folder(path.parent)


def _write_all(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) :]


def _packed(layout: ShardLayout, box: Bytes) -> Iterator[bytes]:
    """Return the compressed cubes of a shard in the order of its index, nothing for one of zeros."""
    import imagecodecs

    def pack(at: tuple[int, ...]) -> bytes:
        cube = box[tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, layout.cube, strict=True))]
        if not cube.any():
            return b""
        missing = [(0, c - n) for c, n in zip(layout.cube, cube.shape, strict=True)]
        whole = np.pad(cube, missing) if cube.shape != layout.cube else cube
        return bytes(imagecodecs.zstd_encode(whole.tobytes(), level=_LEVEL))

    places = list(product(*(range(n) for n in layout.per_shard)))
    if len(places) < _PARALLEL:
        yield from map(pack, places)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="pack-labels") as pool:
        for start in range(0, len(places), 8 * _PARALLEL):  # so that little waits in memory
            yield from pool.map(pack, places[start : start + 8 * _PARALLEL])


def _crc(data: bytes) -> bytes:
    import google_crc32c

    return int(google_crc32c.value(data)).to_bytes(4, "little")


class SlabsLevel:
    """One level, read only; many threads may read it at once, and while it grows. What is not there yet is zero.

    Parameters
    ----------
    folders : sequence of Path
        Where the level's array lies, and where it may be moved to while it is read.
    axis : int
        Along which its slabs are written.

    Raises
    ------
    StudyError
        If it is missing or damaged.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, folders: Sequence[Path], axis: int) -> None:
        self._folders = folders
        try:
            metadata = atomic.read_json(self.folder / "zarr.json")
            self.layout = ShardLayout.from_metadata(metadata, axis)
        except (OSError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError) as error:
            raise damaged(self.folder) from error
        self.shape = self.layout.shape

    @property
    def folder(self) -> Path:
        """Where the array lies now."""
        return next((f for f in self._folders if (f / "zarr.json").exists()), self._folders[-1])

    def box(self, start: Shape, stop: Shape) -> Bytes:
        """Return the voxels from `start` up to, not including, `stop`, both (z, y, x).

        Raises
        ------
        StudyError
            If a file is damaged.
        """
        z, y, x = (max(0, e - s) for s, e in zip(start, stop, strict=True))
        out = np.zeros((z, y, x), np.uint8)
        if out.size:
            layout, axis = self.layout, self.layout.axis
            depth = layout.cube[axis]
            for shard in range(start[axis] // depth, -(-stop[axis] // depth)):
                self._copy(out, start, stop, shard)
        return out

    def _copy(self, out: Bytes, start: Shape, stop: Shape, shard: int) -> None:
        """Fill in what one shard has of a box."""
        layout = self.layout
        path = layout.file(self.folder, shard)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return
        except OSError as error:
            raise damaged(path) from error
        with file:
            try:
                _copy_shard(file, layout, shard, out, start, stop)
            except Exception as error:  # whatever a codec raises at damaged bytes
                raise damaged(path) from error


def _copy_shard(file: Any, layout: ShardLayout, shard: int, out: Bytes, start: Shape, stop: Shape) -> None:
    import imagecodecs

    table = _index(file, layout)
    ranges = [
        range(1) if i == layout.axis else range(s // c, -(-e // c))
        for i, (s, e, c) in enumerate(zip(start, stop, layout.cube, strict=True))
    ]
    for at in product(*ranges):
        offset, size = (int(n) for n in table[at])
        if size == MISSING:
            continue
        place = [shard if i == layout.axis else n for i, n in enumerate(at)]
        to, frm = [], []
        for n, c, s, e in zip(place, layout.cube, start, stop, strict=True):
            low, high = max(n * c, s), min((n + 1) * c, e)
            to.append(slice(low - s, high - s))
            frm.append(slice(low - n * c, high - n * c))
        file.seek(offset)
        plain = imagecodecs.zstd_decode(file.read(size))
        out[tuple(to)] = np.frombuffer(plain, np.uint8).reshape(layout.cube)[tuple(frm)]


def _index(file: Any, layout: ShardLayout) -> NDArray[np.uint64]:
    size = 16 * math.prod(layout.per_shard)
    file.seek(-(size + 4), os.SEEK_END)
    data = file.read(size + 4)
    if len(data) != size + 4 or _crc(data[:size]) != data[size:]:
        raise ValueError("its index is damaged")
    return np.frombuffer(data, "<u8", size // 8).reshape(*layout.per_shard, 2)


def damaged(path: Path) -> StudyError:
    """Return the error of labels that cannot be read."""
    return StudyError(
        f"Cannot read '{path}'",
        "the stored prediction is damaged or incomplete",
        "predict the volume again with this run",
    )
