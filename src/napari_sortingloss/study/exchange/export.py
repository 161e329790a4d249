"""The export job: a volume of a study, its specimen or what was measured of it becomes a file for other programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, Shape, shifted, size_of
from napari_sortingloss.disk.atomic import write_bytes
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.errors import AlreadyExists, BadSetting, readable_os_errors
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.formats.label_names import LabelName
from napari_sortingloss.study.exchange.export_labels import labels_to_export, original_of
from napari_sortingloss.study.exchange.export_settings import ExportSettings
from napari_sortingloss.study.localizations.reading import find_localization, read_map

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study
    from napari_sortingloss.study.volume import Volume

__all__ = ["ExportSettings", "export"]

_EVERY = 0.2
_SLAB_BYTES = 16 << 20
_FORMATS = {
    ".tif": "OME-TIFF",
    ".tiff": "OME-TIFF",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
    ".zarr": "OME-Zarr",
}

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class _Piece:
    """What is written: its numbers and where they lie."""

    shape: Shape
    dtype: type[np.generic]
    slabs: Iterator[NDArray[Any]]
    voxel_size: Triple
    origin: Triple
    facts: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[LabelName, ...] = ()


def export(study: Study, settings: ExportSettings) -> Iterator[Event]:
    """Write a volume, a part, a map, labels or surfaces of it to a file, slab by slab in bounded memory.

    The file says where its first voxel lies in the original volume, as far as its format can, and what its labels mean;
    where it cannot say that a small file beside it does, ``NAME.labels.json``, with a copy for ITK-SNAP,
    ``NAME.labels.txt``. Surfaces are in mm and lie in the original volume, too; see `export_meshes`.

    Parameters
    ----------
    study : Study
    settings : ExportSettings

    Yields
    ------
    Event
        `Progress` in slices, and last a `Result`: ``{"path", "volume", "format", "shape", "voxel_size", "unit"}``; with
        ``"run"`` for a crop, the uncertainty and what is predicted; ``"box"`` (in the volume) and ``"offset"`` (in the
        original, both in voxels) for a crop; for labels ``"source"``, ``"frame"``, ``"classes"`` and ``"beside"``, the
        paths of the files beside. Closing the iterator before leaves no file behind, and an existing one as it was.

    Raises
    ------
    BadSetting
        If the file would lie inside the study, or an option does not go with what is written.
    UserError
        If there is no such volume, it has not been localised, the format cannot be written, the file exists (unless
        `overwrite`), or the disk is full or fails.
    """
    from napari_sortingloss.formats import write_volume

    settings.refuse_meaningless()
    volume = study.volume(settings.volume)
    target = settings.to.expanduser().absolute()
    if target.resolve().is_relative_to(study.path.resolve()):
        raise BadSetting(
            f"Cannot write '{target.name}'",
            "it would lie inside the study's own folder",
            "choose a place outside of it",
        )
    if settings.what in ("mesh", "hull"):
        from napari_sortingloss.study.exchange.export_meshes import export_meshes

        yield from export_meshes(study, settings, target)
        return
    piece = _piece(study, volume, settings)
    beside = _files_beside(target, piece, settings.overwrite)
    total = piece.shape[0]
    yield Progress(done=0, total=total, what=f"{volume.name}: writing {target.name}", unit="slices")
    began = last = time.monotonic()
    writing = write_volume(
        target,
        piece.shape,
        piece.dtype,
        piece.slabs,
        piece.voxel_size,
        volume.unit,
        overwrite=settings.overwrite,
        origin=piece.origin,
        labels=piece.names,
    )
    try:
        for done in writing:
            now = time.monotonic()
            if done < total and now - last >= _EVERY:
                last = now
                yield Progress(
                    done=done,
                    total=total,
                    what=f"{volume.name}: writing {target.name}",
                    unit="slices",
                    seconds_left=(now - began) * (total - done) / done,
                )
    finally:
        close = getattr(writing, "close", None)
        if close is not None:
            close()
    with readable_os_errors(f"Cannot write what the labels in '{target.name}' mean"):
        for path, data in beside.items():
            write_bytes(path, data)
    yield Progress(done=total, total=total, what=f"{volume.name}: wrote {target.name}", unit="slices")
    yield Result(
        value={
            "path": str(target),
            "volume": volume.name,
            "format": _format_of(target),
            "shape": list(piece.shape),
            "voxel_size": list(piece.voxel_size),
            "unit": volume.unit,
            **piece.facts,
            **({"beside": [str(path) for path in beside]} if piece.names else {}),
        }
    )


def _piece(study: Study, volume: Volume, settings: ExportSettings) -> _Piece:
    """Choose what is written."""
    record = volume.record
    if settings.what == "uncertainty":
        found = find_localization(study, volume.name, settings.run)
        values, grid = read_map(study, volume.name, found.run, "uncertainty")
        z, y, x = values.shape
        first = [o + float(g) for o, g in zip(record.offset, grid["offset"], strict=True)]
        scale, origin = _times(grid["scale"], record.voxel_size), _times(first, record.voxel_size)
        return _Piece((z, y, x), np.float32, iter([values]), scale, origin, {"run": found.run})
    if settings.what == "labels":
        return _labels(study, settings)
    if settings.what == "crop":
        from napari_sortingloss.study.crops.job import box_to_cut

        found, box = box_to_cut(study, record, settings.run, settings.margin)
        offset = [low for low, _ in shifted(box, record.offset)]
        facts = {"run": found.run, "box": [list(span) for span in box], "offset": offset}
        origin = _times(offset, record.voxel_size)
        return _Piece(size_of(box), np.uint8, _in_box(volume, box), record.voxel_size, origin, facts)
    origin = _times(record.offset, record.voxel_size)
    return _Piece(record.shape, np.uint8, _slabs(volume), record.voxel_size, origin)


def _labels(study: Study, settings: ExportSettings) -> _Piece:
    labels = labels_to_export(study, settings)
    record = labels.record
    frame = original_of(study, record) if settings.frame == "original" else record
    return _Piece(
        frame.shape,
        labels.dtype.type,
        labels.slabs() if frame is record else labels.slabs_in(frame),
        record.voxel_size,
        _times(frame.offset, record.voxel_size),
        {
            **labels.facts,
            "frame": settings.frame,
            "classes": [{"value": n.value, "name": n.name, "color": n.color} for n in labels.names],
        },
        labels.names,
    )


def _files_beside(target: Path, piece: _Piece, overwrite: bool) -> dict[Path, bytes]:
    """Return the files that say what labels mean, where the format of the labels has no place for it.

    Raises
    ------
    BadInput
        If there is one already, and it is not to be replaced.
    """
    from napari_sortingloss.formats.label_names import itk_snap_text, labels_json
    from napari_sortingloss.formats.naming import stem_of, suffix_of
    from napari_sortingloss.formats.writers.write import NAMING

    about = {"file": target.name, **{k: v for k, v in piece.facts.items() if k != "classes"}}
    stem = target.with_name(stem_of(target))
    files = {}
    if piece.names and (suffix_of(target) not in NAMING or "slices" in about):
        files[stem.with_name(f"{stem.name}.labels.json")] = labels_json(piece.names, about)
    if piece.names and suffix_of(target) not in NAMING:
        files[stem.with_name(f"{stem.name}.labels.txt")] = itk_snap_text(piece.names)
    for path in files:
        if path.exists() and not overwrite and not target.exists():  # that is said first
            raise AlreadyExists(
                f"Cannot write '{path.name}'",
                "it exists already",
                "choose another name, or overwrite it (option 'overwrite')",
            )
    return files


def _slabs(volume: Volume) -> Iterator[NDArray[np.uint8]]:
    for start, stop in steps(volume.shape[0], slab_height(volume.shape, 1, budget=_SLAB_BYTES)):
        yield volume.read_slab(start, stop)


def _in_box(volume: Volume, box: Box) -> Iterator[NDArray[np.uint8]]:
    (first, last), y, x = box
    for start, stop in steps(last - first, slab_height(size_of(box), 1, budget=_SLAB_BYTES)):
        yield volume.read_box(((first + start, first + stop), y, x))


def _times(values: Sequence[float], sizes: Triple) -> Triple:
    z, y, x = (float(v) * s for v, s in zip(values, sizes, strict=True))
    return z, y, x


def _format_of(path: Path) -> str:
    name = path.name.lower()
    return next((title for suffix, title in _FORMATS.items() if name.endswith(suffix)), path.suffix)
