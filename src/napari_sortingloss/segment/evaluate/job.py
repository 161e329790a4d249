"""Scores what a run predicted against reference labels or against painted slices: a job.

Imports no torch: windows read the settings from here.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.segment.evaluate.record import (
    FILE,
    Against,
    keep_scores,
    read_scores,
    summarise,
    volume_entry,
)
from napari_sortingloss.segment.evaluate.scores import Confusion
from napari_sortingloss.segment.evaluate.volume_scores import (
    InterpolatedSlabs,
    PredictedSlabs,
    SliceId,
    VolumeScore,
    millimetres,
    score_reference,
    score_slice,
)
from napari_sortingloss.segment.predict.job import find_run
from napari_sortingloss.segment.reference_labels import Reference, open_reference
from napari_sortingloss.settings import Setting, Settings
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import LabelClass, read_classes
from napari_sortingloss.study.predictions.reading import Prediction, find_prediction, predicted_runs
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, Volume


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """What is scored, and against what."""

    run: Annotated[
        str,
        Setting(
            "The fine-tuning run whose predictions are scored (its id, the start of it, or its name).",
            hidden=True,
        ),
    ] = ""
    volumes: Annotated[
        tuple[str, ...],
        Setting(
            "The volumes to score, by name or pattern (fish_*); when empty all that can be.", hidden=True
        ),
    ] = ()
    against: Annotated[
        Against,
        Setting(
            "What is taken for true: the volumes' reference labels, or what is painted on annotated slices.",
            "Without reference labels, compare with the slices; those that the run learnt from flatter it.",
        ),
    ] = "reference"
    unseen_only: Annotated[
        bool,
        Setting(
            "Leave out the slices that were annotated (against the reference) or learnt from (against annotations).",
            "For an honest figure on volumes of which some slices were annotated.",
            label="Unseen slices only",
        ),
    ] = False
    method: Annotated[
        Literal["run", "interpolation"],
        Setting(
            "What is scored: a run's predictions, or interpolation between the complete slices of each volume.",
            "Interpolation is what a network has to beat.",
            more=True,
        ),
    ] = "run"
    surfaces: Annotated[
        bool,
        Setting(
            "Measure also how far surfaces are apart, in mm.",
            "Switch it off where it takes too long: it is most of the work.",
            more=True,
        ),
    ] = True


def evaluate(study: Study, settings: EvaluateSettings) -> Iterator[Event]:
    """Score predicted labels: a job.

    Parameters
    ----------
    study : Study
    settings : EvaluateSettings

    Yields
    ------
    Event
        `Progress` in slices; a `Notice` for what a reader of the figures should know; last a `Result` whose value has

        - ``run`` (empty for interpolation), ``method``, ``against``, ``unseen_only``, ``file``;
        - ``volumes``: for each ``name``, ``iou``, ``dice``, ``surface_distance_mm`` (mean symmetric) and
          ``hausdorff95_mm`` by name of the class, ``mean_iou`` and ``mean_dice`` over its classes, ``voxels`` counted,
          ``confusion``, ``left_out`` (slices), ``surface_steps``;
        - ``mean_iou``, ``mean_dice``: the mean over volumes of their means over classes;
        - ``classes``: for each name the means over volumes under the same keys, and ``pooled_iou``, ``pooled_dice`` from
          the voxels of all volumes together;
        - ``pooled``: ``mean_iou`` and ``mean_dice``, the means over classes of the pooled figures;
        - ``confusion``: ``labels`` and ``counts`` over all volumes, rows true, columns predicted.

        A class that neither truth nor prediction has in a volume is None there and left out of means; one that only one of
        them has scores 0. Labels of the reference that are no class of the run are background to it, and are told apart in
        the confusion table. A run's scores are kept in ``scores.json`` in its folder, volume by volume.

    Raises
    ------
    BadSetting
        If it is not said which run, the run is none of fine-tuning, or the settings do not go together.
    BadInput
        If a volume has no reference labels, or labels of another shape or of other numbers than the classes; if it has no
        prediction, or no annotated (complete) slices where they are needed.
    StudyError
        If there is no such run or volume, or something stored is damaged.
    """
    run = _check(study, settings)
    subjects, notices = _subjects(study, run, settings)
    yield from notices
    classes = _classes(study, subjects)
    values = [c.value for c in classes]
    names = {c.value: c.name for c in classes}
    pooled = Confusion(values)
    results: list[dict[str, Any]] = []
    counter = _Counter(sum(_slices(s) for s in subjects))
    for subject in subjects:
        score = yield from _score(subject, values, settings, counter)
        _check_found(subject.volume, score.confusion, classes)
        yield from _doubts(subject.volume, score, settings)
        pooled.merge(score.confusion)
        entry = volume_entry(subject.volume, score, names, len(subject.left_out))
        results.append(entry)
        if run is not None and subject.prediction is not None:
            keep_scores(run, settings.against, entry, subject.prediction, settings.unseen_only)
    yield from _never_true(classes, pooled)
    yield Result(
        value={
            "run": run.id if run is not None else "",
            "method": settings.method,
            "against": settings.against,
            "unseen_only": settings.unseen_only,
            "file": str(run.path / FILE) if run is not None else "",
            **summarise(results, pooled, names),
        }
    )


@dataclass
class _Subject:
    """One volume and what is compared."""

    volume: Volume
    prediction: Prediction | None = None
    reference: Reference | None = None
    annotations: Annotations | None = None
    axis: Axis = "z"
    left_out: set[SliceId] = field(default_factory=set)
    counted: list[SliceId] = field(default_factory=list)


def _check(study: Study, settings: EvaluateSettings) -> Run | None:
    if settings.method == "interpolation":
        for given, name in ((settings.run, "a run"), (settings.against == "annotations", "annotations")):
            if given:
                raise BadSetting(
                    f"Cannot score interpolation and {name}",
                    "interpolation is made from the annotations and compared with the reference",
                    "leave out 'run' and 'against', or choose the method 'run'",
                )
        return None
    if not settings.run:
        raise BadSetting("Cannot score predictions", "nothing says of which run", "give a run")
    return find_run(study, settings.run, "score predictions")


def _subjects(
    study: Study, run: Run | None, settings: EvaluateSettings
) -> tuple[list[_Subject], list[Notice]]:
    """Find what can be compared; volumes that were named must be able to, the others are left out where they are not."""
    subjects, notices, reasons = [], [], []
    for volume in study.select(settings.volumes or None):
        try:
            subject = _Subject(volume, prediction=None if run is None else _predicted(study, volume, run))
            if settings.against == "reference":
                subject.reference = open_reference(volume, f"Cannot score '{volume.name}'")
            _with_annotations(study, subject, run, settings)
        except BadInput as error:
            if settings.volumes:
                raise
            reasons.append((volume.name, error))
            continue
        subjects.append(subject)
    if not subjects:
        if len(reasons) == 1:
            raise reasons[0][1]
        what = f"Cannot score the volumes of '{study.name}'"
        if not reasons:
            raise BadInput(what, "it has none", "add volumes first")
        name, reason = reasons[-1]
        raise BadInput(what, f"none can be; of '{name}', for instance, {reason.why}", reason.todo)
    if reasons:
        shown = "; ".join(f"{name}: {reason.why}" for name, reason in reasons[:3])
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        notices.append(Notice(message=f"Not scored: {shown}{more}."))
    return subjects, notices


def _predicted(study: Study, volume: Volume, run: Run) -> Prediction:
    if run.id not in predicted_runs(study, volume.name):
        raise BadInput(
            f"Cannot score '{volume.name}'",
            f"the run '{run.id}' has not predicted '{volume.name}' yet",
            "predict it first",
        )
    return find_prediction(study, volume.name, run.id)


def _with_annotations(study: Study, subject: _Subject, run: Run | None, settings: EvaluateSettings) -> None:
    """Find out which slices count, and between which to interpolate."""
    volume = subject.volume
    what = f"Cannot score '{volume.name}'"
    subject.annotations = annotations = Annotations(study, volume.name)
    slices = annotations.slices()
    painted: list[SliceId] = [(one.axis, one.index) for one in slices]
    learnt = _learnt(run, volume.name, ("learnt",))
    if settings.against == "annotations":
        subject.counted = [one for one in painted if not (settings.unseen_only and one in learnt)]
        if not subject.counted:
            why = "the run learnt from all its annotated slices" if painted else "no slice of it is annotated"
            raise BadInput(what, why, "annotate some slices and mark them complete, or leave it out")
        return
    if settings.method == "interpolation":
        complete = {
            axis: [one.index for one in slices if one.axis == axis and one.status == "complete"]
            for axis in AXES
        }
        subject.axis = max(AXES, key=lambda axis: (len(complete[axis]), axis == volume.axis))
        if len(complete[subject.axis]) < 2:
            count = "no slice of it is" if not complete[subject.axis] else "only one slice of it is"
            raise BadInput(what, f"{count} complete", "mark at least two complete to interpolate between")
        painted = [(subject.axis, index) for index in complete[subject.axis]]
    if settings.unseen_only:
        subject.left_out = {*painted, *_learnt(run, volume.name, ("learnt", "kept"))}
        size = volume.shape[AXES.index(subject.axis)]
        if sum(axis == subject.axis for axis, _ in subject.left_out) >= size:
            raise BadInput(what, "all its slices are annotated", "count all slices, or leave it out")


def _learnt(run: Run | None, volume: str, keys: Sequence[str]) -> set[SliceId]:
    """Return the slices of a volume that a run says it learnt from, or held back."""
    found: set[SliceId] = set()
    for key in keys if run is not None else ():
        for text in run.settings.get(key) or () if run is not None else ():
            name, axis, index = str(text).rsplit(" ", 2)
            if name == volume:
                found |= {(a, int(index)) for a in AXES if a == axis}
    return found


def _classes(study: Study, subjects: Sequence[_Subject]) -> list[LabelClass]:
    """Return the classes that can be predicted, in order."""
    found: dict[int, LabelClass] = {}
    for subject in subjects:
        for one in subject.prediction.classes if subject.prediction is not None else read_classes(study):
            found.setdefault(one.value, one)
    return list(found.values())


def _slices(subject: _Subject) -> int:
    return len(subject.counted) or subject.volume.shape[AXES.index(subject.axis)]


class _Counter:
    """Counts slices over all volumes."""

    def __init__(self, total: int) -> None:
        self._total, self._before, self._began = total, 0, time.monotonic()

    def at(self, volume: str, done: int) -> Progress:
        done += self._before
        left = (time.monotonic() - self._began) / done * (self._total - done) if done else None
        return Progress(done=done, total=self._total, what=volume, unit="slices", seconds_left=left)

    def next(self, slices: int) -> None:
        self._before += slices


def _score(
    subject: _Subject, values: Sequence[int], settings: EvaluateSettings, counter: _Counter
) -> Generator[Event, None, VolumeScore]:
    name = subject.volume.name
    yield counter.at(name, 0)
    if subject.reference is None:
        assert subject.annotations is not None
        assert subject.prediction is not None
        found = VolumeScore(Confusion(values))
        for done, one in enumerate(subject.counted, start=1):
            score_slice(subject.annotations, subject.prediction, one, found.confusion)
            yield counter.at(name, done)
    else:
        assert subject.annotations is not None
        labels = (
            InterpolatedSlabs(subject.annotations, subject.axis)
            if subject.prediction is None
            else PredictedSlabs(subject.prediction)
        )
        surfaces = settings.surfaces and millimetres(subject.volume) is not None
        steps = score_reference(subject.reference, labels, values, subject.left_out, surfaces)
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                found = end.value
                break
            yield counter.at(name, done)
    counter.next(_slices(subject))
    return found


def _check_found(volume: Volume, found: Confusion, classes: Sequence[LabelClass]) -> None:
    """Refuse a reference that numbers other things than the classes."""
    if found.other and not found.counts[1:-1].any():
        labels = ", ".join(map(str, sorted(found.other)[:8]))
        raise BadInput(
            f"Cannot score '{volume.name}'",
            f"its reference has the labels {labels}, and none of the classes "
            + ", ".join(f"{c.name} ({c.value})" for c in classes),
            "number its labels as the classes and add it again",
        )


def _doubts(volume: Volume, score: VolumeScore, settings: EvaluateSettings) -> Iterator[Notice]:
    if score.confusion.other:
        labels = ", ".join(map(str, sorted(score.confusion.other)[:8]))
        yield Notice(message=f"{volume.name}: labels {labels} are no class here; they count as background.")
    if not settings.surfaces or settings.against == "annotations":
        return
    if millimetres(volume) is None:
        yield Notice(
            message=f"{volume.name}: the size of its voxels has no known unit, so surfaces are not measured in mm."
        )
    if max(score.steps) > 1:
        yield Notice(
            message=f"{volume.name} is so large that its surfaces are taken from every "
            f"{' x '.join(map(str, score.steps))}th voxel (z, y, x)."
        )
    if score.thinned:
        yield Notice(
            message=f"{volume.name}: of its largest surfaces only evenly spread voxels were measured."
        )


def _never_true(classes: Sequence[LabelClass], pooled: Confusion) -> Iterator[Notice]:
    """Say which classes were predicted though they are nowhere true: their score of 0 may say nothing about the run."""
    for index, one in enumerate(classes, start=1):
        if not pooled.counts[index].any() and pooled.counts[:, index].any():
            yield Notice(
                level="warning",
                message=f"The class '{one.name}' ({one.value}) is nowhere in what is compared with; it scores 0.",
            )


__all__ = ["FILE", "EvaluateSettings", "evaluate", "read_scores", "summarise"]
