"""How well a segmentation works against how many slices were annotated, from scratch and from pre-trained encoders: a job.

Imports no torch before it runs. The user's annotations are not touched: each trial is trained in a study of links, see
`napari_sortingloss.segment.learning_curve.linked_study`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.segment.learning_curve.results import Cell, CurveFolder, tabulate
from napari_sortingloss.segment.learning_curve.settings import SETTLED_HERE, LearningCurveSettings
from napari_sortingloss.segment.settings import SCRATCH

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, Volume

FOLDER = "learning_curves"
"""Where the curves of a study are kept."""

TEST_OF_FIVE = (1, 3)
"""Of every five labelled volumes, sorted by name, those that are judged on where nothing else is said."""

NOT_THE_RECIPE = ("device", "devices", "threads", "workers", "precision")
"""What a curve may go on with under other values: it is still the same curve."""


@dataclass(frozen=True)
class Arm:
    """What trials begin with.

    Attributes
    ----------
    name : str
        ``"scratch"`` or the run's id.
    run : Run or None
    """

    name: str
    run: Run | None

    @property
    def title(self) -> str:
        """What a legend says."""
        return self.run.task if self.run is not None else SCRATCH

    @property
    def weights(self) -> str:
        """Which weights they are: a run that trained on is another arm."""
        return f"{self.run.id} step {self.run.summary()['step']}" if self.run is not None else SCRATCH


def learning_curve(study: Study, settings: LearningCurveSettings) -> Iterator[Event]:
    """Measure IoU and Dice on volumes never trained on, against the number of annotated slices.

    Parameters
    ----------
    study : Study
        Its volumes need reference labels, which play the annotator.
    settings : LearningCurveSettings

    Yields
    ------
    Event
        `Progress`; a `Notice` for each trial that is done; last a `Result`, see
        `napari_sortingloss.segment.learning_curve.results.tabulate`. Everything is kept in ``learning_curves/ID``: a line of
        ``cells.jsonl`` for each trial and ``result.json``. The same call goes on where it was interrupted, and one with more
        encoders, seeds or numbers of slices adds to what is there.

    Raises
    ------
    BadInput
        If volumes have no reference labels, or none is left to train or to judge on.
    BadSetting
        If a volume is named both to train and to judge on.
    StudyError
        If there is no such run or volume, or another program measures the same curve.
    """
    from napari_sortingloss.segment.learning_curve.trial import Trial, interpolation_cell, label_classes

    arms = _arms(study, settings)
    pool, test = choose_volumes(study, settings)
    folder = CurveFolder(study.path / FOLDER / curve_id(settings, pool, test))
    with folder.owned():
        folder.describe(
            {**settings.to_json(), "pool": [v.name for v in pool], "test": [v.name for v in test]}
        )
        candidates, values = yield from _candidates(study, pool)
        classes = label_classes(study, values)
        titles = {arm.name: arm.title for arm in arms}
        names = {found.value: found.name for found in classes}
        yield from _leaks(arms, test)
        cells = _cells(arms, settings)
        known = folder.cells()
        clock = _Clock(cells, known, settings)
        trial = Trial(study, folder.path / "trial", settings, test, classes)
        for cell in cells:
            if cell.key in known:
                continue
            drawn = trial.draw(candidates, cell)
            if cell.arm == INTERPOLATION:
                measured = interpolation_cell(study, drawn, list(names), settings.every)
            else:
                measured = yield from clock.over_all(trial.run(cell, drawn, _words(cell, titles)))
            folder.append(cell, measured)
            clock.finish(cell)
            if measured["iou"] is not None:
                yield Notice(message=f"{_words(cell, titles)}: mean IoU {_mean(measured['iou']):.3f}")
        value = tabulate(
            [folder.cells()[cell.key] for cell in cells],
            titles=titles,
            classes=names,
            slices=sorted(set(settings.slices)),
        )
        value |= {
            "id": folder.path.name,
            "folder": str(folder.path),
            "volumes_per_seed": min(settings.volumes_per_seed, len(pool)),
            "pool": [volume.name for volume in pool],
            "test": [volume.name for volume in test],
        }
        folder.finish(value)
    yield Result(value=value)


INTERPOLATION = "interpolation"


def choose_volumes(study: Study, settings: LearningCurveSettings) -> tuple[list[Volume], list[Volume]]:
    """Return the volumes slices are annotated in, and those that are judged on.

    Raises
    ------
    BadInput
        If there are none, or one has no reference labels.
    BadSetting
        If one is named for both.
    StudyError
        If a name or pattern fits no volume.
    """
    what = f"Cannot measure a learning curve in '{study.name}'"
    labelled = sorted((v for v in study.select(None) if v.record.reference is not None), key=lambda v: v.name)
    if settings.test:
        test = study.select(settings.test)
    else:
        free = [v for v in labelled if v.name not in {p.name for p in study.select(settings.volumes)}]
        source = free if settings.volumes else labelled
        test = [v for i, v in enumerate(source) if settings.volumes or i % 5 in TEST_OF_FIVE]
    judged = {volume.name for volume in test}
    if settings.volumes:
        pool = study.select(settings.volumes)
        both = sorted(judged & {volume.name for volume in pool})
        if both:
            raise BadSetting(
                what, f"'{both[0]}' is named both to train and to judge on", "leave it out of one of the two"
            )
    else:
        pool = [volume for volume in labelled if volume.name not in judged]
    for volume in (*pool, *test):
        if volume.record.reference is None:
            raise BadInput(
                what, f"'{volume.name}' has no reference labels", "add it with its labels, or leave it out"
            )
    if not pool or not test:
        raise BadInput(
            what,
            f"of the {len(labelled)} volumes with reference labels none is left to "
            + ("train on" if not pool else "judge on"),
            "add volumes with reference labels, or name others",
        )
    return pool, test


def curve_id(settings: LearningCurveSettings, pool: Sequence[Volume], test: Sequence[Volume]) -> str:
    """Return the name of a curve: the same for everything whose trials may be compared."""
    recipe = {
        name: value
        for name, value in settings.finetune.to_json().items()
        if name not in (*NOT_THE_RECIPE, *SETTLED_HERE)
    }
    document = {
        "volumes_per_seed": settings.volumes_per_seed,
        "every": settings.every,
        "pool": [[v.name, v.record.created] for v in pool],
        "test": [[v.name, v.record.created] for v in test],
        "finetune": recipe,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]


def _arms(study: Study, settings: LearningCurveSettings) -> list[Arm]:
    found: dict[str, Arm] = {}
    for name in settings.inits:
        run = None if name == SCRATCH else study.run(name)
        arm = Arm(SCRATCH if run is None else run.id, run)
        found[arm.name] = arm
    return list(found.values())


def _cells(arms: Sequence[Arm], settings: LearningCurveSettings) -> list[Cell]:
    """Every trial, seed by seed, so that an interrupted curve is complete for the first seeds."""
    numbers = sorted(set(settings.slices))
    found = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        for n in numbers:
            if n > 1:
                found.append(Cell(INTERPOLATION, n, seed, INTERPOLATION))
            found += [Cell(arm.name, n, seed, arm.weights) for arm in arms]
    return found


def _candidates(
    study: Study, pool: Sequence[Volume]
) -> Generator[Event, None, tuple[dict[str, Any], list[int]]]:
    """Look at the references: which slices of the pool can be drawn, and which labels there are."""
    from napari_sortingloss.segment.reference_labels import open_reference

    found: dict[str, Any] = {}
    values: set[int] = set()
    for volume in pool:
        what = f"Cannot annotate '{volume.name}'"
        yield Progress(done=0, total=0, what=f"{volume.name}: looking at the reference labels")
        for _, contents in open_reference(volume, what).contents(volume.axis):
            found[volume.name] = np.flatnonzero(contents.labelled)
            seen = contents.values
        if not len(found[volume.name]):
            raise BadInput(what, "its reference labels are empty", "leave it out")
        values |= set(seen)
    return found, sorted(values)


def _leaks(arms: Sequence[Arm], test: Sequence[Volume]) -> Iterator[Event]:
    """Warn where a network was pre-trained on volumes that are judged on."""
    judged = {volume.name for volume in test}
    for arm in arms:
        seen = sorted(judged & set(arm.run.settings.get("volumes") or ())) if arm.run is not None else []
        if seen:
            yield Notice(
                level="warning",
                message=f"The run '{arm.name}' was trained on {len(seen)} of the volumes that are judged on ({seen[0]}"
                f"{', …' if len(seen) > 1 else ''}); for a fair comparison pre-train without them.",
            )


class _Clock:
    """Turns the steps of one trial into those of all, and says how long the rest takes."""

    def __init__(
        self, cells: Sequence[Cell], known: Mapping[Any, Any], settings: LearningCurveSettings
    ) -> None:
        self._steps = settings.finetune.steps
        trained = [cell for cell in cells if cell.arm != INTERPOLATION]
        self._total = len(trained) * self._steps
        self._before = sum(cell.key in known for cell in trained) * self._steps
        self._here, self._began = 0, time.monotonic()

    def over_all(
        self, trial: Generator[Event, None, dict[str, Any]]
    ) -> Generator[Event, None, dict[str, Any]]:
        """Pass on the progress of one trial."""
        while True:
            try:
                event = next(trial)
            except StopIteration as end:
                measured: dict[str, Any] = end.value
                return measured
            if isinstance(event, Progress):
                done = min(event.done, self._steps)
                here = self._here + done
                left = self._total - self._before - here
                event = event.replace(
                    done=self._before + here,
                    total=self._total,
                    unit="steps",
                    seconds_left=(time.monotonic() - self._began) / here * left if here else None,
                )
            yield event

    def finish(self, cell: Cell) -> None:
        """Count a trial as done."""
        if cell.arm != INTERPOLATION:
            self._here += self._steps


def _words(cell: Cell, titles: Mapping[str, str]) -> str:
    slices = "1 slice" if cell.slices == 1 else f"{cell.slices} slices"
    return f"{titles.get(cell.arm, cell.arm)}, {slices} a volume, seed {cell.seed}"


def _mean(values: Mapping[str, float | None]) -> float:
    known = [value for value in values.values() if value is not None]
    return sum(known) / len(known) if known else float("nan")


__all__: Sequence[str] = [
    "SETTLED_HERE",
    "LearningCurveSettings",
    "choose_volumes",
    "curve_id",
    "learning_curve",
]
