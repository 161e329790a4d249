"""Short work off the GUI thread: files, network and zarr are never touched on it; the worker threads never touch Qt."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_sortingloss.widgets.session.quiet_warnings import log_warnings_of_workers

logger = logging.getLogger(__name__)

POLL_MS = 15


@dataclass(eq=False)
class _Task:
    topic: str
    generation: int
    fn: Callable[[], Any]
    then: Callable[[Any], None] | None
    error: Callable[[BaseException], None] | None
    value: Any = None
    raised: BaseException | None = None


class Background(QObject):
    """Runs functions in daemon threads and hands their results back on the GUI thread.

    Calls with the same `topic` overtake each other: at most one of them runs, only the newest waits behind it, and
    the result of one that was overtaken is dropped (a generation counter). Calls without a topic are never dropped.
    The results of a `Background` whose parent was closed are dropped too.

    Parameters
    ----------
    parent : QObject or None
        The widget that is served; it owns this object.
    error : callable or None
        Gets the exception of a function for which `run` was given no handler of its own, e.g. `MessageBar.show_error`.

    Examples
    --------
    >>> background = Background(widget, error=bar.show_error)  # doctest: +SKIP
    >>> background.run(lambda: Study.open(path), then=session.set_study, topic="open")  # doctest: +SKIP
    """

    def __init__(
        self, parent: QObject | None = None, error: Callable[[BaseException], None] | None = None
    ) -> None:
        super().__init__(parent)
        self._error = error
        self._done: deque[_Task] = deque()
        self._running: set[_Task] = set()
        self._waiting: dict[str, _Task] = {}
        self._newest: dict[str, int] = {}
        self._generations = count(1)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._deliver)

    @property
    def busy(self) -> bool:
        """Whether anything is running or waiting to be delivered."""
        return bool(self._running or self._waiting)

    def run(
        self,
        fn: Callable[[], Any],
        then: Callable[[Any], None] | None = None,
        error: Callable[[BaseException], None] | None = None,
        *,
        topic: str = "",
    ) -> None:
        """Call ``fn()`` in a thread, then ``then(result)`` or ``error(exception)`` on the GUI thread.

        Parameters
        ----------
        fn : callable
            The work. It must not touch widgets, layers or the viewer.
        then, error : callable or None
            Called on the GUI thread; without `error` the handler given to `Background` is used.
        topic : str
            Newer calls of the same topic overtake older ones.
        """
        task = _Task(topic, next(self._generations), fn, then, error)
        if topic:
            self._newest[topic] = task.generation
            if any(other.topic == topic for other in self._running):
                self._waiting[topic] = task
                return
        self._start(task)

    def pending(self, topic: str) -> bool:
        """Whether a call of a topic is running or waiting."""
        return topic in self._waiting or any(task.topic == topic for task in self._running)

    def drop(self, topic: str) -> None:
        """Forget what runs and waits under a topic; nothing of it will be delivered."""
        self._newest[topic] = next(self._generations)
        self._waiting.pop(topic, None)

    def _start(self, task: _Task) -> None:
        log_warnings_of_workers()
        self._running.add(task)
        done = (
            self._done
        )  # the thread must hold no Qt object: dropping the last reference would delete it there

        def work() -> None:
            try:
                task.value = task.fn()
            except BaseException as error:  # handed over, never lost
                task.raised = error
            done.append(task)

        threading.Thread(target=work, name=f"sortingloss-{task.topic or 'task'}", daemon=True).start()
        self._timer.start()

    def _deliver(self) -> None:
        while self._done:
            task = self._done.popleft()
            self._running.discard(task)
            following = self._waiting.pop(task.topic, None) if task.topic else None
            if following is not None:
                self._start(following)
            if task.topic and self._newest.get(task.topic) != task.generation:
                if task.raised is not None:
                    logger.debug("overtaken task '%s' failed: %s", task.topic, task.raised)
                continue
            self._finish(task)
        if not self._running:
            self._timer.stop()

    def _finish(self, task: _Task) -> None:
        if task.raised is None:
            if task.then is not None:
                task.then(task.value)
            return
        handler = task.error or self._error
        if handler is None:
            raise task.raised
        handler(task.raised)
