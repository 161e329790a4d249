"""The demo: the whole job on the sample study, with a report a person can read in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from napari_sortingloss.errors import StudyError
from napari_sortingloss.events import Event, Notice, Result
from napari_sortingloss.settings import Setting, Settings

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

FOLDER = Path("demo-study")
REPORT = "report.html"

HELD_BACK = ("fish_02", "fish_05")
"""The fish on which the demo measures; it never trains on them."""

MARGIN = 2
"""Voxels that the crops have around the boxes."""


@dataclass(frozen=True)
class DemoSettings(Settings):
    """What the demo is asked to do.

    Attributes
    ----------
    folder : Path or None
        Where the sample study goes; ``demo-study`` in the current folder when ``None``.
    """

    folder: Annotated[Path | None, Setting(help="Where to put the sample study.", hidden=True)] = None
    steps: Annotated[int, Setting(help="How many batches to train on.", low=1, high=100_000)] = 400
    seed: Annotated[int, Setting(help="The start of all random numbers.", low=0)] = 0


def demo_job(settings: DemoSettings) -> Iterator[Event]:
    """Generate the sample study, pre-train on it, order its slices, find and crop the fish and write the report.

    A sample study that is already there is used again: it keeps its earlier runs, and its crops, which are neither
    trained on nor cut again. Other volumes in it are left alone.

    Parameters
    ----------
    settings : DemoSettings

    Yields
    ------
    Event
        Those of the jobs it runs; at last a `Result` with ``mean_displacement`` and ``random_displacement`` (over
        batches of the fish kept out of training), ``flipped`` (names), ``box_error`` (mean distance of the faces of
        the boxes from the exact ones, as a fraction of the volume's side) and ``box_error_held_back`` (of the fish kept
        out of training only), ``removed_fraction`` (mean share of the voxels that the crops leave out), ``boxes``
        (see `FishBox.to_json`), ``run``, ``study``, ``seconds``, ``report``.

    Raises
    ------
    StudyError
        If the folder holds something else than the sample study, or a fish is missing in it.
    """
    from napari_sortingloss.cli.fish_boxes import fish_boxes, mean_error
    from napari_sortingloss.cli.report import write_report
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.localize.job import localize
    from napari_sortingloss.pretext import settings_for
    from napari_sortingloss.pretext.order import OrderSettings, order
    from napari_sortingloss.pretext.pretrain import pretrain
    from napari_sortingloss.samples import sample_study
    from napari_sortingloss.study import Study

    began = time.monotonic()
    folder = (settings.folder or FOLDER).absolute()
    if (folder / "study.json").exists():
        study = Study.open(folder)
        if not set(HELD_BACK) <= set(study.settings.get("sample", {})):
            raise StudyError(
                f"Cannot run the demo in '{folder}'",
                "another study is there",
                "name a folder that does not exist yet",
            )
        missing = [name for name in study.settings["sample"] if name not in study.volumes]
        if missing:
            raise StudyError(
                f"Cannot run the demo in '{folder}'",
                f"{', '.join(missing)} was removed or renamed",
                "name a folder that does not exist yet",
            )
        yield Notice(message=f"Using the sample study in {folder}.")
    else:
        for event in sample_study(folder):
            if not isinstance(event, Result):
                yield event
        study = Study.open(folder)

    fish = tuple(study.settings["sample"])
    task = settings_for("sorting")(
        steps=settings.steps,
        seed=settings.seed,
        volumes=tuple(name for name in fish if name not in HELD_BACK),
        validate=HELD_BACK,
    )
    trained = yield from _result_of(pretrain(study, task))
    run = trained["run"]
    ordered = yield from _result_of(order(study, OrderSettings(run=run, volumes=fish)))
    yield from _result_of(localize(study, LocalizeSettings(run=run, volumes=fish)))
    yield from _crops(study, run, fish)
    boxes = fish_boxes(study, run, fish, HELD_BACK)
    report = folder / REPORT
    seconds = time.monotonic() - began
    write_report(report, study, trained, ordered, boxes, seconds)
    yield Result(
        value={
            "mean_displacement": trained["validation"]["mean_displacement"],
            "random_displacement": trained["validation"]["random_displacement"],
            "flipped": [volume["name"] for volume in ordered["volumes"] if volume["flipped"]],
            "box_error": mean_error(boxes),
            "box_error_held_back": mean_error(one for one in boxes if one.held_back),
            "removed_fraction": sum(one.removed_fraction for one in boxes) / len(boxes),
            "boxes": [one.to_json() for one in boxes],
            "run": run,
            "study": str(folder),
            "seconds": seconds,
            "report": str(report),
        }
    )


def _crops(study: Study, run: str, names: Sequence[str]) -> Iterator[Event]:
    """Cut out the fish that were found and of which there is no crop yet."""
    from napari_sortingloss.study.crop import CropSettings, crop
    from napari_sortingloss.study.localizations import find_localization

    cut = {record.parent for record in study.volumes.values()}
    found = [name for name in names if not find_localization(study, name, run).is_empty]
    wanted = tuple(name for name in found if name not in cut)
    if len(wanted) < len(found):
        kept = ", ".join(name for name in found if name in cut)
        yield Notice(message=f"The crops of {kept} from before stay.")
    if wanted:
        yield from _result_of(crop(study, CropSettings(volumes=wanted, margin=MARGIN, run=run)))


def _result_of(job: Iterator[Event]) -> Generator[Event, None, dict[str, Any]]:
    """Pass on the events of a job and return its result."""
    found: dict[str, Any] = {}
    for event in job:
        if isinstance(event, Result):
            found = dict(event.value)
        else:
            yield event
    return found


def show_in_napari(folder: Path) -> bool:
    """Open napari on a study in a process of its own, where there is a display and napari is installed.

    Returns
    -------
    bool
        Whether a window was asked for.
    """
    from importlib.util import find_spec

    headless = sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if headless or find_spec("napari") is None:
        return False
    subprocess.Popen(
        [sys.executable, "-m", "napari_sortingloss.widgets.open_study", str(folder)],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return True
