"""The export job: a volume of a study, its specimen or what was measured of it becomes a file for other programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.settings import Setting, Settings
from napari_sortingloss.study.boxes import Box, Shape, shifted, size_of
from napari_sortingloss.study.localizations import find_localization, read_map
from napari_sortingloss.study.streaming import slab_height, steps

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study
    from napari_sortingloss.study.volume import Volume

_EVERY = 0.2
_SLAB_BYTES = 16 << 20
_FORMATS = {
    ".tif": "OME-TIFF",
    ".tiff": "OME-TIFF",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".zarr": "OME-Zarr",
}

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ExportSettings(Settings):
    """What to write, and where to."""

    volume: Annotated[str, Setting(help="The volume's name.", hidden=True)]
    to: Annotated[
        Path,
        Setting(
            help="The file to write; its suffix chooses the format: .ome.tif, .tif, .nii, .nii.gz or .ome.zarr.",
            hidden=True,
        ),
    ]
    what: Annotated[
        Literal["volume", "crop", "uncertainty"],
        Setting(
            help="What to write of it: its voxels as the study holds them, 8 bit; only those in the box of its "
            "specimen; or the map of the uncertainty, 32 bit."
        ),
    ] = "volume"
    margin: Annotated[
        int,
        Setting(help="What is added to the box of a crop on every side.", unit="voxels", low=0, high=100_000),
    ] = 0
    run: Annotated[
        str | None,
        Setting(
            help="Whose box or uncertainty: a run's id or the start of it.",
            when="Left empty, the newest that was accepted, or else the newest.",
        ),
    ] = None
    overwrite: Annotated[bool, Setting(help="Replace the file if it exists.")] = False


@dataclass(frozen=True)
class _Piece:
    """What is written: its numbers and where they lie."""

    shape: Shape
    dtype: type[np.generic]
    slabs: Iterator[NDArray[Any]]
    voxel_size: Triple
    origin: Triple
    facts: Mapping[str, Any] = field(default_factory=dict)


def export(study: Study, settings: ExportSettings) -> Iterator[Event]:
    """Write a volume, or a part or a map of it, to a file, slab by slab in bounded memory.

    The file says where its first voxel lies in the original volume, as far as its format can.

    Parameters
    ----------
    study : Study
    settings : ExportSettings

    Yields
    ------
    Event
        `Progress` in slices, and last a `Result`: ``{"path", "volume", "format", "shape", "voxel_size", "unit"}``; with
        ``"run"`` for a crop and the uncertainty, and ``"box"`` (in the volume) and ``"offset"`` (in the original, both
        in voxels) for a crop. Closing the iterator before leaves no file behind, and an existing one as it was.

    Raises
    ------
    BadSetting
        If the file would lie inside the study, or an option does not go with what is written.
    UserError
        If there is no such volume, it has not been localised, the format cannot be written, the file exists (unless
        `overwrite`), or the disk is full or fails.
    """
    from napari_sortingloss.formats import write_volume

    volume = study.volume(settings.volume)
    target = settings.to.expanduser().absolute()
    if target.resolve().is_relative_to(study.path.resolve()):
        raise BadSetting(
            f"Cannot write '{target.name}'",
            "it would lie inside the study's own folder",
            "choose a place outside of it",
        )
    piece = _piece(study, volume, settings)
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
        }
    )


def _piece(study: Study, volume: Volume, settings: ExportSettings) -> _Piece:
    """Choose what is written."""
    _refuse_meaningless(settings)
    record = volume.record
    if settings.what == "uncertainty":
        found = find_localization(study, volume.name, settings.run)
        values, grid = read_map(study, volume.name, found.run, "uncertainty")
        z, y, x = values.shape
        first = [o + float(g) for o, g in zip(record.offset, grid["offset"], strict=True)]
        scale, origin = _times(grid["scale"], record.voxel_size), _times(first, record.voxel_size)
        return _Piece((z, y, x), np.float32, iter([values]), scale, origin, {"run": found.run})
    if settings.what == "crop":
        from napari_sortingloss.study.crop import box_to_cut

        found, box = box_to_cut(study, record, settings.run, settings.margin)
        offset = [low for low, _ in shifted(box, record.offset)]
        facts = {"run": found.run, "box": [list(span) for span in box], "offset": offset}
        origin = _times(offset, record.voxel_size)
        return _Piece(size_of(box), np.uint8, _in_box(volume, box), record.voxel_size, origin, facts)
    origin = _times(record.offset, record.voxel_size)
    return _Piece(record.shape, np.uint8, _slabs(volume), record.voxel_size, origin)


def _refuse_meaningless(settings: ExportSettings) -> None:
    """Refuse options that say nothing about what is written.

    Raises
    ------
    BadSetting
    """
    for name, given, wanted in (
        ("margin", settings.margin != 0, ("crop",)),
        ("run", settings.run is not None, ("crop", "uncertainty")),
    ):
        if given and settings.what not in wanted:
            raise BadSetting(
                f"Cannot use the option '{name}' for '{settings.volume}'",
                f"it says nothing about what is written, the {settings.what}",
                f"leave it out or choose {' or '.join(wanted)} (option 'what')",
            )


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
