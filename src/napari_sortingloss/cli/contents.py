"""What ``list`` finds in a study: volumes with all that belongs to them, classes and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import UserError

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study


def contents(study: Study) -> dict[str, Any]:
    """Collect what ``list --json`` prints; what cannot be read is said in a ``problem`` and does not hide the rest.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict
        ``{"study", "volumes": [...], "classes": [{"value", "name", "color", "key"}], "runs": [...]}``.

    Raises
    ------
    StudyError
        If what the study says about its classes is damaged.
    """
    from napari_sortingloss.study.classes import read_classes

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
                "parent": record.parent,
                "offset": list(record.offset),
                "localization": _localization(study, record.name),
                "annotations": _annotations(study, record.name),
                "predictions": _predictions(study, record.name),
            }
            for record in study.volumes.values()
        ],
        "classes": [
            {"value": one.value, "name": one.name, "color": one.color, "key": one.key}
            for one in read_classes(study)
        ],
        "runs": [
            {
                "run": run.id,
                "name": run.name,
                "kind": run.kind,
                "task": run.task,
                "state": run.state(),
                "created": run.created,
                **run.summary(),
                "result": _result(run),
            }
            for run in study.runs()
        ],
    }


def _result(run: Run) -> str:
    """Return how good a run is, by the main figure of its task, e.g. ``"mean displacement 1.20 (random 5.31)"``."""
    from napari_sortingloss.pretext.headline import headline, main_figure

    summary, curve = run.summary(), main_figure(run.kind, run.task, run.settings)
    found = headline(summary.get("validation"), curve) or headline(summary.get("train"), curve)
    return f"{found.title} {found.beside}" if found is not None else ""


def _localization(study: Study, volume: str) -> dict[str, Any] | None:
    """Return where the specimen of a volume is, or None where nobody looked."""
    from napari_sortingloss.study.localizations.reading import read_localization

    try:
        found = read_localization(study, volume)
    except UserError as error:
        return {"problem": str(error)}
    if found is None:
        return None
    return {
        "run": found.run,
        "status": found.status,
        "box": [list(span) for span in found.box],
        "removed_fraction": found.removed_fraction,
        "adjusted": found.adjusted,
    }


def _annotations(study: Study, volume: str) -> dict[str, Any]:
    """Return how many slices of a volume are annotated, and which."""
    from napari_sortingloss.study.annotations.reading import Annotations

    try:
        found = Annotations(study, volume).slices()
    except UserError as error:
        return {"problem": str(error)}
    return {
        "complete": sum(one.status == "complete" for one in found),
        "partial": sum(one.status == "partial" for one in found),
        "slices": [{"axis": one.axis, "index": one.index, "status": one.status} for one in found],
    }


def _predictions(study: Study, volume: str) -> list[dict[str, Any]]:
    """Return which runs have labelled a volume, the newest first."""
    from napari_sortingloss.study.predictions.reading import find_prediction, predicted_runs

    found, damaged = [], []
    for run in predicted_runs(study, volume):
        try:
            found.append(find_prediction(study, volume, run))
        except UserError as error:
            damaged.append({"run": run, "problem": str(error)})
    found.sort(key=lambda one: one.created, reverse=True)
    return [
        *({"run": one.run, "step": one.step, "axes": one.axes, "created": one.created} for one in found),
        *damaged,
    ]
