"""Says what a run is doing: averages its figures, keeps its clock, and writes every event to the run and returns it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from napari_sortingloss.events import (
    Event,
    Matrix,
    Metrics,
    Preview,
    Progress,
    Snapshot,
    Split,
    State,
    StateChanged,
)
from napari_sortingloss.study.runs import live_preview
from napari_sortingloss.training import failures
from napari_sortingloss.training.computer.pace import Laps
from napari_sortingloss.training.computer.processes import World
from napari_sortingloss.training.loop.batch_pictures import save_snapshot
from napari_sortingloss.training.loop.meters import Averages, Clock, Every, Recent, Sums, means, merge
from napari_sortingloss.training.task import MatrixData, StepOutput

if TYPE_CHECKING:
    from napari_sortingloss.study import RunWriter

METRICS_SECONDS, PROGRESS_SECONDS, SNAPSHOT_SECONDS = 0.1, 0.25, 2.0
"""The shortest intervals between events of a kind."""

PREVIEW_SECONDS, REQUEST_SECONDS = 3.0, 0.3
"""The shortest time between two previews: of the same slice, and where another slice is asked for."""

PREVIEW_SHARE = 20
"""Training goes on for at least so many times as long as the preview before took."""

PROGRESS_ON_DISK_SECONDS = 1.0
"""Progress goes to events.jsonl more rarely than to whoever runs the job."""

LONG_RUN = 2e-4
"""Share of a run's time between two events of a kind: the curve of a run of days can still be drawn."""


class Reporter:
    """What a run says while it goes on.

    Parameters
    ----------
    writer : RunWriter or None
        The run to write to; None in a process that only trains along.
    steps : int
        How many steps the run is to take; 0 for a run without an end.
    laps : Laps
        What its parts take, from which the time that is left follows.

    Attributes
    ----------
    clock : Clock
        The time of training.
    laps : Laps
    figures, measured : dict of str to float
        The figures of training, averaged over about the last 100 steps, and those of the last validation.
    """

    def __init__(self, writer: RunWriter | None, steps: int, laps: Laps) -> None:
        self._writer, self._steps, self.laps = writer, steps, laps
        self.clock = Clock()
        self.figures: dict[str, float] = {}
        self.measured: dict[str, float] = {}
        self._averages, self._recent = Averages(), Recent(steps=100)
        self._since_save: Sums = {}
        self.metrics_due = Every(METRICS_SECONDS, LONG_RUN)
        self._progress_due = Every(PROGRESS_SECONDS)
        self._disk_due = Every(PROGRESS_ON_DISK_SECONDS)
        self._snapshot_due = Every(SNAPSHOT_SECONDS, LONG_RUN)
        self._began, self._preview_at = time.monotonic(), -math.inf
        self._request_stamp, self._preview_seconds = 0, PREVIEW_SECONDS

    @property
    def folder(self) -> Path | None:
        """The run's folder, in the process that writes."""
        return self._writer.run.path if self._writer is not None else None

    def tell(self, event: Event) -> Event:
        """Write an event to the run and return it."""
        if self._writer is not None:
            self._writer.append(event)
        return event

    def state(self, state: State, step: int, message: str = "") -> Event:
        """Say that the run has come into a state."""
        run = self._writer.run.id if self._writer is not None else ""
        return self.tell(StateChanged(state=state, step=step, message=message, run=run))

    def progress(self, step: int, what: str) -> Event:
        """Say how far the run is."""
        left = self.laps.seconds_left(step)
        event = Progress(done=step, total=self._steps, what=what, unit="steps", seconds_left=left)
        return self.tell(event) if self._disk_due.due() else event

    def progress_if_due(self, step: int, what: str = "") -> Iterator[Event]:
        """Say how far the run is, and its speed unless `what` says something else, where it is time to."""
        if self._progress_due.due():
            yield self.progress(step, what or f"{self.clock.speed():.0f} slices/s")

    def add(self, loss: Tensor, metrics: Mapping[str, Tensor | float]) -> None:
        """Add the figures of a step; they stay on the device."""
        self._averages.add({"loss": loss, **metrics})

    def training(self, step: int, world: World) -> Iterator[Event]:
        """Report the figures since the last time, averaged over all processes.

        Raises
        ------
        UserError
            If the loss is not a number.
        """
        sums = merge(world.gather(self._averages.take()))
        if not sums:
            return
        values = means(sums)
        if "loss" not in values:
            raise failures.not_a_number(step)
        self._recent.add(sums)
        self._since_save = merge([self._since_save, sums])
        self.figures = self._recent.means()
        yield self.tell(Metrics(step=step, values=values))

    def validation(self, step: int, parts: list[Sums], pooled: Mapping[str, float] | None = None) -> Event:
        """Report the figures of a validation: those of all volumes together, or else the mean over the volumes.

        Where a volume gave fewer figures than another, ``volumes`` says how many there were in all.
        """
        if pooled is not None:
            self.measured = dict(pooled)
            return self.tell(Metrics(step=step, values=self.measured, split="validation"))
        sums = merge(parts)
        self.measured = means(sums)
        if any(count < len(parts) for _, count in sums.values()):
            self.measured["volumes"] = float(len(parts))
        return self.tell(Metrics(step=step, values=self.measured, split="validation"))

    def matrix(self, step: int, split: Split, parts: Sequence[MatrixData | None]) -> Iterator[Matrix]:
        """Report a table of counts, added up over all processes, if there is one."""
        counted = [part for part in parts if part is not None]
        if counted:
            total = np.sum([part.counts for part in counted], axis=0)
            event = Matrix(
                step=step,
                counts=tuple(tuple(row) for row in total.astype(int).tolist()),
                labels=counted[0].labels,
                what=counted[0].what,
                split=split,
            )
            self.tell(event)
            yield event

    def since_save(self) -> dict[str, float]:
        """Return the figures of training since the last time this was asked."""
        values = means(self._since_save)
        self._since_save = {}
        return values

    def preview_if_due(
        self,
        step: int,
        look: Callable[[live_preview.PreviewRequest | None], live_preview.PreviewPicture | None],
    ) -> Iterator[Preview]:
        """Show what the network makes of the slice somebody looks at, where it is time to or the slice is another.

        The clock stands still meanwhile; a preview that takes long comes more rarely.
        """
        if self.folder is None:
            return
        moment, stamp = time.monotonic(), live_preview.request_stamp(self.folder)
        hurry = REQUEST_SECONDS if stamp != self._request_stamp else self._preview_seconds
        if moment - self._preview_at < hurry:
            return
        self._request_stamp = stamp
        self.clock.stop()
        picture = look(live_preview.read_request(self.folder))
        if picture is not None:
            name, about = live_preview.write_preview(self.folder, picture), picture.slice
            event = Preview(step=step, file=name, volume=about.volume, axis=about.axis, index=about.index)
            self.tell(event)
        self.clock.start()
        self.laps.lap("other")
        self._preview_at = time.monotonic()
        passed = self._preview_at - self._began
        self._preview_seconds = max(
            PREVIEW_SECONDS, PREVIEW_SHARE * (self._preview_at - moment), LONG_RUN * passed
        )
        if picture is not None:
            yield event

    def snapshot_if_due(self, step: int, output: StepOutput) -> Iterator[Snapshot]:
        """Show a batch, where it is time to."""
        if self.folder is not None and output.snapshot is not None and self._snapshot_due.due():
            event = save_snapshot(self.folder, step, output.snapshot())
            self.tell(event)
            yield event
