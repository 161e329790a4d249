"""What the parts of a run take, what follows for the whole of it, and how both are learnt while it goes on; no torch."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Self

from napari_sortingloss.training.settings import TrainSettings

Part = Literal["step", "measure", "save", "other", "pause"]

SAVE_SECONDS = 60.0
"""A checkpoint is never much older than this."""

SLOW = 2
"""The first steps of a session, which are slower than all others: memory is allocated, batches are not made ahead yet."""

RECENT_SECONDS = 15.0
"""The speed now is that of the last so many seconds."""

TRUST = 5
"""What was expected of a step weighs as much as so many steps that were seen."""


@dataclass(frozen=True)
class Pace:
    """What the parts of a run take, in seconds.

    Attributes
    ----------
    step : float
        A step, with all that regularly goes with it.
    measure : float
        Measuring on one volume, or on one slice that is held back.
    save : float
        Writing a checkpoint.
    ready : float
        Reading, building the network, and by how much the first steps are slower than the others.
    libraries : float
        Loading the libraries, in a process that has not loaded them yet.
    """

    step: float
    measure: float = 0.0
    save: float = 0.0
    ready: float = 0.0
    libraries: float = 0.0

    def to_json(self) -> dict[str, float]:
        """Return a JSON-ready dictionary."""
        return {name: round(value, 6) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, values: Any) -> Self | None:
        """Return what `to_json` wrote, or None if this is anything else."""
        try:
            found = cls(**{f.name: float(values[f.name]) for f in dataclasses.fields(cls)})
        except (TypeError, KeyError, ValueError):
            return None
        return (
            found if all(0 <= v < math.inf for v in dataclasses.astuple(found)) and found.step > 0 else None
        )


def seconds_for(pace: Pace, settings: TrainSettings, measured_on: int, done: int = 0) -> float:
    """Return how long the steps of a run take with all measuring and saving in between, without getting ready.

    Parameters
    ----------
    pace : Pace
    settings : TrainSettings
        Of a run with an end.
    measured_on : int
        On how many volumes, or slices that are held back, it measures.
    done : int
        Steps that are done already.
    """
    measure = measured_on * pace.measure * _times(settings.validate_every, done, settings.steps)
    between = settings.checkpoint_every
    if measured_on:  # what is better than before is saved at once
        between = min(between, settings.validate_every)
    seconds = (settings.steps - done) * pace.step + measure
    return seconds + pace.save * max(
        _times(between, done, settings.steps), math.floor(seconds / SAVE_SECONDS)
    )


def _times(every: int, done: int, steps: int) -> int:
    """Return how often something happens that is due at every so many steps, and after the last."""
    return steps // every - done // every + (steps % every > 0) if steps > done else 0


class Laps:
    """Learns the pace of a run while it goes on.

    Parameters
    ----------
    settings : TrainSettings
    measured_on : int
        As in `seconds_for`.
    expected : Pace or None
        What is known before the first step.
    """

    def __init__(self, settings: TrainSettings, measured_on: int = 0, expected: Pace | None = None) -> None:
        self._settings, self._measured_on, self._expected = settings, measured_on, expected
        self._steps: deque[float] = deque()
        self._slow: list[float] = []
        self._sums: dict[Part, tuple[float, int]] = {}
        self._last = time.monotonic()

    def start(self) -> None:
        """Begin to count here."""
        self._last = time.monotonic()

    def lap(self, part: Part) -> None:
        """Note what the time since the last lap was spent on."""
        now = time.monotonic()
        self.take(part, now - self._last)
        self._last = now

    def take(self, part: Part, seconds: float) -> None:
        """Note what a part took."""
        total, count = self._sums.get(part, (0.0, 0))
        self._sums[part] = total + seconds, count + 1
        if part != "step":
            return
        if len(self._slow) < SLOW:
            self._slow.append(seconds)
            return
        self._steps.append(seconds)
        while len(self._steps) > 1 and sum(self._steps) - self._steps[0] > RECENT_SECONDS:
            self._steps.popleft()

    def pace(self) -> Pace | None:
        """Return the pace of the last seconds, or None where nothing can be said yet."""
        expected, seen = self._expected, len(self._steps)
        if not seen:
            return expected
        total, trust = sum(self._steps), TRUST if expected is not None else 0
        step = (total + trust * (expected.step if expected is not None else 0.0)) / (seen + trust)
        spent, other = self._sums["step"][0], self._sums.get("other", (0.0, 0))[0]
        step *= 1 + other / spent  # the previews come again and again
        known = expected or Pace(step)
        return dataclasses.replace(
            known,
            step=step,
            measure=self._mean("measure", known.measure * self._measured_on) / max(1, self._measured_on),
            save=self._mean("save", known.save),
        )

    def seconds_left(self, done: int) -> float | None:
        """Return how long the rest of the run takes; None where that cannot be said, or it has no end."""
        pace = self.pace()
        if pace is None or self._settings.endless:
            return None
        ready = 0.0 if self._sums.get("step") else pace.ready
        return ready + seconds_for(pace, self._settings, self._measured_on, done)

    def whole(self, preparing: float) -> Pace | None:
        """Return the pace of the whole session, or None if it was too short to tell.

        Parameters
        ----------
        preparing : float
            Seconds that passed before the first step.
        """
        total, count = self._sums.get("step", (0.0, 0))
        if count < SLOW + 3:
            return None
        step = (total - sum(self._slow)) / (count - SLOW)
        known = self._expected or Pace(step)
        return Pace(
            step=step * (1 + self._sums.get("other", (0.0, 0))[0] / total),
            measure=self._mean("measure", known.measure * self._measured_on) / max(1, self._measured_on),
            save=self._mean("save", known.save),
            ready=preparing + max(0.0, sum(self._slow) - SLOW * step),
            libraries=known.libraries,
        )

    def _mean(self, part: Part, otherwise: float) -> float:
        total, count = self._sums.get(part, (0.0, 0))
        return total / count if count else otherwise
