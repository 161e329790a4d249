"""Exporting surfaces: of every class of the labels of a volume, one file each, or the hull of its specimen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box, size_of, whole
from napari_sortingloss.disk.pyramid import level_factors
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.errors import AlreadyExists, BadInput, StudyError
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.formats.label_names import LabelName
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.units import METRES, round_digits, unit_of
from napari_sortingloss.study.exchange.export_labels import ExportedLabels, labels_to_export
from napari_sortingloss.study.exchange.export_settings import MESHES, ExportSettings
from napari_sortingloss.study.exchange.meshes import Mesh, outwards, surface, write_mesh
from napari_sortingloss.study.localizations.reading import find_localization
from napari_sortingloss.study.schema import VolumeRecord, tidy_name

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

_SLAB_BYTES = 16 << 20
_HULL_COLOR = (230, 159, 0)

Triple = tuple[float, float, float]


def export_meshes(study: Study, settings: ExportSettings, target: Path) -> Iterator[Event]:
    """Write surfaces in mm (x, y, z) that lie where the original volume lies.

    One class goes to the very file; several go to one file each, ``NAME_class.ply``. The surface of a class is taken
    from its own box at full resolution, or, where that box is larger than the setting `detail`, from every second,
    fourth ... voxel, and then said so.

    Parameters
    ----------
    study : Study
    settings : ExportSettings
        With `what` ``"mesh"`` or ``"hull"``.
    target : Path
        Absolute.

    Yields
    ------
    Event
        `Progress` in surfaces, a `Notice` for each class that is not there or was not taken at full resolution, and last
        a `Result`: ``{"path", "volume", "format", "unit", "surfaces": [{"name", "path", "triangles", "volume",
        "voxel_size"}]}``; ``"path"`` is the first file, ``"volume"`` of a surface what it encloses.

    Raises
    ------
    BadInput
        If the suffix is none of a surface, a file exists (unless `overwrite`), or its folder does not.
    StudyError
        If there is nothing to take a surface of.
    OutOfSpace, UserError
        If the disk is full or fails.
    """
    what = f"Cannot write '{target.name}'"
    if target.suffix.lower() not in MESHES:
        raise BadInput(
            what,
            f"surfaces cannot be written as '{target.suffix}'",
            f"choose one of {' '.join(MESHES)}",
        )
    if not target.parent.is_dir():
        raise BadInput(what, f"the folder '{target.parent}' does not exist", "make it or choose another one")
    if settings.what == "hull":
        yield from _hull(study, settings, target)
    else:
        yield from _surfaces(labels_to_export(study, settings), settings, target)


def _hull(study: Study, settings: ExportSettings, target: Path) -> Iterator[Event]:
    _check_free([target], settings.overwrite)
    record = study.volume(settings.volume).record
    found = find_localization(study, record.name, settings.run)
    if found.hull is None or not len(found.hull.faces):
        raise StudyError(
            f"Cannot export the hull of '{record.name}'",
            f"run '{found.run}' found none",
            "localise it again, or choose another run (option 'run')",
        )
    yield Progress(done=0, total=1, what=f"{record.name}: hull", unit="surfaces")
    mesh = outwards(Mesh(found.hull.vertices[:, ::-1], found.hull.faces))
    made = _placed(mesh, record, (0, 0, 0), (1, 1, 1))
    write_mesh(target, made, _HULL_COLOR, f"{record.name} hull")
    yield Progress(done=1, total=1, what=f"{record.name}: wrote {target.name}", unit="surfaces")
    yield from _said(record, target, [_about("hull", target, made, record, (1, 1, 1))], {"run": found.run})


def _surfaces(labels: ExportedLabels, settings: ExportSettings, target: Path) -> Iterator[Event]:
    record = labels.record
    names = [name for name in labels.names if name.value]
    yield Progress(done=0, total=0, what=f"{record.name}: looking for the classes", unit="surfaces")
    limit = settings.detail * 1_000_000
    coarse = _level_for(whole(record.shape), record, limit)
    boxes = _boxes(labels, [name.value for name in names], coarse)
    there = [name for name in names if boxes[name.value] != NO_BOX]
    if not there:
        raise StudyError(
            f"Cannot export surfaces of '{record.name}'",
            f"its {settings.source} holds nothing of {', '.join(n.name for n in names) or 'any class'}",
            "choose other classes or another source",
        )
    paths = _paths(target, there, single=len(names) == 1)
    _check_free(paths, settings.overwrite)
    for name in names:
        if name not in there:
            seen = f" in steps of {max(level_factors(record.shape)[coarse])} voxels" if coarse else ""
            yield Notice(message=f"{record.name}: there is no {name.name}{seen}", level="warning")
    surfaces = []
    for done, (name, path) in enumerate(zip(there, paths, strict=True)):
        yield Progress(done=done, total=len(there), what=f"{record.name}: {name.name}", unit="surfaces")
        level = _level_for(boxes[name.value], record, limit)
        factor = level_factors(record.shape)[level]
        mask, first = _mask(labels, name.value, boxes[name.value], level)
        if not mask.any():
            yield Notice(
                message=f"{record.name}: {name.name} is too thin for steps of {max(factor)} voxels; raise 'detail'",
                level="warning",
            )
            continue
        made = _placed(surface(mask, settings.smooth), record, first, factor)
        write_mesh(path, made, name.rgb, f"{record.name} {name.name}")
        about = _about(name.name, path, made, record, factor)
        surfaces.append(about)
        if level:
            sizes = " x ".join(f"{size:g}" for size in about["voxel_size"])
            yield Notice(
                message=f"{record.name}: {name.name} was taken from voxels of {sizes} {record.unit}".rstrip()
                + " (z, y, x), because its box is large; raise 'detail' for more"
            )
    if not surfaces:
        raise StudyError(
            f"Cannot export surfaces of '{record.name}'",
            "all of its classes are too thin for so coarse voxels",
            "raise the option 'detail'",
        )
    yield Progress(
        done=len(there), total=len(there), what=f"{record.name}: wrote {target.name}", unit="surfaces"
    )
    yield from _said(record, Path(surfaces[0]["path"]), surfaces, labels.facts)


def _paths(target: Path, names: Sequence[LabelName], single: bool) -> list[Path]:
    """Return one file for each class; the very one where there is only one class."""
    if single:
        return [target]
    stem, taken, paths = stem_of(target), list[str](), list[Path]()
    for name in names:
        taken.append(tidy_name(f"{stem}_{'_'.join(name.name.split())}", taken))
        paths.append(target.with_name(f"{taken[-1]}{target.suffix}"))
    return paths


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    for path in paths:
        if path.is_dir():
            raise BadInput(
                f"Cannot write '{path.name}'", "a folder of that name is in the way", "choose another name"
            )
        if path.exists() and not overwrite:
            raise AlreadyExists(
                f"Cannot write '{path.name}'",
                "it exists already",
                "choose another name, or overwrite it (option 'overwrite')",
            )


def _boxes(labels: ExportedLabels, values: Sequence[int], limit: int) -> dict[int, Box]:
    """Return the box of each value in the full volume; where that is large, from a level that is not."""
    level = _level_for(
        ((0, labels.shape[0]), (0, labels.shape[1]), (0, labels.shape[2])), labels.record, limit
    )
    array, factor = labels.levels[level], level_factors(labels.shape)[level]
    z, y, x = array.shape
    low = np.full((256 if labels.dtype == np.uint8 else 65536, 3), max(z, y, x), np.int64)
    high = np.zeros_like(low)
    depth = max(
        labels.depth // factor[0], slab_height((z, y, x), labels.dtype.itemsize, budget=_SLAB_BYTES), 1
    )
    for start, stop in steps(z, depth):
        slab = np.asarray(array[start:stop])
        for value in values:
            inside = slab == value
            if not inside.any():
                continue
            for axis in range(3):
                hit = np.flatnonzero(inside.any(axis=tuple(i for i in range(3) if i != axis)))
                shift = start if axis == 0 else 0
                low[value, axis] = min(low[value, axis], hit[0] + shift)
                high[value, axis] = max(high[value, axis], hit[-1] + 1 + shift)
    found = {}
    for value in values:
        if not high[value].any():
            found[value] = NO_BOX
            continue
        more = 1 if level else 0  # a coarse voxel stands for its neighbours
        spans = [
            (max(0, int(a - more) * f), min(n, int(b + more) * f))
            for a, b, f, n in zip(low[value], high[value], factor, labels.shape, strict=True)
        ]
        found[value] = (spans[0], spans[1], spans[2])
    return found


def _level_for(box: Box, record: VolumeRecord, limit: int) -> int:
    """Return the finest level at which a box has no more voxels than the limit."""
    factors = level_factors(record.shape)
    sizes = [math.prod(-(-n // f) for n, f in zip(size_of(box), factor, strict=True)) for factor in factors]
    return next((level for level, size in enumerate(sizes) if size <= limit), len(sizes) - 1)


def _mask(labels: ExportedLabels, value: int, box: Box, level: int) -> tuple[NDArray[np.bool_], Any]:
    """Return where a class is in its box, at a level, and the first voxel of that in the full volume."""
    factor = level_factors(labels.shape)[level]
    first = [low // f for (low, _), f in zip(box, factor, strict=True)]
    last = [-(-high // f) for (_, high), f in zip(box, factor, strict=True)]
    cut = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    found = np.asarray(labels.levels[level][cut]) == value
    return found, tuple(a * f for a, f in zip(first, factor, strict=True))


def _placed(mesh: Mesh, record: VolumeRecord, first: Sequence[int], factor: Sequence[int]) -> Mesh:
    """Return a surface in voxels of a box, every factor-th voxel, in mm of the original."""
    z, y, x = (size * _mm(record) for size in record.voxel_size)
    oz, oy, ox = (a + b for a, b in zip(first, record.offset, strict=True))
    return mesh.moved((z * factor[0], y * factor[1], x * factor[2]), (z * oz, y * oy, x * ox))


def _mm(record: VolumeRecord) -> float:
    """Return how many mm the unit is; 1 where it is unknown."""
    unit = unit_of(record.unit)
    return round_digits(METRES[unit] / METRES["mm"]) if unit else 1.0


def _about(name: str, path: Path, mesh: Mesh, record: VolumeRecord, factor: Sequence[int]) -> dict[str, Any]:
    return {
        "name": name,
        "path": str(path),
        "triangles": len(mesh.faces),
        "volume": mesh.volume,
        "voxel_size": [size * f for size, f in zip(record.voxel_size, factor, strict=True)],
    }


def _said(
    record: VolumeRecord, path: Path, surfaces: Sequence[dict[str, Any]], facts: Any
) -> Iterator[Event]:
    if not unit_of(record.unit):
        yield Notice(
            message=f"{record.name}: the unit of its voxel size is unknown; the surfaces are in that unit, not in mm",
            level="warning",
        )
    yield Result(
        value={
            "path": str(path),
            "volume": record.name,
            "format": path.suffix[1:].upper(),
            "unit": "mm" if unit_of(record.unit) else "",
            **{key: value for key, value in facts.items() if key != "slices"},
            "surfaces": list(surfaces),
        }
    )
