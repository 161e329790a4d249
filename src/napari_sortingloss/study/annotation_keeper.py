"""Holds the annotations of a volume open: the lock, the map, the journal, and the thread that sees them to the disk."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from psygnal import Signal

from napari_sortingloss.errors import StudyError, UserError, readable_os_errors
from napari_sortingloss.study.annotation_actions import Action, Entry, change_table
from napari_sortingloss.study.annotation_change import Labels
from napari_sortingloss.study.annotation_files import (
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
from napari_sortingloss.study.annotation_journal import Journal
from napari_sortingloss.study.annotation_recovery import recover
from napari_sortingloss.study.annotation_saver import Saver
from napari_sortingloss.study.annotation_space import check_room
from napari_sortingloss.study.annotations import Annotations
from napari_sortingloss.study.boxes import NO_BOX, Box
from napari_sortingloss.study.lock import Ownership
from napari_sortingloss.study.schema import Axis

if TYPE_CHECKING:
    from napari_sortingloss.study.annotation_bulk import BulkAction
    from napari_sortingloss.study.folder import Study

_TABLE_EVERY = 64 << 10
"""Readers go through so many bytes of the journal at most before they know every status."""


class AnnotationKeeper:
    """What an editor has open; see `AnnotationEditor`, which says what can be done with it.

    Parameters
    ----------
    study : Study
    volume : str
    on_saved : callable, optional

    Attributes
    ----------
    labels : memmap of uint8, shape (z, y, x)
        The labels themselves, for a viewer to paint into.
    annotations : Annotations
        The same, for reading, with what is in memory.
    about : VolumeRecord
        Of the volume.
    """

    changed: ClassVar[Signal] = Signal(object)

    def __init__(self, study: Study, volume: str, on_saved: Callable[[], None] | None = None) -> None:
        self.study, self.volume = study, volume
        self._what = f"Cannot annotate '{volume}'"
        self.about = study.volume(volume).record
        self.path = annotation_path(study, volume)
        self._owner = Ownership(self.path / LOCK)
        self._lock = threading.RLock()
        self._bulk: BulkAction | None = None
        self._open = False
        with readable_os_errors(self._what):
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
                raise StudyError(self._what, "it was removed or is being renamed", "choose it again")
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._owner.take(timeout=0.2):
                raise StudyError(
                    self._what,
                    "another program or window has its annotations open",
                    "close them there, then open them here",
                )

    def _begin(self, on_saved: Callable[[], None] | None) -> None:
        self._file_is_new = not (self.path / LABELS).exists()
        if self._file_is_new:
            check_room(self.study, self._what, 0)
            create_labels(self.path, self.about.shape)
        self.labels = open_labels(self.path, self.volume, self.about.shape, "r+")
        read_ahead(self.path / LABELS)
        self._voxels: Labels = self.labels.view(np.ndarray)
        self._journal = Journal(self.path, self.volume)
        if self._file_is_new:
            self._journal.synced = 0  # labels that somebody removed come back from the journal
        try:
            self._file = (self.path / LABELS).open("r+b", buffering=0)
            found = recover(self._journal, self._voxels, self.about.shape, self._sync_labels)
            self._table, self._table_changed = found
        except BaseException:
            self._journal.close()
            raise
        self._settled = max((entry.action.id for entry in self._journal.entries), default=0)
        self._table_lines = self._journal.lines_end
        self.annotations: Annotations = _Open(self)
        self._saver = Saver(self._save, f"Cannot save the annotations of '{self.volume}'", on_saved)
        self._saver.saved = self._settled
        if self._table_changed or self._journal.waiting or self._journal.synced < self._settled:
            self._saver.ask()

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
        for entry in reversed(self._journal.entries):
            if entry.action.id <= self._saver.saved:
                return
            yield entry

    @property
    def saved_at(self) -> float | None:
        """When everything was last safe on the disk, in seconds since the epoch; None before the first time."""
        return self._saver.saved_at

    @property
    def problem(self) -> UserError | None:
        """Why annotations are not being saved, or must not be changed now."""
        if self._saver.problem is not None:
            return self._saver.problem
        try:
            check_room(self.study, self._what, 0)
        except UserError as error:
            return error
        return None

    @property
    def can_paint(self) -> bool:
        """Whether a viewer may let somebody paint: not on a disk that is nearly full, nor during a bulk action."""
        return self._open and self._bulk is None and self.problem is None

    @property
    def history_lost(self) -> bool:
        """Whether a damaged journal was set aside on opening, so that nothing before this session can be undone."""
        return self._journal.set_aside is not None

    # ----------------------------------------------------------------------------------------------- saving, closing
    def flush(self) -> None:
        """Wait until everything done until now is safe on the disk.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails; nothing is given up, the next attempt follows by itself.
        """
        if self._open:
            self._saver.wait()

    def close(self) -> None:
        """Save everything and let others paint; harmless when repeated.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails. The editor is closed all the same: what was painted is in the file, only what
            the journal could not take cannot be undone.
        """
        with self._lock:
            if not self._open:
                return
            if self._bulk is not None:
                self._bulk.abort()
            self._open = False
        try:
            if self._journal.began or self._table_changed or self._journal.waiting:
                self._saver.wait()
            if self._journal.began:
                with readable_os_errors(self._what):
                    self._journal.mark("end")
                    self._journal.sync()
        finally:
            self._saver.close()
            self._file.close()
            self._journal.close()
            if not self._journal.entries and self._file_is_new:
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
        self._journal.write()  # what takes long, while others go on
        with self._lock:
            self._journal.write()
            settled, lines = self._settled, self._journal.lines_end
            stale = self._table_changed or lines - self._table_lines > _TABLE_EVERY
            table = dict(self._table) if stale else None
            self._table_changed = False
        if table is not None:
            try:
                write_table(self.path, table, settled, lines)
            except BaseException:
                self._table_changed = True
                raise
            self._table_lines = lines
        self._sync_labels()
        self._journal.sync()
        self._journal.synced = settled
        return settled

    def _sync_labels(self) -> None:
        """See the map to the disk."""
        if sys.platform == "linux":
            os.fsync(self._file.fileno())  # takes mapped pages along, and lets other threads run meanwhile
        else:
            self.labels.flush()

    # ------------------------------------------------------------------------------------------------------ the parts
    def _settle(self, entry: Entry) -> None:
        """An action is in the labels and in the journal: bring the rest up to it and have it saved."""
        change_table(self._table, entry.action.statuses, entry.action.time)
        self._table_changed |= bool(entry.action.statuses)
        self._settled = entry.action.id
        self._saver.ask()

    def _emit(self, action: Action) -> None:
        self.changed.emit(action if action.voxels else None)

    def _status(self, axis: Axis, index: int) -> Status:
        state = self._table.get((axis, index))
        return "empty" if state is None else state.status

    def _view(self, box: Box) -> Labels:
        return self._voxels[tuple(slice(low, high) for low, high in box)]

    def _room(self, box: Box = NO_BOX, payload: int = 0) -> None:
        check_room(self.study, self._what, payload, box, self.shape)

    def _must_be_open(self) -> None:
        if not self._open:
            raise StudyError(self._what, "its annotations were closed", "open them again")

    def _must_be_free(self) -> None:
        self._must_be_open()
        if self._bulk is not None:
            raise StudyError(
                self._what, f"'{self._bulk.what}' is going on", "wait until it is done, or cancel it"
            )


class _Open(Annotations):
    """The annotations as the program that paints has them in memory."""

    def __init__(self, editor: AnnotationKeeper) -> None:
        super().__init__(editor.study, editor.volume)
        self._editor = editor
        self._readable = editor.labels.view(np.ndarray)
        self._readable.flags.writeable = False

    def labels(self) -> Labels:
        return self._readable

    def _states(self) -> Table:
        with self._editor._lock:
            return dict(self._editor._table)

    @property
    def stamp(self) -> str:
        return f"{super().stamp}/{self._editor._settled}"
