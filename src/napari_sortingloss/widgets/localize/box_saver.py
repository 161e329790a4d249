"""Keeps what a person makes of boxes: on disk within half a second, in the order it was done, and when the panel goes.

Only `change` and `seen` are for the GUI thread alone; the file is written in a background thread. What is not yet on disk
is shown as if it were.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.localized import Look, modified
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.lifetime import at_end

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.localizations.reading import Localization

logger = logging.getLogger(__name__)

DELAY_MS = 300
Key = tuple[str, str, str]
"""The study's path, the volume, the run."""


class _Writer:
    """Holds the changes and writes them; knows no Qt, so that it may outlive the panel until all is written."""

    def __init__(self) -> None:
        self.waiting: dict[Key, tuple[Study, str, dict[str, Any]]] = {}
        self.under_way: dict[Key, dict[str, Any]] = {}
        self.written: dict[Key, tuple[int, Localization]] = {}
        self.guard = threading.Lock()
        self._one = threading.Lock()

    def add(self, study: Study, found: Localization, changes: dict[str, Any]) -> None:
        key = (str(study.path), found.volume, found.run)
        with self.guard:
            before = self.waiting.get(key)
            held = before[2] if before is not None and before[1] == found.created else {}
            self.waiting[key] = (study, found.created, {**held, **changes})

    def write_all(self) -> None:
        """Write all that waits; what could not be written waits on."""
        from napari_sortingloss.study.localizations.reading import read_localization, update_localization

        failure: UserError | None = None
        with self._one:
            with self.guard:
                taken, self.waiting = self.waiting, {}
                self.under_way = {key: changes for key, (_, _, changes) in taken.items()}
            for key, (study, created, changes) in taken.items():
                _, volume, run = key
                try:
                    there = read_localization(study, volume, run)
                    if there is not None and there.created == created:  # not localised anew meanwhile
                        after = update_localization(study, volume, run, **changes)
                        with self.guard:
                            self.written[key] = (modified(study, volume, run), after)
                except UserError as error:
                    failure = error
                    if modified(study, volume, run):  # a full disk, say: it may go next time
                        with self.guard:
                            study_, created_, newer = self.waiting.get(key, (study, created, {}))
                            self.waiting[key] = (study_, created_, {**changes, **newer})
            with self.guard:
                self.under_way = {}
        if failure is not None:
            raise failure


class BoxKeeper:
    """Takes changes of localisations and sees to it that they last.

    Parameters
    ----------
    owner : QWidget
        When it goes, what still waits is written.
    background : Background
        Its thread writes, and its error handler tells what could not be written.
    written : callable
        Called on the GUI thread after changes have reached the disk.
    """

    def __init__(self, owner: QWidget, background: Background, written: Callable[[], None]) -> None:
        self._background, self._written = background, written
        self._writer = _Writer()
        self._timer = QTimer(owner)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.timeout.connect(self._write)
        at_end(owner, _finish, self._writer)

    @property
    def waiting(self) -> bool:
        """Whether anything is not on disk yet."""
        return bool(self._writer.waiting or self._writer.under_way)

    def change(self, study: Study, found: Localization, **changes: Any) -> Localization:
        """Change a localisation.

        Parameters
        ----------
        study : Study
        found : Localization
            As it is shown.
        **changes
            As `update_localization` takes them.

        Returns
        -------
        Localization
            As it is now to be shown.
        """
        after = found.replace(**changes)
        self._writer.add(study, found, changes)
        if not self._timer.isActive():
            self._timer.start()
        return after

    def seen(self, study: Study, look: Look) -> Localization | None:
        """Return what is to be shown where this was seen on disk, which what waits here may be ahead of."""
        found = look.value
        if found is None:
            return None
        key, writer = (str(study.path), found.volume, found.run), self._writer
        with writer.guard:
            at, after = writer.written.get(key, (0, None))
            if after is not None and at > look.mtime and after.created == found.created:
                found = after
            elif after is not None:
                del writer.written[key]
            changes = dict(writer.under_way.get(key, {}))
            _, created, more = writer.waiting.get(key, (None, "", {}))
            if created == found.created:
                changes.update(more)
        return found.replace(**changes) if changes else found

    def flush(self) -> None:
        """Write what waits, in this thread, whichever it is."""
        self._writer.write_all()

    def write_soon(self) -> None:
        """Write what waits now, in the background."""
        self._timer.stop()
        self._write()

    def _write(self) -> None:
        if self._writer.waiting:
            self._background.run(self._writer.write_all, lambda _: self._written(), topic="boxes")


def _finish(writer: _Writer) -> None:
    """Write what is left when nobody can be told any more."""
    try:
        writer.write_all()
    except UserError as error:
        logger.error("%s", error)
