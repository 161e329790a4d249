"""Runs a session's jobs one after the other in a worker thread; the thread must never touch a widget, layer or viewer.

A worker only advances the job's generator and appends what it yields to a deque; a timer on the GUI thread empties the
deque (at most 20 times a second, progress coalesced) and emits the signals. Cancelling closes the generator *in its
thread*, so that a job's own clean-up (removing half an import, writing the checkpoint) runs there. When the viewer or
the interpreter goes, every job is cancelled and its clean-up is awaited for at most `PATIENCE` seconds; no thread can
keep the interpreter alive longer than that.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal

from psygnal import Signal, SignalGroup
from qtpy.QtCore import QObject, QTimer

from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.widgets.session.activity import Activity
from napari_sortingloss.widgets.session.quiet_warnings import log_warnings_of_workers

logger = logging.getLogger(__name__)

TICK_MS = 50
PATIENCE = 10.0

JobState = Literal["waiting", "running", "finished", "failed", "cancelled"]
MakeJob = Callable[[], Iterator[Event]]


class JobSignals(SignalGroup):
    """What a job tells on the GUI thread; exactly one of finished, failed and cancelled comes last."""

    started = Signal()
    event = Signal(object, description="an Event; of several Progress in one tick only the last")
    finished = Signal(dict, description="the value of the Result event, {} if there was none")
    failed = Signal(object, description="the exception")
    cancelled = Signal()
    ended = Signal(description="after finished, failed or cancelled: give the button back here")


class Job:
    """One piece of work of a `JobRunner`; made by `JobRunner.submit`.

    Attributes
    ----------
    title : str
        What a person reads, e.g. ``"Adding 4 volumes"``.
    kind : str
        What sort of job it is, e.g. ``"add"``; widgets find theirs by it.
    state : {"waiting", "running", "finished", "failed", "cancelled"}
    progress : Progress or None
        The last progress delivered.
    error : BaseException or None
    result : dict or None
    about : Any
        What it was asked to do, for a panel that is opened while it runs; e.g. its settings.
    signals : JobSignals
        ``job.signals.finished.connect(...)`` and so on; all are emitted on the GUI thread.
    """

    def __init__(
        self, title: str, make: MakeJob, kind: str, cancel: Callable[[Job], None], about: Any = None
    ) -> None:
        self.title, self.kind, self.about = title, kind, about
        self.state: JobState = "waiting"
        self.progress: Progress | None = None
        self.error: BaseException | None = None
        self.result: dict[str, Any] | None = None
        self.cancelling = False
        self.signals = JobSignals()
        self._make = make
        self._cancel = cancel

    @property
    def ended(self) -> bool:
        """Whether it is over, one way or the other."""
        return self.state not in ("waiting", "running")

    def cancel(self) -> bool:
        """Ask it to end; returns whether there was anything to end. The `cancelled` signal says when it has."""
        if self.ended:
            return False
        self._cancel(self)
        return True


_END = object()
_alive: weakref.WeakSet[_Worker] = weakref.WeakSet()


class _Worker(threading.Thread):
    """Drives one generator; knows no Qt."""

    def __init__(self, make: MakeJob, title: str) -> None:
        super().__init__(name=f"sortingloss-job {title}", daemon=True)
        self._make = make
        self.stop = threading.Event()
        self.inbox: deque[tuple[Any, ...]] = deque()
        _alive.add(self)

    def run(self) -> None:
        error: BaseException | None = None
        cancelled = False
        try:
            events = self._make()
            try:
                for event in events:
                    self.inbox.append((event,))
                    if self.stop.is_set() and not isinstance(event, Result):
                        cancelled = True
                        break
            finally:
                close = getattr(events, "close", None)
                if close is not None:
                    close()
        except BaseException as caught:
            error = caught
        self._make = lambda: iter(())  # let go of the job's arrays
        self.inbox.append((_END, error, cancelled))


class JobRunner(QObject):
    """The job queue of one session: one job runs, the others wait in order.

    Attributes
    ----------
    changed : psygnal.Signal
        A job was added, began, moved on or ended; for views of the queue.
    job_ended : psygnal.Signal
        ``job_ended(job)``, before the job's own signals; for what must happen whoever started it.

    Examples
    --------
    >>> job = runner.submit("Adding 4 volumes", lambda: add(study, settings), kind="add")  # doctest: +SKIP
    >>> job.signals.failed.connect(bar.show_error)  # doctest: +SKIP
    """

    changed = Signal()
    job_ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[Job] = []
        self._job: Job | None = None
        self._worker: _Worker | None = None
        self._activity: Activity | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    @property
    def running(self) -> Job | None:
        """The job at work."""
        return self._job

    @property
    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait, next first."""
        return tuple(self._waiting)

    def find(self, kind: str) -> Job | None:
        """Return the running or first waiting job of a kind."""
        every = ([self._job] if self._job else []) + self._waiting
        return next((job for job in every if job.kind == kind), None)

    def submit(self, title: str, make: MakeJob, kind: str = "", about: Any = None) -> Job:
        """Queue a job; it starts within a twentieth of a second if none is ahead of it.

        Parameters
        ----------
        title : str
            What a person reads.
        make : callable
            Returns the job's generator; called in the worker thread.
        kind : str
            What sort of job it is.
        about : Any
            What it is asked to do.
        """
        job = Job(title, make, kind, self._cancel, about)
        self._waiting.append(job)
        if not self._timer.isActive():
            self._timer.start()
        self.changed.emit()
        return job

    def shutdown(self, patience: float = PATIENCE) -> bool:
        """Cancel everything and wait for the clean-up of the running job; no signal is emitted any more.

        Parameters
        ----------
        patience : float
            Seconds to wait at most.

        Returns
        -------
        bool
            Whether the worker ended in time.
        """
        for job in (*([self._job] if self._job else []), *self._waiting):
            job.cancelling, job.state = True, "cancelled"
        self._waiting.clear()
        worker = self._worker
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        self._timer.stop()
        self._job = self._worker = None
        return worker is None or _end([worker], patience)

    def _cancel(self, job: Job) -> None:
        job.cancelling = True
        if job is self._job and self._worker is not None:
            self._worker.stop.set()
        elif job in self._waiting:
            self._waiting.remove(job)
            job.state = "cancelled"
            job.signals.cancelled.emit()
            job.signals.ended.emit()
        self.changed.emit()

    def _tick(self) -> None:
        if self._job is None:
            self._start_next()
            return
        job, worker = self._job, self._worker
        assert worker is not None
        batch, end = _drain(worker.inbox)
        for event in batch:
            self._receive(job, event)
        if end is not None:
            self._end(job, *end)
        elif batch:
            self.changed.emit()

    def _start_next(self) -> None:
        if not self._waiting:
            self._timer.stop()
            return
        job = self._job = self._waiting.pop(0)
        log_warnings_of_workers()
        worker = self._worker = _Worker(job._make, job.title)
        job.state = "running"
        activity = Activity(job.title)  # napari lets the window live while it makes one
        if self._worker is not worker:  # and the window was closed meanwhile
            activity.close()
            return
        self._activity = activity
        worker.start()
        job.signals.started.emit()
        self.changed.emit()

    def _receive(self, job: Job, event: Event) -> None:
        if isinstance(event, Progress):
            job.progress = event
            if self._activity is not None:
                self._activity.show(event)
        elif isinstance(event, Result):
            job.result = dict(event.value)
        job.signals.event.emit(event)

    def _end(self, job: Job, error: BaseException | None, cancelled: bool) -> None:
        self._job = self._worker = None
        job.error = error
        job.state = "failed" if error is not None else "cancelled" if cancelled else "finished"
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        try:
            self.job_ended.emit(job)
            if error is not None:
                logger.error("%s failed", job.title, exc_info=error)
                job.signals.failed.emit(error)
            elif cancelled:
                job.signals.cancelled.emit()
            else:
                job.signals.finished.emit(job.result or {})
        finally:  # a mistake in one listener must not leave another's button dead or the queue standing
            job.signals.ended.emit()
            self.changed.emit()


def _drain(inbox: deque[tuple[Any, ...]]) -> tuple[list[Event], tuple[Any, Any] | None]:
    """Empty the inbox; only the last of several `Progress` is kept."""
    events: list[Event] = []
    last = -1
    while inbox:
        item = inbox.popleft()
        if item[0] is _END:
            return events, (item[1], item[2])
        event = item[0]
        if isinstance(event, Progress):
            if last >= 0:
                del events[last]
            last = len(events)
        events.append(event)
    return events, None


def _end(workers: list[_Worker], patience: float) -> bool:
    for worker in workers:
        worker.stop.set()
    until = time.monotonic() + patience
    for worker in workers:
        if worker.ident is not None:
            worker.join(max(0.0, until - time.monotonic()))
    late = [worker.name for worker in workers if worker.is_alive()]
    if late:
        logger.warning("gave up waiting for %s", ", ".join(late))
    return not late


@atexit.register
def _end_all() -> None:
    _end([worker for worker in list(_alive) if worker.is_alive()], PATIENCE)
