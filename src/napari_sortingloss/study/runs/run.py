"""Runs: what a training job leaves in ``runs/ID``, and how anyone watches and steers it from any process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import is_owned
from napari_sortingloss.disk.parts import remove_folder
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.events import Event, Metrics, Progress, Result, StateChanged
from napari_sortingloss.study.runs.event_log import EventLog, LineReader, decode
from napari_sortingloss.study.runs.names import read_name

RunState = Literal["running", "paused", "finished", "stopped", "failed", "interrupted"]
Command = Literal["pause", "resume", "stop"]

SETTINGS_FILE = "settings.json"
EVENTS_FILE = "events.jsonl"
CONTROL_FILE = "control.json"
LOCK_FILE = "run.lock"
OWNER_FILE = "owner.json"
HEARTBEAT_FILE = "heartbeat"

HEARTBEAT_SECONDS = 60.0
"""An owner on another computer that has not been heard of for so long is taken for dead."""


class Run:
    """One run of a study, for reading; `RunWriter` is for the process that trains.

    Parameters
    ----------
    path : Path
        Its folder.

    Attributes
    ----------
    id : str
        The folder's name.
    kind, task : str
        The job and what it trains, e.g. ``"pretrain"`` and ``"sorting"``.
    created : str
        ISO 8601.
    settings : dict
        What the job was given.
    problem : str
        What is wrong with the folder; empty for a sound run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.problem = ""
        self.kind, self.task, self.created = "", "", ""
        self.settings: dict[str, Any] = {}
        try:
            document = atomic.read_json(path / SETTINGS_FILE)
            self.kind, self.task = str(document["kind"]), str(document["task"])
            self.created = str(document["created"])
            self.settings = dict(document["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            self.problem = f"its '{SETTINGS_FILE}' is missing or damaged"
        self._digest = _Digest(path / EVENTS_FILE)

    @property
    def name(self) -> str:
        """What a person calls it, as the disk says now; empty where it has no name."""
        return read_name(self.path)

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def state(self) -> RunState:
        """Return what the run is doing; ``interrupted`` means that its program died in the middle."""
        if self.problem:
            return "failed"
        for _ in range(2):  # it may end between reading what it says and asking whether it lives
            self._digest.update()
            last = self._digest.state
            if last is not None and last.state in ("finished", "stopped", "failed"):
                return last.state
            if self.is_alive():
                break
        else:
            return "interrupted"
        return "paused" if last is not None and last.state == "paused" else "running"

    def is_alive(self) -> bool:
        """Whether some process holds the run for writing, here or on another computer."""
        try:
            if is_owned(self.path / LOCK_FILE):
                return True
        except OSError:  # somebody else's study, where we may not even try the lock
            return self._beats("")
        return self.is_alive_elsewhere()

    def is_alive_elsewhere(self) -> bool:
        """Whether a process on another computer holds the run, as far as its heartbeat tells."""
        return self._beats(socket.gethostname())

    def _beats(self, here: str) -> bool:
        """Whether an owner on another computer than `here` has been heard of lately."""
        with suppress(OSError, ValueError):
            if atomic.read_json(self.path / OWNER_FILE).get("host") != here:
                beat = (self.path / HEARTBEAT_FILE).stat().st_mtime
                return time.time() - beat < HEARTBEAT_SECONDS
        return False

    def message(self) -> str:
        """Return what the run last said about its state, e.g. why it failed; empty when it said nothing."""
        self._digest.update()
        return self.problem or (self._digest.state.message if self._digest.state else "")

    def events(self) -> list[Event]:
        """Return all events so far."""
        return self.follow().read_new()

    def follow(self) -> EventLog:
        """Return the log, to be asked again and again for what is new."""
        return EventLog(self.path / EVENTS_FILE)

    def request(self, command: Command) -> None:
        """Ask the process that trains, whichever it is, to pause, resume or stop; it answers within a step.

        Raises
        ------
        StudyError
            If nobody is training this run.
        OutOfSpace, UserError
            If the request cannot be written.
        """
        what = f"Cannot {command} run '{self.id}'"
        if not self.is_alive():
            raise StudyError(
                what, "it is not going on", "resume it first" if command != "resume" else "start it again"
            )
        with readable_os_errors(what):
            atomic.write_json(self.path / CONTROL_FILE, {"command": command, "time": time.time()})

    def result(self) -> dict[str, Any] | None:
        """Return what the run achieved, or None when it has not ended well yet."""
        self._digest.update()
        return dict(self._digest.result.value) if self._digest.result else None

    def summary(self) -> dict[str, Any]:
        """Return ``{"step", "steps", "train": {...}, "validation": {...}}``: how far, and the last figures."""
        self._digest.update()
        return self._digest.summary(self.settings)

    def delete(self) -> None:
        """Remove the run with its checkpoints.

        Raises
        ------
        StudyError
            If it is going on.
        UserError
            If it cannot be removed.
        """
        what = f"Cannot delete run '{self.id}'"
        if self.is_alive():
            raise StudyError(what, "it is going on", "stop it first")
        with readable_os_errors(what):
            remove_folder(self.path)


class _Digest:
    """The few events that a table of runs needs, kept up to date without decoding every line of a long log."""

    def __init__(self, path: Path) -> None:
        self._lines = LineReader(path)
        self._guard = threading.Lock()  # several widgets may ask at once
        self._forget()

    def _forget(self) -> None:
        self.state: StateChanged | None = None
        self.result: Result | None = None
        self.train: Metrics | None = None
        self.validation: Metrics | None = None
        self.progress: Progress | None = None
        self.step = 0

    def update(self) -> None:
        with self._guard:
            self._update()

    def _update(self) -> None:
        before = self._lines.resets
        lines = self._lines.read_new()
        if self._lines.resets != before:
            self._forget()
        last: dict[bytes, bytes] = {}
        for line in lines:
            key = line[:20].split(b",")[0]  # {"kind":"metrics" - the writer puts it first
            if key == b'{"kind":"metrics"' and b'"split":"validation"' in line:
                key = b"validation"
            last[key] = line
        for line in last.values():
            with suppress(ValueError):
                self._note(decode(line))

    def _note(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self.state = event
            self.step = max(self.step, event.step)
        elif isinstance(event, Result):
            self.result = event
        elif isinstance(event, Metrics):
            self.step = max(self.step, event.step)
            if event.split == "validation":
                self.validation = event
            else:
                self.train = event
        elif isinstance(event, Progress) and event.unit == "steps":
            self.progress = event
            self.step = max(self.step, event.done)

    def summary(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        steps = self.progress.total if self.progress else 0
        return {
            "step": self.step,
            "steps": steps or int(settings.get("steps") or 0),
            "train": dict(self.train.values) if self.train else {},
            "validation": dict(self.validation.values) if self.validation else {},
        }


def list_runs(folder: Path, known: Mapping[str, Run]) -> list[Run]:
    """Return the runs in a folder, the newest first.

    Parameters
    ----------
    folder : Path
    known : mapping of str to Run
        Runs listed before; they are kept, so that their logs need not be read again.
    """
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            run = known.get(path.name)
            found.append(run if run is not None and not run.problem and run.path == path else Run(path))
    return sorted(found, key=_age, reverse=True)


def _age(run: Run) -> tuple[str, int, str]:
    """Sort key: the moment, then the number behind the id of runs begun in the same second."""
    stamp = run.created
    tail = run.id.rsplit("-", 1)[-1]
    return stamp, int(tail) if tail.isdigit() and len(tail) < 6 else 1, run.id
