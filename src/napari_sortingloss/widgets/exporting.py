"""Writes something of a volume to files as a job of a stage; says which were written, and asks before others are replaced."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import AlreadyExists
from napari_sortingloss.events import Event

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets.stage import Stage

EXPORT = "export"
"""The kind of the job."""


def export(stage: Stage, study: Study, title: str, to: Path, **how: Any) -> None:
    """Queue an export to a file that a person has just chosen.

    Parameters
    ----------
    stage : Stage
        Whose bar tells how it ended.
    study : Study
    title : str
        Of the job.
    to : Path
        The file dialog has asked whether it may be replaced; whether files beside it may is asked in the bar.
    **how
        Further settings of `ExportSettings`.
    """
    _begin(stage, study, title, {"to": to, "overwrite": to.exists(), **how})


def _begin(stage: Stage, study: Study, title: str, how: Mapping[str, Any]) -> None:
    def make() -> Iterator[Event]:
        from napari_sortingloss.study.exchange.export import ExportSettings, export

        return export(study, ExportSettings(**how))

    stage.bar.begin(EXPORT)
    job = stage.session.jobs.submit(title, make, EXPORT)
    weak = weakref.ref(stage)
    stage.follow(job.signals.failed, partial(_failed, weak, study, title, how))
    stage.follow(job.signals.finished, partial(_finished, weak))


def _failed(
    weak: weakref.ref[Stage], study: Study, title: str, how: Mapping[str, Any], error: BaseException
) -> None:
    stage = weak()
    if stage is None:
        return
    if not isinstance(error, AlreadyExists):
        stage.bar.show_error(error, of=EXPORT)
        return

    def replace() -> None:
        there = weak()
        if there is not None:
            _begin(there, study, title, {**how, "overwrite": True})

    stage.bar.show_error(error, "Replace ▸", replace, of=EXPORT)


def _finished(weak: weakref.ref[Stage], result: Mapping[str, Any]) -> None:
    stage = weak()
    if stage is not None:
        stage.bar.show_message("success", said_written(result), about=str(result.get("volume", "")))


def said_written(result: Mapping[str, Any]) -> str:
    """Say which files an export has written, by its result."""
    paths = [Path(surface["path"]) for surface in result.get("surfaces", ())] or [Path(result["path"])]
    if len(paths) == 1:
        return f"Written to {paths[0]}"
    return f"Written to {paths[0].parent}: {', '.join(path.name for path in paths)}"
