"""What a job reports while it works; the same records drive progress bars, live curves and events.jsonl."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

State = Literal["running", "paused", "finished", "stopped", "failed"]
Split = Literal["train", "validation"]

_KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base of all events: a small record that survives a trip through JSON.

    Attributes
    ----------
    time : float
        Seconds since the epoch at which the event was made.
    """

    kind: ClassVar[str] = ""
    time: float = field(default_factory=time.time)

    def __init_subclass__(cls) -> None:
        _KINDS[cls.kind] = cls

    def to_record(self) -> dict[str, Any]:
        """Return the event as a JSON-ready dictionary with its ``kind``."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Event:
        """Rebuild an event from `to_record`.

        Fields that a newer version added are dropped; a kind that this version does not know becomes a `Notice`,
        so that an old program can still show a newer run.
        """
        values = dict(record)
        kind = values.pop("kind", "")
        found = _KINDS.get(kind)
        if found is None:
            return Notice(message=f"(event '{kind}')", level="info", time=values.get("time", 0.0))
        known = {f.name for f in dataclasses.fields(found)}
        return found(**{name: value for name, value in values.items() if name in known})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far a job is.

    Attributes
    ----------
    done, total : int
        Units of work done and in all; `total` is 0 while it is not yet known.
    what : str
        What is being done right now, e.g. ``"fish_03: reading"``.
    unit : str
        What is counted, e.g. ``"slices"`` or ``"steps"``.
    seconds_left : float or None
        An estimate of the time left, where the job can make one.
    """

    kind: ClassVar[str] = "progress"
    done: int
    total: int
    what: str = ""
    unit: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something a person should read: ``info`` to know, ``warning`` to act on."""

    kind: ClassVar[str] = "notice"
    message: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, kw_only=True)
class Metrics(Event):
    """Figures measured at a training step; keys are metric names such as ``loss`` or ``mean_displacement``."""

    kind: ClassVar[str] = "metrics"
    step: int
    values: Mapping[str, float]
    split: Split = "train"


@dataclass(frozen=True, kw_only=True)
class Snapshot(Event):
    """A picture of the current batch, stored in the run folder as one row of square tiles.

    Attributes
    ----------
    step : int
        The training step it shows.
    picture : str
        File name inside the run folder; the picture is ``tiles`` squares side by side.
    tiles : int
        How many tiles the picture holds.
    captions : tuple of str
        One short caption a group of tiles, e.g. the true position.
    correct : tuple of bool
        Whether the network is right about each group.
    title : str
        What the row shows, e.g. ``"A_J in the order the network believes"``.
    group : int
        How many neighbouring tiles belong together: 1 for single slices, 2 for pairs.
    about : str
        A sentence that says what the captions and the signs mean; empty for the positions of single slices.
    """

    kind: ClassVar[str] = "snapshot"
    step: int
    picture: str
    tiles: int
    captions: tuple[str, ...] = ()
    correct: tuple[bool, ...] = ()
    title: str = ""
    group: int = 1
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Matrix(Event):
    """A table of counts at a training step: what was true against what the network said.

    Attributes
    ----------
    step : int
        The training step at which it was taken.
    counts : sequence of sequence of int
        One row for each true class, one column for each class the network may say; how often that came together since
        the last table of the same `split`.
    labels : sequence of str
        The names of the classes, in order, e.g. ``"-30°"``.
    what : str
        What is told apart, e.g. ``"angle"``.
    split : {"train", "validation"}
        On which volumes it was counted.
    """

    kind: ClassVar[str] = "matrix"
    step: int
    counts: Sequence[Sequence[int]]
    labels: Sequence[str]
    what: str = ""
    split: Split = "train"


@dataclass(frozen=True, kw_only=True)
class Preview(Event):
    """What the network in training makes of a slice, stored in the run folder (`napari_sortingloss.study.runs.live_preview`).

    Attributes
    ----------
    step : int
        The training step it shows.
    file : str
        File name inside the run folder.
    volume : str
        The volume of the slice.
    axis : str
        The axis across which it lies.
    index : int
        Its array index along that axis.
    """

    kind: ClassVar[str] = "preview"
    step: int
    file: str
    volume: str
    axis: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A checkpoint is safely on disk."""

    kind: ClassVar[str] = "saved"
    step: int
    file: str
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """A job began, paused, went on or ended; `message` says why where that is not obvious, `run` is the run's id."""

    kind: ClassVar[str] = "state"
    state: State
    step: int = 0
    message: str = ""
    run: str = ""


@dataclass(frozen=True, kw_only=True)
class Result(Event):
    """What a job achieved: the JSON document its command prints. The last event of a job that was not cancelled."""

    kind: ClassVar[str] = "result"
    value: Mapping[str, Any]
