"""Fine-tunes a network on the annotated slices of a study: settles what is learnt, opens the run, hands on to the loop.

Imports no torch before the job runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadInput
from napari_sortingloss.events import Event, Notice
from napari_sortingloss.segment.finetune.initial_weights import KIND, class_notice, settle_beginning
from napari_sortingloss.segment.finetune.plan import WHAT, Plan, plan_again, plan_run
from napari_sortingloss.segment.settings import SCRATCH, FinetuneSettings
from napari_sortingloss.training import run_task

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, RunWriter, Study
    from napari_sortingloss.training.computer.pace import Pace

__all__ = ["KIND", "finetune"]

RESOLVED = ("volumes", "validate", "pixel_size", "classes", "learnt", "kept", "predicted")
"""What a run settles when it begins, and settings given to go on with it need not repeat."""


def finetune(
    study: Study,
    settings: FinetuneSettings | None = None,
    resume: str | None = None,
    changes: Mapping[str, Any] | None = None,
    name: str = "",
) -> Iterator[Event]:
    """Fine-tune, or go on with a run: a job.

    Parameters
    ----------
    study : Study
    settings : FinetuneSettings, optional
        With `resume` those of the run are taken, and what is different in `settings` counts as a change.
    resume : str, optional
        The id of a run to go on with from its last checkpoint, on the annotations as they are now.
    changes : mapping, optional
        With `resume`: settings to change, of those in `training.session.CHANGEABLE`; more ``steps`` train on.
    name : str
        What a person calls the new run.

    Yields
    ------
    Event
        `StateChanged` with the run's id first; `Preview` whenever ``preview.npz`` in the run's folder shows something
        new; last a `Result` whose value has ``run``, ``state``, ``steps``, ``seconds``, ``slices_per_second``, the last
        figures, ``metrics`` (training) and ``validation`` (slices held back), and ``classes``.

    Raises
    ------
    BadInput
        If no slice is annotated, there is nothing to tell apart, or the run to begin or go on with has no sound weights.
    BadSetting
        If a setting does not fit, or cannot be changed in the middle of a run.
    StudyError
        If a volume or a run does not exist, annotations are damaged, or another process holds the run.
    """
    if resume is not None:
        yield from _resume(study, study.run(resume), settings, changes or {})
    else:
        yield from _begin(study, settings or FinetuneSettings(), name)


def time_steps(study: Study, settings: FinetuneSettings) -> Pace:
    """Train a few steps as a run with these settings would, leave nothing of them, and return what they took.

    Raises
    ------
    UserError
        If no run could begin.
    """
    from napari_sortingloss.segment.finetune.task import SegmentationTask
    from napari_sortingloss.training.trial import time_steps

    settings, earlier, _ = settle_beginning(study, settings)
    plan = plan_run(study, settings, earlier)
    task = SegmentationTask(plan.settings)
    task.check(plan.train)
    return time_steps(task, study, plan.train, plan.validation)


def _begin(study: Study, settings: FinetuneSettings, name: str) -> Iterator[Event]:
    settings, earlier, notices = settle_beginning(study, settings)
    plan = plan_run(study, settings, earlier)
    _check_predicted(study, plan)
    notices += class_notice(plan.settings, earlier)
    if settings.freeze and settings.init == SCRATCH:
        notices.append(Notice(message="Nothing is frozen: a run from scratch takes nothing over."))
    run_task.check_space(study, plan.settings, plan.train, WHAT)
    writer = run_task.new_writer(study, KIND, plan.settings, name)
    yield from _train(study, plan, writer, notices, resume=False)


def _check_predicted(study: Study, plan: Plan) -> None:
    """See that predictions that are learnt from show a class, before there is a run that could not begin.

    Raises
    ------
    BadInput
        If they do not.
    """
    from napari_sortingloss.segment.finetune.predicted_slices import slices_also_learnt

    slices_also_learnt(study, plan.settings)


def _resume(
    study: Study, run: Run, settings: FinetuneSettings | None, changes: Mapping[str, Any]
) -> Iterator[Event]:
    what = f"Cannot go on with run '{run.id}'"
    if run.kind != KIND:
        raise BadInput(what, run.problem or f"it is no fine-tuning but '{run.kind}'", "choose another run")
    before = FinetuneSettings.from_json(run.settings)
    if settings is not None:  # what it began with was settled then
        settings = settings.replace(
            init=before.init, take=before.take, encoder=before.encoder, also_from=before.also_from
        )
    after = run_task.changed_settings(what, before, settings, changes, RESOLVED)
    plan = plan_again(study, after)
    writer = run_task.reopened_writer(run, plan.settings)
    yield from _train(study, plan, writer, [], resume=True)


def _train(
    study: Study, plan: Plan, writer: RunWriter | None, notices: list[Notice], *, resume: bool
) -> Iterator[Event]:
    from napari_sortingloss.segment.finetune.task import SegmentationTask

    task = SegmentationTask(plan.settings)
    task.check(plan.train)
    yield from run_task.train_in_run(
        task, study, writer, plan.train, plan.validation, resume=resume, notices=[*notices, *plan.notices]
    )
