"""The demo: the whole job on the sample study, with a report a person can read in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from napari_sortingloss.errors import StudyError
from napari_sortingloss.events import Event, Notice, Result
from napari_sortingloss.settings import Setting, Settings

FOLDER = Path("demo-study")
REPORT = "report.html"

HELD_BACK = ("fish_02", "fish_05")
"""The fish on which the demo measures; it never trains on them."""


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
    """Generate the sample study, pre-train on it, order its slices and write the report.

    A sample study that is already there is used again; it keeps its earlier runs.

    Parameters
    ----------
    settings : DemoSettings

    Yields
    ------
    Event
        Those of the jobs it runs; at last a `Result` with ``mean_displacement`` and ``random_displacement`` (over
        batches of the fish kept out of training), ``flipped`` (names), ``run``, ``study``, ``seconds``, ``report``.

    Raises
    ------
    StudyError
        If the folder holds something else than the sample study.
    """
    from napari_sortingloss.cli.report import write_report
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
        yield Notice(message=f"Using the sample study in {folder}.")
    else:
        for event in sample_study(folder):
            if not isinstance(event, Result):
                yield event
        study = Study.open(folder)

    task = settings_for("sorting")(steps=settings.steps, seed=settings.seed, validate=HELD_BACK)
    trained = yield from _result_of(pretrain(study, task))
    ordered = yield from _result_of(order(study, OrderSettings(run=trained["run"])))
    report = folder / REPORT
    seconds = time.monotonic() - began
    write_report(report, study, trained, ordered, seconds)
    yield Result(
        value={
            "mean_displacement": trained["validation"]["mean_displacement"],
            "random_displacement": trained["validation"]["random_displacement"],
            "flipped": [volume["name"] for volume in ordered["volumes"] if volume["flipped"]],
            "run": trained["run"],
            "study": str(folder),
            "seconds": seconds,
            "report": str(report),
        }
    )


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
