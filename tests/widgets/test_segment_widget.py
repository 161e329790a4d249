"""The Segment stage around runs and predictions made without a network: what it shows, what its buttons do, and why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import segmenting as seg
import zarr
from localizing import trained as pretrained
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from segmenting import begin, finish, measure, mine, paint, predict_one, see, show_volume, trained

from napari_sortingloss.errors import OutOfSpace
from napari_sortingloss.events import Progress
from napari_sortingloss.study import RunWriter, Study
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.predictions.reading import growing_prediction
from napari_sortingloss.widgets.annotate.painting import annotating_of
from napari_sortingloss.widgets.segment import finetune_runs, predict_actions
from napari_sortingloss.widgets.segment.stage import SegmentWidget
from napari_sortingloss.widgets.toolkit import dialogs


@pytest.fixture
def stage(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> SegmentWidget:
    monkeypatch.setattr(
        predict_actions, "predict_job", lambda study, wanted: lambda: seg.predict_job(study, wanted)
    )
    made = SegmentWidget(viewer)
    viewer.window.add_dock_widget(made)
    made.panel.watcher._timer.setInterval(30)
    made.live._poll.setInterval(30)
    made.live._settle.setInterval(10)
    return made


@pytest.fixture
def ready(stage: SegmentWidget, study: Study, opened: Any, qtbot: Any) -> SegmentWidget:
    """The stage on a study with five annotated slices."""
    paint(study, partial=("fish_b",))
    see(stage, qtbot, lambda: len(stage.session.annotated) == 2)
    return stage


@pytest.fixture
def train(study: Study) -> Iterator[Callable[..., RunWriter]]:
    """Begin a run as another program would, and hold it."""
    held: list[RunWriter] = []

    def start(**changes: Any) -> RunWriter:
        held.append(begin(study, **changes))
        return held[-1]

    yield start
    for writer in held:
        writer.close()


def state(stage: SegmentWidget) -> str:
    return stage.panel.run.state if stage.panel.run is not None else ""


def settled(stage: SegmentWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not (stage.background.busy or stage.session._background.busy), timeout=20_000)


def voxels(layer: Any) -> np.ndarray:
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


# ------------------------------------------------------------------------------------------------ nothing there yet
def test_without_a_study_it_says_what_to_do_and_where(stage, session):
    assert "Open a study" in stage.hint.text()
    assert not stage.start_button.isEnabled()
    assert stage.start_button.toolTip() == "Add volumes to the study first"
    assert stage.verbs.isHidden()


def test_without_painted_slices_it_leads_to_annotate(stage, opened, session):
    assert "No slice is annotated yet" in stage.hint.text()
    assert stage.start_button.toolTip() == "Annotate at least one slice first"
    asked: list[str] = []
    session.stage_requested.connect(asked.append)
    stage.link.click()
    assert asked == ["Annotate"]


def test_with_painted_slices_it_says_on_which_and_how_many_are_held_back(ready):
    assert ready.hint.isHidden()
    assert ready.form.slices.text() == "2 complete, 3 partial slices in 2 volumes · 1 held back"
    ready.form.set_value(held_back=0.0)
    assert ready.form.slices.text().endswith("none held back: no scores")
    assert ready.start_button.isEnabled()
    assert ready.start_button.text() == "Train"


def test_before_it_starts_it_says_what_a_run_needs(ready, qtbot):
    qtbot.waitUntil(lambda: ready.form.needs.text().startswith("needs "), timeout=20_000)
    assert "of\N{NO-BREAK SPACE}memory" in ready.form.needs.text()


def test_a_run_can_begin_from_scratch_an_encoder_or_an_earlier_run_whose_network_it_keeps(
    ready, study, qtbot
):
    form = ready.form
    assert form.start.run == "scratch"
    assert form.edits["encoder"].widget.isEnabled()
    encoder = pretrained(study, encoder="resnet34")
    see(ready, qtbot, lambda: form.start.count() == 2)
    assert form.start.run == encoder
    assert form.settings().encoder == "resnet34"
    assert not form.edits["encoder"].widget.isEnabled()
    assert "comes with" in form.edits["encoder"].widget.toolTip()
    earlier = trained(study, network="deeplabv3plus")
    see(ready, qtbot, lambda: form.start.count() == 3)
    assert form.start.run == encoder
    form.start.choose(earlier)
    assert form.start.trains_on
    assert form.settings().network == "deeplabv3plus"
    assert not form.edits["network"].widget.isEnabled()
    assert form.settings().init == earlier


# ------------------------------------------------------------------------------------------------ a run
def test_a_run_shows_its_curves_with_a_line_for_each_class_and_its_scores(ready, train, study, qtbot):
    writer = train()
    measure(writer, 5, 0.5, 0.3)
    measure(writer, 10, 0.8, 0.6)
    see(ready, qtbot, lambda: state(ready) == "running" and not ready.panel.scores.empty)
    assert [plot.curve.metric for plot in ready.panel.curves.plots] == ["loss", "mean_iou"]
    for found in seg.classes(study):
        qtbot.waitUntil(lambda found=found: found.name in ready.panel.curves._legend.text())
        assert found.color in ready.panel.curves._legend.text()
    assert ready.panel.scores.said() == "mean IoU 0.70 on 2 held-back slices"
    assert ready.start_button.text() == "Stop"
    assert not ready.pause_button.isHidden()


def test_the_scores_of_the_run_before_stand_beside(ready, study, train, qtbot):
    trained(study, 0.82, 0.80)
    writer = train()
    measure(writer, 5, 0.9, 0.8)
    see(ready, qtbot, lambda: "last run" in ready.panel.scores.said())
    assert ready.panel.scores.said() == "mean IoU 0.85 (last run 0.81) on 2 held-back slices"
    rows = {row.name: row for row in ready.panel.scores.rows}
    assert (rows["body"].iou, rows["body"].before) == (0.9, 0.82)


def test_a_run_that_has_finished_says_how_good_it_is_and_predicts_from_there(ready, study, train, qtbot):
    writer = train()
    see(ready, qtbot, lambda: state(ready) == "running")
    measure(writer, 20, 0.9, 0.8)
    qtbot.waitUntil(lambda: not ready.panel.scores.empty)
    run = finish(writer)
    see(ready, qtbot, lambda: bool(ready.bar.text))
    assert "mean IoU 0.85" in ready.bar.text
    assert ready.bar._link.text() == "Predict this volume ▸"
    ready.bar._link.click()
    see(ready, qtbot, lambda: run in ready.session.predictions.get("fish_a", {}))


def test_pre_training_and_fine_tuning_runs_do_not_mix(ready, study, qtbot):
    pretrained(study)
    run = trained(study)
    see(ready, qtbot, lambda: len(ready.session.runs) == 2)
    assert ready.panel.run.id == run
    assert ready.panel.table.topLevelItemCount() == 1


def test_pausing_and_stopping_reach_whoever_trains(ready, train, qtbot):
    writer = train()
    see(ready, qtbot, lambda: state(ready) == "running")
    ready.pause_button.click()
    qtbot.waitUntil(lambda: writer.command() == "pause")
    ready.runs.asked = ""
    ready.start_button.click()
    qtbot.waitUntil(lambda: writer.command() == "stop")
    finish(writer, "stopped")
    see(ready, qtbot, lambda: state(ready) == "stopped")
    assert ready.start_button.text() == "Train"
    assert ready.start_button.isEnabled()


def test_an_error_of_the_job_is_in_the_bar_and_the_next_start_is_possible(ready, qtbot, monkeypatch):
    def fails(*_: Any) -> Any:
        def make() -> Any:
            raise OutOfSpace("Cannot save a checkpoint", "the disk is full", "free some space")

        return make

    monkeypatch.setattr(finetune_runs, "finetune_job", fails)
    ready.start_button.click()
    assert ready.start_button.text() == "Stop"
    qtbot.waitUntil(lambda: "the disk is full" in ready.bar.text)
    qtbot.waitUntil(lambda: ready.start_button.text() == "Train")
    assert ready.start_button.isEnabled()


def test_the_command_of_an_own_process_says_what_differs_from_the_defaults(ready, study):
    ready.form.set_value(steps=30, network="deeplabv3plus")
    line = ready.runs.new_command(study.path, ready.form.settings())
    assert line[:2] == ["finetune", str(study.path)]
    assert line[line.index("--steps") + 1] == "30"
    assert line[line.index("--network") + 1] == "deeplabv3plus"
    assert "--init" not in line


def test_to_train_on_the_decoder_keeps_its_normalisation(ready, study, qtbot):
    earlier = trained(study, network="deeplabv3plus", decoder_norm="group")
    see(ready, qtbot, lambda: ready.form.start.count() == 2)
    norm = ready.form.more.edits["decoder_norm"].widget
    ready.form.start.choose(earlier)
    assert ready.form.settings().decoder_norm == "group"
    assert not norm.isEnabled()
    assert norm.toolTip() == f"It comes with {earlier}"
    ready.form.start.choose("scratch")
    assert norm.isEnabled()
    assert "normalisation of the decoder" in norm.toolTip()


def test_what_a_run_needs_is_not_worked_out_anew_while_nothing_changes(ready, study, train, qtbot):
    writer = train()
    see(ready, qtbot, lambda: ready.panel.run is not None)
    told = []
    ready.form.changed.connect(lambda: told.append(1))
    for step in (6, 7, 8):
        measure(writer, step, 0.5, 0.4)
        ready.form.set_runs(ready.session.runs)
    assert not told


# ------------------------------------------------------------------------------------------------ what a run predicted
def test_only_an_earlier_run_of_fine_tuning_can_teach(ready, study, qtbot):
    run = trained(study)
    see(ready, qtbot, lambda: ready.form.start.count() == 2)
    tick = ready.form.learn_also
    assert tick.isHidden()
    ready.form.start.choose(run)
    assert not tick.isHidden()
    assert not tick.isEnabled()
    assert "Write where it is unsure" in tick.toolTip()


def test_a_run_is_learnt_from_where_it_said_how_sure_it_was(ready, study, qtbot):
    run = trained(study)
    see(ready, qtbot, lambda: ready.form.start.count() == 2)
    ready.form.start.choose(run)
    tick = ready.form.learn_also
    predict_one(study, "fish_a", run)
    see(ready, qtbot, lambda: bool(ready.session.predictions))
    assert not tick.isEnabled()
    predict_one(study, "fish_b", run, unsure=True)
    see(ready, qtbot, lambda: tick.isEnabled())
    assert tick.text() == "Lear&n also from its predictions (1)"
    assert ready.form.settings().also_from == ""
    tick.click()
    assert ready.form.settings().also_from == run
    line = ready.runs.new_command(study.path, ready.form.settings())
    assert line[line.index("--also-from") + 1] == run


def test_another_beginning_is_not_learnt_from_unasked(ready, study, qtbot):
    run = trained(study)
    predict_one(study, "fish_b", run, unsure=True)
    see(ready, qtbot, lambda: ready.form.start.count() == 2 and bool(ready.session.predictions))
    ready.form.start.choose(run)
    ready.form.learn_also.click()
    ready.form.start.choose("scratch")
    assert ready.form.settings().also_from == ""
    ready.form.start.choose(run)
    assert not ready.form.learn_also.isChecked()


def test_the_settings_of_a_taught_run_are_shown_with_its_tick(ready, study, qtbot):
    run = trained(study)
    predict_one(study, "fish_b", run, unsure=True)
    see(ready, qtbot, lambda: ready.form.start.count() == 2 and bool(ready.session.predictions))
    taught = seg.settings(study, init=run, also_from=run, sure=0.8)
    ready.form.show_settings(taught.to_json())
    assert ready.form.learn_also.isChecked()
    assert (ready.form.settings().also_from, ready.form.settings().sure) == (run, 0.8)


# ------------------------------------------------------------------------------------------------ live preview
def test_the_preview_follows_the_slice_in_view_while_a_run_trains(ready, study, train, viewer, qtbot):
    from napari_sortingloss.study.runs.live_preview import PreviewPicture, read_request, write_preview

    show_volume(ready, qtbot, "fish_a")
    writer = train()
    folder = writer.run.path
    see(ready, qtbot, lambda: state(ready) == "running")
    qtbot.waitUntil(lambda: read_request(folder) is not None)
    asked = read_request(folder)
    assert (asked.volume, asked.axis, asked.index) == ("fish_a", "z", 5)
    labels = seg.painted((24, 18, 30), 5, [1, 2])
    write_preview(folder, PreviewPicture(7, asked, labels, labels))
    qtbot.waitUntil(lambda: "fish_a · preview" in mine(viewer))
    layer = viewer.layers["fish_a · preview"]
    assert layer.data.shape == (1, 18, 30)
    assert np.allclose(layer.translate, (5 * 0.4, 0, 0))
    np.testing.assert_array_equal(layer.data[0], labels)
    assert ready.panel.live_about.text() == "step 7"
    seg.go_to(ready, "fish_a", 9)
    assert "fish_a · preview" not in mine(viewer)
    qtbot.waitUntil(lambda: read_request(folder).index == 9)
    write_preview(folder, PreviewPicture(9, read_request(folder), labels, labels))
    qtbot.waitUntil(lambda: "fish_a · preview" in mine(viewer))
    ready.panel.live.setChecked(False)
    assert "fish_a · preview" not in mine(viewer)
    ready.panel.live.setChecked(True)
    qtbot.waitUntil(lambda: "fish_a · preview" in mine(viewer))
    finish(writer)
    see(ready, qtbot, lambda: state(ready) == "finished")
    assert "fish_a · preview" in mine(viewer)
    assert ready.panel.live_about.text() == "as of step 9"
    seg.go_to(ready, "fish_a", 3)
    assert "fish_a · preview" in mine(viewer)
    ready.choice.click()
    assert "fish_a · preview" not in mine(viewer)
    see(ready, qtbot, lambda: bool(ready.finished_predictions()))


def test_the_preview_lies_right_across_another_axis(ready, study, train, viewer, qtbot):
    from napari_sortingloss.study.runs.live_preview import PreviewPicture, read_request, write_preview
    from napari_sortingloss.widgets.viewer import view

    show_volume(ready, qtbot, "fish_a")
    view.step_along(viewer, "x")
    viewer.dims.set_point(2, 7 * 0.3)
    writer = train()
    see(ready, qtbot, lambda: state(ready) == "running")
    qtbot.waitUntil(lambda: read_request(writer.run.path) is not None)
    asked = read_request(writer.run.path)
    assert (asked.axis, asked.index) == ("x", 7)
    labels = np.arange(24 * 18, dtype=np.uint8).reshape(24, 18) % 3
    write_preview(writer.run.path, PreviewPicture(7, asked, labels, labels))
    qtbot.waitUntil(lambda: "fish_a · preview" in mine(viewer))
    layer = viewer.layers["fish_a · preview"]
    assert layer.data.shape == (24, 18, 1)
    assert np.allclose(layer.translate, (0, 0, 7 * 0.3))
    viewer.dims.order = (0, 1, 2)


# ------------------------------------------------------------------------------------------------ predicting
def test_a_prediction_grows_in_the_viewer_and_says_what_to_do_next(ready, study, viewer, qtbot):
    run = trained(study)
    see(ready, qtbot, lambda: state(ready) == "finished")
    assert ready.choice.text() == "P&redict: this volume"
    ready.choice.click()
    assert ready.choice.text() == "Stop p&redicting"
    see(ready, qtbot, lambda: "fish_a predicted" in ready.bar.text)
    see(ready, qtbot, lambda: f"fish_a · prediction {run}" in mine(viewer))
    assert mine(viewer)[0] == "fish_a"
    layer = viewer.layers[f"fish_a · prediction {run}"]
    np.testing.assert_array_equal(voxels(layer), seg.labels_of(study, "fish_a"))
    assert not layer.editable
    assert ready.choice.text() == "P&redict: this volume"
    assert ready.progress.text.text() == ""
    assert ready.bar._link.text() == "Correct this slice ▸"


def test_an_interrupted_prediction_stays_and_is_finished_later(ready, study, viewer, qtbot, monkeypatch):
    run = trained(study)
    see(ready, qtbot, lambda: state(ready) == "finished")
    goes_on = [True]

    def slow(study: Study, wanted: Any) -> Any:
        def make() -> Iterator[Any]:
            writing = seg.predicting(study, "fish_a", wanted.run)
            for _, stop in writing:
                while goes_on[0]:
                    yield Progress(done=stop, total=24, what="fish_a", unit="slices")
                    time.sleep(0.01)
            writing.close()

        return make

    monkeypatch.setattr(predict_actions, "predict_job", slow)
    ready.choice.click()
    see(ready, qtbot, lambda: f"fish_a · prediction {run}" in mine(viewer))
    assert growing_prediction(study, "fish_a", run) is not None
    assert ready.progress.toolTip() == "100 % · fish_a"
    ready.choice.click()
    qtbot.waitUntil(lambda: "Stopped" in ready.bar.text)
    goes_on[0] = False
    assert ready.choice.isEnabled()
    monkeypatch.setattr(
        predict_actions, "predict_job", lambda study, wanted: lambda: seg.predict_job(study, wanted)
    )
    ready.bar._link.click()
    see(ready, qtbot, lambda: bool(ready.finished_predictions()))


@pytest.fixture
def cut_off(ready, study, qtbot) -> str:
    """Fish a is predicted whole along y; along all axes, with the uncertainty, the program was killed after one slab."""
    run = trained(study)
    predict_one(study, "fish_a", run, axes="y")
    begun = seg.predicting(study, "fish_a", run, axes="zyx", unsure=True, every_pose=True, labels="overlap")
    next(begun)
    begun.close()
    see(ready, qtbot, lambda: bool(ready.finished_predictions()) and state(ready) == "finished")
    return run


def test_a_prediction_that_was_cut_off_leaves_the_whole_one_in_its_place(
    ready, study, viewer, qtbot, cut_off
):
    table = ready.panel.predictions
    assert [table.topLevelItem(0).text(column) for column in (0, 2, 3)] == [cut_off, "y", "✓ ⚠ 33 %"]
    show_volume(ready, qtbot, "fish_a")
    assert ready.correction.why_not() == ""
    table.tick(cut_off)
    see(ready, qtbot, lambda: f"fish_a · prediction {cut_off}" in mine(viewer))
    np.testing.assert_array_equal(
        voxels(viewer.layers[f"fish_a · prediction {cut_off}"]), seg.labels_of(study, "fish_a")
    )


def test_what_was_cut_off_is_said_once_and_goes_on_in_its_own_way(ready, study, qtbot, monkeypatch, cut_off):
    assert "cut off at 33 % along z + y + x" in ready.bar.text
    assert "stays until it is replaced" in ready.bar.text
    asked: list[Any] = []
    monkeypatch.setattr(
        predict_actions, "predict_job", lambda study, wanted: asked.append(wanted) or (lambda: iter(()))
    )
    ready.bar._link.click()
    (wanted,) = asked
    assert (wanted.run, wanted.volumes, wanted.axes) == (cut_off, ("fish_a",), "zyx")
    assert (wanted.uncertainty, wanted.every_pose, wanted.labels) == (True, True, "overlap")
    qtbot.waitUntil(lambda: ready.predicting.job is None)
    ready.bar.clear()
    ready.session.predictions_changed.emit()
    assert ready.bar.text == ""


@pytest.mark.parametrize(
    ("button", "axes"), [("Go on with it", "zyx"), ("Begin anew", "z"), ("Cancel", None)]
)
def test_to_predict_in_another_way_asks_before_what_was_begun_is_dropped(
    ready, qtbot, monkeypatch, cut_off, button, axes
):
    asked: list[Any] = []
    monkeypatch.setattr(
        predict_actions, "predict_job", lambda study, wanted: asked.append(wanted) or (lambda: iter(()))
    )

    def press() -> None:
        box = QApplication.activeModalWidget()
        assert "cut off at 33 %" in box.text()
        next(one for one in box.buttons() if one.text().replace("&", "") == button).click()

    ready.choice.choose_axes("z")
    QTimer.singleShot(0, press)
    ready.choice.click()
    assert [one.axes for one in asked] == ([axes] if axes else [])


def test_what_was_begun_can_be_dropped_and_the_whole_prediction_stays(
    ready, study, qtbot, monkeypatch, cut_off
):
    monkeypatch.setattr(ready.predicting, "_confirm", lambda question: "stays" in question)
    menu = ready.panel.predictions.menu_for(cut_off)
    next(entry for entry in menu.actions() if "Drop what was begun" in entry.text()).trigger()
    see(ready, qtbot, lambda: growing_prediction(study, "fish_a", cut_off) is None)
    see(ready, qtbot, lambda: ready.finished_predictions()[0].unfinished is None)


def test_a_panel_opened_while_a_volume_is_predicted_follows_the_job(ready, viewer, qtbot, monkeypatch):
    trained(ready.session.study)
    see(ready, qtbot, lambda: state(ready) == "finished")
    ready.choice.click()
    other = SegmentWidget(viewer)
    viewer.window.add_dock_widget(other)
    assert other.choice.text() == "Stop p&redicting"
    see(other, qtbot, lambda: "fish_a predicted" in other.bar.text)


def test_a_full_disk_is_told_and_the_button_is_alive_again(ready, study, qtbot, monkeypatch):
    trained(study)
    see(ready, qtbot, lambda: state(ready) == "finished")

    def fails(*_: Any) -> Any:
        def make() -> Iterator[Any]:
            yield Progress(done=1, total=24, what="fish_a", unit="slices")
            raise OutOfSpace("Cannot predict 'fish_a'", "the disk is full", "free some space")

        return make

    monkeypatch.setattr(predict_actions, "predict_job", fails)
    ready.choice.click()
    qtbot.waitUntil(lambda: "the disk is full" in ready.bar.text)
    qtbot.waitUntil(lambda: ready.choice.text() == "P&redict: this volume")
    assert ready.choice.isEnabled()


def test_who_comes_to_the_stage_sees_the_newest_prediction_until_they_take_it_away(
    viewer, opened, study, qtbot
):
    paint(study)
    old, new = trained(study), trained(study)
    for run in (old, new):
        predict_one(study, "fish_a", run)
        predict_one(study, "fish_b", run)
    stage = SegmentWidget(viewer)
    viewer.window.add_dock_widget(stage)
    see(stage, qtbot, lambda: f"fish_a · prediction {new}" in mine(viewer))
    assert f"fish_a · prediction {old}" not in mine(viewer)
    stage.panel.predictions.tick(new, False)
    stage.session.set_current_volume("fish_b")
    stage.session.predictions_changed.emit()
    qtbot.wait(50)
    assert not any("prediction" in name for name in mine(viewer))
    stage.panel.predictions.tick(old)
    see(stage, qtbot, lambda: f"fish_b · prediction {old}" in mine(viewer))
    stage.session.set_current_volume("fish_a")
    see(stage, qtbot, lambda: f"fish_a · prediction {old}" in mine(viewer))


def test_all_volumes_or_those_not_done_yet_are_predicted_as_chosen(ready, study, qtbot):
    run = trained(study)
    predict_one(study, "fish_a", run)
    see(ready, qtbot, lambda: bool(ready.session.predictions) and state(ready) == "finished")
    ready.choice.fill()
    texts = [action.text() for action in ready.choice.menu_.actions()]
    assert "&All 2 volumes" in texts
    ready.choice.choose("rest")
    assert ready.choice.volumes() == ("fish_b",)
    ready.choice.choose("all")
    assert ready.choice.volumes() == ("fish_a", "fish_b")
    ready.choice.choose("rest")
    ready.choice.choose_uncertainty(True)
    ready.choice.choose_every_pose(True)
    ready.choice.choose_overlap(True)
    ready.choice.click()
    see(ready, qtbot, lambda: run in ready.session.predictions.get("fish_b", {}))
    see(ready, qtbot, lambda: ready.session.predictions["fish_b"][run].complete)
    assert ready.session.predictions["fish_b"][run].value.has_uncertainty
    assert ready.session.predictions["fish_b"][run].value.settings == {
        "every_pose": True,
        "labels": "overlap",
    }


def test_predictions_are_shown_by_a_tick_follow_the_volume_and_can_be_deleted(
    ready, study, viewer, qtbot, monkeypatch
):
    run = trained(study)
    for name in ("fish_a", "fish_b"):
        predict_one(study, name, run, unsure=True)
    see(ready, qtbot, lambda: len(ready.session.predictions) == 2)
    table = ready.panel.predictions
    table.tick(run)
    qtbot.waitUntil(lambda: f"fish_a · prediction {run}" in mine(viewer))
    table.uncertainty_requested.emit(run)
    qtbot.waitUntil(lambda: f"fish_a · uncertainty {run}" in mine(viewer))
    table.uncertainty_requested.emit(run)
    assert f"fish_a · uncertainty {run}" not in mine(viewer)
    ready.session.set_current_volume("fish_b")
    qtbot.waitUntil(lambda: f"fish_b · prediction {run}" in mine(viewer))
    qtbot.waitUntil(lambda: f"fish_a · prediction {run}" not in mine(viewer))
    viewer.layers.remove(f"fish_b · prediction {run}")
    assert not ready.shown.ticked
    settled(ready, qtbot)
    monkeypatch.setattr(predict_actions.PredictActions, "_confirm", lambda self, question: True)
    table.delete_requested.emit(run)
    see(ready, qtbot, lambda: "fish_b" not in ready.session.predictions)
    assert ready.panel.predictions_title.text() == "nothing of fish_b is predicted yet"


# ------------------------------------------------------------------------------------------------ correcting
def test_a_predicted_slice_is_taken_over_around_what_is_painted_and_can_be_undone(
    ready, study, viewer, session, qtbot
):
    run = trained(study)
    predict_one(study, "fish_a", run)
    see(ready, qtbot, lambda: bool(ready.session.predictions))
    assert "Show the volume" in ready.correct_button.toolTip()
    ready.panel.predictions.tick(run)
    show_volume(ready, qtbot, "fish_a")
    seg.go_to(ready, "fish_a", 9)
    qtbot.waitUntil(lambda: ready.correct_button.isEnabled())
    asked: list[str] = []
    session.stage_requested.connect(asked.append)
    annotating = annotating_of(session)
    annotating.open("fish_a")
    qtbot.waitUntil(lambda: annotating.writable)
    mine_ = np.zeros((18, 30), np.uint8)
    mine_[4:6, 5:9] = 2
    annotating.do(lambda editor: editor.put_slice("z", 9, mine_, what="mine"))
    qtbot.waitUntil(lambda: not annotating.busy)
    ready.correct_button.click()
    expected = np.where(mine_ == 0, seg.labels_of(study, "fish_a")[9], mine_)
    qtbot.waitUntil(lambda: np.array_equal(annotating.layer.data[9], expected), timeout=20_000)
    qtbot.waitUntil(lambda: f"fish_a · prediction {run}" not in mine(viewer))
    assert asked == ["Annotate"]
    assert viewer.layers.selection.active is annotating.layer
    assert Annotations(study, "fish_a").status("z", 9) == "partial"
    annotating.undo()
    qtbot.waitUntil(lambda: np.array_equal(annotating.layer.data[9], mine_))
    annotating.close()
    qtbot.waitUntil(lambda: not annotating.busy)


def test_a_class_that_was_removed_is_not_taken_over(study):
    from napari_sortingloss.widgets.segment.correction import usable

    labels = np.array([[0, 1], [2, 7]], np.uint8)
    np.testing.assert_array_equal(usable(labels, (1, 7)), [[0, 1], [0, 7]])


# ------------------------------------------------------------------------------------------------ comparing, scoring
def test_two_predictions_are_compared_voxel_by_voxel(ready, study, viewer, qtbot):
    first, second = trained(study), trained(study)
    predict_one(study, "fish_a", first)
    see(ready, qtbot, lambda: bool(ready.session.predictions))
    assert "two predictions" in ready.compare_button.toolTip()
    predict_one(study, "fish_a", second, shift=1)
    see(ready, qtbot, lambda: len(ready.finished_predictions()) == 2)
    menu = ready.predicting.compare_menu()
    menu.actions()[0].trigger()
    menu.deleteLater()
    qtbot.waitUntil(lambda: "differ in" in ready.bar.text, timeout=20_000)
    (name,) = [name for name in mine(viewer) if "difference" in name]
    shown = voxels(viewer.layers[name])
    a, b = seg.labels_of(study, "fish_a"), seg.labels_of(study, "fish_a", 1)
    np.testing.assert_array_equal(shown, a != b)
    rows = {row.name: row for row in ready.panel.agreement.rows}
    assert rows["body"].iou > rows["spine"].iou
    ready.shown.hide_differences()
    assert not [name for name in mine(viewer) if "difference" in name]
    assert ready.panel.agreement.isHidden()


def test_scores_against_a_reference_are_shown_with_dice_distance_and_confusion(ready, study, qtbot):
    run = trained(study)
    assert ready.panel.evaluate_button.isHidden()
    keep_reference(study, "fish_a")
    predict_one(study, "fish_a", run, shift=1)
    see(ready, qtbot, lambda: bool(ready.session.predictions) and ready.to_judge() == ("fish_a",))
    qtbot.waitUntil(lambda: ready.panel.evaluate_button.isEnabled())
    ready.panel.evaluate_button.click()
    qtbot.waitUntil(lambda: "Against the references" in ready.bar.text, timeout=20_000)
    qtbot.waitUntil(lambda: not ready.panel.judged.empty)
    rows = {row.name: row for row in ready.panel.judged.rows}
    assert 0 < rows["spine"].iou < rows["body"].iou < 1
    assert rows["spine"].distance > 0
    assert ready.panel.judged_confusion.plots["validation"].table.labels == ("background", "body", "spine")


def keep_reference(study: Study, name: str) -> None:
    labels = seg.labels_of(study, name)
    group = zarr.create_group(study.path / "references" / f"{name}.zarr", zarr_format=3)
    array = group.create_array("0", shape=labels.shape, dtype=labels.dtype, dimension_names=["z", "y", "x"])
    array[...] = labels
    with study.transaction() as document:
        document["volumes"][name]["reference"] = name


# ------------------------------------------------------------------------------------------------ exporting
def test_labels_and_annotations_are_exported_to_files(ready, study, qtbot, tmp_path, monkeypatch):
    run = trained(study)
    predict_one(study, "fish_a", run)
    see(ready, qtbot, lambda: bool(ready.session.predictions))
    target = tmp_path / "labels.nii.gz"
    monkeypatch.setattr(dialogs, "choose_label_export", lambda *_: target)
    menu = ready.export_menu()
    assert [action.isEnabled() for action in menu.actions()] == [True, True, True]
    menu.actions()[0].trigger()
    qtbot.waitUntil(lambda: "Written to" in ready.bar.text, timeout=20_000)
    import nibabel

    found = np.asarray(nibabel.load(target).dataobj)
    assert sorted(np.unique(found)) == [0, 1, 2]
    target = tmp_path / "painted.tif"
    ready.bar.clear()
    menu.actions()[2].trigger()
    qtbot.waitUntil(lambda: "Written to" in ready.bar.text, timeout=20_000)
    assert target.exists()
    menu.deleteLater()


def test_with_nothing_to_export_or_compare_the_buttons_say_so(ready, study, qtbot):
    trained(study)
    see(ready, qtbot, lambda: state(ready) == "finished")
    assert "two predictions" in ready.compare_button.toolTip()
    assert "Predict the volume first" in ready.correct_button.toolTip()
    menu = ready.export_menu()
    assert [action.isEnabled() for action in menu.actions()] == [False, False, True]
    menu.deleteLater()


# ------------------------------------------------------------------------------------------------ looks
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_fits_a_panel_of_300_pixels(ready, study, viewer, theme, qtbot):
    viewer.theme = theme
    run = trained(study, network="deeplabv3plus")
    for name in ("fish_a", "fish_b"):
        predict_one(study, name, run, unsure=True)
    see(ready, qtbot, lambda: ready.form.start.count() == 2 and bool(ready.session.predictions))
    ready.form.start.choose(run)
    assert not ready.form.learn_also.isHidden()
    ready.form.more.fold.set_open(True)
    room = 300 - 12
    scroll_bar = ready.scroll.verticalScrollBar().sizeHint().width()
    assert ready.scroll.widget().minimumSizeHint().width() <= room - scroll_bar
    assert ready.verbs.minimumSizeHint().width() <= room
