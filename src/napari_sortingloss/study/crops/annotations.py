"""Annotations on their way between a volume and what is cut from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from napari_sortingloss.boxes import Box, size_of
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.study.annotations.actions import Action
from napari_sortingloss.study.annotations.change import Labels
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.files import (
    LABELS,
    SliceState,
    Table,
    annotation_path,
    create_labels,
    write_table,
)
from napari_sortingloss.study.annotations.reading import AnnotatedSlice, Annotations
from napari_sortingloss.study.classes import BACKGROUND, UNPAINTED
from napari_sortingloss.study.schema import AXES, VolumeRecord
from napari_sortingloss.study.volumes.frames import place_in
from napari_sortingloss.study.volumes.scratch import Scratch

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

_SLAB_BYTES = 16 << 20


class CarriedAnnotations:
    """The part of a volume's annotations that a crop of it gets; nothing stays unless `publish` and `keep` are called.

    Slices keep their status: what is known of a whole slice is known of its part.

    Parameters
    ----------
    study : Study
    parent : VolumeRecord
        Of the volume that is cut.
    box : Box
        What is cut out, half-open (z, y, x) in the parent.
    name : str
        Of the crop.
    scratch : Scratch
        Where they lie until they are published.
    """

    def __init__(self, study: Study, parent: VolumeRecord, box: Box, name: str, scratch: Scratch) -> None:
        self._source = Annotations(study, parent.name)
        self._box, self.name = box, name
        self.path = annotation_path(study, name)
        self._part = scratch.folder()
        self._waiting = self.path.with_name(f".{name}.cropped")
        self._found = self._kept = False

    def write(self) -> Iterator[None]:
        """Copy labels and statuses, yielding now and then.

        Raises
        ------
        StudyError
            If the parent's annotations are damaged.
        OSError
            If the disk is full or fails.
        """
        if not self._source.exists:
            return
        labels = self._source.labels()
        (first, last), y, x = self._box
        shape = size_of(self._box)
        self._part.mkdir()
        create_labels(self._part, shape)
        plane = shape[1] * shape[2]
        with (self._part / LABELS).open("r+b") as file:
            start_of_voxels = file.seek(0, os.SEEK_END) - shape[0] * plane
            for start, stop in steps(last - first, slab_height(shape, 1, budget=_SLAB_BYTES)):
                slab = labels[first + start : first + stop, slice(*y), slice(*x)]
                for z in np.flatnonzero(slab.any(axis=(1, 2))).tolist():
                    rows = np.flatnonzero(slab[z].any(axis=1))
                    low, high = int(rows[0]), int(rows[-1]) + 1  # what is empty takes no room
                    file.seek(start_of_voxels + (start + z) * plane + low * shape[2])
                    file.write(np.ascontiguousarray(slab[z, low:high]).tobytes())
                    self._found = True
                yield
            file.flush()
            os.fsync(file.fileno())
        table: Table = {}
        for one in self._source.slices():
            low, high = self._box[AXES.index(one.axis)]
            if low <= one.index < high:
                table[one.axis, one.index - low] = SliceState(one.status, one.time)
        self._found |= bool(table)
        write_table(self._part, table, 0, 0)

    def publish(self) -> None:
        """Put them where `keep`, or the next opening of the study, finds them when the crop is there."""
        if self._found:
            self.path.parent.mkdir(exist_ok=True)
            shutil.rmtree(self._waiting, ignore_errors=True)
            self._part.rename(self._waiting)

    def keep(self) -> None:
        """Let them stay: the study has the crop now."""
        self._kept = True
        if self._found:
            self._waiting.rename(self.path)
            atomic.sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        if not self._kept:
            shutil.rmtree(self._waiting, ignore_errors=True)


def annotations_in_parent(
    study: Study,
    crop: str,
    editor: AnnotationEditor | None = None,
    merge: Literal["replace", "keep"] = "replace",
) -> Action:
    """Bring what was painted on a crop into the annotations of the volume that it was cut from, as one step to undo.

    Only painted voxels are brought; nothing is erased. A slice of which the crop has the whole cross-section takes its
    status over, any other becomes partial if it was empty; what is known as background on a complete slice of the crop is
    painted as background then, so that this is still known. A complete slice of the parent stays complete.

    Parameters
    ----------
    study : Study
    crop : str
        The crop's name.
    editor : AnnotationEditor, optional
        The parent's, where it is open already.
    merge : {"replace", "keep"}
        What happens to voxels that are painted in both.

    Raises
    ------
    StudyError
        If it is no crop, the parent is gone, its annotations are open elsewhere, or any are damaged.
    OutOfSpace, UserError
        If the disk is too full or fails; the parent's annotations are then as they were.
    """
    record = study.volume(crop).record
    what = f"Cannot bring the annotations of '{crop}' into the volume that it was cut from"
    parent = study.volumes.get(record.parent or "")
    if parent is None:
        raise StudyError(
            what,
            f"the study has no '{record.parent}'" if record.parent else "it was cut from none",
            "choose a crop whose volume is in the study",
        )
    box = place_in(record, parent)
    source = Annotations(study, crop)
    with readable_os_errors(what), ExitStack() as keep:
        if editor is None:
            editor = keep.enter_context(AnnotationEditor(study, parent.name))
        bulk = keep.enter_context(editor.bulk(f"annotations of '{crop}'", parent.axis))
        behind: list[AnnotatedSlice] = []
        for one in source.slices():
            across = AXES.index(one.axis)
            index = one.index + box[across][0]
            now = editor.annotations.status(one.axis, index)
            covered = all(box[i] == (0, parent.shape[i]) for i in range(3) if i != across)
            if covered and now != "complete":
                bulk.set_status(index, one.status, one.axis)
            elif not covered and now != "complete":
                bulk.set_status(index, "partial", one.axis)
                if one.status == "complete":
                    behind.append(one)
        labels, target = source.labels(), editor.annotations.labels()
        (low, high), (y0, y1), (x0, x1) = box
        for start, stop in steps(high - low, slab_height(record.shape, 1, budget=_SLAB_BYTES)):
            part = _known(np.array(labels[start:stop]), start, behind)
            there = target[low + start : low + stop, y0:y1, x0:x1]
            wanted = part != UNPAINTED
            if merge == "keep":
                wanted &= there == UNPAINTED
            else:
                wanted &= (part != BACKGROUND) | (labels[start:stop] == BACKGROUND) | (there == UNPAINTED)
            bulk.write((low + start, y0, x0), np.where(wanted, part, there))
        return bulk.commit()


def _known(part: Labels, start: int, complete: list[AnnotatedSlice]) -> Labels:
    """Return labels from the slice `start` on, with background painted on the unpainted voxels of complete slices."""
    for one in complete:
        across = AXES.index(one.axis)
        index = one.index - start if across == 0 else one.index
        if across == 0 and not 0 <= index < len(part):
            continue
        where: list[slice | int] = [slice(None)] * 3
        where[across] = index
        view = part[tuple(where)]
        view[view == UNPAINTED] = BACKGROUND
    return part
