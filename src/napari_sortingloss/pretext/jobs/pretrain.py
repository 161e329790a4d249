"""Pre-trains an encoder on the slices of a study without labels: chooses volumes, opens the run, hands on to the loop.

Imports no torch before the job runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadInput
from napari_sortingloss.events import Event, Notice
from napari_sortingloss.pretext import TASKS, settings_for, task_class
from napari_sortingloss.slices.reader import common_field
from napari_sortingloss.study.exchange.differences import differences
from napari_sortingloss.training import run_task
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, RunWriter, Study, Volume
    from napari_sortingloss.training.computer.pace import Pace

KIND = "pretrain"
"""The kind of run, see `napari_sortingloss.study.Run`."""

RESOLVED = ("volumes", "validate", "field_of_view")
"""What a run settles when it begins: the names that patterns meant, and the scale of its slices."""


def pretrain(
    study: Study,
    settings: TrainSettings | None = None,
    resume: str | None = None,
    changes: Mapping[str, Any] | None = None,
    name: str = "",
) -> Iterator[Event]:
    """Pre-train, or go on with a run: a job.

    Parameters
    ----------
    study : Study
    settings : TrainSettings, optional
        The settings of the task to train, an instance of ``settings_for(task)``. With `resume` those of the run are
        taken, and what is different in `settings` counts as a change.
    resume : str, optional
        The id of a run to go on with from its last checkpoint.
    changes : mapping, optional
        With `resume`: settings to change, of those in `training.session.CHANGEABLE`; more ``steps`` train on.
    name : str
        What a person calls the new run.

    Yields
    ------
    Event
        `StateChanged` with the run's id first; last a `Result` whose value has ``run``, ``state``, ``steps``,
        ``seconds``, ``slices_per_second`` and the last figures, ``metrics`` (training) and ``validation``.

    Raises
    ------
    BadInput
        If no volume is left to train on, the volumes do not fit the task, or the run has no sound checkpoint.
    BadSetting
        If a setting does not fit, or cannot be changed in the middle of a run.
    StudyError
        If a volume or the run does not exist, or another process holds the run.
    """
    if resume is not None:
        yield from _resume(study, study.run(resume), settings, changes or {})
    elif settings is None:
        raise ValueError("a new run needs settings")
    else:
        yield from _begin(study, settings, name)


def choose_volumes(study: Study, settings: TrainSettings) -> tuple[list[Volume], list[Volume]]:
    """Return the volumes to train on and those to validate on; see `training.session.choose_volumes`."""
    return run_task.choose_volumes(study, settings, "Cannot pre-train")


def time_steps(study: Study, settings: TrainSettings) -> Pace:
    """Train a few steps as a run with these settings would, leave nothing of them, and return what they took.

    Raises
    ------
    UserError
        If no run could begin.
    """
    from napari_sortingloss.training.trial import time_steps

    settings, train, validation = _settle(study, settings)
    return time_steps(task_class(settings.task)(settings), study, train, validation)


def _settle(study: Study, settings: TrainSettings) -> tuple[TrainSettings, list[Volume], list[Volume]]:
    """Settle what a new run trains on: the names that patterns mean, and the scale of its slices."""
    train, validation = choose_volumes(study, settings)
    field = settings.field_of_view
    settings = settings.replace(
        volumes=tuple(v.name for v in train),
        validate=tuple(v.name for v in validation),
        field_of_view=common_field(settings.shown([*train, *validation])) if field is None else field,
    )
    task_class(settings.task)(settings).check([*train, *validation])
    return settings, train, validation


def _begin(study: Study, settings: TrainSettings, name: str) -> Iterator[Event]:
    settings, train, validation = _settle(study, settings)
    run_task.check_space(study, settings, train, "Cannot pre-train")
    writer = run_task.new_writer(study, KIND, settings, name)
    yield from _fit(study, settings, writer, train, validation, resume=False)


def _resume(
    study: Study, run: Run, settings: TrainSettings | None, changes: Mapping[str, Any]
) -> Iterator[Event]:
    what = f"Cannot go on with run '{run.id}'"
    if run.kind != KIND or run.task not in TASKS:
        raise BadInput(what, run.problem or f"it is no pre-training but '{run.kind}'", "choose another run")
    before = settings_for(run.task).from_json(run.settings)
    after = run_task.changed_settings(what, before, settings, changes, RESOLVED)
    train = study.select(after.volumes)
    validation = study.select(after.validate) if after.validate else []
    writer = run_task.reopened_writer(run, after)
    yield from _fit(study, after, writer, train, validation, resume=True)


def _fit(
    study: Study,
    settings: TrainSettings,
    writer: RunWriter | None,
    train: Sequence[Volume],
    validation: Sequence[Volume],
    *,
    resume: bool,
) -> Iterator[Event]:
    unlike = differences([*train, *validation])
    notices = [Notice(level="warning", message=sentence) for sentence in unlike]
    task = task_class(settings.task)(settings)
    yield from run_task.train_in_run(task, study, writer, train, validation, resume=resume, notices=notices)
