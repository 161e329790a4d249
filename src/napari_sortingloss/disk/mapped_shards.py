"""Memory maps of shard files, a bounded number of them open at a time, and copying slices and boxes out of them."""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.shard_layout import Layout

Bytes = NDArray[np.uint8]
Key = tuple[int, int, int]

OPEN_MAPS = 128
"""How many shard files stay mapped; each costs one file descriptor, of which macOS grants 256."""

CACHE_LINE = 64
CACHED_BYTES = 2**20
"""How much of a volume is expected to stay in the processor's cache while slices are cut out of it."""


class ForeignShardError(Exception):
    """A shard whose blocks are not where this program puts them: another program wrote it."""


class DamagedShardError(Exception):
    """A shard that is shorter than its index says."""


class MapCache:
    """Maps of shard files, least recently used ones closed first; safe to use from many threads.

    Parameters
    ----------
    limit : int
        How many files may be open.
    """

    def __init__(self, limit: int = OPEN_MAPS) -> None:
        self.limit = limit
        self._maps: OrderedDict[tuple[Path, str, Key], Bytes | None] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, folder: Path, stamp: str, layout: Layout, key: Key) -> Bytes | None:
        """Return a shard as (block z, y, x, voxel z, y, x), or None where it is missing, which means zeros.

        Parameters
        ----------
        folder : Path
            The folder of the level.
        stamp : str
            What tells this volume from an earlier one of the same name.
        layout : Layout
        key : tuple of int
            The shard's position in the grid of shards.

        Raises
        ------
        ForeignShardError
            If the file's index is not the one this layout makes.
        DamagedShardError
            If the file is cut short.
        """
        name = (folder, stamp, key)
        with self._lock:
            if name in self._maps:
                self._maps.move_to_end(name)
                return self._maps[name]
        found = _map(folder / layout.file_name(key), layout, key)
        if found is None:  # not remembered: it may appear
            return None
        with self._lock:
            self._maps[name] = found
            while len(self._maps) > self.limit:
                self._maps.popitem(last=False)  # closed when the last slice cut from it is gone
        return found

    def forget(self, folder: Path) -> None:
        """Close the maps below a folder, before it is renamed or removed."""
        with self._lock:
            for name in [n for n in self._maps if n[0].is_relative_to(folder)]:
                del self._maps[name]

    def __len__(self) -> int:
        return len(self._maps)


MAPS = MapCache()


def _map(path: Path, layout: Layout, key: Key) -> Bytes | None:
    size = layout.data_bytes(key)
    index = layout.index(key)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        file.seek(0, 2)
        length = file.tell()
        if length < len(index):
            raise DamagedShardError(path)
        file.seek(length - len(index))
        found = file.read(len(index))
        if length != size + len(index) or found != index:
            if _points_outside(found, length - len(index)):
                raise DamagedShardError(path)
            raise ForeignShardError(path)
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapped, dtype=np.uint8)
    return data.reshape(*layout.blocks_of(key), *layout.block)


def _points_outside(index: bytes, length: int) -> bool:
    """Whether an index is no index, or names bytes that the file does not have."""
    import google_crc32c

    if int(google_crc32c.value(index[:-4])) != int.from_bytes(index[-4:], "little"):
        return True
    table = np.frombuffer(index[:-4], dtype="<u8").reshape(-1, 2)
    table = table[table[:, 1] != 2**64 - 1]
    return bool(len(table)) and bool((table.sum(axis=1) > length).any())


