"""The demo: the whole job on the sample study, with a report a person can read in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_sortingloss.cli.demo_settings import DemoSettings
from napari_sortingloss.errors import StudyError
from napari_sortingloss.events import Event, Notice, Result

if TYPE_CHECKING:
    from napari_sortingloss.cli.fish_boxes import FishBox
    from napari_sortingloss.study import Study

FOLDER = Path("demo-study")
REPORT = "report.html"

HELD_BACK = ("fish_02", "fish_05")
"""The fish on which the demo measures the pre-training; it never trains on them."""

PAINTED = ("fish_01", "fish_03", "fish_06")
"""The fish of which a few slices are painted; the segmentation is judged on the others."""

TUNING: dict[str, Any] = {
    "network": "deeplabv3plus",
    "decoder_norm": "group",
    "init_weights": "last",
    "size": 160,
    "batch": 8,
    "learning_rate": 2e-3,
    "class_weights": "equal",
    "class_pieces": 0.8,
    "pose": "turned and mirrored",
    "augment": "light",
    "dropout": 0.0,
    "held_back": 0.0,
}
"""How the demo fine-tunes where it does not take the defaults: the organs are small, the slices too few to hold any back, and
the fish lie in their tubes at any angle, one of them the other way round. Chosen by their score on the very fish that the demo
judges, of about thirty settings: its figure flatters."""

AXES: Literal["zyx"] = "zyx"
"""Along which axes the demo predicts: slices across all three were painted."""

MARGIN = 2
"""Voxels that the crops have around the boxes."""


def demo_job(settings: DemoSettings) -> Iterator[Event]:
    """Run the whole path on the sample study, from raw scans to segmented fish, and write the report.

    The fish are generated and added; an encoder is pre-trained on four of them; all are ordered, localised and cropped. A
    few slices of three crops are painted, a network that begins with the encoder is fine-tuned on them, labels all crops
    and is judged on those of the three other fish.

    A sample study that is already there is used again: it keeps its earlier runs, its annotated slices, and its crops,
    which are neither pre-trained on nor cut again. Other volumes in it are left alone.

    Parameters
    ----------
    settings : DemoSettings

    Yields
    ------
    Event
        Those of the jobs it runs; at last a `Result` with ``mean_displacement`` and ``random_displacement`` (over
        batches of the fish kept out of training), ``flipped`` (names), ``directions`` (the same in words, with the fish
        of which the network cannot tell), ``box_error`` (mean distance of the faces of
        the boxes from the exact ones, as a fraction of the volume's side) and ``box_error_held_back`` (of the fish kept
        out of training only), ``removed_fraction`` (mean share of the voxels that the crops leave out), ``boxes``
        (see `FishBox.to_json`), ``slices`` (those that are annotated), ``mean_iou`` and ``mean_dice`` (of the fish of
        which nothing was painted), ``classes`` (the same for each class), ``run``, ``finetune_run``, ``study``,
        ``seconds``, ``report``.

    Raises
    ------
    StudyError
        If the folder holds something else than the sample study, or a fish is missing in it.
    """
    from napari_sortingloss.cli.fish_boxes import fish_boxes, mean_error
    from napari_sortingloss.cli.report import Story, write_report
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.localize.job import localize
    from napari_sortingloss.pretext import settings_for
    from napari_sortingloss.pretext.directions import directions
    from napari_sortingloss.pretext.jobs.order import OrderSettings, order
    from napari_sortingloss.pretext.jobs.pretrain import pretrain

    began = time.monotonic()
    folder = (settings.folder or FOLDER).absolute()
    study = yield from _sample(folder)
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
    flipped = [volume["name"] for volume in ordered["volumes"] if volume["flipped"]]
    painted, tuned, predicted, scores = yield from _segmented(study, settings, run, boxes)
    report = folder / REPORT
    seconds = time.monotonic() - began
    write_report(report, Story(study, trained, ordered, boxes, painted, tuned, predicted, scores, seconds))
    yield Result(
        value={
            "mean_displacement": trained["validation"]["mean_displacement"],
            "random_displacement": trained["validation"]["random_displacement"],
            "flipped": flipped,
            "directions": directions(ordered["volumes"]).said,
            "box_error": mean_error(boxes),
            "box_error_held_back": mean_error(one for one in boxes if one.held_back),
            "removed_fraction": sum(one.removed_fraction for one in boxes) / len(boxes),
            "boxes": [one.to_json() for one in boxes],
            "slices": painted,
            "mean_iou": scores["mean_iou"],
            "mean_dice": scores["mean_dice"],
            "classes": scores["classes"],
            "run": run,
            "finetune_run": tuned["run"],
            "study": str(folder),
            "seconds": seconds,
            "report": str(report),
        }
    )


def _sample(folder: Path) -> Generator[Event, None, Study]:
    """Open the sample study in a folder, or make it."""
    from napari_sortingloss.samples import sample_study
    from napari_sortingloss.study import Study

    if not (folder / "study.json").exists():
        for event in sample_study(folder):
            if not isinstance(event, Result):
                yield event
        return Study.open(folder)
    study = Study.open(folder)
    wrong = ""
    if not {*HELD_BACK, *PAINTED} <= set(study.settings.get("sample", {})):
        wrong = "another study is there"
    else:
        missing = [name for name in study.settings["sample"] if name not in study.volumes]
        wrong = f"{', '.join(missing)} was removed or renamed" if missing else ""
    if wrong:
        raise StudyError(f"Cannot run the demo in '{folder}'", wrong, "name a folder that does not exist yet")
    yield Notice(message=f"Using the sample study in {folder}.")
    return study


def _segmented(
    study: Study, settings: DemoSettings, run: str, boxes: Sequence[FishBox]
) -> Generator[Event, None, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Paint, fine-tune, predict and evaluate; return the slices and the results."""
    from napari_sortingloss.cli.demo_painter import paint
    from napari_sortingloss.segment.evaluate.job import EvaluateSettings, evaluate
    from napari_sortingloss.segment.finetune.job import finetune
    from napari_sortingloss.segment.predict.job import PredictSettings, predict
    from napari_sortingloss.segment.settings import FinetuneSettings

    # Where no fish was found, its whole volume is segmented.
    volumes = {one.name: one.name if one.crop is None else one.crop.name for one in boxes}
    teach = tuple(volumes[name] for name in PAINTED)
    judge = tuple(volume for name, volume in volumes.items() if name not in PAINTED)
    painted = (yield from _result_of(paint(study, teach, settings.slices)))["slices"]
    tuning = FinetuneSettings(
        init=run,
        volumes=teach,
        steps=settings.finetune_steps,
        seed=settings.seed,
        **TUNING,
    )
    tuned = yield from _result_of(finetune(study, tuning))
    prediction = PredictSettings(
        run=tuned["run"], volumes=tuple(volumes.values()), axes=AXES, labels="overlap"
    )
    predicted = yield from _result_of(predict(study, prediction))
    scores = yield from _result_of(evaluate(study, EvaluateSettings(run=tuned["run"], volumes=judge)))
    return painted, tuned, predicted, scores


def _crops(study: Study, run: str, names: Sequence[str]) -> Iterator[Event]:
    """Cut out the fish that were found and of which there is no crop yet."""
    from napari_sortingloss.study.crops.job import CropSettings, crop
    from napari_sortingloss.study.localizations.reading import find_localization

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
