"""One thing after the other, off the GUI thread: opening, changing and closing annotations must never overlap."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QTimer

logger = logging.getLogger(__name__)

POLL_MS = 15


class _Hold:
    """What the worker shares with its owner; it holds no Qt object, since its last reference may go in the thread."""

    def __init__(self) -> None:
        self.todo: deque[_Task] = deque()
        self.done: deque[_Task] = deque()
        self.guard = threading.Lock()
        self.thread: threading.Thread | None = None


@dataclass(eq=False)
class _Task:
    fn: Callable[[], Any]
    value: Any = None
    raised: BaseException | None = None


class Serial(QObject):
    """Runs functions in order in one worker thread and hands their results back on the GUI thread, none dropped.

    The thread ends when there is nothing left to do. It must never touch a widget, a layer or the viewer.

    Parameters
    ----------
    parent : QObject or None
    error : callable or None
        Gets the exception of a function that was given no handler of its own.
    """

    def __init__(
        self, parent: QObject | None = None, error: Callable[[BaseException], None] | None = None
    ) -> None:
        super().__init__(parent)
        self._error = error
        self._hold = _Hold()
        self._handlers: deque[tuple[Callable[[Any], None] | None, Callable[[BaseException], None] | None]] = (
            deque()
        )
        self._silent = False
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._deliver)

    @property
    def busy(self) -> bool:
        """Whether anything is waiting, running or not delivered yet."""
        return bool(self._handlers)

    def run(
        self,
        fn: Callable[[], Any],
        then: Callable[[Any], None] | None = None,
        error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Call ``fn()`` after all that was asked for before, then ``then(result)`` or ``error(exception)``.

        Parameters
        ----------
        fn : callable
            The work, called in the worker thread.
        then, error : callable or None
            Called on the GUI thread.
        """
        self._handlers.append((then, error))
        hold = self._hold
        with hold.guard:
            hold.todo.append(_Task(fn))
            if hold.thread is None:
                hold.thread = threading.Thread(
                    target=_work, args=(hold,), name="sortingloss-annotations", daemon=True
                )
                hold.thread.start()
        if not self._silent:
            self._timer.start()

    def finish(self, patience: float) -> bool:
        """Do all that was asked for, hand nothing back any more, and wait for the end of it.

        Parameters
        ----------
        patience : float
            Seconds to wait at most.

        Returns
        -------
        bool
            Whether it ended in time.
        """
        self._silent = True
        self._timer.stop()
        with self._hold.guard:
            thread = self._hold.thread
        if thread is not None:
            thread.join(patience)
        for task in self._hold.done:
            if task.raised is not None:
                logger.error("annotations: %s", task.raised, exc_info=task.raised)
        return thread is None or not thread.is_alive()

    def _deliver(self) -> None:
        while self._hold.done:
            task = self._hold.done.popleft()
            then, error = self._handlers.popleft()
            if task.raised is None:
                if then is not None:
                    then(task.value)
                continue
            handler = error or self._error
            if handler is None:
                raise task.raised
            handler(task.raised)
        if not self._handlers:
            self._timer.stop()


def _work(hold: _Hold) -> None:
    while True:
        with hold.guard:
            if not hold.todo:
                hold.thread = None
                return
            task = hold.todo.popleft()
        try:
            task.value = task.fn()
        except BaseException as error:  # handed over, never lost
            task.raised = error
        hold.done.append(task)
