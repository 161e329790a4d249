"""The thread that sees annotations to the disk while somebody paints, and tries again where the disk fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from napari_sortingloss.errors import UserError, readable_os_errors

_RETRY = 1.0


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
        self._closing = False
        self._state = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="annotation-saver", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have everything saved that was done until now; returns at once."""
        with self._state:
            self._asked += 1
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
            self._state.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._state:
                while not self._closing and self._asked == self._answered:
                    self._state.wait()
                if self._closing:
                    return
                target = self._asked
            try:
                with readable_os_errors(self._what):
                    saved = self._save()
            except UserError as error:
                with self._state:
                    self.problem = error
                    self._state.notify_all()
                    if not self._closing:
                        self._state.wait(_RETRY)
                continue
            with self._state:
                self.problem = None
                self.saved, self.saved_at = saved, time.time()
                self._answered = target
                self._state.notify_all()
            if self._on_saved is not None:
                self._on_saved()