def copy_slices(
    out: Bytes,
    folder: Path,
    stamp: str,
    layout: Layout,
    axis: int,
    indices: Sequence[int],
    maps: MapCache = MAPS,
) -> None:
    """Copy whole slices of a level.

    Parameters
    ----------
    out : ndarray of uint8, shape (n, h, w)
        Filled with the slices: the two other axes in their order.
    folder, stamp, layout
        As in `MapCache.get`.
    axis : int
        0, 1 or 2 for z, y or x.
    indices : sequence of int
        The slices, counted along the array.
    """
    a, b = (i for i in range(3) if i != axis)
    height, width = layout.shard[a], layout.shard[b]
    within: dict[int, list[tuple[int, int]]] = {}
    for i, index in enumerate(indices):
        shard, offset = divmod(index, layout.shard[axis])
        within.setdefault(shard, []).append((i, offset))
    key = [0, 0, 0]
    for row in range(layout.shards[a]):
        for column in range(layout.shards[b]):
            target = out[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
            for shard, wanted in within.items():
                key[a], key[b], key[axis] = row, column, shard
                found = maps.get(folder, stamp, layout, (key[0], key[1], key[2]))
                if found is None:
                    target[[i for i, _ in wanted]] = 0
                elif layout.whole_planes:
                    planes = found.reshape(-1, *layout.block[1:])
                    _from_planes(target, planes[: layout.shape[0] - key[0] * layout.shard[0]], axis, wanted)
                else:
                    _from_blocks(target, found, axis, wanted)


def _from_planes(out: Bytes, planes: Bytes, axis: int, wanted: list[tuple[int, int]]) -> None:
    """Copy slices out of planes (z, y, x) that follow each other, as out of any array."""
    if axis == 0 and len(wanted) == len(out):
        planes.take([index for _, index in wanted], 0, out, mode="clip")  # clip: straight into out
    elif (
        axis == 2 and len(wanted) > 1
    ):  # all slices from some planes before the next, while they are in the cache
        places, indices = [i for i, _ in wanted], [index for _, index in wanted]
        step = max(1, CACHED_BYTES // planes[0].size)
        for z in range(0, len(planes), step):
            out[places, z : z + step] = np.moveaxis(planes[z : z + step].take(indices, 2), 2, 0)
    else:
        for i, index in wanted:
            out[i] = planes[index] if axis == 0 else planes[:, index] if axis == 1 else planes[:, :, index]


def _from_blocks(out: Bytes, found: Bytes, axis: int, wanted: list[tuple[int, int]]) -> None:
    """Copy slices out of blocks, each with as few strided copies as the edges of the volume allow."""
    a, b = (i for i in range(3) if i != axis)
    size = found.shape[3:]
    joins = _joins(out.shape[1], out.shape[2], size[a], size[b])
    cut: list[int | slice] = [slice(None)] * 6
    for i, offset in wanted:
        cut[axis], cut[axis + 3] = divmod(offset, size[axis])
        pieces = found[tuple(cut)].swapaxes(1, 2)  # (row of blocks, h, column of blocks, w)
        for to, shape, frm in joins:
            out[(i, *to)].reshape(shape)[...] = pieces[frm]


Join = tuple[tuple[slice, slice], tuple[int, ...], tuple[slice | int, ...]]


@lru_cache(maxsize=256)
def _joins(h: int, w: int, bh: int, bw: int) -> tuple[Join, ...]:
    """Return how blocks of (bh, bw) become a plane of (h, w), what hangs over the edges cut: the fewest copies that do.

    Each copy is (part of the plane, its shape when cut into blocks, part of the blocks).
    """
    rows, columns = h // bh, w // bw
    top, left = rows * bh, columns * bw
    copies: list[Join] = []
    if rows and columns:
        copies.append(
            (
                (slice(0, top), slice(0, left)),
                (rows, bh, columns, bw),
                (slice(0, rows), slice(None), slice(0, columns)),
            )
        )
    if rows and left < w:
        copies.append(
            (
                (slice(0, top), slice(left, w)),
                (rows, bh, w - left),
                (slice(0, rows), slice(None), columns, slice(0, w - left)),
            )
        )
    if top < h and columns:
        copies.append(
            (
                (slice(top, h), slice(0, left)),
                (h - top, columns, bw),
                (rows, slice(0, h - top), slice(0, columns)),
            )
        )
    if top < h and left < w:
        copies.append(
            (
                (slice(top, h), slice(left, w)),
                (h - top, w - left),
                (rows, slice(0, h - top), columns, slice(0, w - left)),
            )
        )
    return tuple(copies)


def copy_box(out: Bytes, folder: Path, stamp: str, layout: Layout, start: Key, maps: MapCache = MAPS) -> None:
    """Copy a box of a level, block by block.

    Parameters
    ----------
    out : ndarray of uint8, shape (z, y, x)
        Filled with the box; its shape is the box's.
    folder, stamp, layout
        As in `MapCache.get`.
    start : tuple of int
        (z, y, x) of the box's first voxel.
    """
    stop = [s + n for s, n in zip(start, out.shape, strict=True)]
    ranges = [range(s // b, -(-e // b)) for s, e, b in zip(start, stop, layout.block, strict=True)]
    for kz in ranges[0]:
        for ky in ranges[1]:
            for kx in ranges[2]:
                at = (kz, ky, kx)
                key, within = zip(
                    *(divmod(i, n) for i, n in zip(at, layout.per_shard, strict=True)), strict=True
                )
                to, frm = [], []
                for i, b, s, e in zip(at, layout.block, start, stop, strict=True):
                    low, high = max(i * b, s), min((i + 1) * b, e)
                    to.append(slice(low - s, high - s))
                    frm.append(slice(low - i * b, high - i * b))
                found = maps.get(folder, stamp, layout, (key[0], key[1], key[2]))
                out[tuple(to)] = 0 if found is None else found[within][tuple(frm)]
