"""The import job: files, folders and layers become 8-bit volumes of a study."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.disk.downsample import reduced_shape
from napari_sortingloss.errors import BadInput, BadSetting, OutOfMemory, StudyError, UserError
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.study.exchange.add_settings import AddSettings
from napari_sortingloss.study.exchange.axis_proposal import AxisProposal, propose_axis
from napari_sortingloss.study.exchange.convert import check_space, convert, needed_bytes
from napari_sortingloss.study.exchange.grey_values import Fill, GreyValues, poorly_filled
from napari_sortingloss.study.exchange.preview_window import thinned_volume
from napari_sortingloss.study.exchange.window import Values, parse_window
from napari_sortingloss.study.schema import AXES, VolumeRecord, tidy_name
from napari_sortingloss.study.volumes.references import check_reference, match_references
from napari_sortingloss.study.volumes.scratch import Scratch

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study.folder import Study

__all__ = ["AddSettings", "add"]

_EVERY = 0.2
_KEPT_OPEN = 32


@dataclass
class _Planned:
    """One source on its way into the study; `path` is None where somebody else opened it, and closes it."""

    label: str
    path: Path | None
    source: VoxelSource | None
    name: str
    slices: int
    window: str
    labels: Path | None = None

    def open(self, options: ReadOptions, keep: ExitStack) -> VoxelSource:
        source, self.source = self.source, None
        if self.path is not None:
            from napari_sortingloss.formats import open_source

            source = source or open_source(self.path, options)
            keep.enter_context(source)
        assert source is not None
        return source


@dataclass
class _Tally:
    """What came of the sources, and how far the whole job is."""

    total: int = 0
    finished: int = 0
    volumes: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    errors: list[UserError] = field(default_factory=list)
    fills: dict[str, dict[str, Fill]] = field(default_factory=dict)  # window -> volume -> how it fills it
    elsewhere: dict[str, AxisProposal] = field(
        default_factory=dict
    )  # ordered along another axis, as it looks
    began: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def fail(self, label: str, error: UserError) -> Notice:
        self.failed.append({"path": label, "error": str(error)})
        self.errors.append(error)
        return Notice(message=str(error), level="warning")

    def progress(self, what: str, done: float = 0.0) -> Iterator[Progress]:
        """Yield a progress event unless the last one was a moment ago."""
        now = time.monotonic()
        if now - self.last < _EVERY:
            return
        self.last = now
        so_far = (self.finished + done) / max(1, self.total)
        elapsed = now - self.began
        left = elapsed * (1 - so_far) / so_far if elapsed > 1 and so_far > 0.01 else None
        yield Progress(
            done=int(self.finished + done), total=self.total, what=what, unit="slices", seconds_left=left
        )


def add(
    study: Study,
    settings: AddSettings,
    sources: Sequence[VoxelSource] = (),
    windows: Mapping[str, str] | None = None,
) -> Iterator[Event]:
    """Import volumes into a study.

    Each source is read slab by slab in bounded memory, downsampled by averaging, brought to 8 bit by its intensity
    window and written as OME-Zarr with its pyramid. A volume appears in the study when it is complete; closing the
    iterator, or killing the process, leaves nothing of the one being imported and all of those before it.

    Parameters
    ----------
    study : Study
    settings : AddSettings
        `AddSettings.voxel_size` is that of the file; it is multiplied by the downsampling.
    sources : sequence of VoxelSource
        Further sources that are open already, e.g. layers (see `formats.array_source`); they are not closed.
    windows : mapping of str to str, optional
        Windows of single sources, instead of `AddSettings.window`, by their path or, where they have none, their name.

    Yields
    ------
    Event
        `Progress` in slices of all sources together, `Notice`, and last a `Result`:
        ``{"volumes": [{"name", "shape", "voxel_size", "unit", "axis", "direction", "window", "seconds"}],
        "failed": [{"path", "error"}]}``.

    Raises
    ------
    UserError
        If there is nothing to import, the disk cannot hold it, or no source at all could be imported (then the first
        one's error). A source that fails among others is reported by a `Notice` and in ``failed`` only.
    """
    tally = _Tally()
    with ExitStack() as keep:
        scratch = keep.enter_context(Scratch(study))
        if settings.scratch is None:
            settings = settings.replace(scratch=scratch.path)
        planned = yield from _plan(study, settings, sources, windows or {}, tally, keep)
        alone = len(planned) + len(tally.failed) == 1
        for i, item in enumerate(planned):
            where = item.name if len(planned) == 1 else f"{item.name} ({i + 1} of {len(planned)})"
            try:
                yield from _add_one(study, settings, item, where, scratch, tally)
            except UserError as error:
                if alone:
                    raise
                yield tally.fail(item.label, error)
            tally.finished += item.slices
    if not tally.volumes and tally.errors:
        raise tally.errors[0]
    yield from _remarks(settings, tally)
    yield Progress(done=tally.total, total=tally.total, what="done", unit="slices", seconds_left=0.0)
    yield Result(value={"volumes": tally.volumes, "failed": tally.failed})


def _remarks(settings: AddSettings, tally: _Tally) -> Iterator[Notice]:
    """Say what is worth a look in the volumes that were added: a window that does not suit them, another axis."""
    for window, fills in tally.fills.items():
        sentence = poorly_filled(window, fills)
        if sentence:
            todo = "Remove what is too pale and add it with a window of its own."
            yield Notice(level="warning", message=f"{sentence} {todo}")
    along: dict[str, list[str]] = {}
    for name, proposal in tally.elsewhere.items():
        along.setdefault(proposal.axis, []).append(name)
    for axis, names in sorted(along.items()):
        reason = tally.elsewhere[names[0]].reason
        yield Notice(
            message=f"Added along {settings.axis}, but {len(names)} of {len(tally.volumes)} look ordered along {axis} "
            f"(e.g. {names[0]}: {reason}). If so, change it in the study; nothing is copied."
        )


def _plan(
    study: Study,
    settings: AddSettings,
    sources: Sequence[VoxelSource],
    windows: Mapping[str, str],
    tally: _Tally,
    keep: ExitStack,
) -> Generator[Event, None, list[_Planned]]:
    """Look at every source once, so that what cannot work is said before hours of work."""
    from napari_sortingloss.formats import find_sources, open_source

    yield Progress(done=0, total=0, what="looking at the files", unit="slices")
    planned: list[_Planned] = []
    needed = 0
    good: list[Path] = []
    problems: list[tuple[str, UserError]] = []
    for path in settings.paths:
        try:
            find_sources([path], settings)
            good.append(path)
        except UserError as error:
            problems.append((str(path), error))
        yield from tally.progress("looking at the files")
    # All at once, because slices that are named one by one stand for one volume.
    found = find_sources(good, settings) if good else []
    paths = {path.resolve(): path for path in found}
    candidates: list[Path | VoxelSource] = [*paths.values(), *sources]
    for candidate in candidates:
        label = str(candidate) if isinstance(candidate, Path) else candidate.name  # what `failed` calls it
        try:
            with ExitStack() as opened:
                mine = candidate if isinstance(candidate, Path) else None
                if isinstance(candidate, Path):
                    source = opened.enter_context(open_source(candidate, settings))
                else:
                    source = candidate
                _check(study, source, settings)
                window = windows.get(label, settings.window)
                wish = parse_window(window)
                needed += needed_bytes(source, settings.downsample, wish, settings.reference is not None)
                kept = source if mine is None or len(planned) < _KEPT_OPEN else None
                planned.append(_Planned(label, mine, kept, source.name, source.shape[0], window))
                if mine is not None and kept is not None:
                    keep.push(opened.pop_all())
        except UserError as error:
            problems.append((label, error))
        yield from tally.progress("looking at the files")
    if len(planned) + len(problems) == 1 and problems:
        raise problems[0][1]
    if len(planned) + len(problems) == 0:
        raise BadInput("Cannot add volumes", "nothing was named", "name at least one file, folder or layer")
    if settings.name is not None and len(planned) + len(problems) > 1:
        raise BadSetting(
            f"Cannot name all volumes '{settings.name}'",
            f"there are {len(planned) + len(problems)} of them",
            "add them one by one or leave the name out",
        )
    for label, problem in problems:
        yield tally.fail(label, problem)
    if planned:
        check_space(study, f"Cannot add {len(planned)} volume{'s' * (len(planned) > 1)}", needed)
        yield from _assign_references(planned, settings)
    tally.total = sum(item.slices for item in planned)
    return planned


def _check(study: Study, source: VoxelSource, settings: AddSettings) -> None:
    """Refuse a source that cannot become a volume of the study.

    Raises
    ------
    UserError
    """
    label = source.path.name if source.path else source.name
    what = f"Cannot add '{label}'"
    slices = reduced_shape(source.shape, settings.downsample)[AXES.index(settings.axis)]
    if slices < 2:
        raise BadInput(
            what,
            f"it has {slices} slice along {settings.axis}, and an order needs at least 2",
            "choose another ordering axis or a smaller downsampling",
        )
    if settings.unit is not None and settings.voxel_size is None and source.geometry.voxel_size is None:
        raise BadSetting(
            f"Cannot use the unit {settings.unit} for '{label}'",
            "the file says no voxel size",
            "give the voxel size too",
        )
    if settings.name is not None:
        if settings.name.casefold() in {name.casefold() for name in study.volumes}:
            raise StudyError(
                what, f"the study has a volume '{settings.name}'", "choose another name or remove that one"
            )
        return
    if source.path is None:
        return
    ours = _identity(source, settings)
    for name, record in study.volumes.items():
        if {**record.source, **ours} == dict(record.source):
            raise StudyError(
                what,
                f"it is in the study already, as '{name}'",
                "remove that volume first, or give the new one a name",
            )


def _identity(source: VoxelSource, settings: AddSettings) -> dict[str, Any]:
    """What tells one source from another: where it lies and which part of the file it is."""
    path = str(source.path.resolve()) if source.path else ""
    return {"path": path, "name": source.name, "dataset": source.metadata.get("dataset", settings.dataset)}


def _assign_references(planned: list[_Planned], settings: AddSettings) -> Iterator[Notice]:
    """Find the label file of each source.

    Raises
    ------
    UserError
        If there is none at all, or one file is to serve several volumes.
    """
    if settings.reference is None:
        return
    from napari_sortingloss.formats import find_sources
    from napari_sortingloss.formats.naming import stem_of

    files = find_sources([settings.reference], ReadOptions())
    what = f"Cannot use '{settings.reference.name}' as reference labels"
    if len(files) == 1 and files[0].samefile(settings.reference):
        if len(planned) > 1:
            raise BadSetting(
                what,
                f"it is one file and there are {len(planned)} volumes",
                "give a folder with one file for each",
            )
        planned[0].labels = files[0]
        return
    matches = match_references([stem_of(file) for file in files], [item.name for item in planned])
    if not matches:
        raise BadInput(
            what,
            f"none of its {len(files)} files is named like '{planned[0].name}'",
            f"name the label files like the volumes, for instance '{planned[0].name}_labels'",
        )
    for item in planned:
        if item.name in matches:
            item.labels = files[matches[item.name]]
    without = [item.name for item in planned if item.labels is None]
    if without:
        listed = ", ".join(without[:20]) + (f" and {len(without) - 20} more" if len(without) > 20 else "")
        yield Notice(
            message=f"{len(planned) - len(without)} of {len(planned)} volumes have reference labels; without: {listed}."
        )


def _add_one(
    study: Study, settings: AddSettings, item: _Planned, where: str, scratch: Scratch, tally: _Tally
) -> Iterator[Event]:
    from napari_sortingloss.formats import open_source

    began = time.monotonic()
    wish = parse_window(item.window)
    try:
        with ExitStack() as keep:
            source = item.open(settings, keep)
            labels = None
            if item.labels is not None:
                labels = keep.enter_context(open_source(item.labels, ReadOptions(scratch=settings.scratch)))
                check_reference(labels, source)
            needed = needed_bytes(source, settings.downsample, wish, labels is not None)
            check_space(study, f"Cannot add '{item.name}'", needed)
            record = _record(study, settings, source, item.labels)
            steps = convert(study, source, record, wish, scratch, labels)
            try:
                while True:
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        record = end.value
                        break
                    if isinstance(step, Notice):
                        yield step
                    else:
                        yield from tally.progress(f"{where}: {step.what}", step.fraction * item.slices)
            finally:
                steps.close()
    except MemoryError as error:
        raise OutOfMemory(
            f"Cannot add '{item.name}'", "the memory does not suffice", "close other programs and try again"
        ) from error
    _look_back(study, record, item.window, tally)
    tally.volumes.append(
        {
            "name": record.name,
            "shape": list(record.shape),
            "voxel_size": list(record.voxel_size),
            "unit": record.unit,
            "axis": record.axis,
            "direction": record.direction,
            "window": list(record.window),
            "seconds": time.monotonic() - began,
        }
    )


def _look_back(study: Study, record: VolumeRecord, window: str, tally: _Tally) -> None:
    """Note what is worth a look in a volume that is in the study now, on a few of its voxels."""
    voxels = thinned_volume(study.volume(record.name))
    if isinstance(parse_window(window), Values):
        tally.fills.setdefault(window, {})[record.name] = GreyValues.of(voxels).fill(0, 255)
    spacing = [s * n / k for s, n, k in zip(record.voxel_size, record.shape, voxels.shape, strict=True)]
    proposal = propose_axis(voxels, spacing)
    if proposal.sure and proposal.axis != record.axis:
        tally.elsewhere[record.name] = proposal


def _record(study: Study, settings: AddSettings, source: VoxelSource, labels: Path | None) -> VolumeRecord:
    voxel_size, unit = settings.geometry(source.geometry)
    provenance = {
        **_identity(source, settings),
        "format": source.format,
        "dtype": source.dtype.name,
        "shape": list(source.shape),
        "voxel_size": source.geometry.voxel_size,
        "unit": source.geometry.unit,
        "metadata": source.metadata,
    }
    if labels is not None:
        provenance["reference"] = str(labels.resolve())
    return VolumeRecord(
        name=settings.name or study.free_name(tidy_name(source.name)),
        shape=reduced_shape(source.shape, settings.downsample),
        voxel_size=voxel_size,
        unit=unit,
        axis=settings.axis,
        direction=settings.direction,
        source=provenance,
        downsample=settings.downsample,
    )
