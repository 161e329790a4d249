"""What runs predicted for the volumes of a study: written slab by slab, found, and read for viewers and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sortingloss.disk.parts import is_alive, remove_folder
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.study.predictions.record import (
    FOLDER,
    Prediction,
    image_of,
    part_path,
    prediction_path,
    read_prediction,
)
from napari_sortingloss.study.predictions.writer import PredictionWriter
from napari_sortingloss.study.runs.names import fitting_runs

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

__all__ = [
    "Prediction",
    "PredictionWriter",
    "find_prediction",
    "growing_prediction",
    "growing_runs",
    "list_predictions",
    "predicted_runs",
    "prediction_path",
    "remove_growing",
    "remove_prediction",
]


def predicted_runs(study: Study, volume: str) -> list[str]:
    """Return the ids of the runs that have predicted a volume; nothing but folders is looked at."""
    folder = study.path / FOLDER / volume
    if not folder.is_dir():
        return []
    return sorted(path.stem for path in folder.glob("*.zarr") if not path.name.startswith("."))


def growing_runs(study: Study, volume: str) -> list[str]:
    """Return the ids of the runs that are predicting a volume, or began to and were interrupted."""
    folder = study.path / FOLDER / volume
    if not folder.is_dir():
        return []
    return sorted(path.name[1 : -len(".part")] for path in folder.glob(".*.part"))


def find_prediction(study: Study, volume: str, run: str | None = None) -> Prediction:
    """Return a complete prediction of a volume.

    Parameters
    ----------
    study : Study
    volume : str
    run : str, optional
        A run's id, its name, or the beginning that only one has; the newest prediction if not given.

    Raises
    ------
    StudyError
        If there is none, several runs fit, or it is damaged.
    """
    record = study.volume(volume).record
    runs = predicted_runs(study, volume)
    what = f"Cannot find a prediction of '{volume}'"
    if not runs:
        raise StudyError(what, "no run has predicted it yet", "predict it first")
    if run is None:
        found = [
            read_prediction(record, one, prediction_path(study, volume, one), complete=True) for one in runs
        ]
        return max(found, key=lambda one: (one.created, one.run))
    fitting = fitting_runs(study.path, runs, run)
    if len(fitting) != 1:
        why = f"these runs fit: {', '.join(fitting)}" if fitting else f"it was predicted by {', '.join(runs)}"
        raise StudyError(f"{what} by '{run}'", why, "choose one of these")
    return read_prediction(record, fitting[0], prediction_path(study, volume, fitting[0]), complete=True)


def growing_prediction(study: Study, volume: str, run: str) -> Prediction | None:
    """Return the unfinished prediction of a volume by a run, being written or left behind; None where there is none.

    Raises
    ------
    StudyError
        If the study has no such volume.
    """
    record = study.volume(volume).record
    image = image_of(part_path(study, volume, run))
    try:
        return read_prediction(record, run, image, complete=False)
    except StudyError:  # not begun, finished this moment, or nothing that could be shown
        return None


def list_predictions(study: Study) -> dict[str, dict[str, Prediction]]:
    """Return the complete predictions of all volumes, by volume and run, the newest of each volume first.

    Raises
    ------
    StudyError
        If one is damaged.
    """
    found = {}
    for name, record in study.volumes.items():
        mine = [
            read_prediction(record, run, prediction_path(study, name, run), complete=True)
            for run in predicted_runs(study, name)
        ]
        if mine:
            mine.sort(key=lambda one: (one.created, one.run), reverse=True)
            found[name] = {one.run: one for one in mine}
    return found


def remove_prediction(study: Study, volume: str, run: str) -> None:
    """Remove the complete prediction of a volume by a run.

    Raises
    ------
    StudyError
        If there is none.
    UserError
        If it cannot be removed.
    """
    what = f"Cannot remove the prediction of '{volume}'"
    with readable_os_errors(what), study.transaction():
        if run not in predicted_runs(study, volume):
            raise StudyError(what, f"run '{run}' has not predicted it", "choose a prediction that is there")
        remove_folder(prediction_path(study, volume, run))


def remove_growing(study: Study, volume: str, run: str) -> None:
    """Remove a prediction that was begun and never finished; harmless where there is none.

    Raises
    ------
    StudyError
        If a program is at it.
    UserError
        If it cannot be removed.
    """
    what = f"Cannot remove the prediction of '{volume}'"
    part = part_path(study, volume, run)
    with readable_os_errors(what), study.transaction():  # under which parts are begun
        if is_alive(part):
            raise StudyError(what, "it is being made", "stop that first")
        remove_folder(part)
