"""The names that people give to runs: kept beside the run, whose id and folder stay; and how a run is found by either."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from napari_sortingloss.disk import atomic
from napari_sortingloss.errors import BadSetting, StudyError, readable_os_errors

RUNS = "runs"
NAME_FILE = "name.json"
LONGEST = 60
RESERVED = ("scratch",)
"""Words that stand for something else where a run may be named."""


class Named(Protocol):
    """Anything that says the id and the name of a run."""

    @property
    def id(self) -> str:
        """The name of its folder."""

    @property
    def name(self) -> str:
        """What a person calls it; empty where it has no name."""


R = TypeVar("R", bound=Named)


def read_name(folder: Path) -> str:
    """Return the name of the run in a folder; empty where it has none, or none that can be read."""
    with suppress(OSError, ValueError):
        return " ".join(str(atomic.read_json(folder / NAME_FILE).get("name", "")).split())
    return ""


def write_name(folder: Path, name: str) -> None:
    """Name the run in a folder, or take its name away where it is empty.

    Raises
    ------
    OutOfSpace, UserError
        If it cannot be written.
    """
    with readable_os_errors(f"Cannot name the run '{folder.name}'"):
        if name:
            atomic.write_json(folder / NAME_FILE, {"name": name})
        else:
            (folder / NAME_FILE).unlink(missing_ok=True)


def checked_name(name: str, others: Sequence[Named]) -> str:
    """Return a name as it is kept, without spaces around it; an empty one is no name.

    Parameters
    ----------
    name : str
    others : sequence of Named
        The other runs of the study.

    Raises
    ------
    BadSetting
        If it is too long, or stands for something else already.
    """
    tidy = " ".join(name.split())
    what, todo = f"Cannot name a run '{tidy}'", "choose another name"
    if len(tidy) > LONGEST:
        raise BadSetting(what[:80], f"it is longer than {LONGEST} characters", "choose a shorter name")
    if not tidy.isprintable():
        raise BadSetting("Cannot use this name for a run", "it holds signs that cannot be shown", todo)
    if tidy.casefold() in RESERVED:
        raise BadSetting(what, "that word stands for fresh weights", todo)
    for other in others:
        if tidy and tidy.casefold() in (other.id.casefold(), other.name.casefold()):
            who = (
                "that is the id of another run"
                if tidy.casefold() == other.id.casefold()
                else f"'{other.id}' has that name"
            )
            raise BadSetting(what, who, todo)
    return tidy


def fitting_runs(study: Path, ids: Sequence[str], wanted: str) -> list[str]:
    """Return which of some runs are meant: by a whole id, by a name, or by the beginning of an id.

    Parameters
    ----------
    study : Path
    ids : sequence of str
    wanted : str
    """
    if not wanted or wanted in ids:
        return [wanted] if wanted else []
    named = [run for run in ids if read_name(study / RUNS / run).casefold() == wanted.casefold()]
    return named or [run for run in ids if run.startswith(wanted)]


def find_run(runs: Sequence[R], wanted: str, study: Path) -> R:
    """Return the one run that is meant, see `fitting_runs`.

    Raises
    ------
    StudyError
        If none or several fit.
    """
    fitting = fitting_runs(study, [run.id for run in runs], wanted)
    if len(fitting) == 1:
        return next(run for run in runs if run.id == fitting[0])
    what = f"Cannot find run '{wanted}' in '{study.name}'"
    listed = [
        run.id + (f" ('{run.name}')" if run.name else "") for run in runs if run.id in fitting or not fitting
    ]
    if not listed:
        raise StudyError(what, "the study has no runs yet", "pre-train first")
    text = ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
    raise StudyError(what, f"{'these fit' if fitting else 'the study has'} {text}", "choose one of these")
