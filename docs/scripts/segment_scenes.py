"""Drives the Annotate and Segment stages as a person would: ``python docs/scripts/segment_scenes.py STUDY VOLUME [--out FOLDER]``.

On its own it paints five slices of a volume after its reference labels, undoes a stroke, kills its own napari, opens the
study again, looks whether anything is missing, trains, predicts, corrects a slice, trains on, exports and reads the export
again, in real windows. `screenshots` takes its scenes for the tour. The study is changed: give it a copy.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mouse import Canvas, click, type_into_focus
from screenshots import IMAGES, Window, see_to_a_display

SEEN, VOXELS = "seen.json", "labels.npy"
RATE = 3e-3
"""The learning rate: a short run on small organs gets nowhere with less."""
COARSE, LEAST = 0.6, 4
"""How far (voxels) the corners that are clicked may leave an outline, and how many there are at least."""


def main() -> None:
    """Paint in a window that is killed, then go on in another one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("volume")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the pictures go")
    parser.add_argument("--name", default="segment", help="how their names begin")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--steps", type=int, default=300, help="of fine-tuning, at first and once more")
    parser.add_argument("--scene", choices=("all", "paint", "go-on"), default="all")
    parser.add_argument("--kept", type=Path, help="where what was painted is noted, to compare with")
    given = parser.parse_args()
    see_to_a_display()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.scene == "all":
        with tempfile.TemporaryDirectory(prefix="painted-") as kept:
            again = [sys.executable, *sys.argv, "--kept", kept, "--scene"]
            ended = subprocess.run([*again, "paint"], check=False).returncode
            if ended != -signal.SIGKILL:
                raise SystemExit(f"the window that painted ended with {ended} instead of being killed")
            print("napari was killed; opening the study again", flush=True)
            raise SystemExit(subprocess.run([*again, "go-on"], check=False).returncode)
    window = Window(given.out.absolute(), {})
    window.viewer.theme = given.theme
    window.viewer.window._qt_window.activateWindow()  # a virtual display has nobody else who would
    window.study.open_path(given.study.absolute())
    window.wait("the study", lambda: window.session.study is not None and window.session.volumes)
    if given.scene == "paint":
        paint(window, given.volume, given.name)
        note(window, given.kept)
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        nothing_is_missing(window, given.volume, given.kept)
        train(window, given.name, given.steps)
        predict(window, given.volume, given.name)
        correct(window, given.name)
        train_on(window, given.steps // 2)
        export(window, given.volume, given.name)
    finally:
        window.close()


# --------------------------------------------------------------------------------------------------------- painting
def paint(window: Window, name: str, prefix: str = "segment", slices: int = 5) -> None:
    """Paint slices after the reference with the polygon tool, mark them complete, paint a stroke by mouse and undo it."""
    show(window, name)
    window.bench.show_stage("Annotate")
    stage = window.bench.stages["Annotate"]
    annotating = stage.annotating
    window.wait("the annotations", lambda: annotating.view is not None and annotating.view.there)
    window.shot(f"{prefix}-annotate-ready", settle=1.0)
    values = make_classes(window, name)
    chosen = spread(window, name, values, slices)
    for number, index in enumerate(chosen):
        annotating.go_to(index)
        window.spin(0.3)
        outline(window, name, index, values)
        if number == 2:
            window.shot(f"{prefix}-annotate-painting", settle=1.5)
        click(stage.complete_button)
        window.wait("the mark", lambda: annotating.status() == "complete")
    annotating.go_to((chosen[-1] + chosen[-2]) // 2)
    window.spin(0.5)
    before = np.array(annotating.layer.data)
    drag_a_stroke(window, annotating, values[0])
    window.wait("the stroke", lambda: annotating.undo_text == "stroke", 30)
    painted = int((annotating.layer.data != before).sum())
    if not painted:
        raise SystemExit("the stroke of the mouse painted nothing")
    window.shot(f"{prefix}-annotate-stroke")
    click(stage.undo_button)
    window.wait("the undo", lambda: bool(np.array_equal(annotating.layer.data, before)), 30)
    print(f"a stroke of {painted} voxels was painted by mouse and undone")
    annotating.go_to(chosen[2])
    window.wait("the disk", lambda: annotating.pending == 0, 30)
    window.shot(f"{prefix}-annotated", settle=1.5)


def show(window: Window, name: str) -> None:
    """Show a volume, to step along its ordering axis."""
    window.bench.show_stage("Study")
    window.study.table.select((name,))
    window.study.along.setChecked(True)
    click(window.study.show_button)
    window.wait("the volume", lambda: any(layer.name == name for layer in window.viewer.layers))
    window.session.set_current_volume(name)
    window.spin(1.0)
    window.viewer.reset_view(margin=0.02)


def make_classes(window: Window, name: str) -> list[int]:
    """Name a class for each label of the reference, as a person would before painting; return their values."""
    from napari_sortingloss.study.classes import add_class, read_classes

    study = window.session.study
    values = [int(v) for v in np.unique(reference(window, name)[:]) if v]
    known = {one.value for one in read_classes(study)}
    titles = {1: "skull", 2: "brain cavity"} if len(values) == 2 else {}
    for value in values:
        if value not in known:
            add_class(study, titles.get(value, f"structure {value}"), value=value)
    window.session.refresh()
    window.wait("the classes", lambda: {one.value for one in window.session.classes} >= set(values))
    return values


def reference(window: Window, name: str) -> Any:
    """Return the reference labels of a volume, as an array (z, y, x) on disk."""
    import zarr

    return zarr.open_group(window.session.study.path / "references" / f"{name}.zarr", mode="r")["0"]


def spread(window: Window, name: str, values: Sequence[int], count: int) -> list[int]:
    """Return slices along z that are spread over the part of the volume with labels."""
    labels = reference(window, name)
    there = [z for z in range(labels.shape[0]) if np.isin(labels[z], values).any()]
    return [there[round((i + 0.5) / count * (len(there) - 1))] for i in range(count)]


def outline(window: Window, name: str, index: int, values: Sequence[int]) -> None:
    """Click around each part of a class with the polygon tool, and around its holes with the same tool unpainting."""
    from skimage.measure import approximate_polygon, find_contours

    layer = window.bench.stages["Annotate"].annotating.layer
    canvas = Canvas(window.viewer, layer)
    labels = np.pad(np.asarray(reference(window, name)[index]), 1)
    for value in values:
        lines = find_contours((labels == value).astype(float), 0.5)
        for line in sorted(lines, key=len, reverse=True):
            corners = approximate_polygon(line, COARSE)[:-1] - 1
            if len(corners) < LEAST:
                continue
            canvas.native.setFocus()
            type_into_focus(str(value))
            type_into_focus("g")
            if twice_area(line) > 0:
                type_into_focus("x")
            canvas.outline([[index, *corner] for corner in corners])
        window.spin(0.1)


def twice_area(line: np.ndarray) -> float:
    """Return twice the signed area inside a closed line: positive around a hole, as scikit-image draws it."""
    y, x = line.T
    return float(np.sum(y[:-1] * x[1:] - y[1:] * x[:-1]))


def drag_a_stroke(window: Window, annotating: Any, value: int) -> None:
    """Paint a stroke with the brush and the mouse over the middle of the canvas."""
    canvas = Canvas(window.viewer, annotating.layer)
    canvas.native.setFocus()
    type_into_focus(str(value))
    type_into_focus("p")
    annotating.layer.brush_size = 8
    _, height, width = annotating.layer.data.shape
    index, row, column = annotating.slice_in_view()[1], height // 2, width // 2
    canvas.drag([index, row, column], [index, row + 4, column + 14])


# ------------------------------------------------------------------------------------------------------- killed
def note(window: Window, kept: Path) -> None:
    """Keep what is painted and marked, for the next window to compare with."""
    annotating = window.bench.stages["Annotate"].annotating
    np.save(kept / VOXELS, annotating.layer.data)
    seen = {"statuses": annotating.statuses("z"), "undo": annotating.undo_text}
    (kept / SEEN).write_text(json.dumps(seen), encoding="utf-8")


def nothing_is_missing(window: Window, name: str, kept: Path) -> None:
    """Compare what the annotations hold after the kill with what was painted."""
    show(window, name)
    window.bench.show_stage("Annotate")
    annotating = window.bench.stages["Annotate"].annotating
    window.wait("the annotations", lambda: annotating.view is not None and annotating.view.there)
    window.spin(1.0)
    seen = json.loads((kept / SEEN).read_text(encoding="utf-8"))
    painted = np.load(kept / VOXELS)
    if not np.array_equal(annotating.layer.data, painted):
        raise SystemExit("labels are missing after the kill")
    if {str(k): v for k, v in annotating.statuses("z").items()} != seen["statuses"]:
        raise SystemExit("marks are missing after the kill")
    if annotating.undo_text != seen["undo"]:
        raise SystemExit("the history is not what it was")
    print(
        f"after the kill: {int((painted > 0).sum())} voxels and {len(seen['statuses'])} slices, nothing is missing; "
        f"undo reaches back to: {annotating.undo_text}"
    )


# ------------------------------------------------------------------------------------------------------- training
def train(window: Window, prefix: str = "segment", steps: int = 300) -> None:
    """Train from the newest pre-training run, watching the slice in view."""
    stage = window.bench.stages["Segment"]
    window.bench.show_stage("Segment")
    window.spin(1.0)
    run = next(info.id for info in window.session.runs if info.kind == "pretrain")
    stage.form.start.choose(run)
    stage.form.set_value(steps=steps, learning_rate=RATE)
    window.wait("the estimate", lambda: "about" in stage.form.needs.text())
    window.shot(f"{prefix}-ready", settle=1.0)
    click(stage.start_button)
    window.wait("the first preview", lambda: stage.live.step > 0)
    first = stage.live.step, np.array(stage.live.layer.layer.data)
    window.wait("the preview to move", lambda: stage.live.step > max(first[0], steps // 2))
    second = np.array(stage.live.layer.layer.data)
    changed = int((first[1] != second).sum())
    if not changed:
        raise SystemExit("the preview did not move")
    print(f"the preview of step {first[0]} and that of step {stage.live.step} differ in {changed} pixels")
    window.shot(f"{prefix}-training", settle=0.5)
    window.wait("the end", lambda: state_of(window) == "finished")
    window.wait("the news", lambda: bool(stage.bar.text))
    window.shot(f"{prefix}-trained", settle=1.5)


def state_of(window: Window) -> str:
    """Return the state of the newest fine-tuning run."""
    return next((info.state for info in window.session.runs if info.kind == "finetune"), "")


def predict(window: Window, name: str, prefix: str = "segment") -> None:
    """Predict the volume in view and see it grow."""
    stage = window.bench.stages["Segment"]
    stage.bar.clear()
    click(stage.choice)
    parts: list[int] = []

    def growing() -> bool:
        layer = predicted_layer(window, name)
        if layer is None or window.session.jobs.find("predict") is None:
            return bool(parts) and window.session.jobs.find("predict") is None
        job = window.session.jobs.find("predict")
        if job.progress is not None and (not parts or job.progress.done > parts[-1]):
            parts.append(job.progress.done)
        return len(parts) >= 3

    window.wait("the prediction to grow", growing)
    window.shot(f"{prefix}-predicting", settle=0.3)
    window.wait_for_jobs()
    window.wait("the prediction", lambda: predicted_layer(window, name) is not None)
    print(f"the prediction was seen after {parts} slices, and whole")
    window.shot(f"{prefix}-predicted", settle=1.5)


def predicted_layer(window: Window, name: str) -> Any:
    """Return the layer that shows the prediction of a volume, or None."""
    return next((one for one in window.viewer.layers if one.name.startswith(f"{name} · prediction")), None)


def correct(window: Window, prefix: str = "segment") -> None:
    """Take a predicted slice over, repair it by mouse and mark it complete."""
    stage, annotate = window.bench.stages["Segment"], window.bench.stages["Annotate"]
    annotating = annotate.annotating
    taken = annotating.statuses("z")
    z = max(1, (sorted(taken)[1] + sorted(taken)[2]) // 2)
    annotating.go_to(z)
    window.spin(0.8)
    click(stage.correct_button)
    window.wait("the slice", lambda: annotating.status() == "partial")
    window.shot(f"{prefix}-correcting", settle=1.5)
    _, height, width = annotating.layer.data.shape
    there = int(annotating.layer.data[z, height // 2, width // 2])
    drag_a_stroke(window, annotating, there or int(annotating.layer.selected_label))
    window.wait("the repair", lambda: annotating.undo_text == "stroke", 30)
    click(annotate.complete_button)
    window.wait("the mark", lambda: annotating.status() == "complete")
    print(f"slice {z} was taken over from the prediction, repaired and marked complete")


def train_on(window: Window, steps: int) -> None:
    """Train on from the run, with the corrected slice."""
    stage = window.bench.stages["Segment"]
    window.bench.show_stage("Segment")
    window.spin(1.0)
    before = [info.id for info in window.session.runs if info.kind == "finetune"]
    earlier = next(info for info in window.session.runs if info.id == before[0])
    stage.form.start.choose(earlier.id)
    stage.form.set_value(steps=steps)
    window.spin(1.0)
    click(stage.start_button)
    window.wait(
        "another run",
        lambda: sum(info.kind == "finetune" for info in window.session.runs) > len(before),
    )
    window.wait("its end", lambda: state_of(window) == "finished")
    newest = next(info for info in window.session.runs if info.kind == "finetune")
    learnt = len(newest.settings["learnt"]) + len(newest.settings["kept"])
    print(f"trained on from {earlier.id} with {learnt} slices: {newest.summary.get('validation')}")


def export(window: Window, name: str, prefix: str = "segment") -> None:
    """Export the labels of the prediction through the menu's verb, and read them again."""
    from unittest.mock import patch

    import nibabel

    stage = window.bench.stages["Segment"]
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / f"{name}_labels.nii.gz"
        with patch("napari_sortingloss.widgets.toolkit.dialogs.choose_label_export", return_value=path):
            stage.predicting.export("labels")
        began = time.monotonic()
        window.wait_for_jobs()
        window.wait("the file", lambda: path.exists(), 60)
        found = nibabel.load(path)
        record = window.session.volumes[name]
        sizes = tuple(float(s) for s in found.header.get_zooms())
        if found.shape[::-1] != record.shape or not np.allclose(sizes[::-1], record.voxel_size, rtol=1e-4):
            raise SystemExit(f"the export has {found.shape} voxels of {sizes}; the volume {record}")
        values = np.unique(np.asarray(found.dataobj)).tolist()
        print(
            f"exported and read again in {time.monotonic() - began:.1f} s: {found.shape} voxels (x, y, z) of {sizes} "
            f"{record.unit}, labels {values}"
        )
    window.shot(f"{prefix}-exported")


if __name__ == "__main__":
    main()
