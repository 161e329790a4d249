"""Writes the demo's report: one HTML file with pictures, curves and tables, readable without anything else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss import __version__
from napari_sortingloss.cli.console import time_text
from napari_sortingloss.cli.fish_boxes import FishBox, mean_error
from napari_sortingloss.cli.fish_pictures import png
from napari_sortingloss.cli.report_fish import percent, where_is_the_fish
from napari_sortingloss.cli.report_painted import fine_tuning, painted_slices
from napari_sortingloss.cli.report_parts import Log, chapter, figures, lines, names, picture
from napari_sortingloss.cli.report_result import Scene, hero, result
from napari_sortingloss.cli.report_style import SCRIPT, STYLE
from napari_sortingloss.cli.svg import BLUE, ORANGE, Line, plot
from napari_sortingloss.pretext.directions import directions, word

if TYPE_CHECKING:
    from napari_sortingloss.study import Axis, Run, Study, Volume
    from napari_sortingloss.study.classes import LabelClass

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Story:
    """What the demo did, step by step, as the results of its jobs.

    Attributes
    ----------
    study : Study
    trained, ordered : mapping
        The results of ``pretrain`` and ``order``.
    fish : sequence of FishBox
        What was found of each fish and cut.
    painted : sequence of mapping
        ``{"volume", "index"}`` of each annotated slice.
    tuned, predicted, scores : mapping
        The results of ``finetune``, ``predict`` and ``evaluate``.
    seconds : float
        What the demo took.
    """

    study: Study
    trained: Result
    ordered: Result
    fish: Sequence[FishBox]
    painted: Sequence[Result]
    tuned: Result
    predicted: Result
    scores: Result
    seconds: float

    @cached_property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes of the study."""
        from napari_sortingloss.study.classes import read_classes

        return read_classes(self.study)

    @cached_property
    def scenes(self) -> list[Scene]:
        """The fish on which the segmentation is judged."""
        run = self.tuned["run"]
        return [Scene.of(self.study, one["name"], run) for one in self.scores["volumes"]]


def write_report(path: Path, story: Story) -> None:
    """Write the report of a demo.

    Parameters
    ----------
    path : Path
        The HTML file; replaced at once when the new one is complete.
    story : Story
    """
    from napari_sortingloss.disk.atomic import write_bytes

    study, fish = story.study, story.fish
    run, tuned = study.run(story.trained["run"]), study.run(story.tuned["run"])
    held_back = [one.name for one in fish if one.held_back]
    judged = {scene.name for scene in story.scenes}
    chapters = (
        ("specimens", "Six scans", _specimens(study, fish)),
        ("training", "Learning anatomy without labels", _training(run, story.trained)),
        ("order", "The order of every slice", _order(run, story.ordered)),
        ("fish", "Where is the fish?", where_is_the_fish(study, fish)),
        ("painted", "A handful of painted slices", painted_slices(study, story.painted, story.classes)),
        (
            "tuning",
            "From slices to a segmentation",
            fine_tuning(tuned, story.tuned, story.classes, init=run.id),
        ),
        (
            "result",
            "Fish that nobody painted",
            result(
                story.scenes,
                story.scores,
                story.predicted,
                story.classes,
                never_seen=[name for name in held_back if name in judged],
                whole_fish=all(one.is_whole for one in fish if one.name in judged),
            ),
        ),
        ("next", "What to try next", _end(story, [run, tuned])),
    )
    contents = "".join(
        f'<a href="#{key}">{i} {escape(title)}</a>' for i, (key, title, _) in enumerate(chapters, 1)
    )
    body = "".join(chapter(i, key, title, text) for i, (key, title, text) in enumerate(chapters, 1))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>SortingLoss demo</title>'
        f"<style>{STYLE}</style></head><body>{_head(story)}<nav>{contents}</nav>{body}<script>{SCRIPT}</script></body></html>"
    )
    write_bytes(path, page.encode())


