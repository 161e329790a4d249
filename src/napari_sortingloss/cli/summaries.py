"""What each command says to a person when it is done, and what ``list`` finds in a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_sortingloss.cli.console import time_text

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

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


def contents(study: Study) -> dict[str, Any]:
    """Collect what ``list --json`` prints."""
    return {
        "study": str(study.path),
        "volumes": [
            {
                "name": record.name,
                "shape": list(record.shape),
                "voxel_size": list(record.voxel_size),
                "unit": record.unit,
                "axis": record.axis,
                "direction": record.direction,
                "reference": record.reference is not None,
            }
            for record in study.volumes.values()
        ],
        "runs": [
            {
                "run": run.id,
                "kind": run.kind,
                "task": run.task,
                "state": run.state(),
                "created": run.created,
                **run.summary(),
            }
            for run in study.runs()
        ],
    }


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
            ]
        )
    if not volumes:
        text = f"{result['study']} is empty. Next: napari-sortingloss add {result['study']} FILES"
    else:
        text = table(volumes, ["volume", "voxels (z, y, x)", "voxel size", "axis", "reference"])
    runs = [
        [run["run"], run["state"], f"{run['step']} of {run['steps']}", _displacement(run)]
        for run in result["runs"]
    ]
    return text + ("\n\n" + table(runs, ["run", "state", "step", "mean displacement"]) if runs else "")


def pretrain(result: Result) -> str:
    """Summarise ``pretrain``."""
    lines = [
        f"{result['run']}: {result['steps']} steps in {time_text(result['seconds'])}, "
        f"{result['slices_per_second']:.0f} slices/s"
    ]
    for title, values in (("training", result["metrics"]), ("validation", result["validation"])):
        if values:
            lines.append(f"{title}: " + _figures(values))
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
            "upside down?" if volume["flipped"] else "",
        ]
        for volume in result["volumes"]
    ]
    return table(rows, ["volume", "mean displacement (slices)", "random", "Spearman", ""])


def export(result: Result) -> str:
    """Summarise ``export``."""
    return f"Wrote {result['path']}"


def demo(result: Result) -> str:
    """Summarise ``demo``."""
    flipped = ", ".join(result["flipped"]) or "none"
    return (
        f"The slices of unseen fish were ordered with a mean displacement of "
        f"{result['mean_displacement']:.2f} slices (random: {result['random_displacement']:.2f}).\n"
        f"Stored upside down: {flipped}.\n"
        f"Took {time_text(result['seconds'])}. Study: {result['study']}\n"
        f"Report: {result['report']}"
    )


def _displacement(run: Mapping[str, Any]) -> str:
    for split in ("validation", "train"):
        values = run.get(split) or {}
        if "mean_displacement" in values:
            random = values.get("random_displacement")
            return f"{values['mean_displacement']:.2f}" + (f" (random {random:.2f})" if random else "")
    return ""


def _figures(values: Mapping[str, float]) -> str:
    shown = []
    for name, value in values.items():
        if name.startswith("random_"):
            continue
        random = values.get(f"random_{name.removeprefix('mean_')}")
        text = f"{name.replace('_', ' ')} {value:.3g}"
        shown.append(text + (f" (random {random:.3g})" if random is not None else ""))
    return ", ".join(shown)
