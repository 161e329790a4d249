"""Which slice next: what a run suggests for the volume in view, or else slices spaced evenly, each with its reason."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sortingloss.errors import StudyError
from napari_sortingloss.events import Event
from napari_sortingloss.widgets.runs.run_words import best_run
from napari_sortingloss.widgets.session.jobs import Job
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.gentle_import import import_gently

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.schema import Axis
    from napari_sortingloss.widgets.stage import Stage

SUGGEST = "suggest"
"""The kind of the job."""
COUNT = 8
EVEN = 4
KINDS = ("finetune", "pretrain")


@dataclass(frozen=True)
class Hint:
    """A slice to annotate, and why.

    Attributes
    ----------
    volume : str
    axis : {"z", "y", "x"}
    index : int
        Along the array.
    reason : str
    """

    volume: str
    axis: Axis
    index: int
    reason: str


@dataclass(frozen=True)
class Place:
    """A slice of another volume that shows the same anatomy: its volume, axis and array index."""

    volume: str
    axis: Axis
    index: int


def evenly(count: int, annotated: Iterable[int], many: int = EVEN) -> list[tuple[int, str]]:
    """Return slices in the middle of the largest gaps between annotated ones, and what is said of them.

    Parameters
    ----------
    count : int
        How many slices there are.
    annotated : iterable of int
    many : int
        How many to return at most.
    """
    taken = sorted({index for index in annotated if 0 <= index < count})
    found: list[tuple[int, str]] = []
    while len(found) < many:
        ends = [-1, *taken, count]
        low, high = max(pairwise(ends), key=lambda gap: gap[1] - gap[0])
        middle = (low + high) // 2
        if high - low < 3 or middle in taken:
            break
        found.append((middle, _said(low, high, count)))
        taken = sorted([*taken, middle])
    return found


def _said(low: int, high: int, count: int) -> str:
    if low < 0 and high == count:
        return "nothing is annotated yet: begin in the middle"
    if low < 0:
        return f"half way between the first slice and slice {high}"
    if high == count:
        return f"half way between slice {low} and the last one"
    return f"half way between slices {low} and {high}"


def usable_run(runs: Sequence[RunInfo]) -> str:
    """Return the best run whose network can be asked, one that segments before one that was pre-trained; or none."""
    found = (
        best_run(info for info in runs if info.kind == kind and info.summary.get("step")) for kind in KINDS
    )
    return next((run for run in found if run), "")


class Suggestions:
    """Keeps the list for the volume in view up to date.

    Parameters
    ----------
    stage : Stage
        Held weakly; it owns this object.

    Attributes
    ----------
    hints : tuple of Hint
        Best first.
    run : str
        Whose suggestions they are; empty where they are spaced evenly.
    changed : psygnal.Signal
    """

    changed = Signal()

    def __init__(self, stage: Stage) -> None:
        self._weak = weakref.ref(stage)
        self.hints: tuple[Hint, ...] = ()
        self.run = ""

    @property
    def _stage(self) -> Stage:
        stage = self._weak()
        assert stage is not None
        return stage

    @property
    def job(self) -> Job | None:
        """The job that asks a run, at work or waiting."""
        return self._stage.session.jobs.find(SUGGEST)

    def refresh(self, volume: str, axis: Axis, count: int, annotated: Sequence[int]) -> None:
        """Look anew, in a background thread.

        Parameters
        ----------
        volume : str
        axis : {"z", "y", "x"}
            In view.
        count : int
            How many slices there are across it.
        annotated : sequence of int
            Those of them that are not empty.
        """
        stage = self._stage
        study = stage.session.study
        if study is None:
            return
        runs = tuple(info.id for info in stage.session.runs if info.kind in KINDS)
        plain = [Hint(volume, axis, index, reason) for index, reason in evenly(count, annotated)]

        def work() -> tuple[str, tuple[Hint, ...]]:
            run, found = _ranked(study, runs, volume)
            # A run ranks slices across the ordering axis; who turned the volume wants to paint across another.
            return (run, found) if found and found[0].axis == axis else ("", tuple(plain))

        stage.background.run(work, self._take, topic="suggestions")

    def next(self, axis: Axis, index: int | None) -> Hint | None:
        """Return the best suggestion that is not the slice in view."""
        return next((hint for hint in self.hints if (hint.axis, hint.index) != (axis, index)), None)

    def ask(self, run: str) -> None:
        """Let a run look at all volumes, as a job."""
        stage = self._stage
        study = stage.session.study
        if study is None or self.job is not None:
            return

        def make() -> Iterator[Event]:
            import_gently("napari_sortingloss.segment.suggest.job")
            from napari_sortingloss.segment.suggest.job import SuggestSettings, suggest
            from napari_sortingloss.widgets.runs.training_jobs import leave_a_core

            return suggest(study, leave_a_core(SuggestSettings(run=run)))  # type: ignore[arg-type]

        stage.submit(
            f"Looking for slices worth annotating with {stage.session.run_title(run)}", make, SUGGEST
        )

    def same_anatomy(self, volume: str, index: int, then: Any) -> None:
        """Find the same anatomy in other volumes; ``then(places)`` is called on the GUI thread.

        Parameters
        ----------
        volume : str
        index : int
            Array index along the volume's ordering axis.
        then : callable
            Gets a list of `Place`.
        """
        stage = self._stage
        study = stage.session.study
        if study is None:
            return
        runs = tuple(info.id for info in stage.session.runs if info.kind in KINDS)
        stage.background.run(lambda: _same(study, runs, volume, index), then, topic="anatomy")

    def _take(self, found: tuple[str, tuple[Hint, ...]]) -> None:
        if (self.run, self.hints) != found:
            self.run, self.hints = found
            self.changed.emit()


def _ranked(study: Study, runs: Sequence[str], volume: str) -> tuple[str, tuple[Hint, ...]]:
    """Return what the newest run that has looked at a volume suggests there; not for the GUI thread."""
    from napari_sortingloss.segment.suggest.job import FILE, SuggestSettings, rank_again

    for name in runs:
        if not (study.path / "runs" / name / FILE).is_file():
            continue
        settings = SuggestSettings(run=name, volumes=(volume,), count=COUNT)
        found = rank_again(study, study.run(name), settings)
        if found:
            return name, tuple(Hint(one.volume, one.axis, one.index, one.reason) for one in found)  # type: ignore[arg-type]
    return "", ()


def _same(study: Study, runs: Sequence[str], volume: str, index: int) -> list[Place]:
    """Return where other volumes show the same anatomy; not for the GUI thread."""
    from napari_sortingloss.segment.suggest.job import FILE, same_anatomy

    asked = [name for name in runs if (study.path / "runs" / name / FILE).is_file()]
    if not asked:
        raise StudyError(
            f"Cannot find the same place of '{volume}' in other volumes",
            "no run has looked at the volumes yet",
            "ask a run for suggestions first",
        )
    problem: StudyError | None = None
    for name in asked:
        try:
            found = same_anatomy(study, name, volume, index)
        except StudyError as error:  # this run has not seen the volume: another may have
            problem = error
            continue
        records = study.volumes
        return [
            Place(one["volume"], records[one["volume"]].axis, int(one["index"]))
            for one in found
            if one["volume"] in records
        ]
    assert problem is not None
    raise problem
