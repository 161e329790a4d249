"""One action over many voxels, in bounded memory: what was there is safe before it changes, and all of it lasts or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.study.annotations.actions import Action, Entry, Part, StatusChange
from napari_sortingloss.study.annotations.change import (
    Change,
    Labels,
    box_around,
    encode,
    hull,
    redo,
    touched_slices,
    undo,
)
from napari_sortingloss.study.annotations.files import Key, Status
from napari_sortingloss.study.schema import Axis, now

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.open_annotations import OpenAnnotations


class BulkAction:
    """An action in several parts; without `commit` it is taken back on leaving the `with` block, or after a crash.

    While it is open nothing else can be done to the annotations. What a viewer paints all the same becomes part of it.

    Parameters
    ----------
    held : OpenAnnotations
        Free, see `OpenAnnotations.must_be_free`.
    what : str
    axis : {"z", "y", "x"}
        The axis of the slices that it is about.

    Attributes
    ----------
    voxels : int
        How many labels it has changed.
    """

    def __init__(self, held: OpenAnnotations, what: str, axis: Axis) -> None:
        self.held, self.what, self.axis = held, what, axis
        self.voxels = 0
        self._box: Box = NO_BOX
        self._indices: set[int] = set()
        self._statuses: dict[Key, Status] = {}
        self._parts: list[Part] = []
        self._id = held.journal.next_id()
        held.journal.begin(self._id, what)
        held.bulk = self
        self._open = True

    def write(self, start: Sequence[int], values: Labels) -> int:
        """Give a box other labels; returns how many changed.

        Parameters
        ----------
        start : tuple of int
            (z, y, x) of the box's first voxel.
        values : ndarray of uint8, shape (z, y, x)

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails; nothing of this box was changed then.
        """
        held = self.held
        with held.lock:
            self._must_be_open()
            z, y, x = ((low, low + size) for low, size in zip(start, values.shape, strict=True))
            change = Change.between(start, np.array(held.view((z, y, x))), values)
            if change is None:
                return 0
            payload = encode([change])
            held.see_to_room(change.box, len(payload))
            self._add(payload)
            with readable_os_errors(held.what):
                held.journal.sync()  # what was there must outlast a power failure before it is gone
            redo(held.voxels, [change])
            self._note([change])
            return change.voxels

    def set_status(self, index: int, status: Status, axis: Axis | None = None) -> None:
        """Give a slice another status when it is committed."""
        self._statuses[self.held.annotations.key(axis or self.axis, index)] = status

    def set_statuses(self, statuses: Mapping[Key, Status]) -> None:
        """Give slices other statuses when it is committed."""
        self._statuses.update(statuses)

    def take_in(self, changes: Sequence[Change], what: str, axis: Axis) -> Action:
        """Make voxels that a viewer changed meanwhile part of the action, so that undo stays exact."""
        changes = [change for change in changes if change.voxels]
        with self.held.lock:
            if changes:
                self._add(encode(changes))
                self._note(changes)
            for change in self.held.begun(touched_slices(changes, axis), axis):
                self._statuses.setdefault((change.axis, change.index), "partial")
        return Action(
            self._id,
            what,
            now(),
            box_around(changes),
            axis,
            tuple(touched_slices(changes, axis)),
            sum(change.voxels for change in changes),
        )

    def commit(self) -> Action:
        """Make it last, as one action.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails; it can still be taken back then.
        """
        held = self.held
        with held.lock:
            self._must_be_open()
            statuses = tuple(
                StatusChange(axis, index, before, after)
                for (axis, index), after in sorted(self._statuses.items())
                if (before := held.status(axis, index)) != after
            )
            if not self._parts and not statuses:
                self.abort()  # there is nothing to undo
                return Action(self._id, self.what, now(), axis=self.axis)
            action = Action(
                id=self._id,
                what=self.what,
                time=now(),
                box=self._box,
                axis=self.axis,
                slices=tuple(sorted(self._indices)),
                voxels=self.voxels,
                statuses=statuses,
            )
            held.journal.add(Entry(action, "do", self._id, True, self._parts))
            self._end()
            held.settle(held.journal.entries[-1])
        held.emit(action)
        return action

    def abort(self) -> None:
        """Take back what it changed; harmless after `commit` and when repeated."""
        held = self.held
        with held.lock:
            if not self._open:
                return
            for changes in held.journal.changes(self._parts, backwards=True):
                undo(held.voxels, changes)
            with suppress(OSError):  # the thread that saves tries again, and reports why it fails
                held.sync_labels()
            held.journal.cancel(self._id)
            self._end()
            held.saver.ask()
        if self.voxels:
            held.changed.emit(
                Action(
                    self._id,
                    self.what,
                    now(),
                    self._box,
                    self.axis,
                    tuple(sorted(self._indices)),
                    self.voxels,
                )
            )

    def _end(self) -> None:
        self._open = False
        self.held.bulk = None

    def _add(self, payload: bytes) -> None:
        self._parts.append(self.held.journal.add_part(self._id, payload))

    def _note(self, changes: Sequence[Change]) -> None:
        self.voxels += sum(change.voxels for change in changes)
        self._box = hull([self._box, *(change.box for change in changes)])
        self._indices.update(touched_slices(changes, self.axis))

    def _must_be_open(self) -> None:
        if not self._open:
            raise StudyError(self.held.what, f"'{self.what}' was ended", "begin it again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
