"""The chapter of the demo's report on what the network made of fish of which nothing was painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import whole
from napari_sortingloss.cli import label_pictures as pictures
from napari_sortingloss.cli.console import time_text
from napari_sortingloss.cli.fish_pictures import stretched
from napari_sortingloss.cli.report_parts import chip, chips, names, number, picture, table
from napari_sortingloss.study.predictions.reading import find_prediction
from napari_sortingloss.study.volumes.references import FOLDER as REFERENCES

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord
    from napari_sortingloss.study.classes import LabelClass

HERO, EVERY = 480, 2
"""The height of the rendered fish in px; of how many slices a reader can scroll through one."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """One fish with its predicted and its exact labels.

    Attributes
    ----------
    record : VolumeRecord
        Of the volume that was segmented: the crop, or the whole volume where nothing was cropped.
    voxels, predicted, reference : ndarray of uint8, shape (z, y, x)
    """

    record: VolumeRecord
    voxels: Labels
    predicted: Labels
    reference: Labels

    @property
    def name(self) -> str:
        """The name of the fish."""
        return self.record.parent or self.record.name

    @classmethod
    def of(cls, study: Study, volume: str, run: str) -> Scene:
        """Read everything about a volume that `run` segmented."""
        import zarr

        opened = study.volume(volume)
        box = whole(opened.shape)
        path = study.path / REFERENCES / f"{opened.record.reference}.zarr" / "0"
        reference: Any = zarr.open_array(path, mode="r")
        return cls(
            opened.record,
            opened.read_box(box),
            np.asarray(find_prediction(study, volume, run).read_box(box), np.uint8),
            np.asarray(reference[:], np.uint8),
        )


def hero(scenes: Sequence[Scene], classes: Sequence[LabelClass]) -> str:
    """Show the segmented fish at one glance, as HTML."""
    colours = {one.value: pictures.rgb(one.color) for one in classes}
    shown = "".join(
        picture(
            pictures.address(
                pictures.organs(one.voxels, one.predicted, one.record.voxel_size, colours, HERO),
                photograph=True,
            ),
            one.name,
        )
        for one in scenes
    )
    return f'<div class="hero">{shown}</div>{chips(classes)}'


def result(
    scenes: Sequence[Scene],
    scores: Mapping[str, Any],
    predicted: Mapping[str, Any],
    classes: Sequence[LabelClass],
    *,
    never_seen: Sequence[str],
    whole_fish: bool,
) -> str:
    """Show predictions beside the exact labels, with the scores and the mistakes, as HTML.

    Parameters
    ----------
    scenes : sequence of Scene
        The fish of which nothing was painted.
    scores : mapping
        The result of ``evaluate`` on them.
    predicted : mapping
        The result of ``predict``.
    classes : sequence of LabelClass
    never_seen : sequence of str
        Those of them that pre-training never saw either.
    whole_fish : bool
        Whether no labelled voxel lies outside the crops, so that the scores hold for the whole volumes too.
    """
    return (
        _introduction(scenes, predicted, never_seen)
        + "".join(_walk(one, classes) for one in scenes)
        + "<h3>How good is it?</h3>"
        + _scores(scenes, scores, classes, whole_fish=whole_fish)
        + "<h3>What is taken for what?</h3>"
        + _confusion(scores.get("confusion") or {})
        + "<h3>Where it is wrong</h3>"
        + _worst(scenes)
    )


def _introduction(scenes: Sequence[Scene], predicted: Mapping[str, Any], never_seen: Sequence[str]) -> str:
    seconds = sum(float(v["seconds"]) for v in predicted["volumes"])
    speed = [float(v["voxels_per_second"]) for v in predicted["volumes"]]
    return (
        f"<p>The network then coloured every slice of all {len(predicted['volumes'])} fish in {time_text(seconds)} "
        f"({np.mean(speed) / 1e6:.1f} million voxels a second). The honest test is on the fish of which it was never shown a "
        f"single painted slice: {names([one.name for one in scenes])}. {names(never_seen)} "
        f"{'was' if len(never_seen) == 1 else 'were'} not even among the unlabelled fish of the pre-training. Pull the "
        "sliders to walk through them.</p>"
    )


def _walk(scene: Scene, classes: Sequence[LabelClass]) -> str:
    """Return three panes that a reader scrolls through together: the scan, the prediction and the exact labels."""
    colours = {one.value: pictures.rgb(one.color) for one in classes}
    across = "zyx".index(scene.record.axis)
    cut = tuple(slice(None, None, EVERY) if axis == across else slice(None) for axis in range(3))
    voxels, predicted, reference = (
        np.moveaxis(array[cut], across, 0) for array in (scene.voxels, scene.predicted, scene.reference)
    )
    h, w = (
        s * n
        for axis, (s, n) in enumerate(zip(scene.record.voxel_size, scene.voxels.shape, strict=True))
        if axis != across
    )
    key, last = escape(scene.name), len(voxels) - 1
    grey = pictures.address(pictures.strip(stretched(voxels, voxels)), photograph=True)
    tints = [
        pictures.address(pictures.strip(pictures.see_through(labels, colours)))
        for labels in (predicted, reference)
    ]
    panes = "".join(
        f'<figure><div class="pane walk-{key}"{over}></div><figcaption>{what}</figcaption></figure>'
        for over, what in (
            ("", "the scan"),
            (f' style="background-image:url({tints[0]}),var(--scan)"', "what the network says"),
            (f' style="background-image:url({tints[1]}),var(--scan)"', "exact"),
        )
    )
    return (
        f"<h3>{key}</h3><style>.walk-{key}{{--scan:url({grey});background-image:var(--scan);"
        f"background-size:100% {100 * (last + 1)}%;aspect-ratio:{w:.4g}/{h:.4g}}}</style>"
        f'<div class="walk" data-every="{EVERY}"><div class="panes">{panes}</div>'
        f'<label>along the body <input type="range" min="0" max="{last}" value="{round(0.22 * last)}" '
        f'aria-label="slice of {key}"><output></output></label></div>'
    )


def _scores(
    scenes: Sequence[Scene], scores: Mapping[str, Any], classes: Sequence[LabelClass], *, whole_fish: bool
) -> str:
    by_volume = {one["name"]: one for one in scores["volumes"]}
    rows = []
    for one in classes:
        of_class = scores["classes"].get(one.name)
        if of_class is None:
            continue
        size = np.mean([float((scene.reference == one.value).sum()) for scene in scenes])
        distance = of_class.get("surface_distance_mm")
        rows.append(
            [
                chip(one.color) + escape(one.name),
                f"{size:,.0f}",
                *(number(by_volume[scene.record.name]["iou"].get(one.name)) for scene in scenes),
                f"<b>{number(of_class['iou'])}</b>",
                number(of_class["dice"]),
                number(None if distance is None else 1000 * distance, 0),
            ]
        )
    rows.append(
        [
            "<b>mean</b>",
            "",
            *(number(_mean(by_volume[scene.record.name]["iou"])) for scene in scenes),
            f"<b>{number(scores['mean_iou'])}</b>",
            number(scores["mean_dice"]),
            "",
        ]
    )
    head = [
        "organ",
        "voxels",
        *(f"IoU {escape(scene.name)}" for scene in scenes),
        "IoU",
        "Dice",
        "surface off by (µm)",
    ]
    voxel = np.mean([scene.record.voxel_size for scene in scenes], axis=0)
    same = (
        " The crops hold every fish whole, so that the scores would be the same in the original volumes, into which the labels "
        "can be exported."
        if whole_fish
        else " A part of a fish lies outside its crop and is not judged here."
    )
    return (
        "<p><b>IoU</b> (intersection over union) asks how much of what either the network or the truth calls liver both call "
        "liver: 1 is perfect, 0 is no overlap. <b>Dice</b> says the same more kindly. Both punish small things: the surface "
        "of an organ of a thousand voxels is half of it. The last column therefore says how far the surface is off on "
        f"average; a voxel measures {' × '.join(f'{v:.0f}' for v in voxel)} µm here.{same}</p>"
        + table(head, rows)
    )


def _mean(values: Mapping[str, Any]) -> float:
    known = [float(v) for v in values.values() if v is not None and v == v]
    return float(np.mean(known)) if known else float("nan")


def _confusion(confusion: Mapping[str, Any]) -> str:
    """Return the table of true class against said class, in shares of the true class."""
    if not confusion:
        return ""
    labels, counts = list(confusion["labels"]), np.asarray(confusion["counts"], np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = []
    for i, label in enumerate(labels):
        cells = "".join(
            f'<td class="{"heat" if i == j else "wrong"}" style="--share:{min(1.0, share):.3f}">'
            f"{_share(share)}</td>"
            for j, share in enumerate(shares[i])
        )
        rows.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    head = "".join(f"<th class=n>{escape(label)}</th>" for label in labels)
    return (
        "<p>Each row is what the voxels truly are, each column what the network calls them, in per cent of the row. The "
        "diagonal is right; orange is wrong. Most mistakes are between an organ and the background, at its surface.</p>"
        f'<div class="scroll"><table><tr><th>truly \\ said</th>{head}</tr>{"".join(rows)}</table></div>'
    )


def _share(share: float) -> str:
    return "" if share < 0.0005 else f"{100 * share:.1f}" if share < 0.9995 else "100"


def _worst(scenes: Sequence[Scene]) -> str:
    tiles = []
    for scene in scenes:
        across = "zyx".index(scene.record.axis)
        voxels, predicted, reference = (
            np.moveaxis(array, across, 0) for array in (scene.voxels, scene.predicted, scene.reference)
        )
        size = [s for axis, s in enumerate(scene.record.voxel_size) if axis != across]
        wrong = (predicted != reference).sum(axis=(1, 2))
        at = int(wrong.argmax())
        labelled = max(1, int(((predicted > 0) | (reference > 0))[at].sum()))
        image = pictures.mistakes(
            pictures.resized(stretched(voxels[at], voxels[at]), size, 260),
            pictures.resized(predicted[at], size, 260, nearest=True),
            pictures.resized(reference[at], size, 260, nearest=True),
        )
        caption = f"{scene.name}, slice {at}: {wrong[at]} pixels, {100 * wrong[at] / labelled:.0f} % of the painted ones"
        tiles.append(picture(pictures.address(image, photograph=True), caption))
    return (
        "<p>The slice with the most wrong pixels of each fish. Orange: an organ was missed; blue: painted where there is "
        "none; yellow: taken for another organ. In napari's <i>Segment</i> stage such a slice becomes training data with one "
        "click: <i>Correct this slice</i>, repair it, mark it complete, train on.</p>"
        f'<div class="painted">{"".join(tiles)}</div>'
    )