def _head(story: Story) -> str:
    validation = story.trained["validation"]
    ways = directions(story.ordered["volumes"])
    said = [
        (
            f"{story.scores['mean_iou']:.2f}",
            f"mean IoU of {len(story.classes)} organs on {len(story.scenes)} fish of which nothing was painted",
        ),
        (f"{len(story.painted)} slices", "were painted, in three other fish"),
        (
            f"{validation['mean_displacement']:.2f} slices",
            f"mean displacement on unseen fish; random order: {validation['random_displacement']:.2f}",
        ),
        (
            ", ".join(ways.flipped) or ("none so far" if ways.untold else "none"),
            "found to be stored upside down" + (f"; {ways.warning}" if ways.untold else ""),
        ),
        (
            percent(mean_error(story.fish), 1),
            "of the side: mean error of the boxes around the fish; cropping removes "
            f"{percent(float(np.mean([one.removed_fraction for one in story.fish])))} of the voxels",
        ),
        (time_text(story.seconds), "for everything on this page, on this computer"),
    ]
    return (
        "<h1>From raw scans to organs in colour</h1>"
        '<p class="lead">Six phantom fish as micro-CT would show them. A network was shown shuffled slices and learned to put '
        "them back into order; to do so it had to learn what a head, a swim bladder and a tail look like. That told which "
        f"scan was stored upside down and where in its volume each fish is. Then {len(story.painted)} slices were painted, and "
        "the same network, trained on, coloured every slice of every fish. Here is what it says of the fish that it never saw "
        f"painted:</p>{hero(story.scenes, story.classes)}{figures(said)}"
    )


def _specimens(study: Study, fish: Sequence[FishBox]) -> str:
    shown = []
    for one in fish:
        volume = study.volume(one.name)
        shown.append(
            picture(png(_sagittal(volume)), f"{one.name} · {' x '.join(map(str, volume.shape))} voxels")
        )
    return (
        "<p>One sagittal section of each, head at the top unless the scan was stored upside "
        "down. The bright lines are the walls of the sample tube, brighter than tissue: no threshold separates "
        f'the two.</p><div class="row">{"".join(shown)}</div>'
    )


def _training(run: Run, trained: Mapping[str, Any]) -> str:
    log = Log.of(run)
    random = trained["metrics"]["random_displacement"]
    curves = [
        plot(
            lines(log.train.get("loss", []), log.validation.get("loss", [])),
            title="Loss",
            x_label="step",
            y_label="margin ranking loss",
        ),
        plot(
            lines(log.train.get("mean_displacement", []), log.validation.get("mean_displacement", [])),
            title="Mean displacement",
            x_label="step",
            y_label="slices",
            level=(random, f"random order: {random:.2f}"),
        ),
    ]
    strip = ""
    snapshot = log.snapshot
    if snapshot is not None and (run.path / snapshot.picture).exists():
        picture = base64.b64encode((run.path / snapshot.picture).read_bytes()).decode()
        strip = (
            f"<p>A batch near the end, in the order the network believes ({escape(snapshot.title)}):</p>"
            f'<img alt="slices in predicted order" src="data:image/png;base64,{picture}">'
        )
    return (
        f"<p>Nobody told the network anything about fish. It was given 16 slices of one fish in random order and had to put "
        f"them back, {trained['steps']} times, which took {time_text(trained['seconds'])}. The mean displacement says by how many places a slice of a shuffled batch of 16 ends "
        "up away from where it belongs. The validation fish were never trained on.</p>"
        f'<div class="row">{"".join(curves)}</div>{strip}'
    )


