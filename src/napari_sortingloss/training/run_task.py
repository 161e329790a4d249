"""What every training job does around the loop: choose volumes, check the disk, change a resumed run's settings, train.

Imports no torch before the loop runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, TypeVar

from napari_sortingloss.errors import BadInput, BadSetting, OutOfSpace, readable_os_errors
from napari_sortingloss.events import Event, Notice
from napari_sortingloss.training.computer.estimate import estimate
from napari_sortingloss.training.computer.place import Place
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, RunWriter, Study, Volume
    from napari_sortingloss.training.task import PretextTask

S = TypeVar("S", bound=TrainSettings)

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


def choose_volumes(study: Study, settings: TrainSettings, what: str) -> tuple[list[Volume], list[Volume]]:
    """Return the volumes to train on and those to validate on.

    Parameters
    ----------
    study : Study
    settings : TrainSettings
        ``volumes`` and ``validate`` hold names or patterns. A validation volume is kept out of training unless
        ``volumes`` names it too, in so many letters.
    what : str
        What cannot be done otherwise, e.g. ``"Cannot pre-train"``.

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
        raise BadInput(what, why, todo)
    return train, validation


def check_space(study: Study, settings: TrainSettings, train: Sequence[Volume], what: str) -> None:
    """See that the checkpoints will fit on the study's disk.

    Raises
    ------
    OutOfSpace
        If they will not.
    """
    needed = estimate(settings, train).disk_bytes
    free = study.free_bytes()
    if free < needed:
        raise OutOfSpace(
            what,
            f"the checkpoints need {needed / 2**20:.0f} MB, but {free / 2**20:.0f} MB are free on the study's disk",
            "free some space, or put the study on another disk",
        )


def changed_settings(
    what: str,
    before: S,
    settings: TrainSettings | None,
    changes: Mapping[str, Any],
    resolved: Sequence[str],
) -> S:
    """Return the settings that a run goes on with.

    Parameters
    ----------
    what : str
        What cannot be done otherwise.
    before : TrainSettings
        Those of the run.
    settings : TrainSettings or None
        Those given now; what is different counts as a change.
    changes : mapping
        Settings to change, which go before `settings`.
    resolved : sequence of str
        What the run settled when it began, and `settings` need not know.

    Raises
    ------
    BadSetting
        If something else than `CHANGEABLE` changes.
    """
    if settings is not None and settings.task != before.task:
        raise BadSetting(
            what, f"it trains '{before.task}', not '{settings.task}'", f"choose the task '{before.task}'"
        )
    wanted = dict(changes)
    if settings is not None:
        wanted = {f.name: getattr(settings, f.name) for f in settings.fields()} | wanted
        for name in resolved:  # left open in the settings given now: as the run settled it
            given = getattr(settings, name)
            if name not in changes and (given is None or isinstance(given, tuple)):
                del wanted[name]
    wanted = {name: value for name, value in wanted.items() if value != getattr(before, name)}
    for name, value in wanted.items():
        if name not in CHANGEABLE:
            raise BadSetting(
                what,
                f"its {name.replace('_', ' ')} is {getattr(before, name)!r} and cannot become {value!r} half-way",
                "start a new run for that",
            )
    return before.replace(**wanted)


def new_writer(study: Study, kind: str, settings: TrainSettings, name: str = "") -> RunWriter | None:
    """Begin a run, with the name that a person gave it; None in every process but the first."""
    if Place.of_this_process().rank > 0:
        return None
    return study.new_run(kind, settings.task, settings.to_json(), name)


def reopened_writer(run: Run, settings: TrainSettings) -> RunWriter | None:
    """Hold a run again and keep the settings that it goes on with; None in every process but the first.

    Raises
    ------
    BadSetting
        If it has done all the steps that are asked for; what it was given stays then.
    StudyError
        If the run is damaged or held by someone else.
    OutOfSpace, UserError
        If it cannot be written.
    """
    from napari_sortingloss.study import RunWriter

    if Place.of_this_process().rank > 0:
        return None
    done = int(run.summary()["step"]) if run.state() in ("finished", "stopped") else 0
    writer = RunWriter.reopen(run)
    try:
        if 0 < settings.steps <= done:
            from napari_sortingloss.training.failures import all_steps_done

            raise all_steps_done(run.id, done)
        _rewrite_settings(run, settings)
    except BaseException:
        writer.close()
        raise
    return writer


def _rewrite_settings(run: Run, settings: TrainSettings) -> None:
    from napari_sortingloss.disk.atomic import read_json, write_json
    from napari_sortingloss.study.runs.run import SETTINGS_FILE

    path = run.path / SETTINGS_FILE
    with readable_os_errors(f"Cannot go on with run '{run.id}'"):
        write_json(path, {**read_json(path), "settings": settings.to_json()})
    run.settings = settings.to_json()  # the study hands the same object to whoever looks at the run


def train_in_run(
    task: PretextTask[Any],
    study: Study,
    writer: RunWriter | None,
    train: Sequence[Volume],
    validation: Sequence[Volume],
    *,
    resume: bool,
    notices: Sequence[Notice] = (),
) -> Iterator[Event]:
    """Let the loop train, and say `notices` once the run has begun; holds the run until the end."""
    from napari_sortingloss.training.loop.loop import fit

    with ExitStack() as stack:
        if writer is not None:
            stack.enter_context(writer)
        events = stack.enter_context(closing(fit(task, study, writer, train, validation, resume=resume)))
        left = list(notices)
        for event in events:
            yield event
            while left and writer is not None:
                notice = left.pop(0)
                writer.append(notice)
                yield notice
