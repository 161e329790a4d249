"""Scores of a run against references, summed up over volumes from what the run keeps of each; knows no Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEYS = ("iou", "dice", "surface_distance_mm")


def summed_up(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means over volumes, in the form of the result of `evaluate`.

    Parameters
    ----------
    entries : mapping of str to mapping
        Of each volume, as `napari_sortingloss.segment.evaluate.job.read_scores` gives them.

    Returns
    -------
    dict
        Empty without entries; otherwise ``mean_iou``, ``mean_dice``, ``classes``, ``volumes``, ``unseen_only``, and
        ``confusion`` where all volumes tell the same things apart.
    """
    if not entries:
        return {}
    volumes = list(entries.values())
    names = dict.fromkeys(name for volume in volumes for name in volume.get("iou", {}))
    classes = {
        name: {key: _mean([volume.get(key, {}).get(name) for volume in volumes]) for key in KEYS}
        for name in names
    }
    found: dict[str, Any] = {
        "mean_iou": _mean([volume.get("mean_iou") for volume in volumes]),
        "mean_dice": _mean([volume.get("mean_dice") for volume in volumes]),
        "classes": classes,
        "volumes": volumes,
        "unseen_only": all(volume.get("unseen_only") for volume in volumes),
    }
    tables = [volume.get("confusion") or {} for volume in volumes]
    labels = tables[0].get("labels")
    if labels and all(table.get("labels") == labels for table in tables):
        rows = range(len(labels))
        counts = [[sum(table["counts"][i][j] for table in tables) for j in rows] for i in rows]
        found["confusion"] = {"labels": labels, "counts": counts}
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
