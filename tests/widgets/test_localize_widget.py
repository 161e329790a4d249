"""The Localize stage as a person uses it: ask a run, go through the boxes by keyboard, adjust, accept, crop, export."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import tifffile
from localizing import BOXES, idle, localize, mine, on_disk, see, statuses, trained
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
)

from napari_sortingloss.errors import BadInput, OutOfSpace
from napari_sortingloss.events import Progress
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.pretext.jobs.pretrain import pretrain
from napari_sortingloss.study import Study
from napari_sortingloss.study.localizations import reading as store
from napari_sortingloss.study.localizations.reading import read_localization
from napari_sortingloss.widgets.localize import actions
from napari_sortingloss.widgets.localize.actions import ask_about
from napari_sortingloss.widgets.localize.stage import LocalizeWidget
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.viewer import layers


@pytest.fixture
def stage(localizer: LocalizeWidget) -> LocalizeWidget:
    return localizer


@pytest.fixture
def run(sorting_run: str) -> str:
    return sorting_run


@pytest.fixture
def found(localized: LocalizeWidget) -> LocalizeWidget:
    """The stage with both fish localised, the first one in view."""
    return localized


# ------------------------------------------------------------------------------------------------ nothing there yet
def test_without_a_study_it_says_what_it_is_for_and_where_to_begin(stage, session):
    assert "without a single label" in stage.hint.text()
    asked: list[str] = []
    session.stage_requested.connect(asked.append)
    stage.link.click()
    assert asked == ["Study"]
    assert stage.start_button.toolTip() == "Add volumes to the study first"


def test_without_a_run_it_sends_to_pre_training(stage, opened, session):
    assert "Pre-train" in stage.hint.text()
    assert stage.form.isHidden()
    asked: list[str] = []
    session.stage_requested.connect(asked.append)
    stage.link.click()
    assert asked == ["Pre-train"]
    assert not stage.start_button.isEnabled()


def test_a_run_without_weights_is_named(stage, study, opened, qtbot):
    run = trained(study, step=0)
    see(stage, qtbot, lambda: run in stage.hint.text())
    assert "no weights yet" in stage.hint.text()


def test_a_run_says_what_it_is_and_how_good(stage, study, run, opened, qtbot):
    see(stage, qtbot, lambda: stage.form.has_runs)
    assert stage.form.run_id == run
    said = "SortingLoss · mean displacement 0.40 slices on unseen volumes, random 1.25"
    assert stage.form.about.text() == said
    assert "ResNet-18, 4 slices of 32 px" in stage.form.about.toolTip()
    assert stage.start_button.text() == "Localize 2"
    assert stage.start_button.isEnabled()
    assert statuses(stage) == ["none", "none"]


def test_the_variance_of_a_run_without_dropout_is_refused_beforehand(stage, study, opened, qtbot):
    trained(study, dropout=0.0)
    see(stage, qtbot, lambda: stage.form.has_runs)
    assert stage.start_button.isEnabled()
    stage.form.set_value(recipe="published")
    assert not stage.start_button.isEnabled()
    assert "without dropout" in stage.start_button.toolTip()


# ------------------------------------------------------------------------------------------------ the job
def test_localizing_fills_the_table_and_shows_the_first_box(stage, study, run, opened, viewer, qtbot):
    see(stage, qtbot, lambda: stage.form.has_runs)
    stage.start_button.click()
    assert stage.start_button.text() == "Stop"
    see(stage, qtbot, lambda: statuses(stage) == ["found", "found"])
    assert stage.checked.text() == "0 of 2 checked"
    assert "2 volumes localized" in stage.bar.text
    assert stage.start_button.text() == "Localize 2"
    qtbot.waitUntil(lambda: "fish_a · box" in mine(viewer))
    for content in ("fish_a", "fish_a · uncertainty", "fish_a · region", "fish_a · box"):
        assert content in mine(viewer)
    share = on_disk(stage, "fish_a").kept_fraction
    assert stage.panel.keeps.text().startswith(f"keeps {100 * share:.0f} % · ")


def test_only_the_chosen_volumes_are_looked_at(stage, study, run, opened, qtbot):
    see(stage, qtbot, lambda: stage.form.has_runs)
    stage.form.volumes.choose(("fish_b",))
    assert stage.start_button.text() == "Localize"
    stage.start_button.click()
    see(stage, qtbot, lambda: statuses(stage) == ["none", "found"])
    qtbot.waitUntil(lambda: stage.review.name == "fish_b")


def test_a_job_shows_which_volume_it_is_at_and_can_be_stopped(stage, study, run, opened, qtbot, monkeypatch):
    def slow(study: Study, settings: Any) -> Any:
        def job() -> Iterator[Any]:
            localize(study, "fish_a", settings.run)
            while True:
                yield Progress(done=1, total=2, what="fish_b: looking", unit="volumes", seconds_left=90)
                time.sleep(0.01)

        return job

    monkeypatch.setattr(actions, "localize_job", slow)
    see(stage, qtbot, lambda: stage.form.has_runs)
    stage.start_button.click()
    qtbot.waitUntil(lambda: statuses(stage)[1] == "working")
    assert len(stage.strip.rows) == 1
    stage.start_button.click()
    qtbot.waitUntil(lambda: stage.start_button.text() == "Localize 2")
    assert "What was found before is kept" in stage.bar.text
    see(stage, qtbot, lambda: statuses(stage) == ["found", "none"])


def test_a_job_that_fails_says_why_and_gives_the_buttons_back(stage, study, run, opened, qtbot, monkeypatch):
    def fails(*_: Any) -> Any:
        def make() -> Any:
            raise BadInput("Cannot localise", "the weights are damaged", "choose another run")

        return make

    monkeypatch.setattr(actions, "localize_job", fails)
    see(stage, qtbot, lambda: stage.form.has_runs)
    stage.start_button.click()
    qtbot.waitUntil(lambda: "the weights are damaged" in stage.bar.text)
    qtbot.waitUntil(lambda: stage.start_button.text() == "Localize 2")
    assert stage.start_button.isEnabled()
    assert statuses(stage) == ["none", "none"]


def test_boxes_that_were_checked_are_asked_about_before_they_are_found_anew(found, qtbot, monkeypatch):
    found.review.accept()
    idle(found, qtbot)
    asked: list[tuple[Any, ...]] = []
    answers = iter(("cancel", "others", "all"))
    monkeypatch.setattr(actions, "ask_about", lambda stage, *about: (asked.append(about), next(answers))[1])
    created = [on_disk(found, name).created for name in BOXES]
    found.start_button.click()
    assert asked == [(["fish_a"], 1)]
    assert found.actions_.job is None
    found.start_button.click()
    see(found, qtbot, lambda: found.actions_.job is None and on_disk(found, "fish_b").created != created[1])
    assert on_disk(found, "fish_a").created == created[0]
    found.start_button.click()
    see(found, qtbot, lambda: statuses(found) == ["found", "found"])
    assert on_disk(found, "fish_a").status == "found"


def test_the_question_can_be_answered_by_escape(found, qtbot):
    def escape() -> None:
        qtbot.keyClick(QApplication.activeModalWidget(), Qt.Key.Key_Escape)

    QTimer.singleShot(200, escape)
    assert ask_about(found, ["fish_a"], 1) == "cancel"


# ------------------------------------------------------------------------------------------- other programs, other runs
def test_what_the_command_line_finds_meanwhile_appears(stage, study, run, opened, qtbot, viewer):
    see(stage, qtbot, lambda: stage.form.has_runs)
    localize(study, "fish_a", run)
    see(stage, qtbot, lambda: statuses(stage) == ["found", "none"])
    qtbot.waitUntil(lambda: "fish_a · box" in mine(viewer))


def test_another_run_has_results_of_its_own(found, study, qtbot):
    other = trained(study)
    see(found, qtbot, lambda: found.form.run.count() == 2)
    found.form.choose_run(other)
    assert statuses(found) == ["none", "none"]
    assert found.panel.isHidden()
    found.form.run.setCurrentIndex(1)
    assert statuses(found) == ["found", "found"]
    assert not found.panel.isHidden()


def test_results_of_a_deleted_run_can_still_be_checked(found, study, run, qtbot):
    study.run(run).delete()
    see(found, qtbot, lambda: "gone" in found.form.run.currentText())
    assert statuses(found) == ["found", "found"]
    assert not found.start_button.isEnabled()
    found.table.accept_requested.emit()
    idle(found, qtbot)
    assert on_disk(found, "fish_a").status == "accepted"


def test_a_damaged_result_is_told_in_its_row_and_hides_no_other(found, study, run, qtbot):
    (store.localization_path(study, "fish_b", run) / "region.json").write_text("{")
    see(found, qtbot, lambda: statuses(found) == ["found", "damaged"])
    assert "is damaged" in found.table.row("fish_b").problem


def test_a_full_disk_is_told_and_the_box_is_written_when_there_is_room(found, qtbot, monkeypatch):
    real = store.update_localization

    def full(*_: Any, **__: Any) -> Any:
        raise OutOfSpace("Cannot change it", "the disk is full", "free some space")

    monkeypatch.setattr(store, "update_localization", full)
    box = ((5, 19), (3, 15), (7, 20))
    found.panel.box_changed.emit(box)
    qtbot.waitUntil(lambda: "the disk is full" in found.bar.text)
    assert found.panel.sliders.value() == box
    monkeypatch.setattr(store, "update_localization", real)
    found.table.accept_requested.emit()
    idle(found, qtbot)
    assert on_disk(found, "fish_a").box == box


def test_closing_at_once_loses_no_box(found, viewer, qtbot):
    box = ((5, 19), (3, 15), (7, 20))
    study, run = found.session.study, found.form.run_id
    found.panel.box_changed.emit(box)
    viewer.window.remove_dock_widget(found)
    found.close()
    found.deleteLater()
    qtbot.waitUntil(lambda: read_localization(study, "fish_a", run).box == box)


def test_a_box_is_not_put_onto_what_another_program_has_found_anew(found, study, run, qtbot):
    found.panel.box_changed.emit(((5, 19), (3, 15), (7, 20)))
    localize(study, "fish_a", run)
    idle(found, qtbot)
    assert on_disk(found, "fish_a").box == BOXES["fish_a"]
    see(found, qtbot, lambda: found.panel.sliders.value() == BOXES["fish_a"])


def test_a_renamed_volume_keeps_its_box_and_its_layers(found, study, viewer, qtbot):
    found.table.accept_requested.emit()
    found.table.selectRow(0)
    idle(found, qtbot)
    study.rename_volume("fish_a", "trout")
    layers.rename(viewer, str(study.path), "fish_a", "trout")
    see(found, qtbot, lambda: found.table.row("trout") is not None)
    assert found.table.row("trout").status == "accepted"
    found.session.set_current_volume("trout")
    qtbot.waitUntil(
        lambda: found.review.layers.plan is not None and found.review.layers.plan.volume == "trout"
    )
    assert not [name for name in mine(viewer) if name.startswith("fish_a")]


def test_another_study_leaves_nothing_of_the_old_one(found, viewer, tmp_path, qtbot):
    found.session.set_study(Study.create(tmp_path / "other"))
    assert found.review.found is None
    qtbot.waitUntil(lambda: not [layer.name for layer in viewer.layers if "·" in layer.name])
    assert "no volumes" in found.hint.text()


# ------------------------------------------------------------------------------------------------ crop and export
def test_accepted_volumes_are_cropped_once(found, viewer, qtbot):
    assert found.crop_button.toolTip() == "Accept boxes first"
    found.table.accept_requested.emit()
    assert found.crop_button.text() == "C&rop 1 accepted"
    found.crop_button.click()
    see(found, qtbot, lambda: "fish_a_crop" in found.session.volumes)
    qtbot.waitUntil(lambda: "1 crop made: fish_a_crop" in found.bar.text)
    assert found.session.volumes["fish_a_crop"].shape == (16, 12, 18)
    see(found, qtbot, lambda: found.table.row("fish_a").said == "✓ cropped")
    assert not found.crop_button.isEnabled()
    assert found.crop_button.toolTip() == "All accepted volumes are cropped already"
    assert [row.name for row in found.table.model_.rows] == ["fish_a", "fish_b"]
    assert found.form.volumes.value() == ("fish_a", "fish_b")


def test_from_a_crop_one_click_leads_to_painting_it(found, session, qtbot):
    asked: list[str] = []
    session.stage_requested.connect(asked.append)
    found.table.accept_requested.emit()
    found.crop_button.click()
    qtbot.waitUntil(lambda: "1 crop made: fish_a_crop" in found.bar.text)
    found.bar._link.click()
    assert asked == ["Annotate"]
    assert session.current_volume == "fish_a_crop"


def test_a_box_moved_just_before_the_crop_is_what_is_cut(found, qtbot):
    found.table.accept_requested.emit()
    found.table.selectRow(0)
    found.panel.box_changed.emit(((5, 19), (3, 15), (7, 20)))
    found.crop_button.click()
    see(found, qtbot, lambda: "fish_a_crop" in found.session.volumes)
    assert found.session.volumes["fish_a_crop"].shape == (14, 12, 13)


@pytest.mark.parametrize(("what", "shape"), [("crop", (16, 12, 18)), ("uncertainty", (12, 9, 15))])
def test_the_crop_and_the_uncertainty_are_exported(found, qtbot, tmp_path, monkeypatch, what, shape):
    path = tmp_path / "out.ome.tif"
    offered: list[str] = []
    monkeypatch.setattr(dialogs, "choose_export", lambda parent, name: (offered.append(name), path)[1])
    entries = {entry.text(): entry for entry in found.actions_.export_menu().actions()}
    next(entry for text, entry in entries.items() if what in text.lower()).trigger()
    qtbot.waitUntil(lambda: "Written to" in found.bar.text, timeout=10_000)
    assert offered == [f"fish_a_{what}"]
    assert tifffile.imread(path).shape == shape


# ------------------------------------------------------------------------------------------------ with a real network
def test_a_real_run_localizes_is_reviewed_and_cropped(viewer, study, opened, qtbot):
    settings = settings_for("sorting")(steps=2, slices=4, size=32, threads=1, workers=1, checkpoint_every=1)
    list(pretrain(study, settings))
    stage = LocalizeWidget(viewer)
    viewer.window.add_dock_widget(stage)
    see(stage, qtbot, lambda: stage.form.has_runs)
    stage.form.volumes.choose(("fish_a",))
    stage.start_button.click()
    qtbot.waitUntil(lambda: stage.actions_.job is None, timeout=60_000)
    assert stage.bar.level != "error", stage.bar.text
    see(stage, qtbot, lambda: statuses(stage) == ["found", "none"])
    qtbot.waitUntil(lambda: "fish_a · uncertainty" in mine(viewer))
    stage.panel.fraction_changed.emit(0.2)
    idle(stage, qtbot)
    stage.panel.box_changed.emit(((2, 20), (1, 15), (3, 25)))
    stage.table.accept_requested.emit()
    stage.crop_button.click()
    see(stage, qtbot, lambda: "fish_a_crop" in stage.session.volumes)
    assert stage.session.volumes["fish_a_crop"].offset == (2, 1, 3)


def test_with_six_volumes_all_of_it_is_in_sight_in_a_window_of_1280_x_800(localized, qtbot):
    content = localized.scroll.widget()
    more_rows = 4 * localized.table.verticalHeader().defaultSectionSize()
    room = 625  # what the window, its dock, the tabs and the buttons leave
    qtbot.waitUntil(lambda: localized.panel.isVisibleTo(localized))
    assert content.heightForWidth(390) + more_rows <= room
