"""The thread that sees annotations to the disk while somebody paints, and tries again where the disk fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from napari_sortingloss.errors import UserError, readable_os_errors

_log = logging.getLogger(__name__)

_RETRY = 1.0
_PAUSE = 0.3
"""Seconds between two times, so that somebody who paints has the disk and the processor most of the time."""


class Saver:
    """Calls a function in a thread of its own soon after it was asked to, until that succeeds.

    Parameters
    ----------
    save : callable
        Sees everything to the disk; returns the number of the last action that is safe then.
    what : str
        What cannot be done where it fails, as in `UserError`.
    on_saved : callable, optional
        Called in the thread after each success.

    Attributes
    ----------
    problem : UserError or None
        Why the last attempt failed.
    saved : int
        The last action that is safe.
    saved_at : float or None
        When that was, in seconds since the epoch.
    """

    def __init__(
        self, save: Callable[[], int], what: str, on_saved: Callable[[], None] | None = None
    ) -> None:
        self._save, self._what, self._on_saved = save, what, on_saved
        self.problem: UserError | None = None
        self.saved = 0
        self.saved_at: float | None = None
        self._asked = 0
        self._answered = 0
        self._idle = False
        self._hurry = threading.Event()
        self._rest_until = 0.0
        self._closing = False
        self._state = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="annotation-saver", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have everything saved that was done until now; returns at once."""
        with self._state:
            self._asked += 1
            if self._idle:  # while it rests it need not be woken, which would take time from painting
                self._state.notify_all()

    def wait(self) -> None:
        """Wait until everything is saved that was done until now.

        Raises
        ------
        UserError
            If the disk is full or fails; the thread goes on trying.
        """
        with self._state:
            self._asked += 1
            target = self._asked
            self.problem = None
            self._hurry.set()
            self._state.notify_all()
            while self._answered < target:
                if self.problem is not None:
                    raise self.problem
                if not self._thread.is_alive():
                    raise UserError(self._what, "the program is ending", "open them again")
                self._state.wait(0.5)

    def close(self) -> None:
        """End the thread; what it is doing it does first."""
        with self._state:
            self._closing = True
            self._hurry.set()
            self._state.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._state:
                while not self._closing and self._asked == self._answered:
                    self._idle = True
                    self._state.wait()
                self._idle = False
            self._hurry.wait(max(0.0, self._rest_until - time.monotonic()))
            with self._state:
                if self._closing:
                    return
                target = self._asked
                self._hurry.clear()
            try:
                with readable_os_errors(self._what):
                    saved = self._save()
            except UserError as error:
                with self._state:
                    self.problem = error
                    self._rest_until = time.monotonic() + _RETRY
                    self._state.notify_all()
                continue
            with self._state:
                self.problem = None
                self.saved, self.saved_at = saved, time.time()
                self._rest_until = time.monotonic() + _PAUSE
                self._answered = target
                self._state.notify_all()
            try:
                if self._on_saved is not None:
                    self._on_saved()
            except Exception:
                _log.exception("what wanted to know that annotations were saved failed; saving goes on")
