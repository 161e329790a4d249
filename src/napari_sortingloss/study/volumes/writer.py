"""Writing a volume into a study, slab by slab, so that it appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.disk.ome import group_metadata
from napari_sortingloss.disk.pyramid import halve, level_factors, level_shapes
from napari_sortingloss.disk.shard_layout import Layout
from napari_sortingloss.errors import BadInput, StudyError, readable_os_errors
from napari_sortingloss.study.schema import VolumeRecord, now

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

Bytes = NDArray[np.uint8]

BUFFER_BYTES = 64 * 2**20
"""How many bytes of planes of a level wait until they are written together."""


class LevelWriter:
    """Writes one level of a pyramid, planes in order of z; memory stays bounded whatever the size.

    Parameters
    ----------
    folder : Path
        The folder of the level, which is made.
    layout : Layout
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout = folder, layout
        folder.mkdir(parents=True)
        (folder / "zarr.json").write_text(json.dumps(layout.metadata(), indent=2), "utf-8")
        _, ny, nx = layout.blocks
        bz, by, bx = layout.block
        depth = max(1, min(bz, layout.shape[0], BUFFER_BYTES // (ny * by * nx * bx)))
        waiting = (0, 0, 0) if layout.whole_planes else (depth, ny * by, nx * bx)  # padded to whole blocks
        self._planes = np.zeros(waiting, np.uint8)
        self._held, self._done = 0, 0
        self._files: dict[tuple[int, int, int], BinaryIO] = {}

    def write(self, planes: Bytes) -> None:
        """Append planes (n, y, x)."""
        _, y, x = self.layout.shape
        bz = self.layout.block[0]
        if self.layout.whole_planes:
            self._append(np.ascontiguousarray(planes))
            return
        at = 0
        while at < len(planes):
            room = min(len(self._planes), bz - self._done % bz) - self._held
            n = min(room, len(planes) - at)
            self._planes[self._held : self._held + n, :y, :x] = planes[at : at + n]
            self._held += n
            at += n
            if n == room:
                self._flush()

    def _append(self, planes: Bytes) -> None:
        """Write whole planes behind the last ones, straight from the caller's memory."""
        height, plane = self.layout.shard[0], planes[:1].size
        while len(planes):
            shard, within = divmod(self._done, height)
            n = min(len(planes), height - within)
            _write_at(self._file((shard, 0, 0)), within * plane, planes[:n])
            self._done += n
            planes = planes[n:]
            if self._done % height == 0:
                self._finish()

    def close(self) -> None:
        """Write what waits and finish the last files."""
        if self._held:
            self._flush()
        self._finish()

    def drop(self) -> None:
        """Close the files as they are."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files.clear()

    def _flush(self) -> None:
        """Write the waiting planes, which lie in one layer of blocks, into every block of that layer."""
        bz, by, bx = self.layout.block
        layer, first = divmod(self._done, bz)
        kz, inner = divmod(layer, self.layout.per_shard[0])
        last = self._done + self._held == self.layout.shape[0]
        n = bz - first if last else self._held  # the end of the last layer is padding
        planes = self._planes[: self._held]
        if n > self._held:
            planes = np.concatenate([planes, np.zeros((n - self._held, *planes.shape[1:]), np.uint8)])
        _, ny, nx = self.layout.blocks
        blocks = planes.reshape(n, ny, by, nx, bx).transpose(1, 3, 0, 2, 4)
        _, per_y, per_x = self.layout.per_shard
        for ky in range(self.layout.shards[1]):
            for kx in range(self.layout.shards[2]):
                key = (kz, ky, kx)
                mine = blocks[ky * per_y : (ky + 1) * per_y, kx * per_x : (kx + 1) * per_x]
                self._put(key, inner, first, np.ascontiguousarray(mine))
        self._done += self._held
        self._held = 0
        if self._done % self.layout.shard[0] == 0:
            self._finish()

    def _put(self, key: tuple[int, int, int], layer: int, first: int, blocks: Bytes) -> None:
        file = self._file(key)
        _, by, bx = self.layout.block
        size = self.layout.block[0] * by * bx
        start = layer * blocks.shape[0] * blocks.shape[1] * size
        if blocks.shape[2] == self.layout.block[0]:  # whole blocks follow each other
            _write_at(file, start, blocks)
            return
        for i, block in enumerate(blocks.reshape(-1, *blocks.shape[2:])):
            _write_at(file, start + i * size + first * by * bx, block)

    def _file(self, key: tuple[int, int, int]) -> BinaryIO:
        if key not in self._files:
            path = self.folder / self.layout.file_name(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[key] = path.open("xb", buffering=0)
        return self._files[key]

    def _finish(self) -> None:
        for key, file in self._files.items():
            _write_at(file, self.layout.data_bytes(key), np.frombuffer(self.layout.index(key), np.uint8))
            file.close()
        self._files.clear()


def _write_at(file: BinaryIO, offset: int, data: Bytes) -> None:
    file.seek(offset)
    view = memoryview(data.data).cast("B")
    while len(view):
        view = view[file.write(view) :]


class PyramidWriter:
    """Writes an OME-Zarr 0.5 image with all its levels in one pass over the planes.

    Parameters
    ----------
    folder : Path
        The image's folder, which is made.
    shape : tuple of int
        (z, y, x) in voxels.
    full, smaller : callable, optional
        Choose the layout of the full level, and of the others, from its shape.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, int, int],
        full: Callable[[tuple[int, int, int]], Layout] = Layout.of_planes,
        smaller: Callable[[tuple[int, int, int]], Layout] = Layout.of_cubes,
    ) -> None:
        self.folder = folder
        shapes = level_shapes(shape)
        layouts = [full(shapes[0]), *map(smaller, shapes[1:])]
        self._levels = [LevelWriter(folder / str(i), layout) for i, layout in enumerate(layouts)]
        self._halved = [(a[0] > b[0], a[1] > b[1], a[2] > b[2]) for a, b in pairwise(shapes)]
        self._single: list[Bytes | None] = [None] * len(shapes)  # a plane that waits for its partner

    def write(self, planes: Bytes) -> None:
        """Append planes (n, y, x) and what follows from them on the smaller levels."""
        self._feed(0, planes)

    def close(self) -> None:
        """Write what waits; the image is then complete but for its attributes."""
        for level, planes in enumerate(self._single):
            if planes is not None:
                self._single[level] = None
                self._feed(level + 1, halve(planes, self._halved[level]))
        for writer in self._levels:
            writer.close()

    def _feed(self, level: int, planes: Bytes) -> None:
        self._levels[level].write(planes)
        if level == len(self._halved):
            return
        if self._halved[level][0]:
            waiting = self._single[level]
            if waiting is not None:
                planes = np.concatenate([waiting, planes])
            self._single[level] = planes[-1:].copy() if len(planes) % 2 else None
            planes = planes[: len(planes) // 2 * 2]
        if len(planes):
            self._feed(level + 1, halve(planes, self._halved[level]))

    def drop(self) -> None:
        """Close all files as they are."""
        for writer in self._levels:
            writer.drop()


class VolumeWriter:
    """Writes one new volume of a study; until `commit` nothing of it can be seen.

    Parameters
    ----------
    study : Study
    record : VolumeRecord
        Its name must be free; see `Study.free_name`.

    Raises
    ------
    StudyError
        If the study has a volume of that name.
    UserError
        If the folder cannot be written.

    Notes
    -----
    The voxels go to ``volumes/.NAME.zarr.part-ID``, whose lock file this process holds while it lives; a part that
    nobody holds is removed when the study is opened next. Leaving the `with` block without `commit` removes it at once.
    """

    def __init__(self, study: Study, record: VolumeRecord) -> None:
        self.study, self.record = study, record
        self._what = f"Cannot write volume '{record.name}'"
        self._written = 0
        self._open = False
        self._id = uuid.uuid4().hex
        self._part = study.volume_path(record.name).with_name(f".{record.name}.zarr.part-{self._id[:12]}")
        self._owner = Ownership(self._part.with_name(self._part.name + ".lock"))
        with readable_os_errors(self._what), study.transaction() as document:
            if record.name in document["volumes"]:
                raise _taken(record.name)
            self._part.parent.mkdir(exist_ok=True)
            self._owner.take()
            self._open = True
            try:
                self._part.mkdir()
                self._image = PyramidWriter(self._part / "image.zarr", record.shape)
                owner = {"pid": os.getpid(), "host": socket.gethostname()}
                (self._part / "owner.json").write_text(json.dumps(owner), "utf-8")
            except BaseException:
                self.abort()
                raise

    @property
    def written(self) -> int:
        """How many slices along z have been written."""
        return self._written

    def write(self, z0: int, slab: NDArray[np.uint8]) -> None:
        """Write the next slices along z.

        Parameters
        ----------
        z0 : int
            The index of the slab's first slice; slabs come in order, without gaps.
        slab : ndarray of uint8, shape (n, y, x)

        Raises
        ------
        BadInput
            If the slab does not follow the last one or has another shape or type.
        OutOfSpace, UserError
            If the disk is full or fails.
        """
        z, y, x = self.record.shape
        fits = slab.ndim == 3 and slab.shape[1:] == (y, x) and slab.dtype == np.uint8
        if not self._open or not fits or z0 != self._written or z0 + len(slab) > z:
            raise BadInput(
                self._what,
                f"a slab {slab.shape} of {slab.dtype} at slice {z0} does not follow slice {self._written} of "
                f"{self.record.shape}",
                "write slabs of uint8 in order",
            )
        with readable_os_errors(self._what):
            self._image.write(slab)
        self._written += len(slab)

    def commit(self) -> VolumeRecord:
        """Make the volume visible; it is registered as the study's last.

        Raises
        ------
        BadInput
            If slices are missing.
        StudyError
            If another program took the name in the meantime, or keeps the study locked.
        OutOfSpace, UserError
            If the disk is full or fails.
        """
        record = self.record
        if not self._open or self._written != record.shape[0]:
            raise BadInput(
                self._what, f"only {self._written} of {record.shape[0]} slices came", "start the import again"
            )
        path = self.study.volume_path(record.name)
        image = self._part / "image.zarr"
        with readable_os_errors(self._what):
            self._image.close()
            provenance = {"id": self._id, "created": now(), **record.to_json()}
            metadata = group_metadata(
                record.name, record.voxel_size, record.unit, level_factors(record.shape), provenance
            )
            atomic.write_json(image / "zarr.json", metadata)
            with self.study.transaction() as document:
                if record.name in document["volumes"]:
                    raise _taken(record.name)
                if path.exists():  # what a killed commit left: in no list, so nobody's
                    shutil.rmtree(path)
                image.rename(path)
                document["volumes"][record.name] = record.to_json()
        self._close()
        return record

    def abort(self) -> None:
        """Remove what was written; harmless after `commit` and when repeated."""
        if self._open:
            if hasattr(self, "_image"):
                self._image.drop()
            self._close()

    def _close(self) -> None:
        self._open = False
        shutil.rmtree(self._part, ignore_errors=True)
        with suppress(OSError):
            self._part.with_name(self._part.name + ".lock").unlink()
        self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _taken(name: str) -> StudyError:
    return StudyError(
        f"Cannot add volume '{name}'",
        "the study has a volume of that name",
        "remove it or choose another name",
    )
