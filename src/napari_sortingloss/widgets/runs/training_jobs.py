"""What the Pre-train stage does: starts, steers and orders runs; all off the GUI thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_sortingloss.events import Event
from napari_sortingloss.pretext import TASKS
from napari_sortingloss.settings import Settings
from napari_sortingloss.widgets.toolkit.gentle_import import import_gently

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.training.settings import TrainSettings

Command = Literal["pause", "resume", "stop"]

LOGS = ".logs"
"""Where a process of its own says what it says, inside the study folder."""


def train_job(study: Study, settings: Settings, name: str = "") -> Callable[[], Iterator[Event]]:
    """Return what makes the job of a new run in a thread of napari, which leaves one core to the viewer."""

    def make() -> Iterator[Event]:
        _load(getattr(settings, "task", ""))
        from napari_sortingloss.pretext.jobs.pretrain import pretrain

        return pretrain(study, leave_a_core(settings), name=name)  # type: ignore[arg-type]

    return make


def resume_job(study: Study, run: str, steps: int) -> Callable[[], Iterator[Event]]:
    """Return what makes the job that goes on with a run up to `steps` steps."""

    def make() -> Iterator[Event]:
        _load(study.run(run).task)
        from napari_sortingloss.pretext.jobs.pretrain import pretrain
        from napari_sortingloss.training.computer.devices import usable_cores

        return pretrain(study, resume=run, changes={"threads": max(1, usable_cores() - 1), "steps": steps})

    return make


def resume_line(study: Path, run: str, steps: int, command: str = "pretrain") -> list[str]:
    """Return the command that does the same in a process of its own, on all cores."""
    return [command, str(study), "--resume", run, "--steps", str(steps), "--threads", "0"]


def order_job(study: Study, run: str, volumes: tuple[str, ...] = ()) -> Callable[[], Iterator[Event]]:
    """Return what makes the job that orders the slices of volumes (all when none is named)."""

    def make() -> Iterator[Event]:
        import_gently("napari_sortingloss.pretext.sorting.scoring")
        from napari_sortingloss.pretext.jobs.order import OrderSettings, order
        from napari_sortingloss.training.computer.devices import usable_cores

        return order(study, OrderSettings(run=run, volumes=volumes, threads=max(1, usable_cores() - 1)))

    return make


def _load(task: str) -> None:
    """Load what a run of a task needs, in the thread of the job; an unknown task is the job's to complain of."""
    modules = ["napari_sortingloss.training.loop.loop"]
    if task in TASKS:
        modules.append(TASKS[task].task.partition(":")[0])
    import_gently(*modules)


def leave_a_core(settings: Settings) -> Settings:
    """Return settings that compute on all cores but one, unless a number of threads was chosen."""
    from napari_sortingloss.training.computer.devices import usable_cores

    threads = getattr(settings, "threads", None)
    return settings.replace(threads=max(1, usable_cores() - 1)) if threads == 0 else settings


def command_line(study: Path, settings: TrainSettings) -> list[str]:
    """Return the command that pre-trains with these settings, as the command line takes it."""
    return ["pretrain", str(study), "--task", settings.task, *options(settings)]


def options(settings: Settings) -> list[str]:
    """Return settings as options of the command line; fields that have their default are left out."""
    arguments: list[str] = []
    for field in settings.fields():
        value = getattr(settings, field.name)
        if value == field.default or (value is None and field.default is dataclasses.MISSING):
            continue
        option = "--" + field.name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(option if value else "--no-" + option[2:])
        elif isinstance(value, tuple):
            arguments += [option, *map(str, value)] if value else []
        else:
            arguments += [option, str(value)]
    return arguments


def log_file(study: Path, command: str = "pretrain") -> Path:
    """Return a new log file for a process of its own."""
    return study / LOGS / f"{command}-{datetime.now():%y%m%d-%H%M%S}.log"


def steer(study: Study, run: str, command: Command) -> None:
    """Ask whoever trains a run to pause, go on or stop. Not for the GUI thread."""
    study.run(run).request(command)


def applying_order(study: Study, run: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the entries of a run's order that are still true of the volumes. Not for the GUI thread."""
    from napari_sortingloss.pretext.jobs.order import read_order

    document = read_order(study.run(run))
    if document is None:
        return {}
    records = study.volumes
    return {
        name: entry
        for name, entry in document["volumes"].items()
        if name in records
        and (records[name].axis, records[name].direction) == (entry["axis"], entry["direction"])
    }


def turn_round(study: Study, name: str) -> None:
    """Flip the direction of a volume; no voxel is copied. Not for the GUI thread."""
    direction = "-" if study.volumes[name].direction == "+" else "+"
    study.update_volume(name, direction=direction)  # type: ignore[arg-type]