def _order(run: Run, ordered: Mapping[str, Any]) -> str:
    from napari_sortingloss.pretext.jobs.order import read_order

    rows = "".join(
        f"<tr><td>{escape(v['name'])}</td><td class=n>{v['mean_displacement']:.1f}</td>"
        f"<td class=n>{v['random_displacement']:.1f}</td><td class=n>{v['spearman']:+.2f}</td>"
        f"<td>{'⚠ upside down' if v['flipped'] else word(v)}</td></tr>"
        for v in ordered["volumes"]
    )
    plots = []
    for name, volume in (read_order(run) or {"volumes": {}})["volumes"].items():
        colour = ORANGE if volume["flipped"] else BLUE
        plots.append(
            plot(
                [Line("", volume["positions"], volume["predicted"], colour, dots=True)],
                title=name,
                x_label="true position (slice)",
                y_label="predicted position",
                size=(300, 240),
            )
        )
    return (
        "<p>Each dot is a slice. A diagonal means the network knows where in the "
        "body it is; a falling one means that the volume was stored the other way round.</p>"
        f'<div class="row">{"".join(plots)}</div>'
        "<table><tr><th>volume</th><th class=n>mean displacement (slices)</th><th class=n>random</th>"
        f"<th class=n>Spearman</th><th></th></tr>{rows}</table>"
    )


def _end(story: Story, runs: Sequence[Run]) -> str:
    study, tuned = story.study, runs[-1]
    folder = escape(str(study.path))
    scene = story.scenes[0].record.name
    settings = "".join(
        f"<details><summary>Settings of {escape(run.id)}</summary><pre>{escape(json.dumps(run.settings, indent=1))}</pre></details>"
        for run in runs
    )
    weakest = sorted(
        (values["iou"], name)
        for name, values in story.scores["classes"].items()
        if values["iou"] is not None and values["iou"] == values["iou"]
    )[:2]
    weak = names([name for _, name in weakest])
    return (
        f"<ul><li><b>Paint a little more where it is weak</b>, here {escape(weak)}: the program says which slices would help "
        "most, and why.</li><li><b>Train for longer</b>, if the curves above still rise, and look at each slice in every pose "
        "(<code>--every-pose</code>): eight times the time, for a little more.</li><li><b>Correct and train on</b>: take a predicted slice over in napari, repair it, mark it "
        "complete, resume the run.</li><li><b>Ask whether pre-training helped</b> on your own data: <code>learning-curve</code> "
        "trains from scratch and from a run on the same slices, several times, and draws both.</li><li><b>Take the labels "
        "elsewhere</b>: in the frame of the original scan, with the right voxel size, as NIfTI, NRRD, TIFF, OME-Zarr or a "
        f"mesh.</li></ul><pre>napari-sortingloss suggest {folder} --run {escape(tuned.id)}\n"
        f"napari-sortingloss predict {folder} --run {escape(tuned.id)} --axes zyx --every-pose --labels overlap\n"
        f"napari-sortingloss finetune {folder} --resume {escape(tuned.id)} --steps {2 * int(story.tuned.get('steps', 1))}\n"
        f"napari-sortingloss export {folder} {escape(scene)} --what labels --to {escape(scene)}.nii.gz\n"
        f"napari-sortingloss list {folder}</pre>"
        f"<p>The study is the folder <code>{folder}</code>. Open it in napari (<i>Plugins › SortingLoss › Workbench</i>).</p>"
        f"{settings}<p><small>napari-sortingloss {escape(__version__)}</small></p>"
    )


def _sagittal(volume: Volume) -> np.ndarray:
    """Cut the volume along its ordering axis through the middle, with square pixels, uint8 (h, w)."""
    import cv2

    across: Axis = "x" if volume.axis != "x" else "y"
    extent = dict(zip("zyx", volume.shape, strict=True))[across]
    spacing = dict(zip("zyx", volume.voxel_size, strict=True))
    image = volume.read_slices([extent // 2], axis=across)[0]
    rows, columns = [a for a in "zyx" if a != across]
    scale = 220 / (image.shape[0] * spacing[rows])
    size = (round(image.shape[1] * spacing[columns] * scale), 220)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
