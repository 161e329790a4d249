"""Decides what a fine-tuning run learns: which annotated slices, which classes, at which pixel size; imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadInput
from napari_sortingloss.events import Notice
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.slices.along import SlicesAlong
from napari_sortingloss.slices.tiles import common_pixel
from napari_sortingloss.study.annotations.reading import AnnotatedSlice, annotated
from napari_sortingloss.study.classes import BACKGROUND, UNPAINTED, LabelClass, read_classes
from napari_sortingloss.study.predictions.reading import find_prediction, predicted_runs
from napari_sortingloss.study.schema import AXES, Axis
from napari_sortingloss.training.run_task import choose_volumes

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, Volume

WHAT = "Cannot fine-tune"

FEWEST = 5
"""With fewer annotated slices than this none is held back: each is worth more for learning."""


@dataclass(frozen=True, order=True)
class SliceKey:
    """Which slice.

    Attributes
    ----------
    volume : str
    axis : {"z", "y", "x"}
        Across which axis.
    index : int
        Along the array.
    """

    volume: str
    axis: Axis
    index: int

    def __str__(self) -> str:
        return f"{self.volume} {self.axis} {self.index}"

    @classmethod
    def parse(cls, text: str) -> SliceKey:
        """Return the slice that ``str`` wrote."""
        volume, axis, index = text.rsplit(" ", 2)
        if axis not in AXES:
            raise ValueError(f"'{text}' is no slice")
        return cls(volume, axis, int(index))


def axes_across(study: Study, learnt: Sequence[str]) -> str:
    """Return across which axes slices lie, if any lies across another than its volume's ordering axis.

    Parameters
    ----------
    study : Study
    learnt : sequence of str
        Slices as a run's settings name them.

    Returns
    -------
    str
        Some of ``"zyx"``, in this order; empty where all lie across the ordering axes.
    """
    keys, records = [SliceKey.parse(one) for one in learnt], study.volumes
    if all(key.volume not in records or key.axis == records[key.volume].axis for key in keys):
        return ""
    return "".join(axis for axis in AXES if axis in {key.axis for key in keys})


@dataclass(frozen=True)
class Painted:
    """What is painted on a slice.

    Attributes
    ----------
    key : SliceKey
    values : frozenset of int
        The values of the classes that are on it, and `BACKGROUND` where some of it is known to be that.
    """

    key: SliceKey
    values: frozenset[int]


@dataclass(frozen=True)
class Plan:
    """What a run is going to learn.

    Attributes
    ----------
    settings : FinetuneSettings
        With all that the run settles when it begins: classes, pixel size, slices.
    train, validation : list of Volume
        Volumes with slices to learn from, and with slices held back; a volume may be both.
    notices : list of Notice
        What a person should know.
    """

    settings: FinetuneSettings
    train: list[Volume]
    validation: list[Volume]
    notices: list[Notice] = field(default_factory=list)


def survey(study: Study, names: Sequence[str]) -> list[Painted]:
    """Return what is painted on each annotated slice of some volumes.

    Raises
    ------
    StudyError
        If annotations are damaged or of another shape than their volume.
    """
    found = []
    for name, volume in annotated(study, names).items():
        for one in volume.slices():
            values = _values(volume.read_slice(one.axis, one.index), one)
            if values:
                found.append(Painted(SliceKey(name, one.axis, one.index), values))
    return found


def _values(labels: NDArray[np.uint8], one: AnnotatedSlice) -> frozenset[int]:
    there = set(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist())
    if one.status == "complete" and UNPAINTED in there:
        there.add(BACKGROUND)
    return frozenset(there - {UNPAINTED})


def plan_run(study: Study, settings: FinetuneSettings, earlier: Mapping[str, Any] | None = None) -> Plan:
    """Settle what a new run learns.

    Parameters
    ----------
    study : Study
    settings : FinetuneSettings
        As a person gave them.
    earlier : mapping, optional
        The settings of the fine-tuning run that it begins with: what that one held back stays held back, and what it
        has learnt from is not measured on.

    Raises
    ------
    BadInput
        If no slice is annotated, there is nothing to tell apart, or nothing predicted to learn from too.
    StudyError
        If a volume or a run does not exist, or annotations or predictions are damaged.
    """
    painted, kept = _slices(study, settings, earlier or {})
    classes, notices = _classes(study, painted)
    settings = settings.with_classes(classes)
    if settings.also_from:
        settings, said = _learn_also(study, settings)
        notices += said
    return _planned(study, settings, painted, kept, notices)


def plan_again(study: Study, settings: FinetuneSettings) -> Plan:
    """Settle what a resumed run learns from: the annotations as they are now, the classes as they were.

    Raises
    ------
    BadInput, StudyError
        As `plan_run`.
    """
    notices = _changed_classes(study, settings.label_classes())
    for name in settings.predicted:
        find_prediction(study, name, settings.also_from)
    painted, kept = _slices(study, settings, settings.to_json())
    return _planned(study, settings, painted, kept, notices)


def _slices(
    study: Study, settings: FinetuneSettings, earlier: Mapping[str, Any]
) -> tuple[list[Painted], list[SliceKey]]:
    """Return all annotated slices and those of them that are held back."""
    train, validation = choose_volumes(study, settings, WHAT)
    painted = survey(study, [v.name for v in train])
    if not painted:
        where = "in the chosen volumes" if settings.volumes else f"in '{study.name}'"
        raise BadInput(WHAT, f"no slice is annotated {where}", "paint at least one slice first")
    if validation:
        measured = survey(study, [v.name for v in validation])
        if not measured:
            raise BadInput(
                WHAT,
                f"none of the volumes to validate on ({', '.join(v.name for v in validation[:3])}) has an annotated slice",
                "annotate some slices of them, or leave 'validate' empty to hold slices back",
            )
        return [*painted, *measured], [one.key for one in measured]
    there = {str(one.key) for one in painted}
    known = [SliceKey.parse(text) for text in earlier.get("kept", ()) if text in there]
    seen = set(earlier.get("learnt", ()))
    return painted, _hold_back(painted, settings.held_back, known, seen)


def _hold_back(
    painted: Sequence[Painted], share: float, known: Sequence[SliceKey], seen: set[str]
) -> list[SliceKey]:
    """Choose slices evenly over all volumes; never the last one that shows a class, and none learnt from before."""
    kept = list(known) if share else []
    wanted = round(share * len(painted)) if len(painted) >= FEWEST else 0
    free = [one for one in painted if one.key not in kept and str(one.key) not in seen]
    shown = Counter(value for one in painted if one.key not in kept for value in one.values)
    # Of what was painted since an earlier run no larger share: a single corrected slice is there to be learnt from.
    missing = min(wanted - len(kept), round(share * len(free)))
    for i in range(missing):
        aim = (i + 0.5) * len(free) / missing
        for number in sorted(range(len(free)), key=lambda n: abs(n + 0.5 - aim)):
            one = free[number]
            if one.key not in kept and all(shown[value] > 1 for value in one.values):
                kept.append(one.key)
                shown.subtract(one.values)
                break
    return kept


def _classes(study: Study, painted: Sequence[Painted]) -> tuple[list[LabelClass], list[Notice]]:
    """Return the classes that are painted somewhere, and say which are not."""
    there: set[int] = set().union(*(one.values for one in painted))
    classes = [found for found in read_classes(study) if found.value in there]
    unused = [found.name for found in read_classes(study) if found.value not in there]
    notices = []
    if not classes:
        raise BadInput(
            WHAT, "no class is painted on the annotated slices", "paint a class on at least one of them"
        )
    if unused:
        notices.append(Notice(message=f"Not learnt, because no slice shows it: {', '.join(unused)}."))
    return classes, notices


def _learn_also(study: Study, settings: FinetuneSettings) -> tuple[FinetuneSettings, list[Notice]]:
    """Settle of which volumes the predictions of an earlier run are learnt from: those that are not measured on."""
    run = study.run(settings.also_from)
    what = f"Cannot learn also from what '{run.id}' predicted"
    measured = {volume.name for volume in choose_volumes(study, settings, WHAT)[1]}
    there = [name for name in study.volumes if run.id in predicted_runs(study, name)]
    found = {name: find_prediction(study, name, run.id) for name in there if name not in measured}
    usable = [name for name, one in found.items() if one.has_uncertainty]
    if not usable:
        why = (
            "it says nowhere how sure it was"
            if found
            else "it has predicted none of the volumes to learn from"
        )
        raise BadInput(what, why, "predict some volumes with it first, with the option 'uncertainty'")
    notices = []
    if len(usable) < len(found):
        names = ", ".join(name for name in found if name not in usable)
        notices.append(Notice(message=f"Predicted without the uncertainty, and not learnt from: {names}."))
    known = {one.value for name in usable for one in found[name].classes}
    new = [one.name for one in settings.label_classes() if one.value not in known]
    if new:
        notices.append(
            Notice(
                message=f"Unknown to '{run.id}': {', '.join(new)}. What it took for background is not learnt from: it may "
                "be that."
            )
        )
    return settings.replace(also_from=run.id, predicted=tuple(usable)), notices


def _changed_classes(study: Study, classes: Sequence[LabelClass]) -> list[Notice]:
    """Say which classes came and went since a run began, whose network cannot change."""
    now = {found.value for found in read_classes(study)}
    gone = [found.name for found in classes if found.value not in now]
    new = [found.name for found in read_classes(study) if found.value not in {c.value for c in classes}]
    notices = []
    if gone:
        notices.append(
            Notice(
                level="warning",
                message=f"Removed since the run began, but still told apart by it: {', '.join(gone)}. "
                "Begin a new run with this one to be rid of it.",
            )
        )
    if new:
        notices.append(
            Notice(
                level="warning",
                message=f"Added since the run began, and unknown to it: {', '.join(new)}. "
                "Begin a new run with this one to learn it.",
            )
        )
    return notices


def _planned(
    study: Study,
    settings: FinetuneSettings,
    painted: Sequence[Painted],
    kept: Sequence[SliceKey],
    notices: list[Notice],
) -> Plan:
    classes = settings.label_classes()
    told_apart = {found.value for found in classes} | {BACKGROUND}
    held = set(kept)
    learnt = [one for one in painted if one.key not in held and one.values & told_apart]
    _check_contrast(classes, learnt)
    measured = [one for one in painted if one.key in held and one.values & told_apart]
    if BACKGROUND not in set().union(*(one.values for one in learnt)):
        notices.append(
            Notice(
                level="warning",
                message="No background is known: every pixel will become one of the classes. "
                "Mark a slice complete, or paint some background.",
            )
        )
    if not measured and settings.held_back:
        notices.append(
            Notice(
                message=f"With {len(learnt)} annotated slices none is held back: the figures are those of training."
            )
        )
    volumes = {v.name: v for v in study.select([one.key.volume for one in [*learnt, *measured]])}
    if settings.pixel_size is None:
        shown = {(one.key.volume, one.key.axis) for one in [*learnt, *measured]}
        along = [SlicesAlong(volumes[name], axis) for name, axis in sorted(shown)]
        pixel = common_pixel([(one.slice_voxel_size, one.unit) for one in along])
        settings = settings.replace(pixel_size=pixel)
    settings = settings.replace(
        learnt=tuple(str(one.key) for one in learnt), kept=tuple(str(one.key) for one in measured)
    )
    return Plan(settings, _of(volumes, learnt), _of(volumes, measured), notices)


def _check_contrast(classes: Sequence[LabelClass], learnt: Sequence[Painted]) -> None:
    """See that there are two things to tell apart."""
    names = {found.value: found.name for found in classes}
    there = set().union(*(one.values for one in learnt)) & {*names, BACKGROUND}
    if len(there) > 1:
        return
    only = f"only '{names[there.pop()]}' is painted" if there - {BACKGROUND} else "no class is painted"
    raise BadInput(
        WHAT,
        f"{only} on the slices to learn from, so there is nothing to tell it from",
        "mark a slice complete, paint some background, or paint a second class",
    )


def _of(volumes: Mapping[str, Volume], slices: Sequence[Painted]) -> list[Volume]:
    names = {one.key.volume for one in slices}
    return [volume for name, volume in volumes.items() if name in names]
