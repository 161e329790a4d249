"""Turns one source into one 8-bit volume of a study: measured, windowed, written, and only then visible."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.downsample import reduced_shape
from napari_sortingloss.disk.pyramid import level_shapes
from napari_sortingloss.disk.slabs import SPOOL_BYTES, Ahead, Spool
from napari_sortingloss.errors import BadSetting, OutOfSpace, readable_os_errors
from napari_sortingloss.events import Notice
from napari_sortingloss.study.exchange.measure_window import (
    Measured,
    Slabs,
    downsampled_slabs,
    measure,
    measured_in_one_reading,
    refuse_uniform,
)
from napari_sortingloss.study.exchange.window import Percentiles, Values, Windower
from napari_sortingloss.study.schema import VolumeRecord
from napari_sortingloss.study.volumes.references import ReferenceWriter
from napari_sortingloss.study.volumes.writer import VolumeWriter

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study.folder import Study
    from napari_sortingloss.study.volumes.scratch import Scratch

_MARGIN = 16 << 20


@dataclass(frozen=True)
class Stage:
    """How far the conversion of one volume is.

    Attributes
    ----------
    what : str
        What is being done, e.g. ``"writing"``.
    fraction : float
        Of all that is to be done for the volume, 0 to 1.
    """

    what: str
    fraction: float


Stages = Generator[Stage | Notice, None, VolumeRecord]


def needed_bytes(source: VoxelSource, factor: int, wish: Percentiles | Values, labels: bool) -> int:
    """Estimate the disk space that a conversion takes at its height, temporary file included.

    Parameters
    ----------
    source : VoxelSource
    factor : int
        Of the downsampling.
    wish : Percentiles or Values
    labels : bool
        Whether reference labels are written beside the volume.
    """
    shape = reduced_shape(source.shape, factor)
    total = stored_bytes(shape, labels) + _MARGIN
    spooled = Spool.nbytes(shape, np.dtype(np.float32) if factor > 1 else source.dtype)
    if isinstance(wish, Percentiles) and measured_in_one_reading(source) and spooled > SPOOL_BYTES:
        total += spooled
    return total


def stored_bytes(shape: tuple[int, int, int], labels: bool) -> int:
    """Estimate the disk space of a volume with its pyramid, and of compressed reference labels beside it."""
    voxels = sum(int(np.prod(level, dtype=np.int64)) for level in level_shapes(shape))
    return voxels + voxels // 16 + (voxels // 8 if labels else 0)  # blocks are padded by up to a few percent


def check_space(study: Study, what: str, needed: int) -> None:
    """Refuse what does not fit on the disk, before anything is written.

    Raises
    ------
    OutOfSpace
        With both sizes in the sentence.
    """
    free = study.free_bytes()
    if free < needed:
        raise OutOfSpace(
            what,
            f"it needs about {bytes_text(needed)} on the study's disk and {bytes_text(free)} are free",
            "free some space or put the study on another disk",
        )


def convert(
    study: Study,
    source: VoxelSource,
    record: VolumeRecord,
    wish: Percentiles | Values,
    scratch: Scratch,
    labels: VoxelSource | None = None,
) -> Stages:
    """Bring a source into the study.

    Parameters
    ----------
    study : Study
    source : VoxelSource
    record : VolumeRecord
        What the study will say about the volume; its window is filled in here.
    wish : Percentiles or Values
        The intensity window.
    scratch : Scratch
        For temporary files.
    labels : VoxelSource, optional
        Reference labels of the source's shape.

    Yields
    ------
    Stage or Notice
        At least every quarter of a second, as far as the source's reading of one slab allows.

    Returns
    -------
    VolumeRecord
        As it is registered.

    Raises
    ------
    UserError
        If the volume cannot be used or written; nothing of it stays then, as when the generator is closed.
    """
    what = f"Cannot add '{source.name}'"
    factor = record.downsample
    with readable_os_errors(what), ExitStack() as keep:
        before = 0.0
        for done, total in source.prepare():
            before = 0.3
            yield Stage("unpacking", before * done / max(1, total))
        references = None
        if labels is not None:
            references = keep.enter_context(ReferenceWriter(study, record, scratch))
            for fraction in references.write(labels, factor):
                yield Stage("reading reference labels", before + 0.1 * fraction)
            before += 0.1
            record = record.replace(reference=record.name)
        if isinstance(wish, Percentiles):
            share = (1 - before) * (0.6 if measured_in_one_reading(source) else 0.15)
            measured = yield from _measured(source, factor, wish, scratch.path, keep, before, share)
            before += share
            if measured.notice:
                yield Notice(message=measured.notice)
        else:
            measured = Measured(wish.low, wish.high, lambda: downsampled_slabs(source, factor))
        windower = Windower(measured.low, measured.high)
        record = record.replace(window=(measured.low, measured.high))
        with VolumeWriter(study, record) as writer, Ahead(_windowed(measured.slabs, windower)) as slabs:
            for slab in slabs:
                if slab is not None:
                    writer.write(writer.written, slab)
                yield Stage("writing", before + (1 - before) * writer.written / record.shape[0])
            refuse_uniform(source, windower.minimum, windower.maximum)
            _refuse_outside(source, windower)
            yield from _not_finite(source, windower)
            if references is not None:
                references.publish()
            record = writer.commit()
            if references is not None:
                references.keep()
    return record


def _measured(
    source: VoxelSource,
    factor: int,
    wish: Percentiles,
    scratch: Path,
    keep: ExitStack,
    before: float,
    share: float,
) -> Generator[Stage, None, Measured]:
    steps = measure(source, factor, wish, scratch, keep)
    while True:
        try:
            fraction = next(steps)
        except StopIteration as end:
            measured: Measured = end.value
            return measured
        yield Stage("measuring intensities", before + share * fraction)


def _windowed(slabs: Slabs, windower: Windower) -> Iterator[NDArray[np.uint8]]:
    for slab in slabs():
        yield windower(slab)


def _refuse_outside(source: VoxelSource, windower: Windower) -> None:
    above = windower.minimum >= windower.high
    if above or windower.maximum <= windower.low:
        raise BadSetting(
            f"Cannot use the intensity window {windower.low:g}:{windower.high:g} for '{source.name}'",
            f"its voxels lie between {windower.minimum:g} and {windower.maximum:g}, so all would become "
            f"{'white' if above else 'black'}",
            "choose a window within that range",
        )


def _not_finite(source: VoxelSource, windower: Windower) -> Iterator[Notice]:
    if windower.nan:
        yield Notice(message=f"{source.name}: {_voxels(windower.nan)} not a number (NaN) and became 0.")
    if windower.infinite:
        yield Notice(
            message=f"{source.name}: {_voxels(windower.infinite)} infinite and became the ends of the window."
        )


def _voxels(count: int) -> str:
    return "1 voxel is" if count == 1 else f"{count:,} voxels are"


def bytes_text(size: float) -> str:
    """Say a number of bytes as a person would: ``"16.8 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
