"""The side of a run that trains: it alone appends events and obeys requests, for as long as it holds the run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.events import Event
from napari_sortingloss.study.runs.event_log import encode, is_behind
from napari_sortingloss.study.runs.names import write_name
from napari_sortingloss.study.runs.run import HEARTBEAT_FILE, SETTINGS_FILE, Run
from napari_sortingloss.study.schema import now

BEAT_SECONDS = 5.0
"""How often the owner shows that it lives."""

LOOK_SECONDS = 0.2
"""How often control.json is looked at, at most."""


class RunWriter:
    """Holds a run for writing; a second writer, in this or another process, is refused.

    Parameters
    ----------
    run : Run

    Raises
    ------
    StudyError
        If another process, or another job of this one, holds the run.
    UserError
        If the folder cannot be written.

    Notes
    -----
    It may be made in one thread and closed in another. When the process dies the system frees the run, which then shows
    as ``interrupted``.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._what = f"Cannot write run '{run.id}'"
        self._owner = Ownership(run.path / "run.lock")
        self._events = -1
        self._guard = threading.Lock()
        self._command: Literal["run", "pause", "stop"] = "run"
        self._looked, self._beat = 0.0, 0.0
        self._seen: tuple[int, int] | None = None
        with readable_os_errors(self._what):
            # Not `is_alive`: somebody who only looks at this moment would pass for an owner.
            if run.is_alive_elsewhere() or not self._owner.take():
                raise StudyError(
                    f"Cannot go on with run '{run.id}'",
                    "another program or job is training it",
                    "stop it there or watch it here",
                )
        self._held = True
        try:
            with readable_os_errors(self._what):
                with suppress(FileNotFoundError):
                    (run.path / "control.json").unlink()  # meant for an earlier owner
                self._open_events()
                owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
                (run.path / HEARTBEAT_FILE).touch()
                atomic.write_json(run.path / "owner.json", owner)
        except BaseException:
            self.close()
            raise

    @classmethod
    def reopen(cls, run: Run) -> RunWriter:
        """Hold an earlier run again, to resume it.

        Raises
        ------
        StudyError
            If the run is damaged or held by someone else.
        """
        if run.problem:
            raise StudyError(f"Cannot go on with run '{run.id}'", run.problem, "start a new run")
        return cls(run)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.path

    def _open_events(self) -> None:
        """Open events.jsonl for appending, without the half line that a crash may have left at its end."""
        path = self.run.path / "events.jsonl"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._events = os.open(path, flags, 0o666)
        size = os.fstat(self._events).st_size
        end = size
        while end:
            start = max(0, end - 4096)
            os.lseek(self._events, start, os.SEEK_SET)
            found = os.read(self._events, end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._events, end)

    def append(self, event: Event) -> None:
        """Add one event to the log, whole or not at all.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails.
        """
        line = encode(event)
        with self._guard, readable_os_errors(self._what):
            if self._events < 0:
                raise OSError(errno.EBADF, "the run is closed")
            before = os.fstat(self._events).st_size
            if os.write(self._events, line) != len(line):  # a full disk took the beginning of it
                os.ftruncate(self._events, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.heartbeat()

    def rewind(self, step: int) -> None:
        """Drop what was logged behind a checkpoint, before resuming from it, so that the curves stay one line.

        Parameters
        ----------
        step : int
            The checkpoint's step. Metrics, snapshots, saves and progress after it go, and results with them.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails; the log is then as before.
        """
        path = self.run.path / "events.jsonl"
        with self._guard, readable_os_errors(self._what):
            kept, dropped = [], False
            for line in path.read_bytes().split(b"\n"):
                try:
                    record = json.loads(line)
                    behind = isinstance(record, dict) and is_behind(record, step)
                except (ValueError, TypeError):
                    behind = bool(line.strip())  # no event: what a crash left
                dropped |= behind
                if line.strip() and not behind:
                    kept.append(line + b"\n")
            if dropped:
                os.close(self._events)
                self._events = -1
                try:
                    atomic.write_bytes(path, b"".join(kept))
                finally:
                    self._open_events()

    def command(self) -> Literal["run", "pause", "stop"]:
        """Return what the person wants; cheap enough to ask at every step.

        ``stop`` stays for good, ``pause`` until someone asks to resume.
        """
        moment = time.monotonic()
        if self._command != "stop" and moment - self._looked >= LOOK_SECONDS:
            self._looked = moment
            self._look()
        return self._command

    def _look(self) -> None:
        path = self.run.path / "control.json"
        with suppress(OSError, ValueError):  # no request, or one that makes no sense: go on as before
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                wanted = atomic.read_json(path).get("command")
                self._seen = seen
                if wanted == "pause" or wanted == "stop":
                    self._command = wanted
                elif wanted == "resume":
                    self._command = "run"

    def heartbeat(self) -> None:
        """Show that the owner lives; called by `append`, and by a job that is silent for long (paused)."""
        moment = time.monotonic()
        if moment - self._beat >= BEAT_SECONDS:
            self._beat = moment
            with suppress(OSError):  # only watchers on other computers look at it
                (self.run.path / HEARTBEAT_FILE).touch()

    def close(self) -> None:
        """Let go of the run; harmless when repeated."""
        if not self._held:
            return
        self._held = False
        try:
            with self._guard:
                if self._events >= 0:
                    os.close(self._events)
                    self._events = -1
            with suppress(OSError):
                (self.run.path / "owner.json").unlink()
        finally:
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_run(folder: Path, kind: str, task: str, settings: Mapping[str, Any], name: str = "") -> RunWriter:
    """Make a run's folder, ``TASK-YYMMDD-HHMMSS``, and hold it for writing.

    Raises
    ------
    OutOfSpace, UserError
        If it cannot be written.
    """
    what = f"Cannot begin a run of '{task}'"
    document = {"schema_version": 1, "kind": kind, "task": task, "created": now(), "settings": settings}
    stem = f"{task}-{datetime.now():%y%m%d-%H%M%S}"
    with readable_os_errors(what):
        folder.mkdir(parents=True, exist_ok=True)
        path, count = folder / stem, 1
        while True:
            try:
                path.mkdir()
                break
            except FileExistsError:
                count += 1
                path = folder / f"{stem}-{count}"
        try:
            write_name(path, name)
            atomic.write_json(path / SETTINGS_FILE, document)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
    return RunWriter(Run(path))
