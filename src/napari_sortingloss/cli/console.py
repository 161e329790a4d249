"""Drives a job on a terminal: a progress bar, notices, a summary or JSON, and the exit status."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from napari_sortingloss.events import Event, Metrics, Notice, Progress, Result, StateChanged
from napari_sortingloss.pretext.headline import measured_on

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130
LINE_EVERY = 10.0
COUNTS = ("left_out", "volumes")
"""What among the figures of a split only says on how many volumes they were measured, see `measured_on`."""

Summary = Callable[[Mapping[str, Any]], str]


def drive(job: Iterator[Event], *, as_json: bool, summary: Summary) -> Mapping[str, Any]:
    """Run a job to its end while showing what it does on standard error, then print its result.

    Parameters
    ----------
    job : iterator of Event
        Closed on an interrupt, so that it keeps what it has done.
    as_json : bool
        Whether to print the result as one JSON document instead of the summary.
    summary : callable
        Turns the result into a few lines for a person.

    Returns
    -------
    mapping
        The job's result.
    """
    result = follow(job)
    if result:  # one of several processes says it for all
        report(result, as_json=as_json, summary=summary)
    return result


def report(result: Mapping[str, Any], *, as_json: bool, summary: Summary) -> None:
    """Print a result on standard output."""
    print(json.dumps(result, indent=2) if as_json else summary(result), flush=True)


def follow(job: Iterator[Event]) -> Mapping[str, Any]:
    """Run a job to its end, show progress and notices on standard error, and return its result."""
    console = Console(stderr=True)
    view = _Terminal(console) if console.is_terminal else _Lines(console)
    value: Mapping[str, Any] = {}
    try:
        with view:
            for event in job:
                if isinstance(event, Result):
                    value = event.value
                else:
                    view.show(event)
    finally:
        close = getattr(job, "close", None)
        if close is not None:
            close()
    return value


@contextmanager
def polite_termination() -> Iterator[None]:
    """Let a polite request to end (SIGTERM) do what Ctrl-C does: stop and keep the state."""

    def stop(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, where no handler can be set
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(message: str) -> None:
    """Write one line to standard error."""
    print(message, file=sys.stderr, flush=True)


def _figures(values: Mapping[str, float]) -> str:
    shown = [
        f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in values.items()
        if not name.startswith("random_") and name not in COUNTS
    ]
    on = measured_on(values)
    return " · ".join([*shown, *([f"on {on} volumes"] if on else [])])


class _Terminal:
    """One live progress bar, with notices printed above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None, left="")

    def __enter__(self) -> _Terminal:
        self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            left = "" if event.seconds_left is None else f"{time_text(event.seconds_left)} left"
            self._bar.update(
                self._task, description=event.what, completed=event.done, total=event.total or None, left=left
            )
        elif isinstance(event, Notice):
            style = "yellow" if event.level == "warning" else "dim"
            self._console.print(event.message, style=style, highlight=False, markup=False)
        elif isinstance(event, Metrics) and event.split == "validation":
            self._console.print(
                f"step {event.step}, validation: {_figures(event.values)}", highlight=False, markup=False
            )
        elif isinstance(event, StateChanged) and event.message:
            self._console.print(event.message, highlight=False, markup=False)


class _Lines:
    """Plain lines for a log file: notices at once, progress every few seconds."""

    def __init__(self, console: Console) -> None:
        self._last = time.monotonic()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *problem: object) -> None:
        return None

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() - self._last >= LINE_EVERY:
                self._last = time.monotonic()
                of = f" of {event.total}" if event.total else ""
                counted = f": {event.done}{of} {event.unit}".rstrip() if event.done or event.total else ""
                say(f"{event.what}{counted}")
        elif isinstance(event, Notice):
            say(event.message)
        elif isinstance(event, Metrics) and event.split == "validation":
            say(f"step {event.step}, validation: {_figures(event.values)}")


def time_text(seconds: float) -> str:
    """Say a duration as a person would: ``"40 s"``, ``"4 min"``, ``"2.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
