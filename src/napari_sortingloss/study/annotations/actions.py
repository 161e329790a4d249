"""What an editor of annotations did: actions, and their lines in the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.study.annotations.files import Key, SliceState, Status, Table
from napari_sortingloss.study.schema import Axis

Kind = Literal["do", "undo", "redo"]


@dataclass(frozen=True)
class StatusChange:
    """A slice that got another status."""

    axis: Axis
    index: int
    before: Status
    after: Status

    @property
    def reversed(self) -> StatusChange:
        """The change that takes this one back."""
        return StatusChange(self.axis, self.index, self.after, self.before)


@dataclass(frozen=True)
class Action:
    """Something that was done to annotations, as one step that can be undone.

    Attributes
    ----------
    id : int
        Counts the actions of a volume; an undo and a redo are actions of their own.
    what : str
        What was done, e.g. ``"stroke"``.
    time : str
        ISO 8601.
    box : Box
        Where labels changed, half-open (z, y, x); `NO_BOX` where none did.
    axis : {"z", "y", "x"} or None
        The axis across which it was done.
    slices : tuple of int
        The slices across `axis` that it touched, by their indices along the array.
    voxels : int
        How many labels changed.
    statuses : tuple of StatusChange
        The slices, of any axis, that got another status.
    """

    id: int
    what: str
    time: str
    box: Box = NO_BOX
    axis: Axis | None = None
    slices: tuple[int, ...] = ()
    voxels: int = 0
    statuses: tuple[StatusChange, ...] = ()


@dataclass
class Part:
    """A payload of the journal: where it lies, or its bytes while they are not written yet."""

    at: int = -1
    size: int = 0
    crc: int = 0
    data: bytes | None = None


@dataclass
class Entry:
    """An action as the journal keeps it.

    Attributes
    ----------
    action : Action
    kind : {"do", "undo", "redo"}
    of : int
        The id of the action that is done, undone or redone.
    bulk : bool
        Whether it is worth a version before and after it.
    parts : list of Part
        Its payloads, in the order in which they were made; those of an undo or redo are the action's that it names.
    """

    action: Action
    kind: Kind
    of: int
    bulk: bool = False
    parts: list[Part] = field(default_factory=list)

    def to_line(self) -> dict[str, Any]:
        """Return the line of the journal."""
        action = self.action
        line: dict[str, Any] = {"kind": self.kind, "id": action.id, "time": action.time}
        statuses = [[s.axis, s.index, s.before, s.after] for s in action.statuses]
        if self.kind != "do":
            return {**line, "of": self.of, "statuses": statuses}
        return {
            **line,
            "what": action.what,
            "axis": action.axis,
            "box": action.box,
            "slices": action.slices,
            "voxels": action.voxels,
            "statuses": statuses,
            "bulk": self.bulk,
            "parts": [[part.at, part.size, part.crc] for part in self.parts],
        }

    @classmethod
    def from_line(cls, line: Mapping[str, Any], done: Mapping[int, Entry]) -> Entry:
        """Rebuild an entry; `done` holds the earlier ones of the kind "do" by id.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the line holds none.
        """
        statuses = tuple(StatusChange(a, int(i), before, after) for a, i, before, after in line["statuses"])
        number, time = int(line["id"]), str(line["time"])
        if line["kind"] != "do":
            first = done[int(line["of"])]
            return cls(taken_back(first.action, number, time, statuses), line["kind"], first.of, first.bulk)
        z, y, x = ((int(low), int(high)) for low, high in line["box"])
        action = Action(
            id=number,
            what=str(line["what"]),
            time=time,
            box=(z, y, x),
            axis=line["axis"],
            slices=tuple(int(i) for i in line["slices"]),
            voxels=int(line["voxels"]),
            statuses=statuses,
        )
        parts = [Part(int(at), int(size), int(crc)) for at, size, crc in line["parts"]]
        return cls(action, "do", number, bool(line["bulk"]), parts)


def taken_back(action: Action, number: int, time: str, statuses: Sequence[StatusChange]) -> Action:
    """Return the action that undoes or redoes another one."""
    return Action(
        number, action.what, time, action.box, action.axis, action.slices, action.voxels, tuple(statuses)
    )


def parsed_line(raw: bytes) -> dict[str, Any] | None:
    """Return a line of the journal; None where it is cut off or damaged."""
    if not raw.endswith(b"\n"):
        return None
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "kind" in line else None


def follow(table: Table, lines: bytes, action: int) -> None:
    """Bring a table of slices up to lines of the journal that came after the action of that number."""
    for raw in lines.splitlines(keepends=True):
        line = parsed_line(raw)
        if line is not None and line["kind"] in ("do", "undo", "redo") and int(line["id"]) > action:
            change_table(table, [StatusChange(*values) for values in line["statuses"]], str(line["time"]))


def change_table(table: Table, statuses: Sequence[StatusChange], time: str) -> None:
    """Bring the table of slices up to an action."""
    for change in statuses:
        key: Key = (change.axis, change.index)
        if change.after == "empty":
            table.pop(key, None)
        else:
            table[key] = SliceState(change.after, time)
