"""Runs and localisations for the tests of the Localize stage, written as the jobs write them, without any network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.events import Event, Metrics, Progress, Result, StateChanged
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.settings import LocalizeSettings
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.study import Study
from napari_sortingloss.study.localizations.reading import (
    Localization,
    LocalizationWriter,
    Profile,
    read_localization,
)
from napari_sortingloss.study.schema import now

BOXES: dict[str, Box] = {"fish_a": ((4, 20), (3, 15), (6, 24)), "fish_b": ((2, 14), (4, 22), (3, 11))}
STEP = 2


def trained(study: Study, step: int = 20, **changes: Any) -> str:
    """Leave a finished run of the sorting task, and return its id."""
    settings = settings_for("sorting")(steps=20, slices=4, size=32, **changes)
    with study.new_run("pretrain", "sorting", settings.to_json()) as writer:
        figures = {"mean_displacement": 0.4, "random_displacement": 1.25}
        if step:
            writer.append(Metrics(step=step, values=figures, split="validation"))
            writer.append(Progress(done=step, total=20, unit="steps"))
        writer.append(StateChanged(state="finished", step=step))
        return writer.run.id


def uncertainty(shape: Sequence[int], box: Box) -> tuple[np.ndarray, Grid]:
    """Return a map that is higher the deeper a point lies inside a box."""
    grid = Grid.of_voxels(tuple(shape), STEP)
    if box == NO_BOX:
        return np.zeros(grid.shape, np.float32), grid
    depth = np.full(grid.shape, np.inf)
    for axis, (low, high) in enumerate(box):
        at = grid.voxels(axis)
        inside = 1 - np.abs(at - (low + high - 1) / 2) / ((high - low) / 2)
        depth = np.minimum(depth, inside.reshape([-1 if a == axis else 1 for a in range(3)]))
    return np.clip(depth, 0, 1).astype(np.float32), grid


def localize(study: Study, name: str, run: str, box: Box | None = None, **changes: Any) -> Localization:
    """Write a localisation as the job does."""
    shape = study.volumes[name].shape
    box = BOXES[name] if box is None else box
    values, grid = uncertainty(shape, box)
    profiles = {
        axis: Profile(grid.offset[i], grid.scale[i], tuple(map(float, values.max(axis=others))), *box[i], 0.1)
        for i, (axis, others) in enumerate(zip("zyx", ((1, 2), (0, 2), (0, 1)), strict=True))
    }
    found = Localization(
        volume=name,
        run=run,
        created=now() + f".{time.monotonic_ns()}",
        shape=shape,
        box=box,
        found=box,
        threshold=0.0,
        fraction=float((values > 0).mean()),
        statistic="sensitivity",
        settings=LocalizeSettings(run=run).to_json(),
        seconds=0.1,
        profiles=profiles,
    )
    with LocalizationWriter(study, name, run) as writer:
        writer.uncertainty(values, grid.to_json())
        return writer.commit(found.replace(**changes))


def localize_job(study: Study, settings: LocalizeSettings) -> Iterator[Event]:
    """Do as the job does, without a network."""
    names = settings.volumes or tuple(study.volumes)
    done = []
    for i, name in enumerate(names):
        yield Progress(done=i, total=len(names), what=f"{name}: looking", unit="volumes")
        found = localize(study, name, settings.run)
        done.append(
            {
                "name": name,
                "box": [list(span) for span in found.box],
                "removed_fraction": found.removed_fraction,
                "kept_fraction": found.kept_fraction,
                "warnings": list(found.warnings),
            }
        )
    yield Result(value={"run": settings.run, "volumes": done})


def see(stage: Any, qtbot: Any, done: Any) -> None:
    """Look at the study until something is so."""

    def look() -> bool:
        if not stage.session._background.busy:  # a newer look overtakes one that is under way
            stage.session.refresh()
        return bool(done())

    qtbot.waitUntil(look, timeout=20_000)


def idle(stage: Any, qtbot: Any) -> None:
    def nothing_to_do() -> bool:
        keeper = stage.review.keeper
        return not (stage.background.busy or keeper.waiting or stage.session._background.busy)

    qtbot.waitUntil(nothing_to_do, timeout=20_000)


def statuses(stage: Any) -> list[str]:
    return [row.status for row in stage.table.model_.rows]


def on_disk(stage: Any, name: str) -> Any:
    return read_localization(stage.session.study, name, stage.form.run_id)


def mine(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]
