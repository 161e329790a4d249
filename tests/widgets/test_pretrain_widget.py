"""The Pre-train stage around runs that somebody else trains: what it shows, what its buttons do, and why they do not."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_sortingloss.errors import BadInput, UserError
from napari_sortingloss.events import Metrics, Notice, Progress, Result, Snapshot, StateChanged
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.study import RunWriter, Study
from napari_sortingloss.widgets.pretrain.stage import PretrainWidget
from napari_sortingloss.widgets.runs import run_actions
from napari_sortingloss.widgets.runs.run_table import RunTable
from napari_sortingloss.widgets.session.jobs import Job
from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.toolkit.shortcuts import keys_of

STEPS = 20


@pytest.fixture
def stage(viewer) -> PretrainWidget:
    made = PretrainWidget(viewer)
    viewer.window.add_dock_widget(made)
    made.panel.watcher._timer.setInterval(30)
    return made


@pytest.fixture
def train(study) -> Iterator[Callable[..., RunWriter]]:
    """Begin a run as another program would, and hold it."""
    held: list[RunWriter] = []

    def begin(step: int = 5, **changes: Any) -> RunWriter:
        settings = settings_for("sorting")(**{"steps": STEPS, "slices": 4, "size": 32, **changes})
        writer = study.new_run("pretrain", "sorting", settings.to_json())
        held.append(writer)
        writer.append(StateChanged(state="running", step=0, run=writer.run.id))
        figures = {"loss": 0.2, "mean_displacement": 1.0, "random_displacement": 1.25}
        writer.append(Metrics(step=step, values=figures))
        progress = Progress(done=step, total=STEPS, what="30 slices/s", unit="steps", seconds_left=200)
        writer.append(progress)
        return writer

    yield begin
    for writer in held:
        writer.close()


def finish(writer: RunWriter, state: str = "finished", **validation: float) -> None:
    if validation:
        writer.append(Metrics(step=STEPS, values=validation, split="validation"))
    writer.append(Progress(done=STEPS, total=STEPS, unit="steps"))
    writer.append(StateChanged(state=state, step=STEPS))
    writer.append(Result(value={}))
    writer.close()


def see(stage: PretrainWidget, qtbot: Any, done: Callable[[], bool]) -> None:
    """Look at the study until something is so."""

    def look() -> bool:
        if not stage.session._background.busy:  # a newer look overtakes one that is under way
            stage.session.refresh()
        return done()

    qtbot.waitUntil(look, timeout=20_000)


def state(stage: PretrainWidget) -> str:
    return stage.panel.run.state if stage.panel.run is not None else ""


# ------------------------------------------------------------------------------------------------ nothing there yet
def test_without_a_study_it_says_what_to_do_and_where(stage, session):
    assert "Open a study" in stage.hint.text()
    assert not stage.start_button.isEnabled()
    assert stage.start_button.toolTip() == "Add volumes to the study first"
    asked: list[str] = []
    session.stage_requested.connect(asked.append)
    stage.study_link.click()
    assert asked == ["Study"]


def test_an_empty_study_asks_for_volumes(stage, session, tmp_path):
    session.set_study(Study.create(tmp_path / "empty"))
    assert "no volumes yet" in stage.hint.text()
    assert stage.form.isHidden()


def test_with_volumes_it_is_ready_and_says_on_what(stage, opened, qtbot):
    assert stage.hint.isHidden()
    assert stage.form.volumes.text() == "2 train · 0 validate"
    assert stage.start_button.isEnabled()
    assert stage.start_button.text() == "Start"
    assert [plot.curve.metric for plot in stage.panel.curves.plots] == ["loss", "mean_displacement"]


def test_settings_that_do_not_fit_disable_start_and_say_why(stage, opened, monkeypatch):
    monkeypatch.setattr(stage.form.edits["slices"], "value", lambda: 1)
    stage.form._tell()
    assert not stage.start_button.isEnabled()
    assert "slices" in stage.start_button.toolTip()


# ------------------------------------------------------------------------------------------------ a run elsewhere
def test_a_run_that_goes_on_elsewhere_is_shown_with_its_curve_and_time_left(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    qtbot.waitUntil(lambda: "loss" in stage.panel.watcher.history.train)
    assert stage.panel.run.id == writer.run.id
    assert stage.panel.status.text.text() == f"step 5/{STEPS} · 30 slices/s · about 3 min left"
    assert not stage.panel.status.progress.isHidden()
    assert stage.start_button.text() == "Stop"
    assert not stage.pause_button.isHidden()
    assert stage.resume_button.isHidden()


def test_pausing_going_on_and_stopping_reach_whoever_trains(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    stage.pause_button.click()
    assert not stage.pause_button.isEnabled()
    assert "Just a moment" in stage.pause_button.toolTip()
    qtbot.waitUntil(lambda: writer.command() == "pause")
    writer.append(StateChanged(state="paused", step=5))
    see(stage, qtbot, lambda: state(stage) == "paused")
    assert stage.pause_button.text() == "Contin&ue"
    assert stage.panel.status.text.text() == f"‖ paused at step 5 of {STEPS}"
    stage.pause_button.click()
    qtbot.waitUntil(lambda: writer.command() == "run")
    writer.append(StateChanged(state="running", step=5))
    see(stage, qtbot, lambda: state(stage) == "running")
    stage.start_button.click()
    assert stage.start_button.text() == "Stopping…"
    assert not stage.start_button.isEnabled()
    qtbot.waitUntil(lambda: writer.command() == "stop")
    finish(writer, "stopped")
    see(stage, qtbot, lambda: state(stage) == "stopped")
    assert stage.start_button.text() == "Start"
    assert stage.start_button.isEnabled()
    assert stage.resume_button.isVisibleTo(stage)


def test_a_run_that_ends_before_it_obeys_leaves_no_button_waiting(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    stage.pause_button.click()
    finish(writer)
    see(stage, qtbot, lambda: state(stage) == "finished")
    assert stage.runs.asked == ""


def test_a_request_that_comes_too_late_is_told_and_leaves_the_buttons_alive(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    writer.close()
    stage.pause_button.click()  # a look at the folder may tell first that the run was cut off
    qtbot.waitUntil(lambda: "it is not going on" in stage.bar.text)
    see(stage, qtbot, lambda: state(stage) == "interrupted")
    assert stage.start_button.isEnabled()


def test_a_finished_run_says_how_good_it_is_and_what_to_do_next(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    finish(writer, mean_displacement=0.5, random_displacement=1.25)
    see(stage, qtbot, lambda: bool(stage.bar.text))
    assert "mean displacement 0.50 slices on unseen volumes, random 1.25" in stage.bar.text
    assert stage.bar.level == "success"
    assert stage.bar._link.text() == "Order slices ▸"
    assert stage.panel.status.text.text() == f"✓ finished after all {STEPS} steps"


def test_unseen_volumes_worse_than_random_raise_the_question_of_their_direction(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    finish(writer, mean_displacement=1.9, random_displacement=1.25)
    see(stage, qtbot, lambda: bool(stage.bar.text))
    assert "upside down?" in stage.bar.text
    assert stage.bar.level == "warning"


def test_a_finished_run_goes_on_only_to_more_steps(stage, opened, train, qtbot):
    finish(train())
    stage.form.set_value(steps=STEPS)
    see(stage, qtbot, lambda: state(stage) == "finished")
    assert not stage.resume_button.isEnabled()
    assert "It has done all its 20 steps" in stage.resume_button.toolTip()
    stage.form.set_value(steps=50)
    assert stage.resume_button.isEnabled()
    assert "to step 50" in stage.resume_button.toolTip()
    assert stage.resume_button.text() == "&Go on to 50"


def test_a_finished_run_goes_on_to_no_number_that_nobody_asked_for(stage, opened, train, qtbot):
    finish(train())
    see(stage, qtbot, lambda: state(stage) == "finished")
    assert stage.form.settings().steps > STEPS
    assert not stage.resume_button.isEnabled()
    arrow = stage.form.edits["steps"].widget.arrow.menu()
    next(a for a in arrow.actions() if a.text().startswith("1,000")).trigger()
    assert stage.steps_to(stage.panel.run) == 1000
    next(a for a in arrow.actions() if a.text() == "until I stop").trigger()
    assert stage.steps_to(stage.panel.run) == 0
    assert "until you stop it" in stage.resume_button.toolTip()


def test_a_run_without_an_end_shows_no_share_and_says_who_stopped_it(stage, opened, train, qtbot):
    writer = train(steps=0)
    writer.append(Progress(done=7, total=0, what="30 slices/s", unit="steps"))
    see(stage, qtbot, lambda: state(stage) == "running")
    qtbot.waitUntil(lambda: stage.panel.status.text.text() == "step 7 · 30 slices/s")
    assert stage.panel.status.progress.maximum() == 0
    writer.append(StateChanged(state="finished", step=8, message="stopped by you after 8 steps"))
    writer.close()
    see(stage, qtbot, lambda: state(stage) == "finished")
    qtbot.waitUntil(lambda: "stopped by you after 8 steps" in stage.panel.status.text.text())
    assert stage.resume_button.isEnabled()
    assert stage.steps_to(stage.panel.run) == 0


def test_a_name_is_given_with_the_start_and_the_field_is_free_for_the_next(
    stage, opened, study, monkeypatch, qtbot
):
    def train_job(study: Study, settings: Any, name: str) -> Callable[[], Iterator[Any]]:
        def make() -> Iterator[Any]:
            with study.new_run("pretrain", "sorting", settings.to_json(), name) as writer:
                yield StateChanged(state="running", run=writer.run.id)
                writer.append(StateChanged(state="finished", step=1, run=writer.run.id))

        return make

    monkeypatch.setattr(run_actions.actions, "train_job", train_job)
    stage.form.run_name.setText(" all  fish ")
    stage.start_button.click()
    see(stage, qtbot, lambda: stage.panel.run is not None and not stage.runs.busy)
    assert stage.panel.run.name == "all fish"
    qtbot.waitUntil(lambda: stage.form.run_name.text() == "")
    stage.form.run_name.setText("All Fish")
    assert not stage.start_button.isEnabled()
    assert f"'{stage.panel.run.id}' has that name" in stage.start_button.toolTip()


def test_a_process_of_its_own_is_told_the_name(stage, opened, monkeypatch):
    told: list[list[str]] = []
    monkeypatch.setattr(stage.runs, "_start_process", told.append)
    stage.form.where.choose("detached")
    stage.form.run_name.setText("all fish")
    stage.start_button.click()
    assert told[0][-2:] == ["--name", "all fish"]


def test_a_run_is_renamed_in_the_table_and_a_name_that_is_taken_is_refused(
    stage, opened, study, train, qtbot
):
    first, second = train(), train()
    finish(first)
    finish(second)
    see(stage, qtbot, lambda: stage.panel.table.topLevelItemCount() == 2)
    stage.panel.table.renamed.emit(first.run.id, "all fish")
    see(stage, qtbot, lambda: stage.session.run_title(first.run.id) == "all fish")
    stage.panel.table.renamed.emit(second.run.id, "all fish")
    qtbot.waitUntil(lambda: "has that name" in stage.bar.text)
    assert study.run(second.run.id).name == ""


def test_a_run_cut_off_by_a_crash_is_told_when_the_study_is_opened(viewer, study, train, qtbot):
    train().close()
    stage = PretrainWidget(viewer)
    viewer.window.add_dock_widget(stage)
    session_of(viewer).set_study(study)
    qtbot.waitUntil(lambda: bool(stage.bar.text))
    assert "was cut off in the middle" in stage.bar.text
    assert stage.bar._link.text() == "Go on ▸"


def test_what_the_run_warns_of_is_shown_once(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    writer.append(Notice(level="warning", message="fish_b looks stored upside down"))
    qtbot.waitUntil(lambda: "fish_b" in stage.bar.text)
    stage.bar.clear()
    writer.append(Metrics(step=6, values={"loss": 0.1}))
    qtbot.waitUntil(lambda: len(stage.panel.watcher.history.train["loss"][0]) == 2)
    assert stage.bar.text == ""


def test_the_batch_is_drawn_in_the_order_the_network_believes(stage, opened, train, qtbot):
    writer = train()
    picture = io.BytesIO()
    Image.fromarray(np.zeros((8, 24), np.uint8)).save(picture, "png")
    (writer.run.path / "s.png").write_bytes(picture.getvalue())
    correct = (True, False, True)
    shown = Snapshot(
        step=5, picture="s.png", tiles=3, captions=("4", "9", "7"), correct=correct, title="fish_a"
    )
    writer.append(shown)
    see(stage, qtbot, lambda: stage.panel.strip.tiles == 3)
    assert stage.panel.strip_title.text() == "fish_a · 2 of 3 right"
    assert stage.panel.strip.isVisibleTo(stage)
    stage.panel.show_order()
    assert not stage.panel.strip.isVisibleTo(stage)


# ------------------------------------------------------------------------------------------------ several runs
def test_another_run_is_compared_by_a_tick_and_viewed_by_a_click(stage, opened, train, qtbot):
    finish(train())
    finish(train())
    see(stage, qtbot, lambda: stage.panel.table.topLevelItemCount() == 2)
    table: RunTable = stage.panel.table
    newest, older = (table.topLevelItem(i).text(0) for i in range(2))
    table.tick(older)
    qtbot.waitUntil(lambda: older in stage.panel.curves._legend.text())
    table.setCurrentItem(table.topLevelItem(1))
    assert stage.panel.run.id == older
    assert older not in stage.panel.curves._legend.text()
    table.setCurrentItem(table.topLevelItem(0))
    assert stage.panel.run.id == newest
    qtbot.waitUntil(lambda: older in stage.panel.curves._legend.text())


def test_deleting_a_run_asks_first_and_takes_it_out_of_the_view(stage, opened, train, qtbot, monkeypatch):
    writer = train()
    finish(writer)
    see(stage, qtbot, lambda: stage.panel.run is not None)
    answers = iter((False, True))
    monkeypatch.setattr(run_actions.RunActions, "_confirm", lambda self, question: next(answers))
    stage.panel.table.delete_requested.emit(writer.run.id)
    assert writer.run.path.is_dir()
    stage.panel.table.delete_requested.emit(writer.run.id)
    qtbot.waitUntil(lambda: not writer.run.path.exists())
    see(stage, qtbot, lambda: stage.panel.run is None)
    assert stage.panel.table.isHidden()
    assert stage.panel.status.isHidden()


def test_the_settings_of_a_run_can_begin_the_next_one(stage, opened, train, qtbot):
    writer = train(learning_rate=0.01)
    finish(writer)
    see(stage, qtbot, lambda: stage.panel.run is not None)
    stage.panel.table.settings_requested.emit(writer.run.id)
    assert stage.form.settings().learning_rate == 0.01
    assert stage.form.settings().size == 32


def test_another_study_leaves_nothing_of_the_old_one_in_view(stage, opened, train, tmp_path, qtbot):
    train()
    see(stage, qtbot, lambda: state(stage) == "running")
    stage.bar.show_message("notice", "of the old study")
    opened.set_study(Study.create(tmp_path / "other"))
    assert stage.panel.run is None
    assert stage.panel.watcher.path is None
    assert stage.bar.text == ""
    assert stage.start_button.text() == "Start"


# ------------------------------------------------------------------------------------------------ jobs
def test_an_error_of_the_job_is_in_the_bar_and_the_next_start_is_possible(stage, opened, qtbot, monkeypatch):
    def fails(*_: Any) -> Any:
        def make() -> Any:
            raise BadInput("Cannot pre-train", "the volumes are empty", "add others")

        return make

    monkeypatch.setattr(run_actions.actions, "train_job", fails)
    stage.start_button.click()
    assert stage.start_button.text() == "Stop"
    assert stage.pause_button.toolTip() == "It has not begun yet"
    qtbot.waitUntil(lambda: "the volumes are empty" in stage.bar.text)
    qtbot.waitUntil(lambda: stage.start_button.text() == "Start")
    assert stage.start_button.isEnabled()
    assert not stage.runs.waiting


def test_a_run_that_waits_behind_another_job_can_be_taken_back(stage, opened, qtbot, monkeypatch):
    goes_on = [True]

    def other() -> Iterator[Any]:
        while goes_on[0]:
            yield Progress(done=1, total=2)
            time.sleep(0.01)

    ahead = opened.jobs.submit("Adding volumes", other)
    qtbot.waitUntil(lambda: ahead.state == "running")
    monkeypatch.setattr(run_actions.actions, "train_job", lambda *_: lambda: iter(()))
    stage.start_button.click()
    job: Job | None = opened.jobs.find("pretrain")
    assert job is not None
    stage.start_button.click()
    assert job.state == "cancelled"
    assert stage.start_button.text() == "Start"
    goes_on[0] = False
    qtbot.waitUntil(lambda: ahead.ended)


def test_a_run_that_is_still_loading_or_belongs_to_another_study_is_a_job_in_the_strip(
    stage, opened, train, tmp_path, qtbot, monkeypatch
):
    goes_on = [True]

    def loading() -> Iterator[Any]:
        while goes_on[0]:
            yield Progress(done=0, total=0, what="loading")
            time.sleep(0.01)

    monkeypatch.setattr(run_actions.actions, "train_job", lambda *_: loading)
    stage.start_button.click()
    qtbot.waitUntil(lambda: opened.jobs.running is not None)
    assert len(stage.strip.rows) == 1
    train()
    see(stage, qtbot, lambda: state(stage) == "running")
    assert stage.strip.rows == []
    opened.set_study(Study.create(tmp_path / "other"))
    assert len(stage.strip.rows) == 1
    assert stage.start_button.text() == "Stop"
    stage.start_button.click()
    qtbot.waitUntil(lambda: opened.jobs.running is None)
    assert stage.strip.rows == []
    goes_on[0] = False


def test_a_process_that_cannot_be_started_is_told(stage, opened, monkeypatch):
    def refused(*_: Any) -> Any:
        raise UserError("Cannot start a separate process", "no more processes", "close some programs")

    monkeypatch.setattr(run_actions, "DetachedProcess", refused)
    stage.form.where.setCurrentIndex(1)
    stage.start_button.click()
    assert "no more processes" in stage.bar.text
    assert stage.start_button.text() == "Start"


def test_pause_keeps_its_letter_whatever_the_run_does(stage, opened, train, qtbot):
    writer = train()
    see(stage, qtbot, lambda: state(stage) == "running")
    assert "&u" in stage.pause_button.text()
    writer.append(StateChanged(state="paused", step=5))
    see(stage, qtbot, lambda: state(stage) == "paused")
    assert "&u" in stage.pause_button.text()
    for button, shortcut in ((stage.start_button, "any.primary"), (stage.pause_button, "pretrain.pause")):
        assert keys_of(shortcut) in button.toolTip()


def test_the_theme_reaches_plots_and_table(stage, opened, viewer):
    viewer.theme = "light"
    assert stage.colors.background in stage.panel.table.styleSheet()
    assert stage.panel.curves._colors.dark is False


def ordered(spearman: float, name: str = "fish_a") -> dict[str, Any]:
    batch = {"mean_displacement": 4.2, "random_displacement": 5.31}
    return {"name": name, "spearman": spearman, "flipped": spearman < -0.5, "batch": batch}


def test_a_network_near_random_does_not_say_that_nothing_is_upside_down(stage, opened):
    stage.orders._on_ordered({"volumes": [ordered(0.1), ordered(0.9, "fish_b")]})
    assert "none looks upside down" not in stage.bar.text
    assert "Whether fish_a is upside down the network cannot tell yet" in stage.bar.text
    assert "(mean displacement 4.2 slices, random 5.3)" in stage.bar.text
    stage.orders._on_ordered({"volumes": [ordered(0.8), ordered(0.9, "fish_b")]})
    assert stage.bar.text.endswith("none looks upside down.")
    stage.orders._on_ordered({"volumes": [ordered(0.1), ordered(-0.9, "fish_b")]})
    assert "it seems: fish_b" in stage.bar.text
    assert "Whether fish_a is upside down" in stage.bar.text
