"""The line that says, before a run starts, what it will need; where its time is not known, three real steps are timed."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QLabel

from napari_sortingloss import wording
from napari_sortingloss.training.computer.speeds import matters
from napari_sortingloss.widgets.runs.trial import Trial
from napari_sortingloss.widgets.toolkit.background import Background

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.training.computer.estimate import Estimate
    from napari_sortingloss.training.computer.pace import Pace
    from napari_sortingloss.training.settings import TrainSettings

SETTLE_MS = 1000
"""Nothing is timed before nobody has changed anything for so long."""


BESIDE_THE_VIEWER = 1.15
"""By how much a step takes longer in napari, which shares interpreter and memory with it, than in a process of its own."""


@dataclass(frozen=True)
class Wanted:
    """A run that a form describes.

    Attributes
    ----------
    study : Study
    kind : str
        ``"pretrain"`` or ``"finetune"``.
    settings : TrainSettings
    volumes : tuple of str
        Those to train on.
    measured_on : int
        On how many volumes, or slices that are held back, it measures.
    detached : bool
        Whether it runs in a process of its own.
    """

    study: Study
    kind: str
    settings: TrainSettings
    volumes: tuple[str, ...]
    measured_on: int
    detached: bool

    def steps_like(self, other: Wanted | None) -> bool:
        """Whether a step of this run takes as long as one of another."""
        return other is not None and self._steps() == other._steps()

    def _steps(self) -> Sequence[Any]:
        return self.study.path, self.volumes, self.settings.threads, matters(self.settings)

    def estimate(self) -> Estimate:
        """Work out what it will need. Not for the GUI thread."""
        from napari_sortingloss.training.computer.estimate import estimate

        volumes = [self.study.volume(name) for name in self.volumes]
        return estimate(self.settings, volumes, self.measured_on)


class Needs(QLabel):
    """Says memory, disk and time of the run that a form describes.

    Three steps are timed only while the line is seen and nothing else trains or works (`set_busy`), in a process of its
    own that ends as soon as the form says something else.

    Parameters
    ----------
    background : Background

    Attributes
    ----------
    problem : str
        What speaks against starting; empty when nothing does.
    changed : psygnal.Signal
        The problem is another one.
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setProperty("muted", True)
        self._background = background
        self._wanted: Wanted | None = None
        self._found: Estimate | None = None
        self._trial: Trial | None = None
        self._timed: Wanted | None = None  # what the trial is about
        self._failed: tuple[Wanted, BaseException] | None = None
        self._busy = False
        self.problem = ""
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE_MS)
        self._settled.timeout.connect(self._time)
        self.hide()

    def ask(self, wanted: Wanted | None, problem: str = "") -> None:
        """Say what a run will need, or what is wrong with what the form says."""
        self._wanted, self._found = wanted, None
        if wanted is None or not wanted.steps_like(self._timed):
            self._stop()
        if wanted is None:
            self._background.drop("estimate")
            self._say(f"⚠ {problem}" if problem else "", problem)
            return
        if self.problem:
            self._say("", "")
        self._background.run(
            wanted.estimate,
            lambda found: self._take(wanted, found),
            lambda error: self._say(f"⚠ {error}", str(error)),
            topic="estimate",
        )

    def set_busy(self, busy: bool) -> None:
        """Time nothing while something trains or works."""
        if busy == self._busy:
            return
        self._busy = busy
        if busy:
            self._stop()
        self._show()

    def time_of(self, steps: float) -> str:
        """Say how long a run of so many steps would take; empty where that is not known."""
        wanted, found = self._wanted, self._found
        if wanted is None or found is None or found.pace is None or not steps:
            return ""
        from napari_sortingloss.training.computer.pace import seconds_for

        settings = wanted.settings.replace(steps=int(steps))
        return wording.duration(
            found.pace.ready + seconds_for(found.pace, settings, wanted.measured_on) + self._loading(found)
        )

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Time three steps, where that is needed, once the line is seen."""
        super().showEvent(event)
        self._show()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Time nothing that nobody asks about any more: the dock, or napari, may be closing."""
        super().hideEvent(event)
        self._stop()

    # -------------------------------------------------------------------------------------------------- three steps
    def _take(self, wanted: Wanted, found: Estimate) -> None:
        if wanted is self._wanted:
            self._found = found
            self._show()

    def _time(self) -> None:
        wanted, found = self._wanted, self._found
        if wanted is None or found is None or not self._to_be_timed:
            return
        trial = Trial(wanted.study.path, wanted.kind, wanted.settings, found.memory_bytes)
        self._trial, self._timed = trial, wanted

        def measured(pace: Any) -> None:
            if pace is not None and trial is self._trial:
                self._background.run(lambda: _keep(wanted, pace), lambda _: self._again())

        def failed(error: BaseException) -> None:
            if trial is self._trial:
                self._failed = (wanted, error)
                self._trial = self._timed = None
                self._show()

        self._background.run(trial.run, measured, failed, topic="timing")

    def _again(self) -> None:
        self._trial = self._timed = None
        if self._wanted is not None:
            self.ask(self._wanted)

    def _stop(self) -> None:
        self._settled.stop()
        if self._trial is not None:
            self._trial.cancel()
            self._trial = self._timed = None

    @property
    def _to_be_timed(self) -> bool:
        found = self._found
        unknown = found is not None and found.pace is None and not found.problem
        return unknown and not self._busy and self._failure is None and self.isVisible()

    @property
    def _failure(self) -> BaseException | None:
        """Why a run with just these steps could not be timed."""
        wanted = self._wanted
        failed = self._failed is not None and wanted is not None and wanted.steps_like(self._failed[0])
        return self._failed[1] if self._failed is not None and failed else None

    # ---------------------------------------------------------------------------------------------------- the line
    def _loading(self, found: Estimate) -> float:
        """Return the seconds that the libraries will take to load."""
        there = "torch" in sys.modules and not (self._wanted is not None and self._wanted.detached)
        return 0.0 if there or found.pace is None else found.pace.libraries

    def _show(self) -> None:
        found = self._found
        if found is None:
            return
        if found.problem:
            self._say(f"⚠ {found.problem}", "")
            return
        if self._to_be_timed and self._trial is None and not self._settled.isActive():
            self._settled.start()
        parts = (f"{wording.size(found.memory_bytes)} of memory", f"{wording.size(found.disk_bytes)} of disk")
        parts = (*parts, self._said_time(found))
        self._say("needs " + ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts), "")
        failure = self._failure
        if failure is not None:
            self.setToolTip(f"<p>{failure}</p>")
        elif found.pace is None:
            self.setToolTip(
                "<p>No such run was timed on this computer yet. Three steps are, as soon as nothing else works.</p>"
            )

    def _said_time(self, found: Estimate) -> str:
        if found.seconds is not None:
            time = wording.duration(found.seconds + self._loading(found))
            return f"{time if time.startswith('about') else f'about {time}'} on {found.device}"
        if found.pace is not None:
            return f"{wording.pace(found.pace.step)} on {found.device} until you stop it"
        if self._trial is not None or self._settled.isActive():
            return f"timing three steps on {found.device}…"
        return f"time on {found.device} not known yet"

    def _say(self, text: str, problem: str) -> None:
        changed = problem != self.problem
        self.problem = problem
        self.setText(text)
        self.setToolTip("")
        self.setVisible(bool(text))
        if changed:
            self.changed.emit()


def _keep(wanted: Wanted, pace: Pace) -> None:
    """Remember what was measured until a real run knows better. Not for the GUI thread."""
    from napari_sortingloss.training.computer.devices import pick_device
    from napari_sortingloss.training.computer.speeds import remember_pace

    if not wanted.detached:
        pace = dataclasses.replace(pace, step=pace.step * BESIDE_THE_VIEWER)
    volumes = [wanted.study.volume(name) for name in wanted.volumes]
    remember_pace(wanted.settings, pick_device(wanted.settings), volumes, pace)
