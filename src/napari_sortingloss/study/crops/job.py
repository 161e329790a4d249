"""The crop job: new volumes cut to where the specimen is, that remember where they were cut from."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, Shape, grown, share_of, shifted, size_of, whole
from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.disk.slabs import Ahead, slab_height, steps
from napari_sortingloss.errors import BadInput, OutOfMemory, StudyError, UserError, readable_os_errors
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.study.crops.annotations import CarriedAnnotations
from napari_sortingloss.study.crops.settings import CropSettings
from napari_sortingloss.study.exchange.convert import check_space, stored_bytes
from napari_sortingloss.study.localizations.reading import (
    Localization,
    NoBox,
    find_localization,
    localization_path,
)
from napari_sortingloss.study.schema import VolumeRecord, now
from napari_sortingloss.study.volumes.references import FOLDER as REFERENCES
from napari_sortingloss.study.volumes.references import ReferenceWriter
from napari_sortingloss.study.volumes.scratch import Scratch
from napari_sortingloss.study.volumes.writer import VolumeWriter

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study.folder import Study
    from napari_sortingloss.study.volume import Volume

__all__ = ["CropSettings", "box_to_cut", "crop"]

_EVERY = 0.2
_SLAB_BYTES = 16 << 20


@dataclass(frozen=True)
class _Planned:
    """One volume that will be cut."""

    volume: Volume
    found: Localization
    box: Box

    @property
    def shape(self) -> Shape:
        return size_of(self.box)

    @property
    def bytes(self) -> int:
        return stored_bytes(self.shape, self.volume.record.reference is not None)


@dataclass
class _Tally:
    """What came of the volumes, and how far the whole job is."""

    total: int = 0
    finished: int = 0
    volumes: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    errors: list[UserError] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    last: float = 0.0

    def fail(self, volume: str, error: UserError) -> Notice:
        self.failed.append({"volume": volume, "error": str(error)})
        self.errors.append(error)
        return Notice(message=str(error), level="warning")

    def progress(self, what: str, done: float) -> Iterator[Progress]:
        """Yield a progress event unless the last one was a moment ago."""
        moment = time.monotonic()
        if moment - self.last < _EVERY:
            return
        self.last = moment
        share = (self.finished + done) / max(1, self.total)
        elapsed = moment - self.began
        left = elapsed * (1 - share) / share if elapsed > 1 and share > 0.01 else None
        yield Progress(
            done=int(self.finished + done), total=self.total, what=what, unit="slices", seconds_left=left
        )


def crop(study: Study, settings: CropSettings) -> Iterator[Event]:
    """Cut volumes to the boxes of their specimens.

    Each becomes a new volume ``NAME_crop`` (``NAME_crop-2`` where that is taken) with the voxels, voxel size, ordering
    axis, direction and window of the one that it is cut from, its part of the reference labels and of the annotations, and
    its offset in the frame of the original (see `study.frames`). Memory stays bounded. A new volume appears when it is complete;
    closing the iterator, or killing the process, leaves nothing of the one being cut and all of those before it.

    Parameters
    ----------
    study : Study
    settings : CropSettings

    Yields
    ------
    Event
        `Progress` in slices of all new volumes together, `Notice`, and last a `Result`:
        ``{"volumes": [{"name", "parent", "shape", "offset", "box", "removed_fraction", "bytes", "seconds"}],
        "failed": [{"volume", "error"}]}``; ``box`` lies in the parent, ``offset`` in the original, ``bytes`` are those
        on disk, labels not counted.

    Raises
    ------
    UserError
        If no volume is named, one is unknown, the disk cannot hold the new ones, or none at all could be cut (then the
        first one's error). A volume that fails among others, for instance because it has not been localised, is
        reported by a `Notice` and in ``failed`` only. Volumes that a pattern brought in and that have no box, or a
        skipped one, are left out with a `Notice`.
    """
    if not settings.volumes:
        raise BadInput("Cannot crop", "no volume was named", "name at least one volume")
    tally = _Tally()
    planned: list[_Planned] = []
    volumes = study.select(settings.volumes)
    yield Progress(done=0, total=0, what="looking at the boxes", unit="slices")
    for volume in volumes:
        try:
            found, box = box_to_cut(study, volume.record, settings.run, settings.margin)
            planned.append(_Planned(volume, found, box))
        except UserError as error:
            if len(volumes) == 1:
                raise
            if isinstance(error, NoBox) and volume.name not in settings.volumes:
                tally.errors.append(error)
                yield Notice(message=f"{volume.name} is left out: {error.why}.")
            else:
                yield tally.fail(volume.name, error)
            continue
        if box == whole(volume.shape):
            yield Notice(message=f"{volume.name}: the box is the whole volume, so that nothing is cut off.")
    if not planned:
        raise tally.errors[0]
    check_space(
        study,
        f"Cannot crop {f'{len(planned)} volumes' if len(planned) > 1 else repr(planned[0].volume.name)}",
        sum(item.bytes for item in planned),
    )
    tally.total = sum(item.shape[0] for item in planned)
    for i, item in enumerate(planned):
        name = item.volume.name
        where = name if len(planned) == 1 else f"{name} ({i + 1} of {len(planned)})"
        try:
            yield from _crop_one(study, settings, item, where, tally)
        except UserError as error:
            if len(volumes) == 1:
                raise
            yield tally.fail(name, error)
        tally.finished += item.shape[0]
    if not tally.volumes:
        raise tally.errors[0]
    yield Progress(done=tally.total, total=tally.total, what="done", unit="slices", seconds_left=0.0)
    yield Result(value={"volumes": tally.volumes, "failed": tally.failed})


def box_to_cut(
    study: Study, record: VolumeRecord, run: str | None = None, margin: int = 0
) -> tuple[Localization, Box]:
    """Return the box that a crop of a volume goes by, with its margin, and the localisation that it comes from.

    Raises
    ------
    NoBox
        If the volume has not been localised (by this run), nothing was found in it, or a person skipped it.
    StudyError
        If what was found cannot be read, or was found in another volume of this name.
    """
    what = f"Cannot crop '{record.name}'"
    found = find_localization(study, record.name, run)
    if found.is_empty:
        raise NoBox(
            what,
            f"run '{found.run}' found no specimen in it",
            "draw a box in napari, or localise it with another run",
        )
    if found.status == "skipped":
        raise NoBox(what, "its box was skipped in the review", "accept the box first")
    if found.shape != record.shape:
        raise StudyError(
            what, f"its box was found in a volume of {found.shape} voxels", "localise the volume again"
        )
    return found, grown(found.box, record.shape, (margin,) * 3)


def _crop_one(
    study: Study, settings: CropSettings, item: _Planned, where: str, tally: _Tally
) -> Iterator[Event]:
    began = time.monotonic()
    parent = item.volume.record
    what = f"Cannot crop '{parent.name}'"
    try:
        with readable_os_errors(what), ExitStack() as keep:
            keep.enter_context(_alone(study, parent.name, what))
            check_space(study, what, item.bytes)
            record = _record(study, settings, item)
            writing = _write(study, item, record, keep)
            try:
                while True:
                    try:
                        fraction = next(writing)
                    except StopIteration as end:
                        record = end.value
                        break
                    yield from tally.progress(f"{where}: writing", fraction * item.shape[0])
            finally:
                writing.close()
    except MemoryError as error:
        raise OutOfMemory(
            what, "the memory does not suffice", "close other programs and try again"
        ) from error
    tally.volumes.append(
        {
            "name": record.name,
            "parent": parent.name,
            "shape": list(record.shape),
            "offset": list(record.offset),
            "box": [list(span) for span in item.box],
            "removed_fraction": 1.0 - share_of(item.box, parent.shape),
            "bytes": _bytes_of(study.volume_path(record.name)),
            "seconds": time.monotonic() - began,
        }
    )


def _record(study: Study, settings: CropSettings, item: _Planned) -> VolumeRecord:
    parent = item.volume.record
    oz, oy, ox = (low for low, _ in shifted(item.box, parent.offset))
    return parent.replace(
        name=study.free_name(f"{parent.name}_crop"),
        shape=item.shape,
        offset=(oz, oy, ox),
        parent=parent.name,
        reference=None,
        created=now(),
        source={
            "format": "crop",
            "of": parent.name,
            "box": [list(span) for span in item.box],
            "margin": settings.margin,
            "run": item.found.run,
            "accepted": item.found.status == "accepted",
            "source": dict(parent.source),
        },
    )


def _write(
    study: Study, item: _Planned, record: VolumeRecord, keep: ExitStack
) -> Generator[float, None, VolumeRecord]:
    """Write labels and voxels, yielding the fraction done; nothing stays unless it ends."""
    before = 0.0
    references = None
    scratch = keep.enter_context(Scratch(study))
    carried = keep.enter_context(
        CarriedAnnotations(study, item.volume.record, item.box, record.name, scratch)
    )
    for _ in carried.write():
        yield 0.0
    labels = _reference(study, item)
    if labels is not None:
        references = keep.enter_context(ReferenceWriter(study, record, scratch))
        for fraction in references.write(keep.enter_context(labels), 1):
            yield 0.4 * fraction
        before = 0.4
        record = record.replace(reference=record.name)
    writer = keep.enter_context(VolumeWriter(study, record))
    for slab in keep.enter_context(Ahead(_slabs(item))):
        if slab is not None:
            writer.write(writer.written, slab)
        yield before + (1 - before) * writer.written / record.shape[0]
    if references is not None:
        references.publish()
    if item.volume.name not in study.volumes:
        raise StudyError(
            f"Cannot crop '{item.volume.name}'",
            "it was removed or renamed in the meantime",
            "start again with its new name",
        )
    carried.publish()
    record = writer.commit()
    carried.keep()
    if references is not None:
        references.keep()
    return record


def _slabs(item: _Planned) -> Iterator[NDArray[np.uint8]]:
    (first, last), y, x = item.box
    for start, stop in steps(last - first, slab_height(item.shape, 1, budget=_SLAB_BYTES)):
        yield item.volume.read_box(((first + start, first + stop), y, x))


class _Part:
    """A box of a stored array, read when it is sliced along z."""

    def __init__(self, array: Any, box: Box) -> None:
        self._array, self._box = array, box
        self.shape, self.dtype, self.chunks = size_of(box), array.dtype, array.chunks

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        (low, _), y, x = self._box
        start, stop, _ = index[0].indices(self.shape[0])
        return self._array[low + start : low + stop, slice(*y), slice(*x)]


def _reference(study: Study, item: _Planned) -> VoxelSource | None:
    """Return the reference labels in the box, where the volume has some."""
    name = item.volume.record.reference
    if name is None:
        return None
    import zarr

    from napari_sortingloss.formats.readers.plain import ArraySource

    path = study.path / REFERENCES / f"{name}.zarr"
    try:
        array: Any = zarr.open_array(path / "0", mode="r")
        if tuple(array.shape) != item.volume.shape:
            raise ValueError(f"the labels have the shape {array.shape}")
    except Exception as error:  # whatever zarr raises at a broken folder
        raise StudyError(
            f"Cannot crop '{item.volume.name}'",
            f"its reference labels '{path}' are missing or damaged",
            "put them back, or remove the volume and add it again",
        ) from error
    return ArraySource(_Part(array, item.box), axes=(0, 1, 2), name=name, format="labels")


@contextmanager
def _alone(study: Study, name: str, what: str) -> Iterator[None]:
    """Be the only one who crops this volume.

    Raises
    ------
    StudyError
        If another program or job does.
    """
    path = localization_path(study, name, ".crop.lock")
    owner = Ownership(path)
    with study.transaction():
        mine = owner.take(timeout=0.1)
    if not mine:
        raise StudyError(
            what, "another program or job is cropping it", "wait until it is done, or stop it there"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        owner.release()


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
