"""The journal of a volume's annotations: appended to before anything else may be lost, read to undo and to recover.

``journal.jsonl`` has one line for each thing done, ``journal.bin`` the compressed voxels that lines name by place, length
and CRC-32. Nothing in either is ever changed; what a crash tore at their ends is cut off on opening.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from napari_sortingloss.errors import StudyError
from napari_sortingloss.study.annotations.actions import Entry, Part, parsed_line
from napari_sortingloss.study.annotations.change import Change, decode
from napari_sortingloss.study.annotations.files import LINES, PAYLOADS
from napari_sortingloss.study.schema import now

_SMALL = 256 << 10
"""Payloads up to this are compressed and appended at once, larger ones by the thread that saves."""

_PATIENCE = 0.02
"""Seconds for which a stroke waits for another thread that is appending."""


@dataclass(frozen=True)
class Version:
    """A moment to which annotations can be brought back.

    Attributes
    ----------
    count : int
        How many entries the journal had.
    time : str
        ISO 8601.
    text : str
        What happened then, e.g. ``"before: import of head.nii"``.
    """

    count: int
    time: str
    text: str


@dataclass
class Unfinished:
    """A bulk action without its committing line."""

    id: int
    what: str
    parts: list[Part] = field(default_factory=list)


class Journal:
    """The journal of one volume, held by the one program that paints on it.

    Parameters
    ----------
    folder : Path
        Of the annotations; the files are made where they are missing.
    volume : str
        The volume's name, for errors.

    Attributes
    ----------
    entries : list of Entry
        All that was done, undone and redone, in order.
    undoable, redoable : list of int
        The ids of actions that can be undone or redone, the next one last.
    unfinished : Unfinished or None
        A bulk action that a crash cut short.
    synced : int
        The last action that is known to be on the disk with all that it changed.
    set_aside : Path or None
        Where a journal was put that is damaged in the middle; this one is new then.

    Raises
    ------
    OSError
        If the files cannot be read or written.
    """

    def __init__(self, folder: Path, volume: str) -> None:
        self.folder, self.volume = folder, volume
        self._queue: deque[tuple[dict[str, Any], Part | None]] = deque()
        self._queue_lock, self._io = threading.Lock(), threading.Lock()
        self._forget()
        self.set_aside: Path | None = None
        lines_end = self._load()
        if lines_end is None:
            self.set_aside = self._move_away()
            self._forget()
            lines_end = 0
        self._lines = _opened(folder / LINES, lines_end)
        self._payloads = _opened(folder / PAYLOADS, self._payloads_end)
        self._lines_end = lines_end

    def _forget(self) -> None:
        self.entries: list[Entry] = []
        self.undoable: list[int] = []
        self.redoable: list[int] = []
        self.unfinished: Unfinished | None = None
        self.synced = 0
        self.marks: list[Version] = []
        self._done: dict[int, Entry] = {}
        self._last_id = 0
        self._payloads_end = 0
        self._began = False

    # --------------------------------------------------------------------------------------------- reading it again
    def _load(self) -> int | None:
        """Read all lines; return where the good ones end, or None where a bad one is followed by good ones."""
        try:
            data = (self.folder / LINES).read_bytes()
        except FileNotFoundError:
            return 0
        found: list[tuple[dict[str, Any], int]] = []
        end, bad = 0, False
        for raw in data.splitlines(keepends=True):
            end += len(raw)
            line = parsed_line(raw)
            if line is None:
                bad = True
            elif bad:
                return None
            else:
                found.append((line, end))
        known = max((int(line.get("synced", 0)) for line, _ in found), default=0)
        size = (self.folder / PAYLOADS).stat().st_size if (self.folder / PAYLOADS).exists() else 0
        good = 0
        for line, at in found:
            try:
                if not self._take(line, known, size):
                    return good  # the crash tore this payload, so that nothing behind it counts either
            except (KeyError, TypeError, ValueError):
                return None
            good = at
        return good

    def _take(self, line: Mapping[str, Any], known: int, size: int) -> bool:
        kind = line["kind"]
        if kind in ("start", "end"):
            text = "start of a session" if kind == "start" else "end of a session"
            self.marks.append(Version(len(self.entries), str(line["time"]), text))
        elif kind == "begin":
            self.unfinished = Unfinished(int(line["id"]), str(line["what"]))
            self._last_id = max(self._last_id, self.unfinished.id)
        elif kind == "part":
            if self.unfinished is None:
                raise ValueError("a part of nothing")
            part = Part(int(line["at"]), int(line["size"]), int(line["crc"]))
            if not self._whole(part, size):
                return False
            self.unfinished.parts.append(part)
            self._payloads_end = max(self._payloads_end, part.at + part.size)
        elif kind == "cancel":
            self.unfinished = None
        elif kind in ("do", "undo", "redo"):
            entry = Entry.from_line(line, self._done)
            unsure = entry.action.id > known
            if any(p.at + p.size > size or (unsure and not self._whole(p, size)) for p in entry.parts):
                return False
            self._payloads_end = max([self._payloads_end, *(p.at + p.size for p in entry.parts)])
            if self.unfinished is not None and self.unfinished.id == entry.action.id:
                self.unfinished = None
            self._note(entry)
        self.synced = max(self.synced, int(line.get("synced", 0)))
        return True

    def _whole(self, part: Part, size: int) -> bool:
        if not 0 <= part.at <= part.at + part.size <= size:
            return False
        with (self.folder / PAYLOADS).open("rb") as file:
            file.seek(part.at)
            return zlib.crc32(file.read(part.size)) == part.crc

    def _move_away(self) -> Path:
        """Keep a journal that is damaged in the middle: what was painted is elsewhere, only undo ends here."""
        count = 1
        while (self.folder / f"damaged-{count}-{LINES}").exists():
            count += 1
        target = self.folder / f"damaged-{count}-{LINES}"
        (self.folder / LINES).rename(target)
        if (self.folder / PAYLOADS).exists():
            (self.folder / PAYLOADS).rename(self.folder / f"damaged-{count}-{PAYLOADS}")
        return target

    # ------------------------------------------------------------------------------------------------- writing it
    def number_from(self, number: int) -> None:
        """Let the numbers of new actions be higher than this one, which an earlier journal gave."""
        self._last_id = max(self._last_id, number)

    @property
    def waiting(self) -> bool:
        """Whether something is not appended yet."""
        return bool(self._queue)

    @property
    def lines_end(self) -> int:
        """How long ``journal.jsonl`` is, bytes."""
        return self._lines_end

    def next_id(self) -> int:
        """Return the number of the next action."""
        self._last_id += 1
        return self._last_id

    def add(self, entry: Entry, payload: bytes | None = None) -> None:
        """Append an entry, with the encoded changes of its only part; at once where they are small."""
        if not self._began:
            self._began = True
            self.mark("start")
        if payload is not None:
            entry.parts = [Part(data=payload)]
        self._note(entry)
        self._put({"entry": entry, "synced": self.synced}, entry.parts[0] if payload is not None else None)

    def begin(self, number: int, what: str) -> None:
        """Announce a bulk action, whose parts follow."""
        if not self._began:
            self._began = True
            self.mark("start")
        self._put({"kind": "begin", "id": number, "time": now(), "what": what, "synced": self.synced}, None)

    def add_part(self, number: int, payload: bytes) -> Part:
        """Append a part of a bulk action."""
        part = Part(data=payload)
        self._put({"kind": "part", "of": number, "part": part}, part)
        return part

    def cancel(self, number: int) -> None:
        """Say that a bulk action was taken back."""
        self.unfinished = None
        self._put({"kind": "cancel", "of": number, "time": now()}, None)

    def mark(self, kind: str) -> None:
        """Note the start or the end of a session."""
        line = {"kind": kind, "time": now(), "synced": self.synced}
        self.marks.append(Version(len(self.entries), str(line["time"]), f"{kind} of a session"))
        self._put(line, None)

    @property
    def began(self) -> bool:
        """Whether anything was done since it was opened."""
        return self._began

    def _note(self, entry: Entry) -> None:
        """Keep an entry in mind and follow what can be undone."""
        number = entry.of
        if entry.kind == "do":
            self._done[number] = entry
            self.undoable.append(number)
            self.redoable.clear()
        elif entry.kind == "undo":
            self.undoable.remove(number)
            self.redoable.append(number)
        else:
            self.redoable.remove(number)
            self.undoable.append(number)
        self._last_id = max(self._last_id, entry.action.id)
        what, time = entry.action.what, entry.action.time
        if entry.bulk and entry.kind == "do":
            self.marks.append(Version(len(self.entries), time, f"before: {what}"))
        self.entries.append(entry)
        if entry.bulk and entry.kind == "do":
            self.marks.append(Version(len(self.entries), time, f"after: {what}"))

    def _put(self, line: dict[str, Any], part: Part | None) -> None:
        """Queue a line, and append all that waits at once unless some of it is large."""
        with self._queue_lock:
            self._queue.append((line, part))
            small = all(p is None or p.data is None or len(p.data) <= _SMALL for _, p in self._queue)
        # Another thread that is appending will hardly take longer; what it does not see any more is appended here.
        if small and self._io.acquire(timeout=_PATIENCE):
            try:
                self._drain()
            except OSError:
                pass  # it stays in the queue: the thread that saves tries again and reports why it fails
            finally:
                self._io.release()

    def write(self) -> None:
        """Append what is waiting.

        Raises
        ------
        OSError
            If the disk is full or fails; what was not written goes on waiting.
        """
        with self._io:
            self._drain()

    def _drain(self) -> None:
        while self._queue:
            line, part = self._queue[0]
            if part is not None and part.data is not None:
                packed = zlib.compress(part.data, 1)
                at = self._payloads_end
                _write_at(self._payloads, at, packed)
                part.at, part.size, part.crc = at, len(packed), zlib.crc32(packed)
                self._payloads_end = at + len(packed)
                part.data = None
            ready = dict(line)
            entry, piece = ready.pop("entry", None), ready.pop("part", None)
            if entry is not None:
                ready = {**entry.to_line(), **ready}
            if piece is not None:
                ready.update(at=piece.at, size=piece.size, crc=piece.crc)
            text = json.dumps(ready, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            _write_at(self._lines, self._lines_end, text)
            self._lines_end += len(text)
            with self._queue_lock:
                self._queue.popleft()

    def sync(self) -> None:
        """Append what is waiting and see it to the disk.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        self.write()
        os.fsync(self._payloads.fileno())
        os.fsync(self._lines.fileno())

    def close(self) -> None:
        """Let go of the files."""
        self._lines.close()
        self._payloads.close()

    # -------------------------------------------------------------------------------------------------- going back
    def entry(self, number: int) -> Entry:
        """Return the entry in which the action `number` was done."""
        return self._done[number]

    def changes(self, parts: Sequence[Part], backwards: bool = False) -> Iterator[list[Change]]:
        """Yield the changes of parts, one part after the other, so that only one is in memory.

        Raises
        ------
        StudyError
            If a payload is damaged.
        """
        for part in reversed(parts) if backwards else parts:
            yield decode(self._read(part))

    def _read(self, part: Part) -> bytes:
        data = part.data
        if data is not None:
            return data
        try:
            with (self.folder / PAYLOADS).open("rb") as file:
                file.seek(part.at)
                packed = file.read(part.size)
            if zlib.crc32(packed) != part.crc:
                raise ValueError("wrong checksum")
            return zlib.decompress(packed)
        except (ValueError, zlib.error, OSError) as error:
            raise StudyError(
                f"Cannot go back in the annotations of '{self.volume}'",
                f"'{self.folder / PAYLOADS}' is damaged",
                "what is painted now is untouched; restore the folder from a backup for what was before",
            ) from error


def _opened(path: Path, end: int) -> FileIO:
    """Open a file for appending, without what a crash tore behind its good end."""
    if not path.exists():
        path.touch()
    file = FileIO(path, "r+")
    if file.seek(0, os.SEEK_END) != end:
        file.truncate(end)
    return file


def _write_at(file: FileIO, at: int, data: bytes) -> None:
    """Write all of `data` at a place; what a failed attempt left there is overwritten by the next."""
    file.seek(at)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
