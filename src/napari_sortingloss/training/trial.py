"""Trains a few steps to see what they take, and leaves nothing behind: neither a run nor weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from napari_sortingloss.training.computer.estimate import estimate
from napari_sortingloss.training.computer.machine import choose_machine
from napari_sortingloss.training.computer.pace import SLOW, Pace
from napari_sortingloss.training.computer.place import Place
from napari_sortingloss.training.loop.engine import Engine
from napari_sortingloss.training.loop.feed import Feed
from napari_sortingloss.training.task import PretextTask

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, Volume

STEPS = 3
"""How many steps are timed, after the slow first ones."""

PATIENCE = 45.0
"""Seconds after which a trial does with fewer steps, or with fewer volumes to measure on."""

WRITTEN = 300e6
"""Bytes of a checkpoint that are written in a second; nothing is written to time it."""


def time_steps(
    task: PretextTask[Any], study: Study, train: Sequence[Volume], validation: Sequence[Volume]
) -> Pace:
    """Return what the parts of a run take.

    Parameters
    ----------
    task : PretextTask
        What would be trained; the caller has let it `check` the volumes.
    study : Study
    train, validation : sequence of Volume
        The volumes to learn from, and those to measure on.

    Raises
    ------
    UserError
        If no run could begin.
    """
    settings, began = task.settings, time.monotonic()
    with ExitStack() as stack:
        task.prepare(study, train, validation, resume=False)
        machine = choose_machine(settings, 1)
        engine = Engine(task, machine, Place())
        stack.callback(engine.close)
        # No more batches are made ahead than are made at once: what has waited costs nothing, and says nothing.
        feed = Feed(task, train, machine, engine.device, 0, 0, SLOW + STEPS, max(1, machine.workers))
        stack.callback(feed.close)
        prepared = time.monotonic() - began
        took: list[float] = []
        while len(took) < SLOW + STEPS and (len(took) < 2 or time.monotonic() - began < PATIENCE):
            start = time.monotonic()
            _, batch = feed.next()
            float(engine.learn(batch).loss.detach())  # waits for the device
            took.append(time.monotonic() - start)
        slow, timed = took[: min(SLOW, len(took) - 1)], took[min(SLOW, len(took) - 1) :]
        step = sum(timed) / len(timed)
        units = settings.measured_on() or len(validation)
        return Pace(
            step=step,
            measure=_measuring(engine, validation) / units if validation else 0.0,
            save=estimate(settings, train).disk_bytes / 2 / WRITTEN,
            ready=prepared + max(0.0, sum(slow) - len(slow) * step),
        )


def _measuring(engine: Engine, validation: Sequence[Volume]) -> float:
    """Return how long it takes to measure on all volumes, from as many of them as there is time for."""
    began = time.monotonic()
    for done, volume in enumerate(validation, 1):
        for _ in engine.measure(volume, 0, 0):
            pass
        passed = time.monotonic() - began
        if passed > PATIENCE / 3:
            return passed * len(validation) / done
    return time.monotonic() - began
