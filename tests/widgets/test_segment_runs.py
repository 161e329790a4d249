"""Real runs of fine-tuning through the buttons of the Segment stage: trained, watched, predicted, corrected, trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import segmenting as seg
from segmenting import mine, paint, see, show_volume

from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.widgets.annotate.painting import annotating_of
from napari_sortingloss.widgets.runs.run_fields import DETACHED
from napari_sortingloss.widgets.segment.stage import SegmentWidget

LONG = 120_000
"""Milliseconds; the first run of a session loads torch, on a computer that others may be using."""


@pytest.fixture
def stage(viewer: Any, opened: Any, study: Study, qtbot: Any) -> SegmentWidget:
    made = SegmentWidget(viewer)
    viewer.window.add_dock_widget(made)
    made.panel.watcher._timer.setInterval(50)
    made.session._timer.setInterval(200)
    paint(study)
    see(made, qtbot, lambda: len(made.session.annotated) == 2)
    tiny = {"size": 32, "batch": 2, "workers": 1, "threads": 1, "precision": "32", "augment": "none"}
    made.form.set_value(**tiny, checkpoint_every=1000, validate_every=4)
    return made


def wait(qtbot: Any, done: Callable[[], Any]) -> None:
    qtbot.waitUntil(lambda: bool(done()), timeout=LONG)


def state(stage: SegmentWidget) -> str:
    return stage.panel.run.state if stage.panel.run is not None else ""


def steps_seen(stage: SegmentWidget) -> int:
    steps, _ = stage.panel.watcher.history.train.get("loss", ([], []))
    return max(steps, default=0)


def test_from_painted_slices_to_a_corrected_slice_and_a_run_that_trains_on(stage, study, viewer, qtbot):
    stage.form.set_value(steps=8)
    stage.start_button.click()
    wait(qtbot, lambda: "has finished" in stage.bar.text)
    first = stage.panel.run.id
    assert "mean IoU" in stage.bar.text
    assert [row.name for row in stage.panel.scores.rows] == [*seg.NAMES, "mean"]
    assert not stage.panel.confusion.empty
    stage.bar._link.click()
    wait(qtbot, lambda: "fish_a predicted" in stage.bar.text)
    wait(qtbot, lambda: f"fish_a · prediction {first}" in mine(viewer))
    show_volume(stage, qtbot, "fish_a")
    seg.go_to(stage, "fish_a", 9)
    wait(qtbot, lambda: stage.correct_button.isEnabled())
    stage.correct_button.click()
    wait(qtbot, lambda: Annotations(study, "fish_a").status("z", 9) == "partial")
    annotating = annotating_of(stage.session)
    wait(qtbot, lambda: annotating.writable and not annotating.busy)
    annotating.set_status("complete")
    wait(qtbot, lambda: not annotating.busy)
    see(stage, qtbot, lambda: stage.form.slices.text().startswith("6 complete"))
    stage.form.start.choose(first)
    stage.start_button.click()
    wait(qtbot, lambda: stage.panel.run.id != first and state(stage) == "finished")
    assert stage.panel.run.settings["init"] == first
    assert "(last run " in stage.panel.scores.said()
    annotating.close()
    wait(qtbot, lambda: not annotating.busy and stage.session.jobs.running is None)


def test_the_preview_of_a_real_run_lies_on_the_slice_in_view(stage, viewer, qtbot):
    show_volume(stage, qtbot, "fish_b")
    stage.form.set_value(steps=100_000)
    stage.start_button.click()
    wait(qtbot, lambda: "fish_b · preview" in mine(viewer))
    assert np.asarray(viewer.layers["fish_b · preview"].data).shape == (1, 26, 16)
    stage.runs.stop()
    wait(qtbot, lambda: state(stage) == "stopped" and stage.session.jobs.running is None)
    assert "fish_b · preview" in mine(viewer)


def test_a_run_can_be_paused_stopped_and_goes_on_with_what_was_painted_since(stage, study, qtbot):
    stage.form.set_value(steps=100_000)
    stage.start_button.click()
    wait(qtbot, lambda: state(stage) == "running" and steps_seen(stage) > 1)
    stage.pause_button.click()
    wait(qtbot, lambda: state(stage) == "paused")
    stage.pause_button.click()
    wait(qtbot, lambda: state(stage) == "running")
    stage.start_button.click()
    wait(qtbot, lambda: state(stage) == "stopped" and stage.session.jobs.running is None)
    run, stopped_at = stage.panel.run.id, stage.panel.run.summary["step"]
    stage.resume_button.click()
    wait(qtbot, lambda: state(stage) == "running" and steps_seen(stage) > stopped_at)
    assert stage.panel.run.id == run
    stage.runs.stop()
    wait(qtbot, lambda: state(stage) == "stopped" and stage.session.jobs.running is None)
    assert len(stage.session.runs) == 1


def test_a_run_in_a_process_of_its_own_is_watched_and_stopped_from_here(stage, viewer, qtbot):
    show_volume(stage, qtbot, "fish_a")
    stage.form.set_value(steps=100_000)
    stage.form.where.setCurrentIndex(stage.form.where.findData(DETACHED))
    stage.start_button.click()
    wait(qtbot, lambda: state(stage) == "running" and steps_seen(stage) > 1)
    assert stage.session.jobs.running is None
    wait(qtbot, lambda: "fish_a · preview" in mine(viewer))
    stage.start_button.click()
    wait(qtbot, lambda: state(stage) == "stopped")
    assert stage.bar.text == ""


def test_one_class_on_partial_slices_alone_is_refused_in_the_bar(stage, study, qtbot):
    from napari_sortingloss.study.annotations.editor import AnnotationEditor

    for name, indices in seg.SLICES.items():
        with AnnotationEditor(study, name) as editor:
            for index in indices:
                shape = editor.labels.shape[1:]
                editor.put_slice("z", index, np.ones(shape, np.uint8), what="one class", status="partial")
    stage.start_button.click()
    wait(qtbot, lambda: bool(stage.bar.text))
    assert "nothing to tell it from" in stage.bar.text
    wait(qtbot, lambda: stage.start_button.text() == "Train")
    assert stage.start_button.isEnabled()
