"""What the commands up to a cropped volume say to a person when they are done; also ``list``, ``export`` and ``demo``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.cli.console import COUNTS, time_text
from napari_sortingloss.pretext import can_order
from napari_sortingloss.pretext.directions import directions, word
from napari_sortingloss.pretext.headline import measured_on
from napari_sortingloss.study.exchange.convert import bytes_text

Result = Mapping[str, Any]


def table(rows: list[list[str]], head: list[str]) -> str:
    """Lay out rows as aligned columns under a heading."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    )


def size_text(shape: list[int] | tuple[int, ...], voxel_size: Any, unit: str) -> tuple[str, str]:
    """Say the voxels and the voxel size of a volume, each (z, y, x)."""
    voxels = " x ".join(str(n) for n in shape)
    size = " x ".join(f"{v:.4g}" for v in voxel_size) + f" {unit}" if unit else "unknown"
    return voxels, size


def new(result: Result) -> str:
    """Summarise ``new``."""
    return f"Made an empty study at {result['study']}. Next: napari-sortingloss add {result['study']} FILES"


def add(result: Result) -> str:
    """Summarise ``add``."""
    rows = []
    for volume in result["volumes"]:
        voxels, size = size_text(volume["shape"], volume["voxel_size"], volume["unit"])
        low, high = volume["window"]
        rows.append(
            [
                volume["name"],
                voxels,
                size,
                volume["axis"] + volume["direction"],
                f"{low:.6g} to {high:.6g}",
                time_text(volume["seconds"]),
            ]
        )
    text = table(rows, ["volume", "voxels (z, y, x)", "voxel size", "axis", "window", "took"])
    failed = result.get("failed", ())
    return text + (f"\n{len(failed)} could not be read." if failed else "")


def listing(result: Result) -> str:
    """Summarise ``list``."""
    volumes = []
    for volume in result["volumes"]:
        voxels, size = size_text(volume["shape"], volume["voxel_size"], volume["unit"])
        volumes.append(
            [
                volume["name"],
                voxels,
                size,
                volume["axis"] + volume["direction"],
                "yes" if volume["reference"] else "no",
                _said_of_box(volume["localization"]),
                _said_of_slices(volume["annotations"]),
                _said_of_predictions(volume["predictions"]),
                _cut_from(volume),
            ]
        )
    if not volumes:
        text = f"{result['study']} is empty. Next: napari-sortingloss add {result['study']} FILES"
    else:
        head = ["volume", "voxels (z, y, x)", "voxel size", "axis", "reference", "box"]
        head += ["annotated slices", "predicted by", "cut from"]
        text = table(*_without_empty_columns(volumes, head))
    runs = [
        [
            run["run"],
            run["name"],
            run["state"],
            f"{run['step']} of {run['steps']}" if run["steps"] else str(run["step"]),
            run["result"],
        ]
        for run in result["runs"]
    ]
    if result["classes"]:
        text += "\n\nclasses: " + ", ".join(f"{one['name']} ({one['value']})" for one in result["classes"])
    head = ["run", "name", "state", "step", "result"]
    return text + ("\n\n" + table(*_without_empty_columns(runs, head)) if runs else "")


