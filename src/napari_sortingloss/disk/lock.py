"""Who may write: one writer at a time for a study, one living owner for a run or an import."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from napari_sortingloss.errors import StudyError, readable_os_errors


class _ThreadGate:
    """Keeps the threads of this process apart, which a file lock alone does not do on every system."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holder: int | None = None


_gates: WeakValueDictionary[str, _ThreadGate] = WeakValueDictionary()
_gates_lock = threading.Lock()


@contextmanager
def exclusive(path: Path, what: str, timeout: float) -> Iterator[None]:
    """Hold a lock file against other processes and other threads.

    Parameters
    ----------
    path : Path
        The lock file; it stays in place.
    what : str
        What is to be done, for the error's sentence.
    timeout : float
        Seconds to wait for the other writer.

    Raises
    ------
    StudyError
        If another program holds it all that time.
    UserError
        If the lock file cannot be written.
    RuntimeError
        If this thread holds it already: the outer change would overwrite the inner one.
    """
    with _gates_lock:
        gate = _gates.setdefault(os.path.realpath(path), _ThreadGate())
    if gate.holder == threading.get_ident():
        raise RuntimeError("changes to a study cannot be nested")
    deadline = time.monotonic() + timeout
    if not gate.lock.acquire(timeout=timeout):
        raise _busy(what, timeout)
    gate.holder = threading.get_ident()
    try:
        lock = FileLock(path, thread_local=False)
        with readable_os_errors(what):
            try:
                lock.acquire(timeout=max(0.0, deadline - time.monotonic()), poll_interval=0.02)
            except Timeout as error:  # an OSError too, but one of which more can be said
                raise _busy(what, timeout) from error
        try:
            yield
        finally:
            lock.release()
    finally:
        gate.holder = None
        gate.lock.release()


def _busy(what: str, timeout: float) -> StudyError:
    return StudyError(
        what,
        f"another program has been writing to the study for more than {timeout:g} s",
        "wait until it is done or close it, then try again",
    )


class Ownership:
    """A lock held for as long as one process works on something; the system frees it when the process dies.

    Parameters
    ----------
    path : Path
        The lock file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, thread_local=False)

    def take(self, timeout: float = 2.0) -> bool:
        """Try to become the owner; a moment's patience outlasts those who only look (`is_owned`).

        Raises
        ------
        OSError
            If the lock file cannot be written.
        """
        try:
            self._lock.acquire(timeout=timeout, poll_interval=0.02)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Stop being the owner; harmless when one never was."""
        self._lock.release()


_looking = threading.Lock()
"""Who looks whether a file is owned holds it for a moment: threads of this process that look at once would see each other."""

_GLANCE = 0.03
"""Seconds for which a file must be held to be owned; a look of another process takes a thousandth of that."""


def is_owned(path: Path) -> bool:
    """Whether a living process of this machine holds the lock file; who only looks at it, as this does, is no owner."""
    if not path.exists():
        return False
    with _looking:
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=_GLANCE, poll_interval=_GLANCE / 5)
        except Timeout:
            return True
        lock.release()
        return False
