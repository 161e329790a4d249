"""Pre-trains an encoder on the slices of a study without labels: chooses volumes, opens the run, hands on to the loop.

Imports no torch before the job runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadInput, BadSetting, OutOfSpace, readable_os_errors
from napari_sortingloss.events import Event, Notice
from napari_sortingloss.pretext import TASKS, settings_for, task_class
from napari_sortingloss.slices.reader import common_field
from napari_sortingloss.training.devices import estimate
from napari_sortingloss.training.place import Place
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, RunWriter, Study, Volume

KIND = "pretrain"
"""The kind of run, see `napari_sortingloss.study.Run`."""

CHANGEABLE = (
    "steps",
    "learning_rate",
    "validate_every",
    "checkpoint_every",
    "device",
    "devices",
    "precision",
    "threads",
    "workers",
)
"""What may be another when a run is resumed; anything else would make it another run."""

RESOLVED = ("volumes", "validate", "field_of_view")
"""What a run settles when it begins: the names that patterns meant, and the scale of its slices."""


def pretrain(
    study: Study,
    settings: TrainSettings | None = None,
    resume: str | None = None,
    changes: Mapping[str, Any] | None = None,
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
        With `resume`: settings to change, of those in `CHANGEABLE`; more ``steps`` train on.

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
        yield from _begin(study, settings)


def choose_volumes(study: Study, settings: TrainSettings) -> tuple[list[Volume], list[Volume]]:
    """Return the volumes to train on and those to validate on.

    Parameters
    ----------
    study : Study
    settings : TrainSettings
        ``volumes`` and ``validate`` hold names or patterns. A validation volume is kept out of training unless
        ``volumes`` names it too, in so many letters.

    Raises
    ------
    BadInput
        If none is left to train on, or a volume is named for both.
    StudyError
        If a name or a pattern fits no volume.
    """
    validation = study.select(settings.validate) if settings.validate else []
    kept_out = {volume.name for volume in validation}
    both = sorted(kept_out & set(settings.volumes))
    if both:
        raise BadInput(
            "Cannot choose the volumes",
            f"'{both[0]}' is named both to train on and to validate on",
            "leave it out of one of the two",
        )
    train = [v for v in study.select(settings.volumes or None) if v.name not in kept_out]
    if not train:
        why = "all volumes are kept out for validation" if kept_out else "the study has no volumes"
        todo = "validate on fewer volumes" if kept_out else "add volumes first"
        raise BadInput("Cannot pre-train", why, todo)
    return train, validation


def _begin(study: Study, settings: TrainSettings) -> Iterator[Event]:
    train, validation = choose_volumes(study, settings)
    field = settings.field_of_view
    settings = settings.replace(
        volumes=tuple(v.name for v in train),
        validate=tuple(v.name for v in validation),
        field_of_view=common_field(settings.shown([*train, *validation])) if field is None else field,
    )
    task_class(settings.task)(settings).check([*train, *validation])
    _check_space(study, settings, train)
    writer = (
        study.new_run(KIND, settings.task, settings.to_json()) if Place.of_this_process().rank == 0 else None
    )
    yield from _fit(study, settings, writer, train, validation, resume=False)


def _resume(
    study: Study, run: Run, settings: TrainSettings | None, changes: Mapping[str, Any]
) -> Iterator[Event]:
    what = f"Cannot go on with run '{run.id}'"
    if run.kind != KIND or run.task not in TASKS:
        raise BadInput(what, run.problem or f"it is no pre-training but '{run.kind}'", "choose another run")
    before = settings_for(run.task).from_json(run.settings)
    after = before.replace(**_changes(what, before, settings, changes))
    train = study.select(after.volumes)
    validation = study.select(after.validate) if after.validate else []
    writer = None
    if Place.of_this_process().rank == 0:
        from napari_sortingloss.study import RunWriter

        writer = RunWriter.reopen(run)
        try:
            _rewrite_settings(run, after)
        except BaseException:
            writer.close()
            raise
    yield from _fit(study, after, writer, train, validation, resume=True)


def _changes(
    what: str, before: TrainSettings, settings: TrainSettings | None, changes: Mapping[str, Any]
) -> dict[str, Any]:
    if settings is not None and settings.task != before.task:
        raise BadSetting(
            what, f"it trains '{before.task}', not '{settings.task}'", f"choose the task '{before.task}'"
        )
    wanted = dict(changes)
    if settings is not None:
        given = {f.name: getattr(settings, f.name) for f in settings.fields() if f.name not in RESOLVED}
        if settings.field_of_view is not None:
            given["field_of_view"] = settings.field_of_view
        wanted = given | wanted
    wanted = {name: value for name, value in wanted.items() if value != getattr(before, name)}
    for name, value in wanted.items():
        if name not in CHANGEABLE:
            raise BadSetting(
                what,
                f"its {name.replace('_', ' ')} is {getattr(before, name)!r} and cannot become {value!r} half-way",
                "start a new run for that",
            )
    return wanted


def _rewrite_settings(run: Run, settings: TrainSettings) -> None:
    """Keep the settings that a resumed run goes on with; the caller holds the run."""
    from napari_sortingloss.study.atomic import read_json, write_json
    from napari_sortingloss.study.runs import SETTINGS_FILE

    path = run.path / SETTINGS_FILE
    with readable_os_errors(f"Cannot go on with run '{run.id}'"):
        write_json(path, {**read_json(path), "settings": settings.to_json()})
    run.settings = settings.to_json()  # the study hands the same object to whoever looks at the run


def _check_space(study: Study, settings: TrainSettings, train: Sequence[Volume]) -> None:
    needed = estimate(settings, train).disk_bytes
    free = study.free_bytes()
    if free < needed:
        raise OutOfSpace(
            "Cannot pre-train",
            f"the checkpoints need {needed / 2**20:.0f} MB, but {free / 2**20:.0f} MB are free on the study's disk",
            "free some space, or put the study on another disk",
        )


def _axes_notice(volumes: Sequence[Volume]) -> Notice | None:
    """Warn of volumes ordered along different axes: right only where the files are stored so."""
    named: dict[str, list[str]] = {}
    for volume in volumes:
        named.setdefault(volume.axis, []).append(volume.name)
    if len(named) == 1:
        return None
    parts = [f"{axis} ({len(names)}, e.g. {names[0]})" for axis, names in sorted(named.items())]
    return Notice(
        level="warning",
        message=f"The volumes are ordered along different axes: {', '.join(parts)}. "
        "Right if the same direction of the specimen lies along them; otherwise change the axis in the study.",
    )


def _fit(
    study: Study,
    settings: TrainSettings,
    writer: RunWriter | None,
    train: Sequence[Volume],
    validation: Sequence[Volume],
    *,
    resume: bool,
) -> Iterator[Event]:
    from napari_sortingloss.training.loop import fit

    with ExitStack() as stack:
        if writer is not None:
            stack.enter_context(writer)
        task = task_class(settings.task)(settings)
        events = stack.enter_context(closing(fit(task, study, writer, train, validation, resume=resume)))
        notice = _axes_notice([*train, *validation])
        for event in events:
            yield event
            if notice is not None and writer is not None:
                writer.append(notice)
                yield notice
                notice = None
