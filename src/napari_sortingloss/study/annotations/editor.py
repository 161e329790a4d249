"""Painting on a volume: every stroke is on the disk's way when it ends, can be undone for ever, and is never lost.

The labels are a memory map, so that a viewer paints into the file itself and what was painted outlives the program. The
journal has each action before the program goes on (see `annotation_journal`); a thread flushes both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sortingloss.boxes import Box, box_of, size_of
from napari_sortingloss.errors import BadSetting, UserError
from napari_sortingloss.study.annotations.actions import Action, Entry, StatusChange, taken_back
from napari_sortingloss.study.annotations.bulk import BulkAction
from napari_sortingloss.study.annotations.change import (
    Change,
    Labels,
    as_they_are,
    box_around,
    difference,
    encode,
    redo,
    touched_slices,
    undo,
)
from napari_sortingloss.study.annotations.files import STATUSES, Status
from napari_sortingloss.study.annotations.journal import Version
from napari_sortingloss.study.annotations.open_annotations import OpenAnnotations
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.annotations.restore import restore, versions
from napari_sortingloss.study.schema import AXES, Axis, VolumeRecord, now

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

__all__ = ["Action", "AnnotationEditor", "Change", "StatusChange", "Version"]


class AnnotationEditor:
    """The one writer of a volume's annotations, over all programs; threads may share it.

    Parameters
    ----------
    study : Study
    volume : str
        The volume's name.
    on_saved : callable, optional
        Called without arguments from the thread that saves, each time that everything is safe on the disk.

    Attributes
    ----------
    changed : psygnal.Signal
        Emits the `Action` that changed labels, or None where only statuses changed, in the thread that did it.

    Raises
    ------
    StudyError
        If there is no such volume, another program or window has its annotations open, or they are damaged.
    OutOfSpace, UserError
        If the disk is nearly full or cannot be written.
    """

    def __init__(self, study: Study, volume: str, on_saved: Callable[[], None] | None = None) -> None:
        self._held = OpenAnnotations(study, volume, on_saved)

    def __repr__(self) -> str:
        return f"AnnotationEditor({self.volume!r})"

    # ------------------------------------------------------------------------------------------------ how it stands
    @property
    def study(self) -> Study:
        """The study that the volume belongs to."""
        return self._held.study

    @property
    def volume(self) -> str:
        """The volume's name."""
        return self._held.volume

    @property
    def about(self) -> VolumeRecord:
        """What the study says about the volume."""
        return self._held.about

    @property
    def path(self) -> Path:
        """The folder of the annotations."""
        return self._held.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in voxels."""
        return self._held.shape

    @property
    def labels(self) -> np.memmap[Any, np.dtype[np.uint8]]:
        """The labels themselves, uint8 (z, y, x), for a viewer to paint into."""
        return self._held.labels

    @property
    def annotations(self) -> Annotations:
        """The same, for reading, with what is in memory."""
        return self._held.annotations

    @property
    def changed(self) -> Any:
        """The signal of `OpenAnnotations.changed`."""
        return self._held.changed

    @property
    def pending(self) -> int:
        """How many actions are not yet known to be safe on the disk, were the power to fail now."""
        return self._held.pending

    @property
    def saved_at(self) -> float | None:
        """When everything was last safe on the disk, in seconds since the epoch; None before the first time."""
        return self._held.saved_at

    @property
    def problem(self) -> UserError | None:
        """Why annotations are not being saved, or must not be changed now."""
        return self._held.problem

    @property
    def can_paint(self) -> bool:
        """Whether a viewer may let somebody paint: not on a disk that is nearly full, nor during a bulk action."""
        return self._held.can_paint

    @property
    def history_lost(self) -> bool:
        """Whether a damaged journal was set aside on opening, so that nothing before this session can be undone."""
        return self._held.history_lost

    def flush(self) -> None:
        """Wait until everything done until now is safe on the disk.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails; nothing is given up, the next attempt follows by itself.
        """
        self._held.flush()

    def close(self) -> None:
        """Save everything and let others paint; harmless when repeated. See `OpenAnnotations.close`.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails. The editor is closed all the same.
        """
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------- changing labels
    def record(self, changes: Sequence[Change], what: str = "stroke", axis: Axis | None = None) -> Action:
        """Take note of voxels that a viewer changed in `labels` already, as one step to undo.

        Parameters
        ----------
        changes : sequence of Change
            In the order in which they were made. Their arrays are copied.
        what : str
        axis : {"z", "y", "x"}, optional
            The axis across which it was painted, the ordering axis if not given. Slices that were empty become partial.

        Returns
        -------
        Action
            At once, whatever the disk does; what it cannot take now waits, see `problem`.
        """
        with self._held.lock:
            self._held.must_be_open()
            axis = axis or self.about.axis
            if self._held.bulk is not None:
                return self._held.bulk.take_in(changes, what, axis)
            changes = [change for change in changes if change.voxels]
            indices = touched_slices(changes, axis)
            entry = self._entry(changes, what, axis, self._held.begun(indices, axis), indices)
            if not changes:
                return entry.action
            self._held.journal.add(entry, encode(changes))
            self._held.settle(entry)
        self._held.emit(entry.action)
        return entry.action

    def apply(
        self,
        changes: Sequence[Change] | Box,
        values: Labels | int | None = None,
        *,
        what: str = "change",
        axis: Axis | None = None,
        complete: bool | None = None,
    ) -> Action:
        """Change voxels, as one step to undo.

        Parameters
        ----------
        changes : sequence of Change, or Box
            What to change; what is there now is read anew, whatever their `old` says. Or a half-open box (z, y, x).
        values : ndarray of uint8 of the box's shape, or int
            What the box will hold, where one is given.
        what : str
        axis : {"z", "y", "x"}, optional
            The axis of the slices that it is about, the ordering axis if not given.
        complete : bool, optional
            Whether these slices become complete or partial; otherwise those that were empty become partial.

        Raises
        ------
        BadSetting
            If a box or its values do not fit the volume.
        OutOfSpace
            If the disk is too full; nothing was changed then.
        StudyError
            If a bulk action is going on.
        """
        with self._held.lock:
            self._held.must_be_free()
            axis = axis or self.about.axis
            if values is None:
                asked: list[Change] = [c for c in changes if isinstance(c, Change)]
                for change in asked:
                    self._checked_box(change.box, 0, what)
                found = as_they_are(self._held.voxels, asked)
                touched = touched_slices(asked, axis)
            else:
                box = self._checked_box(changes, values, what)
                found, touched = (
                    difference(self._held.voxels, box, values),
                    list(range(*box[AXES.index(axis)])),
                )
            statuses = (
                self._held.begun(touched_slices(found, axis), axis)
                if complete is None
                else self._all_to(axis, touched, "complete" if complete else "partial")
            )
            action = self._do(found, what, axis, statuses, touched_slices(found, axis))
        self._held.emit(action)
        return action

    def put_slice(
        self, axis: Axis, index: int, labels: Labels, *, what: str = "slice", status: Status | None = None
    ) -> Action:
        """Replace the labels of a slice, as one step to undo.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        index : int
            Along the array.
        labels : ndarray of uint8, shape (h, w)
            In the order of `Annotations.read_slice`.
        what : str
        status : {"empty", "partial", "complete"}, optional
            What the slice becomes; otherwise partial, if it was empty and is changed.

        Raises
        ------
        BadSetting
            If there is no such slice or the labels are of another shape.
        OutOfSpace
            If the disk is too full; nothing was changed then.
        StudyError
            If a bulk action is going on.
        """
        self.annotations.key(axis, index)
        across = AXES.index(axis)
        z, y, x = ((index, index + 1) if i == across else (0, n) for i, n in enumerate(self.shape))
        wanted = np.asarray(labels)
        h, w = (n for i, n in enumerate(self.shape) if i != across)
        if wanted.shape != (h, w) or wanted.dtype != np.uint8:
            raise BadSetting(
                f"Cannot put labels on slice {index} along {axis} of '{self.volume}'",
                f"they are {wanted.shape} of {wanted.dtype}, the slice is {(h, w)} of uint8",
                "give labels of this very slice",
            )
        with self._held.lock:
            self._held.must_be_free()
            found = difference(self._held.voxels, (z, y, x), np.expand_dims(wanted, across))
            statuses = (
                self._held.begun(touched_slices(found, axis), axis)
                if status is None
                else self._all_to(axis, [index], self._known(status))
            )
            action = self._do(found, what, axis, statuses, touched_slices(found, axis))
        self._held.emit(action)
        return action

    def set_status(self, axis: Axis, index: int, status: Status) -> Action:
        """Say what is known of a slice, as a step to undo.

        Raises
        ------
        BadSetting
            If there is no such slice or status.
        StudyError
            If a bulk action is going on.
        """
        _, index = self.annotations.key(axis, index)
        with self._held.lock:
            self._held.must_be_free()
            statuses = self._all_to(axis, [index], self._known(status))
            what = f"slice {index} along {axis} is {status}"
            action = self._do([], what, axis, statuses, (index,))
        self._held.emit(action)
        return action

    # --------------------------------------------------------------------------------------------------- going back
    @property
    def undo_text(self) -> str:
        """What `undo` would take back; empty where there is nothing."""
        return self._text(self._held.journal.undoable)

    @property
    def redo_text(self) -> str:
        """What `redo` would do again; empty where there is nothing."""
        return self._text(self._held.journal.redoable)

    def _text(self, numbers: Sequence[int]) -> str:
        with self._held.lock:
            return self._held.journal.entry(numbers[-1]).action.what if numbers else ""

    def undo(self) -> Action | None:
        """Take the last action back, of an earlier session too; None where there is nothing.

        Raises
        ------
        StudyError
            If a bulk action is going on, or the journal is damaged.
        OutOfSpace
            If the disk is too full; nothing was changed then.
        """
        return self._go("undo")

    def redo(self) -> Action | None:
        """Do the last undone action again; None where there is nothing. Raises as `undo`."""
        return self._go("redo")

    def _go(self, way: Any) -> Action | None:
        with self._held.lock:
            self._held.must_be_free()
            numbers = self._held.journal.undoable if way == "undo" else self._held.journal.redoable
            if not numbers:
                return None
            first = self._held.journal.entry(numbers[-1])
            statuses = first.action.statuses
            if way == "undo":
                statuses = tuple(change.reversed for change in reversed(statuses))
            self._held.see_to_room(first.action.box)
            backwards = way == "undo"
            for _ in self._held.journal.changes(
                first.parts
            ):  # a damaged payload is met before anything changes
                pass
            action = taken_back(first.action, self._held.journal.next_id(), now(), statuses)
            entry = Entry(action, way, first.of, first.bulk)
            self._held.journal.add(entry)
            for changes in self._held.journal.changes(first.parts, backwards):
                (undo if backwards else redo)(self._held.voxels, changes)
            self._held.settle(entry)
        self._held.emit(action)
        return action

    def versions(self) -> list[Version]:
        """Return the moments to which one can go back, the oldest first.

        They are the starts and ends of sessions, and before and after each bulk action; of moments between which
        nothing was done only the first.
        """
        return versions(self._held)

    def restore(self, version: Version) -> Action:
        """Bring labels and statuses back to what they were, as one step that can be undone.

        Parameters
        ----------
        version : Version
            One of `versions`.

        Raises
        ------
        BadSetting
            If there is no such version.
        StudyError
            If a bulk action is going on, or the journal is damaged.
        OutOfSpace
            If the disk is too full; what was changed is taken back then.
        """
        return restore(self._held, version)

    def bulk(self, what: str, axis: Axis | None = None) -> BulkAction:
        """Begin an action over many voxels, in bounded memory; all of it lasts or nothing. See `BulkAction`.

        Raises
        ------
        StudyError
            If another one is going on.
        """
        with self._held.lock:
            self._held.must_be_free()
            return BulkAction(self._held, what, axis or self.about.axis)

    # ------------------------------------------------------------------------------------------------------ the parts
    def _do(
        self,
        changes: list[Change],
        what: str,
        axis: Axis,
        statuses: tuple[StatusChange, ...],
        indices: Sequence[int],
    ) -> Action:
        entry = self._entry(changes, what, axis, statuses, indices)
        if not changes and not statuses:
            return entry.action  # nothing to undo
        payload = encode(changes) if changes else None
        self._held.see_to_room(entry.action.box, len(payload or b""))
        self._held.journal.add(entry, payload)
        redo(self._held.voxels, changes)
        self._held.settle(entry)
        return entry.action

    def _entry(
        self,
        changes: Sequence[Change],
        what: str,
        axis: Axis,
        statuses: tuple[StatusChange, ...],
        indices: Sequence[int],
    ) -> Entry:
        action = Action(
            id=self._held.journal.next_id(),
            what=what,
            time=now(),
            box=box_around(changes),
            axis=axis,
            slices=tuple(indices),
            voxels=sum(change.voxels for change in changes),
            statuses=statuses,
        )
        return Entry(action, "do", action.id)

    def _all_to(self, axis: Axis, indices: Sequence[int], status: Status) -> tuple[StatusChange, ...]:
        return tuple(
            StatusChange(axis, index, before, status)
            for index in indices
            if (before := self._held.status(axis, index)) != status
        )

    def _known(self, status: Status) -> Status:
        if status not in STATUSES:
            raise BadSetting(
                self._held.what, f"'{status}' is no status of a slice", "choose " + ", ".join(STATUSES)
            )
        return status

    def _checked_box(self, box: Any, values: Labels | int, what: str) -> Box:
        what = f"Cannot change the annotations of '{self.volume}' ({what})"
        found = box_of(box, self.shape, what)
        shape = np.shape(values)
        if shape not in ((), size_of(found)):
            raise BadSetting(
                what, f"the labels are {shape}, the box is {size_of(found)}", "give as many labels"
            )
        return found
