"""What each command does: open the study, run the job, say the result. The options are described in `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sortingloss.cli import summaries
from napari_sortingloss.cli.console import BAD_INPUT, DONE, drive, report
from napari_sortingloss.cli.contents import contents
from napari_sortingloss.cli.demo import demo_job, show_in_napari
from napari_sortingloss.cli.demo_settings import DemoSettings
from napari_sortingloss.cli.options import as_tuples
from napari_sortingloss.errors import BadInput
from napari_sortingloss.pretext import TASKS, settings_for
from napari_sortingloss.pretext.jobs.order import OrderSettings
from napari_sortingloss.pretext.jobs.order import order as order_job
from napari_sortingloss.study import Study
from napari_sortingloss.study.crops.settings import CropSettings
from napari_sortingloss.study.exchange.add_settings import AddSettings
from napari_sortingloss.study.exchange.export import ExportSettings


def demo(study: Path | None = None, /, *, gui: bool = True, json: bool = False, **values: Any) -> int:
    """Run the demo and open napari on its study."""
    result = drive(demo_job(DemoSettings(folder=study, **values)), as_json=json, summary=summaries.demo)
    if gui and not json:
        show_in_napari(Path(result["study"]))
    return DONE


def new(study: Path, /, *, json: bool = False) -> int:
    """Make an empty study."""
    made = Study.create(study)
    report({"study": str(made.path)}, as_json=json, summary=summaries.new)
    return DONE


def add(study: Path, /, *paths: Path, json: bool = False, **values: Any) -> int:
    """Import volumes; bad input if any file could not be read."""
    from napari_sortingloss.study.exchange.add import add as job

    if not paths:
        raise BadInput("Cannot add volumes", "no file was named", "name at least one file or folder")
    settings = AddSettings(**as_tuples(values), paths=tuple(paths))
    result = drive(job(Study.open(study), settings), as_json=json, summary=summaries.add)
    return BAD_INPUT if result.get("failed") else DONE


def show(study: Path, /, *, json: bool = False) -> int:
    """Say what is in a study."""
    report(contents(Study.open(study)), as_json=json, summary=summaries.listing)
    return DONE


def pretrain(
    study: Path,
    /,
    *,
    task: str | None = None,
    resume: str | None = None,
    name: str = "",
    json: bool = False,
    **values: Any,
) -> int:
    """Train a new run, or go on with one."""
    from napari_sortingloss.pretext.jobs.pretrain import pretrain as job

    given = as_tuples(values)
    if resume is None:
        events = job(Study.open(study), settings_for(task or next(iter(TASKS)))(**given), name=name)
    else:
        events = job(Study.open(study), resume=resume, changes=given)
    drive(events, as_json=json, summary=summaries.pretrain)
    return DONE


def order(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Order the slices of volumes."""
    settings = OrderSettings(**as_tuples(values))
    drive(order_job(Study.open(study), settings), as_json=json, summary=summaries.order)
    return DONE


def localize(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Find the specimens; bad input if any volume could not be localised."""
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.localize.job import localize as job

    settings = LocalizeSettings(**as_tuples(values))
    result = drive(job(Study.open(study), settings), as_json=json, summary=summaries.localize)
    return BAD_INPUT if result.get("failed") else DONE


def crop(study: Path, /, *volumes: str, json: bool = False, **values: Any) -> int:
    """Cut volumes to their boxes; bad input if any could not be cut."""
    from napari_sortingloss.study.crops.job import crop as job

    settings = CropSettings(**as_tuples(values), volumes=volumes)
    result = drive(job(Study.open(study), settings), as_json=json, summary=summaries.crop)
    return BAD_INPUT if result.get("failed") else DONE


def export(study: Path, volume: str, /, *, json: bool = False, **values: Any) -> int:
    """Write a volume, or a part or a map of it, to a file."""
    from napari_sortingloss.study.exchange.export import export as job

    settings = ExportSettings(**as_tuples(values), volume=volume)
    drive(job(Study.open(study), settings), as_json=json, summary=summaries.export)
    return DONE