def _said_of_box(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if "problem" in found:
        return "damaged"
    if found["box"] == [list(span) for span in NO_BOX]:
        return "nothing found"
    return f"{found['status']}{', adjusted' * found['adjusted']} (removes {found['removed_fraction']:.0%})"


def _said_of_slices(found: Mapping[str, Any]) -> str:
    if "problem" in found:
        return "damaged"
    counts = [f"{found[status]} {status}" for status in ("complete", "partial") if found[status]]
    return ", ".join(counts)


def _said_of_predictions(found: Any) -> str:
    return ", ".join("damaged" if "problem" in one else one["run"] for one in found)


def _cut_from(volume: Mapping[str, Any]) -> str:
    at = ", ".join(str(o) for o in volume["offset"])
    if volume["parent"]:
        return f"{volume['parent']} (lies at {at})"
    return f"a removed volume (lies at {at})" if any(volume["offset"]) else ""


def _without_empty_columns(rows: list[list[str]], head: list[str]) -> tuple[list[list[str]], list[str]]:
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return [[row[i] for i in kept] for row in rows], [head[i] for i in kept]


def pretrain(result: Result) -> str:
    """Summarise ``pretrain``."""
    lines = [
        f"{result['run']}: {result['steps']} steps in {time_text(result['seconds'])}, "
        f"{result['slices_per_second']:.0f} slices/s"
    ]
    for title, values in (("training", result["metrics"]), ("validation", result["validation"])):
        if values:
            lines.append(f"{title}: " + figures_text(values))
    if can_order(result["task"]):
        lines.append(f"Next: napari-sortingloss order STUDY --run {result['run']}")
    return "\n".join(lines)


def order(result: Result) -> str:
    """Summarise ``order``."""
    rows = [
        [
            volume["name"],
            f"{volume['mean_displacement']:.1f}",
            f"{volume['random_displacement']:.1f}",
            f"{volume['spearman']:+.2f}",
            word(volume),
        ]
        for volume in result["volumes"]
    ]
    text = table(rows, ["volume", "mean displacement (slices)", "random", "Spearman", ""])
    return f"{text}\nStored upside down: {directions(result['volumes']).said}."


def localize(result: Result) -> str:
    """Summarise ``localize``."""
    rows = []
    for volume in result["volumes"]:
        empty = volume["box"] == [list(span) for span in NO_BOX]
        rows.append(
            [
                volume["name"],
                "none" if empty else box_text(volume["box"]),
                "" if empty else f"{1 - volume['removed_fraction']:.1%}",
                "" if empty else f"{volume['removed_fraction']:.1%}",
                time_text(volume["seconds"]),
                "nothing found" if empty else "see the warning" if volume.get("warnings") else "",
            ]
        )
    text = table(rows, ["volume", "box (z, y, x)", "kept", "removed", "took", ""])
    doubtful = sum(1 for row in rows if row[-1])
    if doubtful:
        text += (
            f"\n{doubtful} of {len(rows)} should be looked at in napari (Plugins > SortingLoss > Localize)."
        )
    failed = result.get("failed", ())
    text += f"\n{len(failed)} could not be localised." if failed else ""
    found = [row[0] for row in rows if row[1] != "none"]
    if found:
        names = " ".join(found) if len(found) <= 6 else "'*'"
        text += f"\nNext: napari-sortingloss crop STUDY {names}"
    return text


def crop(result: Result) -> str:
    """Summarise ``crop``."""
    rows = [
        [
            volume["name"],
            volume["parent"],
            " x ".join(str(n) for n in volume["shape"]),
            ", ".join(str(n) for n in volume["offset"]),
            f"{volume['removed_fraction']:.1%}",
            bytes_text(volume["bytes"]),
            time_text(volume["seconds"]),
        ]
        for volume in result["volumes"]
    ]
    text = table(rows, ["volume", "cut from", "voxels (z, y, x)", "lies at", "removed", "on disk", "took"])
    failed = result.get("failed", ())
    return text + (f"\n{len(failed)} could not be cropped." if failed else "")


def box_text(box: Any) -> str:
    """Say a box as half-open intervals of voxels."""
    return ", ".join(f"{low}:{high}" for low, high in box)


def export(result: Result) -> str:
    """Summarise ``export``."""
    if result.get("surfaces"):
        rows = [[found["name"], f"{found['triangles']}", found["path"]] for found in result["surfaces"]]
        return table(rows, ["surface", "triangles", "file"])
    box = result.get("box")
    return f"Wrote {result['path']}" + (f", the voxels {box_text(box)} of {result['volume']}" if box else "")


def demo(result: Result) -> str:
    """Summarise ``demo``."""
    count = len(result["slices"])
    return (
        f"The slices of unseen fish were ordered with a mean displacement of "
        f"{result['mean_displacement']:.2f} slices (random: {result['random_displacement']:.2f}).\n"
        f"Stored upside down: {result['directions']}.\n"
        f"The fish were found with a mean error of the box faces of {100 * result['box_error']:.1f} % of the volume's side "
        f"({100 * result['box_error_held_back']:.1f} % on unseen fish); cropping removes "
        f"{100 * result['removed_fraction']:.0f} % of the voxels.\n"
        f"{count} slices were painted. On the fish of which none was painted the labels reach a mean IoU of "
        f"{result['mean_iou']:.2f} (Dice {result['mean_dice']:.2f}).\n"
        f"Took {time_text(result['seconds'])}. Study: {result['study']}\n"
        f"Report: {result['report']}"
    )


def figures_text(values: Mapping[str, float]) -> str:
    """Say the figures of a split in a line, each with the level of chance beside it."""
    shown = []
    for name, value in values.items():
        if name.startswith("random_") or name in COUNTS:
            continue
        random = values.get(f"random_{name.removeprefix('mean_')}")
        text = f"{name.replace('_', ' ')} {value:.3g}"
        shown.append(text + (f" (random {random:.3g})" if random is not None else ""))
    if not shown:
        return "nothing; every volume looks stored upside down"
    on = measured_on(values)
    return ", ".join(shown) + (f", on {on} volumes; the rest looks stored upside down" if on else "")
