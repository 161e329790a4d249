"""The job that brings labels from a file into the annotations: it says first what it would overwrite; one step undoes it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.downsample import block_majority, reduced_shape
from napari_sortingloss.disk.slabs import Ahead, slab_height, steps
from napari_sortingloss.errors import BadInput, OutOfMemory
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.study.annotations.change import Labels
from napari_sortingloss.study.annotations.disk_space import mapped_bytes
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import (
    LAST,
    UNPAINTED,
    LabelClass,
    add_class,
    all_classes,
    free_values,
    read_classes,
)
from napari_sortingloss.study.exchange.convert import check_space
from napari_sortingloss.study.exchange.import_labels_settings import ImportLabelsSettings
from napari_sortingloss.study.schema import AXES, VolumeRecord
from napari_sortingloss.study.volumes.references import whole_numbers
from napari_sortingloss.study.volumes.scratch import Scratch

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study.folder import Study

__all__ = ["ImportLabelsSettings", "ImportPlan", "import_labels", "plan_import"]

_EVERY = 0.2
_SLAB_BYTES = 8 << 20


@dataclass
class ImportPlan:
    """What an import would do.

    Attributes
    ----------
    volume : str
    labels : dict
        The labels of the file that may come in, and how many voxels each has.
    painted : int
        Voxels that would get a label.
    overwritten : int
        Those of them that hold another one now.
    kept : int
        Voxels that the file labels otherwise and that stay as they are painted.
    slices : tuple of int
        The slices across the ordering axis with labels of the file that may come in, by their indices along the array.
    classes : dict
        Label of the file to the class that it becomes; those of `new` are not in the study yet.
    new : tuple of int
        Labels of the file for which the study has no class.
    """

    volume: str
    labels: dict[int, int] = field(default_factory=dict)
    painted: int = 0
    overwritten: int = 0
    kept: int = 0
    slices: tuple[int, ...] = ()
    classes: dict[int, LabelClass] = field(default_factory=dict)
    new: tuple[int, ...] = ()
    needed_bytes: int = 0

    @property
    def text(self) -> str:
        """The plan in one or two sentences."""
        said = [
            f"{self.painted:,} voxels on {len(self.slices):,} slices of '{self.volume}' get labels",
            f"{self.overwritten:,} painted ones are overwritten"
            if self.overwritten
            else "none that is painted changes",
        ]
        if self.kept:
            said.append(f"{self.kept:,} that the file labels otherwise stay as they are painted")
        text = "; ".join(said) + "."
        if self.new:
            names = ", ".join(f"'label {label}'" for label in self.new[:8]) + (
                ", …" if len(self.new) > 8 else ""
            )
            text += f" New classes: {names}."
        return text

    def to_json(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        return {
            "volume": self.volume,
            "painted": self.painted,
            "overwritten": self.overwritten,
            "kept": self.kept,
            "slices": list(self.slices),
            "classes": [
                {
                    "label": label,
                    "value": found.value,
                    "name": found.name,
                    "voxels": self.labels[label],
                    "new": label in self.new,
                }
                for label, found in sorted(self.classes.items())
            ],
        }


def plan_import(
    study: Study, settings: ImportLabelsSettings, editor: AnnotationEditor | None = None
) -> ImportPlan:
    """Count what an import would do, and change nothing; raises what `import_labels` raises before it begins."""
    with ExitStack() as keep:
        planning = _Import(study, settings, editor, keep).plan()
        while True:
            try:
                next(planning)
            except StopIteration as end:
                plan: ImportPlan = end.value
                return plan


def import_labels(
    study: Study, settings: ImportLabelsSettings, editor: AnnotationEditor | None = None
) -> Iterator[Event]:
    """Bring the labels of a file into the annotations of a volume.

    A label is the value of the class in use that it becomes; one without a class becomes a new class ``label N``, with
    this value where no class ever had it. The file is read as volumes are (patient frames are turned to LPS); it has the
    volume's voxels, or those of the file that the volume was downsampled from. Memory stays bounded. Closing the
    iterator, or killing the process, leaves the annotations as they were.

    Parameters
    ----------
    study : Study
    settings : ImportLabelsSettings
    editor : AnnotationEditor, optional
        The volume's, where it is open already; otherwise one is opened for the time of the import. Its `changed` is
        emitted in the thread that runs the job.

    Yields
    ------
    Event
        `Progress` in slices; a `Notice` with what will change, before anything does; last a `Result`: what
        `ImportPlan.to_json` returns, with ``"path", "merge", "status", "seconds"``.

    Raises
    ------
    BadInput
        If the file cannot be read, its shape is another one, its voxels are no labels, or it has more than 254.
    StudyError
        If there is no such volume, or its annotations are open elsewhere.
    OutOfSpace, UserError
        If the disk is too full or fails; the annotations are then as they were.
    """
    began = time.monotonic()
    try:
        with ExitStack() as keep:
            if editor is None:
                editor = keep.enter_context(AnnotationEditor(study, settings.volume))
            work = _Import(study, settings, editor, keep)
            plan = yield from _followed(work.plan(), work, "counting", 0)
            check_space(study, work.what, plan.needed_bytes)
            yield Notice(message=plan.text, level="warning" if plan.overwritten else "info")
            work.make_classes(plan)
            yield from _followed(work.write(plan), work, "painting", work.shape[0])
    except MemoryError as error:
        raise OutOfMemory(
            f"Cannot import labels into '{settings.volume}'",
            "the memory does not suffice",
            "close other programs and try again",
        ) from error
    total = 2 * work.shape[0]
    yield Progress(done=total, total=total, what="done", unit="slices", seconds_left=0.0)
    about = {"path": str(settings.path), "merge": settings.merge, "status": settings.status}
    yield Result(value={**plan.to_json(), **about, "seconds": time.monotonic() - began})


def _followed(
    steps_done: Generator[int, None, Any], work: _Import, what: str, before: int
) -> Generator[Event, None, Any]:
    """Turn the slices done into progress events."""
    last = began = time.monotonic()
    total = 2 * work.shape[0]
    try:
        while True:
            try:
                done = before + next(steps_done)
            except StopIteration as end:
                return end.value
            moment = time.monotonic()
            if moment - last >= _EVERY or done == before:
                last = moment
                share = (done - before) / max(1, total - before)
                left = (moment - began) * (1 - share) / share if share > 0.02 else None
                yield Progress(
                    done=done,
                    total=total,
                    what=f"{work.record.name}: {what}",
                    unit="slices",
                    seconds_left=left,
                )
    finally:
        steps_done.close()


class _Import:
    """One file on its way into one volume's annotations."""

    def __init__(
        self, study: Study, settings: ImportLabelsSettings, editor: AnnotationEditor | None, keep: ExitStack
    ) -> None:
        from napari_sortingloss.formats import open_source

        self.study, self.settings, self._editor = study, settings, editor
        self.record: VolumeRecord = study.volume(settings.volume).record
        self.shape = self.record.shape
        self.what = f"Cannot use '{settings.path.name}' as labels of '{self.record.name}'"
        options = ReadOptions(**{f.name: getattr(settings, f.name) for f in ReadOptions.fields()})
        if options.scratch is None:
            options = options.replace(scratch=keep.enter_context(Scratch(study)).path)
        self._source = keep.enter_context(open_source(settings.path, options))
        self._factor = self._fitting(self._source)
        now = editor.annotations if editor is not None else Annotations(study, settings.volume)
        self._now = now.labels()
        self._axis = AXES.index(self.record.axis)
        states = {one.index: one.status for one in now.slices() if one.axis == self.record.axis}
        self._complete = {index for index, status in states.items() if status == "complete"}
        self._open = np.ones(self.shape[self._axis], np.bool_)
        if settings.merge == "only-empty":
            self._open[list(states)] = False

    def _fitting(self, source: VoxelSource) -> int:
        """Return by how much the labels are to be downsampled."""
        factor = self.record.downsample
        if source.shape == self.shape:
            return 1
        if factor > 1 and self.record.parent is None and self.record.source.get("format") != "crop":
            theirs = tuple(self.record.source.get("shape", ()))
            if source.shape == theirs and reduced_shape(source.shape, factor) == self.shape:
                return factor
        theirs_text, ours = (" x ".join(map(str, shape)) for shape in (source.shape, self.shape))
        raise BadInput(
            self.what,
            f"it has {theirs_text} voxels (z, y, x) and the volume {ours}",
            "give labels drawn on this very volume",
        )

    def _slabs(self) -> Iterator[tuple[int, NDArray[np.unsignedinteger[Any]]]]:
        height = slab_height(self._source.shape, self._source.dtype.itemsize, self._factor, _SLAB_BYTES)
        for start, stop in steps(self._source.shape[0], height):
            slab = whole_numbers(self._source.read(start, stop), self.what)
            yield start // self._factor, block_majority(slab, self._factor)

    def _read(self) -> Iterator[tuple[int, NDArray[np.unsignedinteger[Any]]] | None]:
        for _ in self._source.prepare():
            yield None
        with Ahead(self._slabs()) as slabs:
            yield from slabs

    def _comes_in(self, start: int, slab: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where a slab has labels on slices that may be changed."""
        wanted: NDArray[np.bool_] = slab != UNPAINTED
        if not self._open.all():
            allowed = self._open[start : start + len(slab)] if self._axis == 0 else self._open
            wanted &= np.expand_dims(allowed, tuple(i for i in range(3) if i != self._axis))
        return wanted

    def plan(self) -> Generator[int, None, ImportPlan]:
        """Count, yielding the slices read; see `ImportPlan`."""
        plan = ImportPlan(self.record.name)
        counts = np.zeros(1 << 16, np.int64)
        touched = np.zeros(self.shape[self._axis], np.bool_)
        done = 0
        yield 0
        others = tuple(i for i in range(3) if i != self._axis)
        values = self._values()
        for item in self._read():
            if item is not None:
                start, slab = item
                wanted = self._comes_in(start, slab)
                counts += np.bincount(slab[wanted], minlength=counts.size)
                if np.count_nonzero(counts[1:]) > LAST:
                    raise BadInput(
                        self.what,
                        f"it has more than {LAST} different labels",
                        "give labels of classes, not one label for each object or intensities",
                    )
                here = wanted.any(axis=others)
                touched[start : start + len(slab)] |= here if self._axis == 0 else False
                if self._axis != 0:
                    touched |= here
                now = self._now[start : start + len(slab)]
                other = wanted & (now != values[slab])
                painted = other & (now != UNPAINTED)
                number = int(np.count_nonzero(painted))
                if self.settings.merge == "replace":
                    plan.overwritten += number
                    changed = int(np.count_nonzero(other))
                else:
                    plan.kept += number
                    changed = int(np.count_nonzero(other)) - number
                plan.painted += changed
                if changed:
                    box = ((0, len(slab)), (0, self.shape[1]), (0, self.shape[2]))
                    plan.needed_bytes += min(mapped_bytes(box, self.shape), 4096 * changed) + changed // 4
                done = start + len(slab)
            yield done
        plan.labels = {int(v): int(counts[v]) for v in np.flatnonzero(counts) if v}
        plan.slices = tuple(np.flatnonzero(touched).tolist())
        self._name(plan)
        return plan

    def _values(self) -> NDArray[np.int32]:
        """Return a table from labels to the values of classes in use, -1 where there is none yet."""
        table = np.full(1 << 16, -1, np.int32)
        table[UNPAINTED] = UNPAINTED
        names = {one.name.casefold(): one.value for one in read_classes(self.study)}
        for name, value in names.items():
            if name.startswith("label ") and name[6:].isdecimal() and int(name[6:]) < table.size:
                table[int(name[6:])] = value
        for value in names.values():
            table[value] = value
        return table

    def _name(self, plan: ImportPlan) -> None:
        """Say which class each label becomes."""
        table = self._values()
        used = {one.value: one for one in read_classes(self.study)}
        given = {one.value for one in all_classes(self.study)}
        new = [label for label in plan.labels if table[label] < 0]
        free = list(free_values(given))
        if len(new) > len(free):
            raise BadInput(
                self.what,
                f"it has {len(new)} labels without a class and the study has room for {len(free)} more classes",
                f"give a file with at most {len(free)} new labels",
            )
        values = {label: label for label in new if label in free}
        rest = (value for value in free if value not in values)
        for label in new:
            values.setdefault(label, 0)
            if not values[label]:
                values[label] = next(rest)
        for label in plan.labels:
            known = used.get(int(table[label]))
            plan.classes[label] = known or LabelClass(values[label], f"label {label}", "")
        plan.new = tuple(new)

    def make_classes(self, plan: ImportPlan) -> None:
        """Add the classes that the study lacks."""
        for label in plan.new:
            planned = plan.classes[label]
            plan.classes[label] = add_class(self.study, planned.name, value=planned.value)

    def write(self, plan: ImportPlan) -> Generator[int, None, None]:
        """Paint, yielding the slices done; all of it or nothing."""
        editor = self._editor
        assert editor is not None
        table = np.zeros(1 << 16, np.uint8)
        for label, found in plan.classes.items():
            table[label] = found.value
        with editor.bulk(f"import of {self.settings.path.name}", self.record.axis) as bulk:
            done = 0
            for item in self._read():
                if item is not None:
                    start, slab = item
                    done = start + len(slab)
                    now: Labels = editor.annotations.labels()[start:done]
                    wanted = self._comes_in(start, slab)
                    if self.settings.merge != "replace":
                        wanted &= now == UNPAINTED
                    bulk.write((start, 0, 0), np.where(wanted, table[slab], now))
                yield done
            for index in plan.slices:
                if index not in self._complete:
                    bulk.set_status(index, self.settings.status)
            bulk.commit()
