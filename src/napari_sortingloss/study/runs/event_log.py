"""events.jsonl: one event a line, appended by the run that trains and followed by whoever watches."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_sortingloss.disk.atomic import plain
from napari_sortingloss.events import Event, Metrics


def encode(event: Event) -> bytes:
    """Return an event as one line; numbers that JSON cannot hold (NaN) become null."""
    return json.dumps(plain(event.to_record()), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Event:
    """Return the event of a line.

    Raises
    ------
    ValueError
        If the line holds none.
    """
    record = json.loads(line)
    if not isinstance(record, dict) or "kind" not in record:
        raise ValueError("not an event")
    for name in ("captions", "correct"):
        if isinstance(record.get(name), list):
            record[name] = tuple(record[name])
    try:
        event = Event.from_record(record)
        if isinstance(event, Metrics):
            values = {k: math.nan if v is None else float(v) for k, v in event.values.items()}
            event = event.replace(values=values, step=int(event.step))
    except (TypeError, AttributeError) as error:
        raise ValueError("not an event") from error
    return event


class LineReader:
    """Reads the lines that were added to a growing file since it was last asked.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.

    Attributes
    ----------
    resets : int
        How often the file turned out to be another one (a resumed run drops what lies behind its checkpoint):
        `read_new` then starts again at the beginning.
    """

    _TAIL = 256

    def __init__(self, path: Path) -> None:
        self.path = path
        self.resets = 0
        self._offset = 0
        self._inode = -1
        self._tail = b""  # the last bytes read: a replaced file does not have them at that place

    def read_new(self) -> list[bytes]:
        """Return the complete new lines without their ends; a line still being written comes next time."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            self._begin_again()
            return []
        with file:
            status = os.fstat(file.fileno())
            if self._offset:
                file.seek(self._offset - len(self._tail))
                if (
                    status.st_ino != self._inode
                    or status.st_size < self._offset
                    or file.read(len(self._tail)) != self._tail
                ):
                    self._begin_again()
            self._inode = status.st_ino
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        if not end:
            return []
        self._offset += end
        self._tail = (self._tail + data[:end])[-self._TAIL :]
        return data[: end - 1].split(b"\n")

    def _begin_again(self) -> None:
        if self._offset:
            self.resets += 1
        self._offset, self._tail = 0, b""


class EventLog:
    """The events of a run, as they come in.

    Parameters
    ----------
    path : Path
        The run's events.jsonl.

    Attributes
    ----------
    skipped : int
        How many lines were no events, e.g. one that a crash cut in half.
    """

    def __init__(self, path: Path) -> None:
        self._lines = LineReader(path)
        self.skipped = 0

    @property
    def resets(self) -> int:
        """How often the log began anew; when it grows, forget the earlier events: `read_new` gave all that count."""
        return self._lines.resets

    def read_new(self) -> list[Event]:
        """Return the events since the last call; all of them when the log was replaced, see `resets`."""
        before = self._lines.resets
        lines = self._lines.read_new()
        if self._lines.resets != before:
            self.skipped = 0
        return list(self._decoded(lines))

    def _decoded(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            if not line.strip():
                continue
            try:
                yield decode(line)
            except ValueError:
                self.skipped += 1


def is_behind(record: dict[str, Any], step: int) -> bool:
    """Whether a line belongs to training after `step` and goes when a run resumes from there."""
    kind = record.get("kind")
    if kind in ("metrics", "snapshot", "preview", "saved", "matrix"):
        return int(record.get("step", 0)) > step
    if kind == "progress":
        return record.get("unit") == "steps" and int(record.get("done", 0)) > step
    return kind == "result"
