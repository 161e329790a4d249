"""Follows one run through its events.jsonl, wherever it trains; the file is read in a background thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_sortingloss.events import (
    Event,
    Matrix,
    Metrics,
    Notice,
    Progress,
    Snapshot,
    StateChanged,
)
from napari_sortingloss.widgets.toolkit.background import Background

if TYPE_CHECKING:
    from napari_sortingloss.study import EventLog

POLL_MS = 500

Points = tuple[list[int], list[float]]


@dataclass
class RunHistory:
    """What a run has said so far; knows no Qt.

    Attributes
    ----------
    train, validation : dict of str to (list of int, list of float)
        For each figure its steps and values.
    progress : Progress or None
        The last one.
    snapshot : Snapshot or None
        The last picture of a batch.
    picture : bytes
        That picture, as PNG.
    state : StateChanged or None
    notices : list of Notice
    matrices : dict of str to Matrix
        The last table of each split of a task that classifies.
    """

    train: dict[str, Points] = field(default_factory=dict)
    validation: dict[str, Points] = field(default_factory=dict)
    progress: Progress | None = None
    snapshot: Snapshot | None = None
    picture: bytes = b""
    state: StateChanged | None = None
    notices: list[Notice] = field(default_factory=list)
    matrices: dict[str, Matrix] = field(default_factory=dict)

    def take(self, events: Iterable[Event]) -> None:
        """Take note of events, in order."""
        for event in events:
            if isinstance(event, Metrics):
                into = self.train if event.split == "train" else self.validation
                for name, value in event.values.items():
                    steps, values = into.setdefault(name, ([], []))
                    steps.append(event.step)
                    values.append(value)
            elif isinstance(event, Progress):
                self.progress = event
            elif isinstance(event, Snapshot):
                self.snapshot = event
            elif isinstance(event, StateChanged):
                self.state = event
            elif isinstance(event, Notice):
                self.notices.append(event)
            elif isinstance(event, Matrix):
                self.matrices[event.split] = event


class RunWatcher(QObject):
    """Keeps the history of the run in view up to date, twice a second.

    Parameters
    ----------
    background : Background
        Runs the reading.
    parent : QObject or None

    Attributes
    ----------
    changed : psygnal.Signal
        ``changed(RunHistory)`` after new events, or after another run was chosen.
    failed : psygnal.Signal
        ``failed(exception)``: the run's folder cannot be read; it is no longer followed.
    """

    changed = Signal(object)
    failed = Signal(object)

    def __init__(self, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._log: EventLog | None = None
        self._path: Path | None = None
        self._resets = 0
        self._busy = False
        self.history = RunHistory()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)

    @property
    def path(self) -> Path | None:
        """The folder of the run in view."""
        return self._path

    def watch(self, path: Path | None) -> None:
        """Follow the run in a folder; ``None`` follows nothing."""
        if path == self._path:
            return
        self._background.drop("watch")
        self._busy = False
        self._path = path
        self._resets = 0
        self.history = RunHistory()
        if path is None:
            self._log = None
            self._timer.stop()
        else:
            from napari_sortingloss.study import EventLog
            from napari_sortingloss.study.runs.run import EVENTS_FILE

            self._log = EventLog(path / EVENTS_FILE)
            self._timer.start()
            self.poll()
        self.changed.emit(self.history)

    def poll(self) -> None:
        """Ask for what is new, unless the last answer is still on its way."""
        log, path = self._log, self._path
        if log is None or path is None or self._busy:
            return
        self._busy = True
        shown = self.history.snapshot

        def read() -> tuple[int, list[Event], bytes]:
            events = log.read_new()
            pictures = [e for e in events if isinstance(e, Snapshot)]
            picture = b""
            if pictures and pictures[-1] != shown:
                file = path / pictures[-1].picture
                picture = file.read_bytes() if file.is_file() else b""
            return log.resets, events, picture

        self._background.run(read, self._take, self._fail, topic="watch")

    def _take(self, found: tuple[int, list[Event], bytes]) -> None:
        resets, events, picture = found
        self._busy = False
        if resets != self._resets:
            self._resets = resets
            self.history = RunHistory()
        if not events:
            return
        self.history.take(events)
        if picture:
            self.history.picture = picture
        self.changed.emit(self.history)

    def _fail(self, error: BaseException) -> None:
        """A folder that is gone (deleted elsewhere) has nothing more to say; anything else is shown."""
        self._busy = False
        self._timer.stop()
        if not isinstance(error, FileNotFoundError):
            self.failed.emit(error)


def smooth(values: list[float], share: float = 0.06) -> list[float]:
    """Average each value with those before it, over a window that is a share of the curve.

    Parameters
    ----------
    values : list of float
    share : float
        The window relative to the number of values.

    Returns
    -------
    list of float
        As many as `values`; the running mean of at most ``share * n`` values. Values that are no numbers count for
        nothing.
    """
    if not values:
        return []
    window = max(1, round(share * len(values)))
    numbers = np.asarray(values, float)
    known = np.isfinite(numbers)
    totals = np.concatenate([[0.0], np.cumsum(np.where(known, numbers, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    ends = np.arange(1, len(numbers) + 1)
    starts = np.maximum(ends - window, 0)
    count = counts[ends] - counts[starts]
    means = (totals[ends] - totals[starts]) / np.maximum(count, 1)
    return list(np.where(count > 0, means, np.nan))
