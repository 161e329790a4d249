"""Memory maps of shard files, a bounded number of them open at a time, and copying slices and boxes out of them."""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.study.layout import Layout

Bytes = NDArray[np.uint8]
Key = tuple[int, int, int]

OPEN_MAPS = 128
"""How many shard files stay mapped; each costs one file descriptor, of which macOS grants 256."""


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


def copy_slice(
    out: Bytes, folder: Path, stamp: str, layout: Layout, axis: int, index: int, maps: MapCache = MAPS
) -> None:
    """Copy one whole slice of a level.

    Parameters
    ----------
    out : ndarray of uint8, shape (h, w)
        Filled with the slice: the two other axes in their order.
    folder, stamp, layout
        As in `MapCache.get`.
    axis : int
        0, 1 or 2 for z, y or x.
    index : int
        The slice, counted along the array.
    """
    a, b = (i for i in range(3) if i != axis)
    shard, within = divmod(index, layout.shard[axis])
    block, offset = divmod(within, layout.block[axis])
    key = [0, 0, 0]
    key[axis] = shard
    cut: list[int | slice] = [slice(None)] * 6
    cut[axis], cut[axis + 3] = block, offset
    for row in range(layout.shards[a]):
        for column in range(layout.shards[b]):
            key[a], key[b] = row, column
            top, left = row * layout.shard[a], column * layout.shard[b]
            target = out[top : top + layout.shard[a], left : left + layout.shard[b]]
            found = maps.get(folder, stamp, layout, (key[0], key[1], key[2]))
            if found is None:
                target[...] = 0
            else:
                _join(target, found[tuple(cut)])


def _join(out: Bytes, blocks: Bytes) -> None:
    """Put blocks (rows of blocks, columns of blocks, h, w) side by side; what hangs over the edge is cut."""
    h, w = out.shape
    bh, bw = blocks.shape[2:]
    rows, columns = h // bh, w // bw
    side_by_side = blocks.transpose(0, 2, 1, 3)
    top, left = rows * bh, columns * bw
    out[:top, :left].reshape(rows, bh, columns, bw)[...] = side_by_side[:rows, :, :columns]
    if left < w:
        out[:top, left:].reshape(rows, bh, w - left)[...] = side_by_side[:rows, :, columns, : w - left]
    if top < h:
        out[top:, :left].reshape(h - top, columns, bw)[...] = side_by_side[rows, : h - top, :columns]
        if left < w:
            out[top:, left:] = side_by_side[rows, : h - top, columns, : w - left]


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
