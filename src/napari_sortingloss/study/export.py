"""The export job: a volume of a study becomes a file for other programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.settings import Setting, Settings
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
        Literal["volume"], Setting(help="What to write of it: its voxels as the study holds them, 8 bit.")
    ] = "volume"
    overwrite: Annotated[bool, Setting(help="Replace the file if it exists.")] = False


def export(study: Study, settings: ExportSettings) -> Iterator[Event]:
    """Write a volume to a file, slab by slab in bounded memory.

    Parameters
    ----------
    study : Study
    settings : ExportSettings

    Yields
    ------
    Event
        `Progress` in slices, and last a `Result`: ``{"path", "volume", "format", "shape", "voxel_size", "unit"}``.
        Closing the iterator before leaves no file behind, and an existing one as it was.

    Raises
    ------
    BadSetting
        If the file would lie inside the study.
    UserError
        If there is no such volume, the format cannot be written, the file exists (unless `overwrite`), or the disk
        is full or fails.
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
    total = volume.shape[0]
    yield Progress(done=0, total=total, what=f"{volume.name}: writing {target.name}", unit="slices")
    began = last = time.monotonic()
    writing = write_volume(
        target,
        volume.shape,
        np.uint8,
        _slabs(volume),
        volume.voxel_size,
        volume.unit,
        overwrite=settings.overwrite,
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
            "shape": list(volume.shape),
            "voxel_size": list(volume.voxel_size),
            "unit": volume.unit,
        }
    )


def _slabs(volume: Volume) -> Iterator[NDArray[np.uint8]]:
    for start, stop in steps(volume.shape[0], slab_height(volume.shape, 1, budget=_SLAB_BYTES)):
        yield volume.read_slab(start, stop)


def _format_of(path: Path) -> str:
    name = path.name.lower()
    return next((title for suffix, title in _FORMATS.items() if name.endswith(suffix)), path.suffix)
