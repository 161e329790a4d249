"""What the commands from painted slices to a segmented volume say to a person when they are done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sortingloss.cli.console import time_text
from napari_sortingloss.cli.summaries import figures_text, table

Result = Mapping[str, Any]


def classes(result: Result) -> str:
    """Summarise ``classes``."""
    if not result["classes"]:
        text = "The study has no classes. Next: napari-sortingloss classes STUDY --add NAME"
    else:
        rows = [[str(c["value"]), c["name"], c["color"], c["key"]] for c in result["classes"]]
        text = table(rows, ["value", "class", "colour", "key"])
    gone = ", ".join(f"{c['name']} ({c['value']})" for c in result["removed"])
    return text + (f"\nTaken out of use: {gone}." if gone else "")


def import_labels(result: Result) -> str:
    """Summarise ``import-labels``."""
    rows = [
        [str(one["label"]), one["name"] + " (new)" * one["new"], f"{one['voxels']:,}"]
        for one in result["classes"]
    ]
    said = f"{result['painted']:,} voxels on {len(result['slices'])} slices of {result['volume']} have labels"
    if result["overwritten"]:
        said += f"; {result['overwritten']:,} of them held another one"
    if result["kept"]:
        said += f"; {result['kept']:,} stay as they were painted"
    return (table(rows, ["label", "class", "voxels"]) + "\n" if rows else "") + said + "."


def annotate(result: Result) -> str:
    """Summarise ``annotate``."""
    by_volume: dict[str, list[str]] = {}
    for one in result["slices"]:
        by_volume.setdefault(one["volume"], []).append(str(one["index"]))
    rows = [[name, ", ".join(indices)] for name, indices in by_volume.items()]
    count = sum(bool(one.get("copied", True)) for one in result["slices"])
    there = len(result["slices"]) - count
    return (
        table(rows, ["volume", "slices"])
        + f"\n{count} slice{'s' * (count != 1)} painted and marked complete"
        + (f"; {there} {'was' if there == 1 else 'were'} annotated before." if there else ".")
        + "\nNext: napari-sortingloss finetune STUDY"
    )


def suggest(result: Result) -> str:
    """Summarise ``suggest``."""
    rows = [
        [one["volume"], str(one["index"]), f"{one['score']:.2f}", one["reason"]] for one in result["slices"]
    ]
    return table(rows, ["volume", "slice", "score", "why"]) if rows else "Every slice is annotated."


def finetune(result: Result) -> str:
    """Summarise ``finetune``."""
    lines = [f"{result['run']}: {result['steps']} steps in {time_text(result['seconds'])}"]
    for title, values in (("training", result["metrics"]), ("validation", result.get("validation") or {})):
        if values:
            lines.append(f"{title}: " + figures_text(values))
    lines.append(f"Next: napari-sortingloss predict STUDY --run {result['run']}")
    return "\n".join(lines)


def predict(result: Result) -> str:
    """Summarise ``predict``."""
    rows = [
        [
            volume["name"],
            volume.get("axes", ""),
            time_text(volume["seconds"]),
            "was there" if volume.get("kept") else f"{volume['voxels_per_second'] / 1e6:.1f}",
        ]
        for volume in result["volumes"]
    ]
    text = table(rows, ["volume", "along", "took", "million voxels/s"])
    return text + f"\nNext: napari-sortingloss evaluate STUDY --run {result['run']}"


def evaluate(result: Result) -> str:
    """Summarise ``evaluate``: a table of classes, one of volumes, and the means."""
    classes = [
        [name, _figure(of["iou"]), _figure(of["dice"]), _figure(of.get("surface_distance_mm"), 3)]
        for name, of in result["classes"].items()
    ]
    volumes = [
        [volume["name"], *(_figure(volume["iou"].get(name)) for name in result["classes"])]
        for volume in result["volumes"]
    ]
    return (
        table(classes, ["class", "IoU", "Dice", "surface distance (mm)"])
        + "\n\n"
        + table(volumes, ["IoU in", *result["classes"]])
        + f"\n\nmean IoU {_figure(result['mean_iou'])}, mean Dice {_figure(result['mean_dice'])}"
    )


def learning_curve(result: Result) -> str:
    """Summarise ``learning-curve``: for each beginning the mean IoU against the number of slices."""
    rows = [
        [
            arm["title"],
            str(point["annotated"]),
            _figure(point["mean_iou"]["mean"]),
            _figure(point["mean_iou"]["sd"]),
            _gain(point.get("minus_scratch")),
        ]
        for arm in result["arms"]
        for point in arm["points"]
    ]
    seeds = len(result["seeds"])
    return (
        table(rows, ["begins with", "annotated slices", "mean IoU", "s.d.", "minus scratch, paired"])
        + f"\n{seeds} seed{'s' * (seeds != 1)}, judged on {', '.join(result['test'])}.\nDrawn in {result['plot']}"
    )


def _gain(gain: Mapping[str, Any] | None) -> str:
    if gain is None or gain["mean"] is None:
        return ""
    sd = "" if gain["sd"] is None else f" ± {gain['sd']:.3f}"
    return f"{gain['mean']:+.3f}{sd}, better in {gain['better_in']} of {gain['seeds']}"


def _figure(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}f}"
