"""What a person chose in the forms comes back: with the dock, with the study, with napari; and nothing fails with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from localizing import localize
from localizing import trained as pretrained
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication
from segmenting import paint, predict_one, see, trained

from napari_sortingloss.study import Study
from napari_sortingloss.widgets.localize.stage import LocalizeWidget
from napari_sortingloss.widgets.pretrain.stage import PretrainWidget
from napari_sortingloss.widgets.runs.run_fields import DETACHED
from napari_sortingloss.widgets.runs.split import Split
from napari_sortingloss.widgets.segment.stage import SegmentWidget
from napari_sortingloss.widgets.session.memory import FILE, Memory
from napari_sortingloss.widgets.session.session import Session, session_of


def dock(viewer: Any, kind: type) -> Any:
    made = kind(viewer)
    viewer.window.add_dock_widget(made)
    return made


def close(viewer: Any, widget: Any) -> None:
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def written(study: Study, stage: str) -> Any:
    try:
        return json.loads((study.path / FILE).read_text(encoding="utf-8")).get(stage, {})
    except FileNotFoundError:
        return {}


def idle(session: Session, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not session._writing.isActive() and not session._background.busy)


@pytest.fixture
def another(tmp_path: Path, study: Study) -> Study:
    """A second study, with volumes of the same names."""
    import shutil

    shutil.copytree(study.path, tmp_path / "another")
    return Study.open(tmp_path / "another")


# ------------------------------------------------------------------------------------------------------- the document
def test_what_is_chosen_in_one_stage_leaves_what_another_window_chose_in_another(tmp_path):
    one, other = Memory(tmp_path), Memory(tmp_path)
    for memory in (one, other):
        memory.load(memory.read())
    assert one.put("pretrain", {"steps": 40})
    one.write()
    assert other.put("segment", {"steps": 100})
    other.write()
    assert Memory(tmp_path).read() == {"pretrain": {"steps": 40}, "segment": {"steps": 100}}
    assert not one.put("pretrain", {"steps": 40})


def test_nothing_is_taken_before_the_file_was_read(tmp_path):
    memory = Memory(tmp_path)
    assert not memory.put("pretrain", {})
    memory.write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"pretrain": 7}', "\x00"])
def test_a_damaged_file_is_an_empty_one(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    memory = Memory(tmp_path)
    memory.load(memory.read())
    assert memory.of("pretrain") == {}


def test_a_study_that_cannot_be_written_to_only_forgets(tmp_path):
    memory = Memory(tmp_path / "gone")
    memory.load(memory.read())
    assert memory.put("pretrain", {"steps": 40})
    memory.write()
    assert memory.of("pretrain") == {"steps": 40}


# ----------------------------------------------------------------------------------------------------------- pre-train
def choose_in_pretrain(stage: PretrainWidget) -> None:
    stage.form.set_value(steps=40, encoder="resnet34", learning_rate=0.01, zoom=2.0)
    stage.form.set_split(Split(("fish_b",), ("fish_a",)))
    stage.form.where.choose(DETACHED)


def check_pretrain(stage: PretrainWidget) -> None:
    settings = stage.form.settings()
    assert (settings.steps, settings.encoder, settings.learning_rate, settings.zoom) == (
        40,
        "resnet34",
        0.01,
        2.0,
    )
    assert stage.form.split == Split(("fish_b",), ("fish_a",))
    assert stage.form.detached
    assert stage.form.asked


def test_what_was_chosen_comes_back_when_the_dock_is_opened_again(viewer, opened):
    stage = dock(viewer, PretrainWidget)
    choose_in_pretrain(stage)
    close(viewer, stage)
    check_pretrain(dock(viewer, PretrainWidget))


def test_another_study_has_choices_of_its_own_and_the_first_gets_its_own_back(
    viewer, opened, study, another, qtbot
):
    stage = dock(viewer, PretrainWidget)
    choose_in_pretrain(stage)
    opened.open_path(another.path)
    qtbot.waitUntil(lambda: opened.study.path == another.path)
    assert stage.form.settings().steps == 1000
    assert stage.form.split == Split(("fish_a", "fish_b"))
    assert not stage.form.asked
    stage.form.set_value(steps=70)
    opened.open_path(study.path)
    qtbot.waitUntil(lambda: opened.study.path == study.path)
    check_pretrain(stage)
    assert written(another, "pretrain")["form"]["settings"]["sorting"] == {"steps": 70}


def test_what_was_chosen_comes_back_when_napari_is_started_again(viewer, own_viewer, opened, study, qtbot):
    stage = dock(viewer, PretrainWidget)
    choose_in_pretrain(stage)
    qtbot.waitUntil(lambda: bool(written(study, "pretrain")))
    session = session_of(own_viewer)
    stage = dock(own_viewer, PretrainWidget)
    session.open_path(study.path)
    qtbot.waitUntil(lambda: session.study is not None)
    check_pretrain(stage)


def test_what_was_chosen_last_is_kept_when_napari_closes_at_once(viewer, opened, study):
    stage = dock(viewer, PretrainWidget)
    stage.form.set_value(steps=40)
    opened.shutdown()
    assert written(study, "pretrain")["form"]["settings"]["sorting"] == {"steps": 40}


def test_each_task_keeps_its_own_settings(viewer, opened):
    stage = dock(viewer, PretrainWidget)
    form = stage.form
    form.set_value(steps=40, slices=8)
    form.task.setCurrentIndex(form.task.findData("rotation"))
    assert form.settings().steps == 1000
    form.set_value(pairs=4)
    form.task.setCurrentIndex(form.task.findData("sorting"))
    assert (form.settings().steps, form.settings().slices) == (40, 8)
    close(viewer, stage)
    stage = dock(viewer, PretrainWidget)
    stage.form.task.setCurrentIndex(stage.form.task.findData("rotation"))
    assert stage.form.settings().pairs == 4


BAD: list[Any] = [
    {"task": "no such task", "settings": 3, "split": "x", "where": 7, "asked": "yes"},
    {
        "task": ["sorting"],
        "settings": {"sorting": {"steps": -5, "encoder": "resnet9000", "size": "big", "new": 1}},
    },
    {
        "settings": {"sorting": {"steps": True, "learning_rate": None, "zoom": [1]}},
        "split": {"train": ["gone"]},
    },
    "not even a form",
]


@pytest.mark.parametrize("form", BAD)
def test_what_does_not_fit_is_forgotten_field_by_field(viewer, study, session, qtbot, form):
    fits = {"slices": 8}
    if isinstance(form, dict) and isinstance(form.get("settings"), dict):
        form["settings"]["sorting"].update(fits)
    (study.path / FILE).write_text(json.dumps({"pretrain": {"form": form, "run": 3, "ticks": {"a": 1}}}))
    stage = dock(viewer, PretrainWidget)
    session.open_path(study.path)
    qtbot.waitUntil(lambda: session.study is not None)
    settings = stage.form.settings()
    assert (settings.task, settings.steps, settings.encoder) == ("sorting", 1000, "resnet18")
    assert settings.slices == (8 if isinstance(form, dict) and "sorting" in str(form.get("settings")) else 16)
    assert stage.form.split == Split(("fish_a", "fish_b"))
    assert stage.bar.text == ""


def test_a_volume_added_since_trains_and_one_that_is_gone_goes(viewer, opened, study, qtbot):
    stage = dock(viewer, PretrainWidget)
    stage.form.set_split(Split(("fish_b",), ("fish_a",)))
    close(viewer, stage)
    study.rename_volume("fish_a", "fish_c")
    opened.refresh()
    qtbot.waitUntil(lambda: "fish_c" in opened.volumes)
    split = dock(viewer, PretrainWidget).form.split
    assert (set(split.train), split.validate) == ({"fish_b", "fish_c"}, ())


# ------------------------------------------------------------------------------------------------------- runs in view
def finished_runs(study: Study) -> tuple[str, str]:
    """Return a good run and a worse one that is newer."""
    return trained(study, 0.9, 0.9), trained(study, 0.3, 0.3)


def test_the_best_finished_run_is_in_view_and_then_what_a_person_looked_at_last(viewer, opened, study, qtbot):
    paint(study)
    good, worse = finished_runs(study)
    stage = dock(viewer, SegmentWidget)
    see(stage, qtbot, lambda: stage.panel.run is not None)
    assert stage.panel.run.id == good
    stage.panel.table.setCurrentItem(stage.panel.table.topLevelItem(0))
    assert stage.panel.run.id == worse
    stage.panel.table.tick(good)
    close(viewer, stage)
    stage = dock(viewer, SegmentWidget)
    assert stage.panel.run.id == worse
    assert stage.panel.table.ticked() == [good]


def test_the_run_whose_prediction_was_looked_at_last_is_in_view_after_reopening(
    viewer, opened, study, own_viewer, qtbot
):
    paint(study)
    good, worse = finished_runs(study)
    for run in (good, worse):
        predict_one(study, "fish_a", run)
    stage = dock(viewer, SegmentWidget)
    see(stage, qtbot, lambda: stage.panel.predictions.topLevelItemCount() == 2)
    stage.panel.predictions.choose(good)
    stage.panel.predictions.choose(worse)
    qtbot.waitUntil(lambda: written(study, "segment").get("run") == worse)
    session = session_of(own_viewer)
    stage = dock(own_viewer, SegmentWidget)
    session.set_study(Study.open(study.path))  # the file is read only after the study was told
    qtbot.waitUntil(lambda: stage.panel.run is not None and stage.panel.run.id == worse)


def test_what_segment_begins_with_is_remembered_even_if_runs_come_later(
    viewer, opened, study, own_viewer, qtbot
):
    paint(study)
    _good, worse = finished_runs(study)
    predict_one(study, "fish_a", worse, unsure=True)
    stage = dock(viewer, SegmentWidget)
    see(stage, qtbot, lambda: stage.form.start.count() == 3 and bool(stage.session.predictions))
    stage.form.start.choose(worse)
    stage.form.learn_also.click()
    stage.form.set_value(steps=100, batch=3)
    stage.form.set_split(Split(("fish_b",), ("fish_a",)))
    qtbot.waitUntil(lambda: written(study, "segment").get("form", {}).get("also_from") == worse)
    idle(opened, qtbot)
    session = session_of(own_viewer)
    stage = dock(own_viewer, SegmentWidget)
    session.set_study(Study.open(study.path))
    qtbot.waitUntil(lambda: bool(session.predictions) and stage.form.start.run == worse)
    qtbot.waitUntil(lambda: stage.form.learn_also.isChecked())
    settings = stage.form.settings()
    assert (settings.steps, settings.batch, settings.init, settings.also_from) == (100, 3, worse, worse)
    assert (settings.volumes, settings.validate) == (("fish_b",), ("fish_a",))


def test_localize_remembers_run_volumes_and_settings_but_begins_with_what_there_is_to_check(
    viewer, opened, study, qtbot
):
    found, better = pretrained(study), pretrained(study)
    localize(study, "fish_a", found)
    stage = dock(viewer, LocalizeWidget)
    see(stage, qtbot, lambda: stage.form.run_id == found and bool(stage.table.model_.rows))
    stage.form.run.setCurrentIndex(stage.form.run.findData(better))
    stage.form.run.activated.emit(stage.form.run.currentIndex())
    stage.form.volumes.choose(("fish_b",))
    stage.form.set_value(margin=5.0, passes=7)
    qtbot.waitUntil(lambda: not stage.background.busy)
    close(viewer, stage)
    stage = dock(viewer, LocalizeWidget)
    settings = stage.form.settings()
    assert (settings.run, settings.volumes) == (better, ("fish_b",))
    assert (settings.margin, settings.passes) == (5.0, 7)
    qtbot.waitUntil(lambda: not stage.background.busy)


def test_nothing_is_written_where_nobody_chose_anything(viewer, opened, study, qtbot):
    stages: list[Any] = [dock(viewer, kind) for kind in (PretrainWidget, SegmentWidget)]
    qtbot.wait(50)
    opened.refresh()
    idle(opened, qtbot)
    choices: Callable[[Any], Any] = lambda stage: stage.form.remembered()  # noqa: E731
    assert choices(stages[0])["settings"] == {"sorting": {}}
    assert choices(stages[1])["settings"] == {}
    assert written(study, "pretrain").get("form", {}).get("settings", {}) in ({}, {"sorting": {}})


def test_the_way_to_predict_comes_back(viewer, opened, study, own_viewer, qtbot):
    paint(study)
    trained(study)
    stage = dock(viewer, SegmentWidget)
    see(stage, qtbot, lambda: stage.panel.run is not None)
    stage.choice.choose_axes("zyx")
    stage.choice.choose_overlap(True)
    qtbot.waitUntil(lambda: written(study, "segment").get("predict", {}).get("axes") == "zyx")
    session = session_of(own_viewer)
    stage = dock(own_viewer, SegmentWidget)
    session.set_study(Study.open(study.path))
    qtbot.waitUntil(lambda: stage.choice.axes == "zyx")
    assert (stage.choice.overlap, stage.choice.uncertainty, stage.choice.every_pose) == (True, False, False)
    stage.choice.set_way({"axes": "q", "overlap": "yes"})
    assert stage.choice.way() == {"axes": "", "uncertainty": False, "every_pose": False, "overlap": False}
