"""What the scores of a prediction look like as JSON, and where a run keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from napari_sortingloss.disk.atomic import read_json, write_json
from napari_sortingloss.errors import readable_os_errors
from napari_sortingloss.segment.evaluate.scores import Confusion, mean
from napari_sortingloss.segment.evaluate.volume_scores import VolumeScore, millimetres
from napari_sortingloss.study.schema import now

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Volume
    from napari_sortingloss.study.predictions.reading import Prediction

FILE = "scores.json"
"""In the run's folder: the scores of each volume, by what they were measured against."""

Against = Literal["reference", "annotations"]


def volume_entry(
    volume: Volume, score: VolumeScore, names: Mapping[int, str], left_out: int
) -> dict[str, Any]:
    """Describe the scores of one volume, see `napari_sortingloss.segment.evaluate.job.evaluate`.

    Parameters
    ----------
    volume : Volume
    score : VolumeScore
    names : mapping of int to str
        The name of each class value.
    left_out : int
        How many slices did not count.
    """
    iou, dice = score.confusion.iou(), score.confusion.dice()
    scale = millimetres(volume)
    means: dict[str, float | None] = {}
    far: dict[str, float | None] = {}
    for value, name in names.items():
        found = score.surfaces.get(value)
        known = found is not None and scale is not None
        means[name] = found.mean * scale if known else None  # type: ignore[union-attr,operator]
        far[name] = found.hausdorff95 * scale if known else None  # type: ignore[union-attr,operator]
    return {
        "name": volume.name,
        "mean_iou": mean(list(iou.values())),
        "mean_dice": mean(list(dice.values())),
        "iou": {name: iou[value] for value, name in names.items()},
        "dice": {name: dice[value] for value, name in names.items()},
        "surface_distance_mm": means,
        "hausdorff95_mm": far,
        "voxels": score.confusion.total,
        "left_out": left_out,
        "surface_steps": list(score.steps),
        "confusion": score.confusion.to_json(names),
    }


def summarise(
    volumes: Sequence[Mapping[str, Any]], pooled: Confusion, names: Mapping[int, str]
) -> dict[str, Any]:
    """Return the overall figures of `evaluate` from those of its volumes.

    Parameters
    ----------
    volumes : sequence of mapping
        As `evaluate` describes them.
    pooled : Confusion
        Of all of them.
    names : mapping of int to str
        The name of each class value.
    """
    iou, dice = pooled.iou(), pooled.dice()
    keys = ("iou", "dice", "surface_distance_mm", "hausdorff95_mm")
    classes = {
        name: {
            **{key: mean([volume[key].get(name) for volume in volumes]) for key in keys},
            "pooled_iou": iou[value],
            "pooled_dice": dice[value],
        }
        for value, name in names.items()
    }
    return {
        "mean_iou": mean([volume["mean_iou"] for volume in volumes]),
        "mean_dice": mean([volume["mean_dice"] for volume in volumes]),
        "pooled": {"mean_iou": mean(list(iou.values())), "mean_dice": mean(list(dice.values()))},
        "classes": classes,
        "confusion": pooled.to_json(names),
        "volumes": list(volumes),
    }


def read_scores(run: Run, against: Against = "reference") -> dict[str, dict[str, Any]]:
    """Return what `evaluate` measured for a run before, by volume; empty where nothing (readable) was.

    Returns
    -------
    dict
        For each volume its entry of `evaluate`, with ``step`` and ``axes`` of the prediction, ``unseen_only`` and
        ``created``.
    """
    try:
        found = read_json(run.path / FILE).get(against)
    except (OSError, ValueError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def keep_scores(
    run: Run, against: Against, entry: Mapping[str, Any], prediction: Prediction, unseen_only: bool
) -> None:
    """Keep the scores of a volume with the run; those of other volumes stay.

    Raises
    ------
    OutOfSpace, UserError
        If they cannot be written.
    """
    path = run.path / FILE
    with readable_os_errors(f"Cannot keep the scores of the run '{run.id}'"):
        try:
            document = read_json(path)
        except (FileNotFoundError, ValueError):
            document = {"schema_version": 1}
        facts = {
            "step": prediction.step,
            "axes": prediction.axes,
            "unseen_only": unseen_only,
            "created": now(),
        }
        document[against] = {**read_scores(run, against), str(entry["name"]): {**entry, **facts}}
        write_json(path, document)
