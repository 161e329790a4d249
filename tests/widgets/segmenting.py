"""Painted slices, runs of fine-tuning and predictions for the tests of the Segment stage, without any network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_sortingloss.events import Event, Metrics, Progress, Result, StateChanged
from napari_sortingloss.segment.predict.job import PredictSettings
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.study import RunWriter, Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import LabelClass, add_class, read_classes
from napari_sortingloss.study.predictions.reading import Prediction, PredictionWriter, find_prediction

STEPS = 20
NAMES = ("body", "spine")
SLICES = {"fish_a": (5, 12), "fish_b": (3, 8, 14)}


def painted(shape: Sequence[int], index: int, values: Sequence[int]) -> np.ndarray:
    """Return the labels of a slice across z: one class around, the other in the middle."""
    _, h, w = shape
    labels = np.zeros((h, w), np.uint8)
    labels[3 : h - 3, 4 : w - 4] = values[0]
    labels[5 : h - 5, 6 + index % 3 : 9 + index % 3] = values[1]
    return labels


def paint(study: Study, names: Sequence[str] = tuple(SLICES), partial: Sequence[str] = ()) -> None:
    """Give the study two classes and annotate some slices of volumes."""
    if not read_classes(study):
        for name in NAMES:
            add_class(study, name)
    values = [found.value for found in read_classes(study)]
    for name in names:
        with AnnotationEditor(study, name) as editor:
            for index in SLICES[name]:
                status = "partial" if name in partial else "complete"
                labels = painted(editor.labels.shape, index, values)
                editor.put_slice("z", index, labels, what="painted", status=status)


def classes(study: Study) -> tuple[LabelClass, ...]:
    return read_classes(study)


def settings(study: Study, **changes: Any) -> FinetuneSettings:
    """Return the settings of a run that has settled what it learns."""
    kept = ("fish_a z 12", "fish_b z 8")
    made = FinetuneSettings(steps=STEPS, size=32, **{"kept": kept, **changes})
    return made.with_classes(classes(study))


def begin(study: Study, step: int = 5, **changes: Any) -> RunWriter:
    """Begin a run as another program would; whoever calls closes it."""
    writer = study.new_run("finetune", "segmentation", settings(study, **changes).to_json())
    writer.append(StateChanged(state="running", step=0, run=writer.run.id))
    if step:
        writer.append(Metrics(step=step, values={"loss": 0.8}))
        writer.append(Progress(done=step, total=STEPS, what="12 slices/s", unit="steps", seconds_left=200))
    return writer


def measure(writer: RunWriter, step: int, body: float, spine: float) -> None:
    values = {"mean_iou": (body + spine) / 2, "iou body": body, "iou spine": spine}
    writer.append(Metrics(step=step, values=values, split="validation"))


def finish(writer: RunWriter, state: str = "finished") -> str:
    writer.append(Progress(done=STEPS, total=STEPS, unit="steps"))
    writer.append(StateChanged(state=state, step=STEPS))
    writer.append(Result(value={}))
    writer.close()
    return writer.run.id


def trained(study: Study, body: float = 0.9, spine: float = 0.7, **changes: Any) -> str:
    """Leave a finished run."""
    writer = begin(study, **changes)
    for step in (5, STEPS):
        measure(writer, step, body * step / STEPS, spine * step / STEPS)
    measure(writer, STEPS, body, spine)
    return finish(writer)


def labels_of(study: Study, name: str, shift: int = 0) -> np.ndarray:
    """Return labels of a whole volume."""
    shape, values = study.volumes[name].shape, [found.value for found in classes(study)]
    slices = [painted(shape, index + shift, values) for index in range(shape[0])]
    return np.stack(slices)


def predict_one(
    study: Study, name: str, run: str, shift: int = 0, *, unsure: bool = False, axes: str = "z"
) -> Prediction:
    """Write a prediction as the job does."""
    for _ in predicting(study, name, run, shift, unsure=unsure, axes=axes):
        pass
    return find_prediction(study, name, run)


def predicting(
    study: Study,
    name: str,
    run: str,
    shift: int = 0,
    *,
    unsure: bool = False,
    axes: str = "z",
    **settings: Any,
) -> Iterator[tuple[int, int]]:
    """Write a prediction slab by slab; what is written stays when this is closed."""
    labels = labels_of(study, name, shift)
    with PredictionWriter(
        study,
        name,
        run,
        step=STEPS,
        classes=classes(study),
        axes=axes,
        settings=settings,
        uncertainty=unsure,
    ) as writer:
        for start, stop in writer.missing:
            slab = np.take(labels, range(start, stop), "zyx".index(writer.axis))
            writer.write(start, stop, slab, np.full(slab.shape, 9, np.uint8) if unsure else None)
            yield start, stop
        writer.commit()


def predict_job(study: Study, wanted: PredictSettings) -> Iterator[Event]:
    """Do as the job does, without a network."""
    names = wanted.volumes or tuple(study.volumes)
    made = []
    yield Progress(done=0, total=0, what="loading the network")
    for name in names:
        depth = study.volumes[name].shape[0]
        yield Progress(done=0, total=depth, what=name, unit="slices", seconds_left=4.0)
        for _, stop in predicting(
            study,
            name,
            wanted.run,
            unsure=wanted.uncertainty,
            every_pose=wanted.every_pose,
            labels=wanted.labels,
        ):
            yield Progress(done=stop, total=depth, what=name, unit="slices", seconds_left=2.0)
        made.append({"name": name, "seconds": 2.0, "axes": "z", "kept": False})
    yield Result(value={"run": wanted.run, "step": STEPS, "volumes": made})


def see(stage: Any, qtbot: Any, done: Any) -> None:
    """Look at the study until something is so."""

    def look() -> bool:
        if not stage.session._background.busy:  # a newer look overtakes one that is under way
            stage.session.refresh()
        return bool(done())

    qtbot.waitUntil(look, timeout=20_000)


def show_volume(stage: Any, qtbot: Any, name: str) -> None:
    """Bring a volume and its middle slice into view."""
    from napari_sortingloss.widgets.viewer import layers

    session = stage.session
    session.set_current_volume(name)
    layers.show(session.viewer, [layers.plan(session.study.volume(name))])
    go_to(stage, name, 5)


def go_to(stage: Any, name: str, index: int) -> None:
    record = stage.session.volumes[name]
    stage.session.viewer.dims.set_point(0, (index + record.offset[0]) * record.voxel_size[0])


def mine(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]
