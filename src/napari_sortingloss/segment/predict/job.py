"""Predicts the labels of whole volumes with a fine-tuned network, streamed from the study into the study: a job.

Imports no torch before the job runs: windows read the settings from here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.progress import SliceCounter
from napari_sortingloss.segment.finetune.plan import axes_across
from napari_sortingloss.segment.predict.pipeline import Bytes, Network, Sees, read_slices, to_labels
from napari_sortingloss.segment.predict.settings import PredictSettings
from napari_sortingloss.segment.predict.volume import axes_of, predict_volume, slices_across
from napari_sortingloss.study.classes import read_classes
from napari_sortingloss.study.predictions.reading import Prediction, find_prediction
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, Volume

KIND = "finetune"
"""The kind of run whose network tells classes apart."""


def predict(study: Study, settings: PredictSettings) -> Iterator[Event]:
    """Predict the labels of whole volumes with a fine-tuned network: a job.

    Parameters
    ----------
    study : Study
    settings : PredictSettings

    Yields
    ------
    Event
        `Progress` in slices that the network looks at; a `Notice` for each volume that is continued or left as it is;
        last a `Result` whose value has ``run``, ``step`` and ``volumes``: for each ``name``, ``seconds``,
        ``voxels_per_second`` (of what was predicted now), ``axes``, ``path``, and ``kept``, which is true where the same
        weights had predicted it before.

        Labels are on the disk slab by slab (`growing_prediction` shows them). When the job is closed or killed they stay,
        and the next one with the same weights, axes, poses, kind of labels and uncertainty goes on from there, also where it is
        several axes: what the network said across the others is kept until the labels are whole.

    Raises
    ------
    BadSetting
        If the run is none of fine-tuning, or the slice to begin with is not in the volume.
    BadInput
        If the run has no weights yet or damaged ones, or there are no volumes.
    StudyError
        If there is no such run or volume, or another job predicts the volume with this run.
    OutOfMemory
        If not even one slice fits the memory.
    OutOfSpace, UserError
        If the disk is full; what was predicted so far stays.
    """
    from napari_sortingloss.segment.segmenter import load_segmenter

    run = find_run(study, settings.run, "predict")
    volumes = study.select(settings.volumes or None)
    if not volumes:
        raise BadInput(f"Cannot predict the volumes of '{study.name}'", "it has none", "add volumes first")
    for volume in volumes:
        _check_first(volume, settings)
    yield Progress(done=0, total=0, what="loading the network")
    with load_segmenter(
        run, settings.weights, settings.device, settings.threads, every_pose=settings.every_pose
    ) as segmenter:
        if settings.every_pose and len(segmenter.poses) == 1:
            text = (
                f"'{run.id}' was trained on slices as they are stored: it looks at them in that pose alone."
            )
            yield Notice(message=text)
        painted = axes_across(study, run.settings.get("learnt") or ())
        if not settings.axes and len(painted) > 1:
            text = (
                f"'{run.id}' learnt from slices across {' and '.join(painted)}: to average over them (axes {painted}) takes "
                f"{len(painted)} times as long and is often better."
            )
            yield Notice(message=text)
        yield from predict_volumes(study, run.id, segmenter, volumes, settings)


def predict_volumes(
    study: Study, run: str, segmenter: Sees, volumes: Sequence[Volume], settings: PredictSettings
) -> Iterator[Event]:
    """Predict volumes with a network that is loaded already; events and errors as `predict`.

    Parameters
    ----------
    study : Study
    run : str
        The id under which the predictions are kept.
    segmenter : Segmenter
    volumes : sequence of Volume
    settings : PredictSettings
        Its run and volumes are not looked at.
    """
    used = {c.value for c in read_classes(study)}
    gone = [c.name for c in segmenter.classes if c.value not in used]
    if gone:
        yield Notice(
            level="warning",
            message=f"Removed since this run was trained, and predicted all the same: {', '.join(gone)}.",
        )
    counter = SliceCounter()
    kept: dict[str, Prediction] = {}
    for volume in volumes:
        before = None if settings.again else _same(study, run, segmenter, volume, settings)
        if before is not None:
            kept[volume.name] = before
        else:
            counter.expect(slices_across(volume, axes_of(volume, settings)))
    results = []
    for volume in volumes:
        axes = axes_of(volume, settings)
        if volume.name in kept:
            yield Notice(
                message=f"{volume.name}: these weights have predicted it before; it stays (see 'again')."
            )
            found, seconds, speed = kept[volume.name], 0.0, 0.0
        else:
            began = time.monotonic()
            found, voxels = yield from predict_volume(study, run, segmenter, volume, settings, counter)
            seconds = time.monotonic() - began
            speed = voxels / max(seconds, 1e-9)
        results.append(
            {
                "name": volume.name,
                "seconds": seconds,
                "voxels_per_second": speed,
                "axes": axes,
                "path": str(found.path),
                "kept": volume.name in kept,
            }
        )
    yield Result(value={"run": run, "step": segmenter.step, "volumes": results})


def find_run(study: Study, name: str, do: str) -> Run:
    """Return a fine-tuning run.

    Parameters
    ----------
    study : Study
    name : str
        Its id or the start of it.
    do : str
        What is to be done with it, e.g. ``"predict"``, for the error's sentence.

    Raises
    ------
    BadSetting
        If it is another kind of run.
    StudyError
        If the study has no such run.
    """
    run = study.run(name)
    if run.problem:
        raise StudyError(f"Cannot {do} with the run '{run.id}'", run.problem, "choose another run")
    if run.kind != KIND:
        raise BadSetting(
            f"Cannot {do} with the run '{run.id}'",
            f"it trained the task '{run.task}', which knows no classes",
            "fine-tune from it first, and choose that run",
        )
    return run


def predict_slice(segmenter: Sees, volume: Volume, axis: Axis, index: int) -> tuple[Bytes, Bytes]:
    """Predict one slice, e.g. the one in view.

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
    axis : {"z", "y", "x"}
    index : int
        Along the array.

    Returns
    -------
    labels : ndarray of uint8, shape (h, w)
        Class values; 0 is background.
    entropy : ndarray of uint8, shape (h, w)
        0 to 255, see `napari_sortingloss.segment.predict.pipeline.to_labels`.

    Raises
    ------
    BadSetting
        If the volume has no such slice.
    OutOfMemory
        If the slice does not fit the memory.
    """
    slices = read_slices(volume, axis, [index])
    (batch,) = Network(segmenter, volume, axis).see((index, index + 1), index, slices)
    labels, entropy = to_labels(batch.probabilities, [c.value for c in segmenter.classes], entropy=True)
    assert entropy is not None
    return labels[0], entropy[0]


def _check_first(volume: Volume, settings: PredictSettings) -> None:
    axis = axes_of(volume, settings)[0]
    size = volume.shape[AXES.index(axis)]
    if settings.first is not None and settings.first >= size:
        raise BadSetting(
            f"Cannot begin to predict '{volume.name}' at slice {settings.first}",
            f"it has {size} slices across {axis}",
            f"choose one from 0 to {size - 1}",
        )


def _same(
    study: Study, run: str, segmenter: Sees, volume: Volume, settings: PredictSettings
) -> Prediction | None:
    """Return the complete prediction that these weights have made in the same way."""
    try:
        found = find_prediction(study, volume.name, run)
    except StudyError:  # none, or a damaged one, which is predicted again
        return None
    same = (
        found.run == run
        and found.step == segmenter.step
        and found.axes == axes_of(volume, settings)
        and [c.value for c in found.classes] == [c.value for c in segmenter.classes]
        and (found.has_uncertainty or not settings.uncertainty)
        and bool(found.settings.get("every_pose")) == settings.every_pose
        and found.settings.get("labels", "likeliest") == settings.labels
    )
    return found if same else None


__all__ = [
    "KIND",
    "PredictSettings",
    "Sees",
    "axes_of",
    "find_run",
    "predict",
    "predict_slice",
    "predict_volumes",
]
