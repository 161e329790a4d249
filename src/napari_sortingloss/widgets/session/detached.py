"""Starts a command of ours as its own process that outlives napari; what it does is read from the study folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_sortingloss.errors import UserError

POLL_MS = 500
_TAIL = 4000
_started: list[subprocess.Popen[bytes]] = []  # kept until they end, so that none becomes a zombie


class DetachedProcess(QObject):
    """``napari-sortingloss ARGUMENTS`` in its own session, with its output in a log file.

    Closing napari leaves it running. While napari lives it is watched, so that a process that dies at once
    (no memory, a bad setting) does not die unseen.

    Parameters
    ----------
    arguments : sequence of str
        As on the command line, e.g. ``["pretrain", "/data/study", "--steps", "1000"]``.
    log : Path
        Takes standard output and standard error.
    parent : QObject or None

    Attributes
    ----------
    finished : psygnal.Signal
        It ended with status 0.
    failed : psygnal.Signal
        It ended otherwise; carries a `UserError` with the last line it said.

    Raises
    ------
    UserError
        If the process cannot be started or the log cannot be written.
    """

    finished = Signal()
    failed = Signal(object)

    def __init__(self, arguments: Sequence[str], log: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.arguments, self.log = tuple(arguments), log
        command = [sys.executable, "-m", "napari_sortingloss", *arguments]
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as sink:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
                    start_new_session=os.name != "nt",
                    creationflags=_WINDOWS_FLAGS,
                )
        except OSError as error:
            raise UserError(
                "Cannot start a separate process",
                error.strerror or str(error),
                "check that the study's disk can be written to, or start it inside napari",
            ) from error
        _started[:] = [process for process in _started if process.poll() is None]
        _started.append(self._process)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._timer.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end; it keeps its state."""
        self._process.terminate()

    def tail(self) -> str:
        """Return the end of the log."""
        with self.log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode(errors="replace")

    def _poll(self) -> None:
        status = self._process.poll()
        if status is None:
            return
        self._timer.stop()
        if status in (0, 130):  # 130: stopped by somebody, state kept
            self.finished.emit()
            return
        lines = [line for line in self.tail().splitlines() if line.strip()]
        why = lines[-1].strip().rstrip(".") if lines else f"it ended with status {status}"
        self.failed.emit(
            UserError("The separate process ended early", why, f"read '{self.log}', mend it, and start again")
        )


_WINDOWS_FLAGS = (
    subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
    if os.name == "nt"
    else 0
)
