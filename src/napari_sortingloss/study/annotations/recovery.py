"""What an editor does first: make good what a crash left between the journal, the labels and the statuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_sortingloss.boxes import Shape
from napari_sortingloss.errors import StudyError
from napari_sortingloss.study.annotations.actions import Entry, change_table
from napari_sortingloss.study.annotations.change import Labels, redo, undo
from napari_sortingloss.study.annotations.files import Table, read_table

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.journal import Journal


def recover(journal: Journal, labels: Labels, shape: Shape, sync: Callable[[], None]) -> tuple[Table, bool]:
    """Bring labels and statuses up to the journal.

    Actions of which it is not known that their labels reached the disk are done again, which changes nothing where they
    did; a bulk action without its committing line is taken back.

    Parameters
    ----------
    journal : Journal
    labels : ndarray of uint8, shape (z, y, x)
        The map, which is changed.
    shape : tuple of int
        (z, y, x).
    sync : callable
        Sees the map to the disk.

    Returns
    -------
    dict
        The slices that are not empty.
    bool
        Whether the table on the disk says something else.
    """
    for entry in journal.entries:
        if entry.action.id > journal.synced:
            _again(journal, entry, labels)
    unfinished = journal.unfinished
    if unfinished is not None:
        for changes in journal.changes(unfinished.parts, backwards=True):
            undo(labels, changes)
        sync()  # before the journal says so
        journal.cancel(unfinished.id)
    stale = False
    try:
        table, last, _ = read_table(journal.folder, journal.volume, shape)
    except StudyError:
        if not journal.entries:
            raise
        table, last, stale = {}, 0, True  # the journal knows every status that there ever was
    if journal.set_aside is not None:
        journal.number_from(last)
    for entry in journal.entries:
        if entry.action.id > last:
            change_table(table, entry.action.statuses, entry.action.time)
            stale |= bool(entry.action.statuses)
    return table, stale


def _again(journal: Journal, entry: Entry, labels: Labels) -> None:
    parts = journal.entry(entry.of).parts
    backwards = entry.kind == "undo"
    for changes in journal.changes(parts, backwards):
        (undo if backwards else redo)(labels, changes)
