"""Writing a volume to a file: streamed, atomic, in the format that the suffix says."""

from __future__ import annotations

import contextlib
import math
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import AlreadyExists, BadInput, OutOfSpace, readable_os_errors
from napari_sortingloss.formats.folders import is_zarr
from napari_sortingloss.formats.label_names import LabelName
from napari_sortingloss.formats.naming import stem_of, suffix_of
from napari_sortingloss.formats.units import Geometry, geometry
from napari_sortingloss.formats.writers.sinks import (
    NiftiSink,
    NrrdSink,
    PackedNiftiSink,
    Sink,
    TiffSink,
    ZarrSink,
    refuse_type,
    sync,
)

_SINKS: dict[str, type[Sink]] = {
    ".tif": TiffSink,
    ".tiff": TiffSink,
    ".ome.tif": TiffSink,
    ".ome.tiff": TiffSink,
    ".nii": NiftiSink,
    ".nii.gz": PackedNiftiSink,
    ".nrrd": NrrdSink,
    ".seg.nrrd": NrrdSink,
    ".zarr": ZarrSink,
    ".ome.zarr": ZarrSink,
}
WRITABLE = tuple(_SINKS)
"""Every suffix that can be written, for file dialogs."""
NAMING = tuple(suffix for suffix, sink in _SINKS.items() if issubclass(sink, ZarrSink | NrrdSink))
"""The suffixes of formats that have a place for the names and colours of labels."""


def write_volume(
    path: Path,
    shape: tuple[int, int, int],
    dtype: Any,
    slabs: Iterable[np.ndarray],
    voxel_size: tuple[float, float, float] | None,
    unit: str,
    *,
    overwrite: bool = False,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    labels: Sequence[LabelName] = (),
) -> Iterator[int]:
    """Write a volume slab by slab; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        The suffix says the format: .tif/.tiff (OME-TIFF), .nii, .nii.gz, .nrrd, .seg.nrrd, .zarr (OME-Zarr 0.5).
    shape : tuple of int
        (z, y, x).
    dtype : data type
        bool is written as uint8, float16 as float32.
    slabs : iterable of numpy.ndarray
        Slabs (n, y, x) that together have `shape`.
    voxel_size : tuple of float or None
        Along (z, y, x), in `unit`.
    unit : str
        ``"nm"``, ``"um"``, ``"mm"`` or ``""``.
    overwrite : bool
        Replace what is there.
    origin : tuple of float
        Where the centre of the first voxel lies, along (z, y, x) in `unit` (in voxels where their size is not known):
        the translation of an OME-Zarr, the affine of a NIfTI, the space origin of an NRRD, the plane positions of an
        OME-TIFF.
    labels : sequence of LabelName
        What the values mean, where they are labels; only the formats of `NAMING` keep it.

    Returns
    -------
    iterator of int
        The number of slices done; the last number comes when the file is in its place. Closing the iterator cancels
        and leaves nothing behind.

    Raises
    ------
    BadInput
        At once: if the suffix or the number type is not supported, the target exists, or its folder does not.
    OutOfSpace
        If the disk is, or would become, full.
    """
    path = Path(path)
    what = f"Cannot write '{path.name}'"
    sink = _SINKS.get(suffix_of(path))
    if sink is None:
        raise BadInput(
            what,
            f"files ending in '{suffix_of(path)}' cannot be written",
            "choose one of " + " ".join(WRITABLE),
        )
    kind = np.dtype(dtype).newbyteorder("=")
    kind = np.dtype({"bool": "uint8", "float16": "float32"}.get(kind.name, kind.name))
    refuse_type(what, sink, kind)
    with readable_os_errors(what):
        _check_target(path, what, sink, overwrite)
        needed = math.prod(shape) * kind.itemsize
        if not sink.compressed and shutil.disk_usage(path.parent).free < needed:
            raise OutOfSpace(
                what,
                f"the disk has too little space for {needed / 1e9:.1f} GB",
                "free some space or choose another disk",
            )
    size = geometry(voxel_size, unit)
    place = _converted(origin, voxel_size, size)

    def make(part: Path) -> Sink:
        return sink(part, stem_of(path), shape, kind, size, place, labels)

    return _write(path, what, make, shape, kind, slabs)


def _converted(
    origin: tuple[float, float, float], before: tuple[float, float, float] | None, size: Geometry
) -> tuple[float, float, float]:
    """Return the origin in the unit that the geometry was brought to."""
    if before is None or size.voxel_size is None:
        return origin
    z, y, x = (o * (a / b) for o, a, b in zip(origin, size.voxel_size, before, strict=True))
    return z, y, x


def _check_target(path: Path, what: str, sink: type[Sink], overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise BadInput(what, f"the folder '{path.parent}' does not exist", "make it or choose another one")
    if not path.exists():
        return
    if not overwrite:
        raise AlreadyExists(
            what, "it exists already", "choose another name, or overwrite it (option 'overwrite')"
        )
    if path.is_dir() and not (issubclass(sink, ZarrSink) and (is_zarr(path) or not any(path.iterdir()))):
        raise BadInput(what, "a folder of that name is in the way", "choose another name")


def _write(
    path: Path,
    what: str,
    make: Callable[[Path], Sink],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    slabs: Iterable[np.ndarray],
) -> Iterator[int]:
    part = path.with_name(f".{path.name}.part-{uuid.uuid4().hex[:8]}")
    sink: Sink | None = None
    done = 0
    try:
        with readable_os_errors(what):
            sink = make(part)
        for slab in slabs:
            if done + len(slab) > shape[0] or slab.shape[1:] != shape[1:]:
                raise ValueError(f"a slab of shape {slab.shape} after {done} slices does not fit {shape}")
            with readable_os_errors(what):
                sink.write(np.ascontiguousarray(slab, dtype=dtype))
            done += len(slab)
            if done < shape[0]:
                yield done
        if done != shape[0]:
            raise ValueError(f"only {done} of {shape[0]} slices were given")
        with readable_os_errors(what):
            sink.close()
            sync(part)
            _put_in_place(part, path)
    finally:
        if sink is not None:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                sink.close()
        _remove(part)
    yield done


def _put_in_place(part: Path, path: Path) -> None:
    if not path.is_dir():
        part.replace(path)
        return
    old = path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:8]}")
    path.rename(old)
    try:
        part.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
