"""Averages of figures that stay on the device until they are asked for, and the clocks of a run."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

Sums = dict[str, tuple[float, int]]


class Averages:
    """Adds figures up on the device; fetching them costs one synchronisation however many there are."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """Add the figures of one step."""
        for key, value in values.items():
            held = value.detach().float() if isinstance(value, Tensor) else float(value)
            self._sums[key] = self._sums[key] + held if key in self._sums else held
            self._counts[key] = self._counts.get(key, 0) + 1

    def take(self) -> Sums:
        """Return the sum and the count of each figure since the last time, and start anew."""
        tensors = {k: v for k, v in self._sums.items() if isinstance(v, Tensor)}
        fetched: dict[str, float] = {}
        if tensors:
            numbers = torch.stack([v.reshape(()) for v in tensors.values()]).tolist()
            fetched = dict(zip(tensors, numbers, strict=True))
        taken = {
            k: (fetched[k] if k in fetched else float(v), self._counts[k]) for k, v in self._sums.items()
        }
        self._sums, self._counts = {}, {}
        return taken


def merge(parts: list[Sums]) -> Sums:
    """Add up the sums of several processes, or of several intervals."""
    merged: Sums = {}
    for part in parts:
        for key, (total, count) in part.items():
            before = merged.get(key, (0.0, 0))
            merged[key] = (before[0] + total, before[1] + count)
    return merged


def means(sums: Sums) -> dict[str, float]:
    """Return the mean of each figure; those that are not finite are left out."""
    return {k: total / count for k, (total, count) in sums.items() if count and math.isfinite(total)}


class Recent:
    """The mean of the figures over about the last `steps` steps."""

    def __init__(self, steps: int = 100) -> None:
        self._steps = steps
        self._parts: deque[Sums] = deque()

    def add(self, sums: Sums) -> None:
        """Add an interval."""
        self._parts.append(sums)
        while len(self._parts) > 1 and sum(p["loss"][1] for p in list(self._parts)[1:]) >= self._steps:
            self._parts.popleft()

    def means(self) -> dict[str, float]:
        """Return the means."""
        return means(merge(list(self._parts)))


class Every:
    """Says when it is time again; the first time at once.

    Parameters
    ----------
    seconds : float
        The shortest interval.
    share : float
        The interval grows to this share of the time passed since the start, so that a run of days does not
        report a million times.
    at_once : bool
        Whether the first time is now rather than after the first interval.
    """

    def __init__(self, seconds: float, share: float = 0.0, *, at_once: bool = True) -> None:
        self._seconds, self._share = seconds, share
        self._start = time.monotonic()
        self._last = -math.inf if at_once else self._start

    def due(self) -> bool:
        """Return whether it is time; if so the interval starts again."""
        now = time.monotonic()
        if now - self._last < max(self._seconds, self._share * (now - self._start)):
            return False
        self._last = now
        return True

    def restart(self) -> None:
        """Start the interval again."""
        self._last = time.monotonic()


class Clock:
    """Measures the time of training without pauses and validations, and the speed over the last seconds."""

    WINDOW = 10.0

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slices = 0
        self._since: float | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def start(self) -> None:
        """Let it run."""
        self._since = time.monotonic()

    def stop(self) -> None:
        """Let it stand still."""
        self.seconds = self.now()
        self._since = None

    def now(self) -> float:
        """Return the seconds it has run."""
        return self.seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    def step(self, slices: int) -> None:
        """Count a step."""
        self.slices += slices
        now = self.now()
        self._samples.append((now, self.slices))
        while len(self._samples) > 2 and now - self._samples[0][0] > self.WINDOW:
            self._samples.popleft()

    def speed(self) -> float:
        """Return slices a second over the last `WINDOW` seconds, without the first, slow step."""
        if len(self._samples) < 2:
            return self.slices / self.now() if self.now() > 0 else 0.0
        (t0, slices0), (t1, slices1) = self._samples[0], self._samples[-1]
        return (slices1 - slices0) / (t1 - t0) if t1 > t0 else 0.0
