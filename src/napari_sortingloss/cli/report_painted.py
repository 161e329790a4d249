"""The chapters of the demo's report on what was painted and how the network learned from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss.cli import label_pictures as pictures
from napari_sortingloss.cli.console import time_text
from napari_sortingloss.cli.fish_pictures import stretched
from napari_sortingloss.cli.report_parts import (
    Log,
    Points,
    chip,
    chips,
    lines,
    names,
    picture,
    smoothed,
    table,
)
from napari_sortingloss.cli.svg import Line, plot
from napari_sortingloss.segment.finetune.dataset import read_slice
from napari_sortingloss.slices.along import SlicesAlong
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study
    from napari_sortingloss.study.classes import LabelClass

HEIGHT = 190
"""Of the pictures of painted slices, in px."""


def painted_slices(study: Study, painted: Sequence[Mapping[str, Any]], classes: Sequence[LabelClass]) -> str:
    """Show the annotated slices and what is on them, as HTML.

    Parameters
    ----------
    study : Study
    painted : sequence of mapping
        ``{"volume", "axis", "index"}`` of each, the index along the array.
    classes : sequence of LabelClass
    """
    by_volume: dict[str, list[tuple[Axis, int]]] = {}
    for one in painted:
        by_volume.setdefault(one["volume"], []).append((one["axis"], int(one["index"])))
    colours = {one.value: pictures.rgb(one.color) for one in classes}
    shown, there = [], {one.value: [0, 0] for one in classes}
    voxels, of = 0, 0
    for name, places in by_volume.items():
        volume, labels = study.volume(name), Annotations(study, name)
        of += math.prod(volume.shape)
        tiles = []
        for axis, index in sorted(places, key=lambda place: (AXES.index(place[0]), place[1])):
            along = SlicesAlong(volume, axis)
            grey, slice_ = read_slice(along, index), labels.read_slice(axis, index)
            voxels += slice_.size
            for value, counted in there.items():
                pixels = int((slice_ == value).sum())
                counted[0] += pixels > 0
                counted[1] += pixels
            size = along.slice_voxel_size
            image = pictures.tinted(
                pictures.resized(stretched(grey, grey), size, HEIGHT),
                pictures.resized(slice_, size, HEIGHT, nearest=True),
                colours,
            )
            tiles.append(picture(pictures.address(image, photograph=True), f"slice {index} across {axis}"))
        parent = volume.record.parent or name
        shown.append(f'<h3>{escape(parent)}</h3><div class="painted">{"".join(tiles)}</div>')
    rows = [
        [chip(one.color) + escape(one.name), str(there[one.value][0]), f"{there[one.value][1]:,}"]
        for one in classes
    ]
    missing = [one.name for one in classes if not there[one.value][1]]
    said = (
        f" On none of them is there any {names(missing)}: the network cannot learn what it is never shown."
        if missing
        else ""
    )
    count = len(painted)
    return (
        f"<p>Now a person sits down in napari's <i>Annotate</i> stage and paints {count} slices, a few in each of "
        f"{len(by_volume)} fish: {names([study.volumes[n].parent or n for n in by_volume])}. That is "
        f"{100 * voxels / of:.1f}\N{NO-BREAK SPACE}% of the voxels of these fish. Here the person is simulated: the colours are copied from "
        "the exact labels that the generator of the fish knows, on slices across all three axes that show most of what was not seen yet: "
        "along its body a fish shows liver, bladder and spine at once. Each slice is marked <i>complete</i>: what is not painted is "
        "known to be background. A slice that is only partly painted would be of use too: its unpainted pixels count as "
        f"unknown and teach nothing.</p>{chips(classes)}{''.join(shown)}"
        "<p>How little that is for each organ:</p>"
        + table(["organ", "on slices", "pixels painted"], rows)
        + (f"<p>{escape(said.strip())}</p>" if said else "")
    )


def fine_tuning(run: Run, tuned: Mapping[str, Any], classes: Sequence[LabelClass], *, init: str) -> str:
    """Show how the network learned to segment, as HTML.

    Parameters
    ----------
    run : Run
        The fine-tuning run.
    tuned : mapping
        The result of ``finetune``.
    classes : sequence of LabelClass
    init : str
        The id of the run that the encoder comes from.
    """
    log = Log.of(run)
    title, split = (
        ("validation", log.validation) if _classes_in(log.validation, classes) else ("training", log.train)
    )
    curves = [
        plot(
            lines(log.train.get("loss", []), log.validation.get("loss", [])),
            title="Loss",
            x_label="step",
            y_label="cross-entropy + Dice",
        )
    ]
    per_class = [
        Line("", *(_steps(split[key]) if split is log.validation else smoothed(split[key])), one.color)
        for one, key in _classes_in(split, classes)
    ]
    mean = split.get("mean_iou", [])
    if mean:
        steps, values = _steps(mean) if split is log.validation else smoothed(mean)
        per_class.append(Line("", steps, values, "currentColor", "6 3"))
    if per_class:
        curves.append(
            plot(per_class, title=f"IoU of each organ, {title} slices", x_label="step", y_label="IoU")
        )
    reached = _reached(run, log, mean)
    network = {"unet": "U-Net", "deeplabv3plus": "DeepLabV3+"}.get(
        str(run.settings.get("network", "")), str(run.settings.get("network", "segmentation network"))
    )
    rate = ""
    if tuned.get("slices_per_second"):
        rate = f" at {tuned['slices_per_second']:.0f} slices a second"
    return (
        f"<p>A {escape(network)} is trained on the painted slices and nothing else. Its encoder does not start from random "
        f"numbers but from what it learned by putting slices into order (<code>{escape(init)}</code>); the decoder, which "
        f"turns what the encoder sees into colours, is new. {tuned.get('steps', 0)} steps took "
        f"{time_text(float(tuned.get('seconds', 0.0)))}{rate}. Every slice is altered before each look, always together "
        f"with its colours, as if the fish lay otherwise in its tube.{reached}</p>"
        f'<div class="row">{"".join(curves)}</div>{chips(classes)}'
    )


def _reached(run: Run, log: Log, mean: Points) -> str:
    """Say what the mean IoU came to, and on what it was measured."""
    if not mean:
        return ""
    if "mean_iou" in log.validation:
        where = (
            "the validation volumes" if run.settings.get("validate") else "painted slices that were held back"
        )
        best = max(value for _, value in mean)
        return f" Measured on {where}, the mean IoU (dashed) climbed to <b>{best:.2f}</b>; the weights of that moment are used."
    last = smoothed(mean)[1][-1]
    return (
        f" On the pieces of slices that it trains on the mean IoU (dashed) came to {last:.2f}. That flatters it: none of so few "
        "slices is held back here; the next chapter is the test."
    )


def _classes_in(split: Mapping[str, Any], classes: Sequence[LabelClass]) -> list[tuple[LabelClass, str]]:
    """Return the classes of which a split has the IoU, with its key among the figures."""
    found = []
    for one in classes:
        for key in (f"iou_{one.name}", f"iou {one.name}", f"iou/{one.name}", f"iou_{one.value}"):
            if key in split:
                found.append((one, key))
                break
    return found


def _steps(points: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
    return [float(s) for s, _ in points], [float(np.clip(v, 0, 1)) for _, v in points]
