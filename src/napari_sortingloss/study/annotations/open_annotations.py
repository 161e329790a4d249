"""Holds the annotations of a volume open: the lock, the map, the journal, and the thread that sees them to the disk."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from psygnal import Signal

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.errors import StudyError, UserError, readable_os_errors
from napari_sortingloss.study.annotations.actions import Action, Entry, StatusChange, change_table
from napari_sortingloss.study.annotations.change import Change, Labels
from napari_sortingloss.study.annotations.disk_space import check_room
from napari_sortingloss.study.annotations.files import (
    LABELS,
    LOCK,
    Status,
    Table,
    annotation_path,
    create_labels,
    open_labels,
    read_ahead,
    write_table,
)
from napari_sortingloss.study.annotations.journal import Journal
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.annotations.recovery import recover
from napari_sortingloss.study.annotations.saver import Saver
from napari_sortingloss.study.schema import Axis

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

_TABLE_EVERY = 64 << 10
"""Readers go through so many bytes of the journal at most before they know every status."""


class Bulk(Protocol):
    """An action in several parts, see `annotation_bulk`."""

    what: str

    def take_in(self, changes: Sequence[Change], what: str, axis: Axis) -> Action:
        """Make voxels that a viewer changed meanwhile part of it."""

    def abort(self) -> None:
        """Take back what it changed."""


class OpenAnnotations:
    """The one hold on a volume's annotations, over all programs; what is done with them see `AnnotationEditor`.

    Parameters
    ----------
    study : Study
    volume : str
    on_saved : callable, optional

    Attributes
    ----------
    labels : memmap of uint8, shape (z, y, x)
        The labels themselves, for a viewer to paint into.
    voxels : ndarray of uint8, shape (z, y, x)
        The same as a plain array.
    annotations : Annotations
        The same, for reading, with what is in memory.
    about : VolumeRecord
        Of the volume.
    journal : Journal
        Each action, for ever.
    table : dict
        The slices that are not empty.
    lock : threading.RLock
        Held by whoever changes any of these.
    bulk : Bulk or None
        The action in several parts that is going on.
    changed : psygnal.Signal
        Emits the `Action` that changed labels, or None where only statuses changed, in the thread that did it.

    Raises
    ------
    StudyError
        If there is no such volume, another program or window has its annotations open, or they are damaged.
    OutOfSpace, UserError
        If the disk is nearly full or cannot be written.
    """

    changed = Signal(object)

    def __init__(self, study: Study, volume: str, on_saved: Callable[[], None] | None = None) -> None:
        self.study, self.volume = study, volume
        self.what = f"Cannot annotate '{volume}'"
        self.about = study.volume(volume).record
        self.path = annotation_path(study, volume)
        self._owner = Ownership(self.path / LOCK)
        self.lock = threading.RLock()
        self.bulk: Bulk | None = None
        self._open = False
        with readable_os_errors(self.what):
            self._take()
            try:
                self._begin(on_saved)
            except BaseException:
                self._owner.release()
                raise
        self._open = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.volume!r})"

    def _take(self) -> None:
        """Become the one writer; under the study's lock, so that the volume is not renamed meanwhile."""
        with self.study.transaction() as document:
            if self.volume not in document["volumes"] or self.volume in document.get("renaming", ()):
                raise StudyError(self.what, "it was removed or is being renamed", "choose it again")
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._owner.take(timeout=0.2):
                raise StudyError(
                    self.what,
                    "another program or window has its annotations open",
                    "close them there, then open them here",
                )

    def _begin(self, on_saved: Callable[[], None] | None) -> None:
        self._file_is_new = not (self.path / LABELS).exists()
        if self._file_is_new:
            check_room(self.study, self.what, 0)
            create_labels(self.path, self.about.shape)
        self.labels = open_labels(self.path, self.volume, self.about.shape, "r+")
        read_ahead(self.path / LABELS)
        self.voxels: Labels = self.labels.view(np.ndarray)
        self.journal = Journal(self.path, self.volume)
        if self._file_is_new:
            self.journal.synced = 0  # labels that somebody removed come back from the journal
        try:
            self._file = (self.path / LABELS).open("r+b", buffering=0)
            found = recover(self.journal, self.voxels, self.about.shape, self.sync_labels)
            self.table, self._table_changed = found
        except BaseException:
            self.journal.close()
            raise
        self.settled = max((entry.action.id for entry in self.journal.entries), default=0)
        self._table_lines = self.journal.lines_end
        self.annotations: Annotations = _Held(self)
        self.saver = Saver(self._save, f"Cannot save the annotations of '{self.volume}'", on_saved)
        self.saver.saved = self.settled
        if self._table_changed or self.journal.waiting or self.journal.synced < self.settled:
            self.saver.ask()

    # ------------------------------------------------------------------------------------------- how it stands
    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in voxels."""
        return self.about.shape

    @property
    def pending(self) -> int:
        """How many actions are not yet known to be safe on the disk, were the power to fail now."""
        return sum(1 for _ in self._unsaved())

    def _unsaved(self) -> Iterable[Entry]:
        for entry in reversed(self.journal.entries):
            if entry.action.id <= self.saver.saved:
                return
            yield entry

    @property
    def saved_at(self) -> float | None:
        """When everything was last safe on the disk, in seconds since the epoch; None before the first time."""
        return self.saver.saved_at

    @property
    def problem(self) -> UserError | None:
        """Why annotations are not being saved, or must not be changed now."""
        if self.saver.problem is not None:
            return self.saver.problem
        try:
            check_room(self.study, self.what, 0)
        except UserError as error:
            return error
        return None

    @property
    def can_paint(self) -> bool:
        """Whether a viewer may let somebody paint: not on a disk that is nearly full, nor during a bulk action."""
        return self._open and self.bulk is None and self.problem is None

    @property
    def history_lost(self) -> bool:
        """Whether a damaged journal was set aside on opening, so that nothing before this session can be undone."""
        return self.journal.set_aside is not None

    # ----------------------------------------------------------------------------------------------- saving, closing
    def flush(self) -> None:
        """Wait until everything done until now is safe on the disk.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails; nothing is given up, the next attempt follows by itself.
        """
        if self._open:
            self.saver.wait()

    def close(self) -> None:
        """Save everything and let others paint; harmless when repeated.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails. The editor is closed all the same: what was painted is in the file, only what
            the journal could not take cannot be undone.
        """
        with self.lock:
            if not self._open:
                return
            if self.bulk is not None:
                self.bulk.abort()
            self._open = False
        try:
            if self.journal.began or self._table_changed or self.journal.waiting:
                self.saver.wait()
            if self.journal.began:
                with readable_os_errors(self.what):
                    self.journal.mark("end")
                    self.journal.sync()
        finally:
            self.saver.close()
            self._file.close()
            self.journal.close()
            if not self.journal.entries and self._file_is_new:
                with suppress(
                    OSError
                ):  # nothing was done: leave no trace that would keep the volume from going
                    shutil.rmtree(self.path)
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _save(self) -> int:
        """See everything to the disk; called by the thread that saves."""
        self.journal.write()  # what takes long, while others go on
        with self.lock:
            self.journal.write()
            settled, lines = self.settled, self.journal.lines_end
            stale = self._table_changed or lines - self._table_lines > _TABLE_EVERY
            table = dict(self.table) if stale else None
            self._table_changed = False
        if table is not None:
            try:
                write_table(self.path, table, settled, lines)
            except BaseException:
                self._table_changed = True
                raise
            self._table_lines = lines
        self.sync_labels()
        self.journal.sync()
        self.journal.synced = settled
        return settled

    def sync_labels(self) -> None:
        """See the map to the disk."""
        if sys.platform == "linux":
            os.fsync(self._file.fileno())  # takes mapped pages along, and lets other threads run meanwhile
        else:
            self.labels.flush()

    # ------------------------------------------------------------------------------------------------------ the parts
    def settle(self, entry: Entry) -> None:
        """An action is in the labels and in the journal: bring the rest up to it and have it saved."""
        change_table(self.table, entry.action.statuses, entry.action.time)
        self._table_changed |= bool(entry.action.statuses)
        self.settled = entry.action.id
        self.saver.ask()

    def emit(self, action: Action) -> None:
        """Tell of an action that has been settled; outside the lock."""
        self.changed.emit(action if action.voxels else None)

    def status(self, axis: Axis, index: int) -> Status:
        """Return the status of a slice."""
        state = self.table.get((axis, index))
        return "empty" if state is None else state.status

    def begun(self, indices: Sequence[int], axis: Axis) -> tuple[StatusChange, ...]:
        """Return how the empty ones of the slices that were painted on become partial."""
        return tuple(
            StatusChange(axis, index, "empty", "partial")
            for index in indices
            if (axis, index) not in self.table
        )

    def view(self, box: Box) -> Labels:
        """Return the voxels in a box, to read and to change."""
        return self.voxels[tuple(slice(low, high) for low, high in box)]

    def see_to_room(self, box: Box = NO_BOX, payload: int = 0) -> None:
        """See that the disk has room for a change of a box and its entry in the journal (bytes).

        Raises
        ------
        OutOfSpace
            If it has not.
        """
        check_room(self.study, self.what, payload, box, self.shape)

    def must_be_open(self) -> None:
        """Refuse by a `StudyError` what comes after `close`."""
        if not self._open:
            raise StudyError(self.what, "its annotations were closed", "open them again")

    def must_be_free(self) -> None:
        """Refuse by a `StudyError` what cannot be done during a bulk action."""
        self.must_be_open()
        if self.bulk is not None:
            raise StudyError(
                self.what, f"'{self.bulk.what}' is going on", "wait until it is done, or cancel it"
            )


class _Held(Annotations):
    """The annotations as the program that paints has them in memory."""

    def __init__(self, held: OpenAnnotations) -> None:
        super().__init__(held.study, held.volume)
        self._held = held
        self._readable = held.labels.view(np.ndarray)
        self._readable.flags.writeable = False

    def labels(self) -> Labels:
        return self._readable

    def _states(self) -> Table:
        with self._held.lock:
            return dict(self._held.table)

    @property
    def stamp(self) -> str:
        return f"{super().stamp}/{self._held.settled}"
