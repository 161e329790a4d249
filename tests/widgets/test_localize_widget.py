"""The Localize stage as a person uses it: ask a run, go through the boxes by keyboard, adjust, accept, crop, export."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tifffile
from localizing import BOXES, localize, localize_job, trained
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QScrollBar,
    QToolButton,
)

from napari_sortingloss.errors import BadInput, OutOfSpace
from napari_sortingloss.events import Progress
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.pretext.pretrain import pretrain
from napari_sortingloss.study import Study
from napari_sortingloss.study import localizations as store
from napari_sortingloss.study.boxes import NO_BOX
from napari_sortingloss.study.localizations import read_localization
from napari_sortingloss.widgets import dialogs, layers, localize_actions
from napari_sortingloss.widgets.localize import LocalizeWidget
from napari_sortingloss.widgets.localize_actions import ask_about
from napari_sortingloss.widgets.session import Session, session_of
from napari_sortingloss.widgets.workbench import Workbench


@pytest.fixture
def stage(viewer: Any, session: Session, monkeypatch: pytest.MonkeyPatch) -> LocalizeWidget:
    monkeypatch.setattr(
        localize_actions, "localize_job", lambda study, settings: lambda: localize_job(study, settings)
    )
    made = LocalizeWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def run(study: Study) -> str:
    return trained(study)


@pytest.fixture
def found(stage: LocalizeWidget, study: Study, run: str, opened: Session, qtbot: Any) -> LocalizeWidget:
    """The stage with both fish localised, the first one in view."""
    for name in BOXES:
        localize(study, name, run)
    see(stage, qtbot, lambda: statuses(stage) == ["found", "found"])
    idle(stage, qtbot)
    return stage


def see(stage: LocalizeWidget, qtbot: Any, done: Any) -> None:
    """Look at the study until something is so."""

    def look() -> bool:
        if not stage.session._background.busy:  # a newer look overtakes one that is under way
            stage.session.refresh()
        return bool(done())

    qtbot.waitUntil(look, timeout=20_000)


def idle(stage: LocalizeWidget, qtbot: Any) -> None:
    def nothing_to_do() -> bool:
        keeper = stage.review.keeper
        return not (stage.background.busy or keeper.waiting or stage.session._background.busy)

    qtbot.waitUntil(nothing_to_do, timeout=20_000)


def statuses(stage: LocalizeWidget) -> list[str]:
    return [row.status for row in stage.table.model_.rows]


def on_disk(stage: LocalizeWidget, name: str) -> Any:
    return read_localization(stage.session.study, name, stage.form.run_id)


def mine(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers]


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

    monkeypatch.setattr(localize_actions, "localize_job", slow)
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

    monkeypatch.setattr(localize_actions, "localize_job", fails)
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
    monkeypatch.setattr(
        localize_actions, "ask_about", lambda stage, *about: (asked.append(about), next(answers))[1]
    )
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


# ------------------------------------------------------------------------------------------------ the review
def test_selecting_a_row_shows_that_volume_with_its_layers(found, viewer, qtbot):
    found.table.selectRow(1)
    qtbot.waitUntil(lambda: "fish_b · box" in mine(viewer))
    assert found.session.current_volume == "fish_b"
    assert not [name for name in mine(viewer) if name.startswith("fish_a")]
    assert [layer.name for layer in viewer.layers if layer.visible and "·" not in layer.name] == ["fish_b"]
    assert found.panel.sliders.value() == BOXES["fish_b"]


def test_enter_accepts_and_goes_on_until_all_are_checked(found, qtbot):
    found.table.accept_requested.emit()
    assert found.review.name == "fish_b"
    assert found.checked.text() == "1 of 2 checked"
    found.table.skip_requested.emit()
    assert found.checked.text() == "2 of 2 checked"
    assert "1 accepted, 1 skipped" in found.bar.text
    assert found.bar._link.text() == "Crop 1 accepted ▸"
    idle(found, qtbot)
    assert (on_disk(found, "fish_a").status, on_disk(found, "fish_b").status) == ("accepted", "skipped")


def test_a_judgement_can_be_taken_back(found, qtbot):
    found.table.accept_requested.emit()
    found.table.selectRow(0)
    assert found.accept_button.isHidden()
    assert not found.reopen_button.isHidden()
    found.table.reopen_requested.emit()
    idle(found, qtbot)
    assert on_disk(found, "fish_a").status == "found"
    assert not found.accept_button.isHidden()


def test_a_slider_moves_the_box_in_the_viewer_and_on_disk(found, qtbot):
    box = ((5, 19), (3, 15), (6, 24))
    found.panel.box_changed.emit(box)
    assert found.review.layers.box == box
    assert found.table.row("fish_a").adjusted
    assert found.panel.reset.isEnabled()
    idle(found, qtbot)
    assert on_disk(found, "fish_a").box == box
    assert on_disk(found, "fish_a").found == BOXES["fish_a"]


def test_dragging_the_box_moves_the_sliders_and_is_kept(found, qtbot):
    box = ((5, 19), (3, 15), (7, 20))
    told: list[Any] = []
    found.panel.box_changed.connect(told.append)
    found.review.layers.box_moving.emit(box)
    assert found.panel.sliders.value() == box
    assert not found.table.row("fish_a").adjusted
    found.review.layers.box_dragged.emit(box)
    assert told == []
    idle(found, qtbot)
    assert on_disk(found, "fish_a").box == box


def test_the_threshold_cuts_region_and_box_anew_without_the_network(found, qtbot, viewer):
    before = found.panel.sliders.value()
    found.panel.fraction_changed.emit(0.05)
    idle(found, qtbot)
    after = on_disk(found, "fish_a")
    assert after.automatic is False
    assert after.box != before
    assert after.kept_fraction < 0.5
    assert found.panel.sliders.value() == after.box == found.review.layers.box
    assert not found.panel.fraction.automatic


def test_the_last_threshold_wins_however_quickly_it_is_moved(found, qtbot):
    for fraction in np.linspace(0.3, 0.04, 12):
        found.panel.fraction_changed.emit(float(fraction))
    idle(found, qtbot)
    assert on_disk(found, "fish_a").fraction == pytest.approx(0.04, abs=0.02)


def test_a_threshold_moved_just_before_going_on_still_counts(found, qtbot):
    found.panel.fraction_changed.emit(0.05)
    found.table.accept_requested.emit()
    assert found.review.name == "fish_b"
    idle(found, qtbot)
    assert on_disk(found, "fish_a").status == "accepted"
    assert on_disk(found, "fish_a").box != BOXES["fish_a"]
    assert found.panel.sliders.value() == BOXES["fish_b"]


def test_reset_goes_back_to_the_box_and_threshold_that_were_found(found, qtbot):
    found.panel.fraction_changed.emit(0.05)
    idle(found, qtbot)
    found.panel.reset.click()
    idle(found, qtbot)
    after = on_disk(found, "fish_a")
    assert after.box == BOXES["fish_a"]
    assert after.automatic
    assert not found.table.row("fish_a").adjusted
    assert not found.panel.reset.isEnabled()


def test_where_nothing_was_found_it_cannot_be_accepted_but_set_by_hand(stage, study, run, opened, qtbot):
    localize(study, "fish_a", run, NO_BOX)
    see(stage, qtbot, lambda: statuses(stage) == ["found", "none"])
    idle(stage, qtbot)
    assert "Nothing was found" in stage.panel.warnings.text()
    assert not stage.accept_button.isEnabled()
    stage.table.accept_requested.emit()
    assert "no box to accept" in stage.bar.text
    stage.panel.box_changed.emit(((1, 9), (2, 9), (3, 9)))
    assert stage.accept_button.isEnabled()
    stage.accept_button.click()
    idle(stage, qtbot)
    assert on_disk(stage, "fish_a").status == "accepted"


def test_warnings_are_said_in_words(stage, study, run, opened, qtbot):
    localize(study, "fish_a", run, warnings=("the grid is too coarse to mean anything",))
    see(stage, qtbot, lambda: "too coarse" in stage.panel.warnings.text())
    assert stage.table.model_.data(stage.table.model_.index(0, 1)) == "⚠ check"


def test_a_click_into_a_profile_shows_that_slice(found, viewer, qtbot):
    found.panel.position_chosen.emit("y", 7)
    assert viewer.dims.order[0] == 1
    assert viewer.dims.point[1] == pytest.approx(7 * 0.25)


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


def test_another_study_leaves_nothing_of_the_old_one(found, viewer, tmp_path):
    found.session.set_study(Study.create(tmp_path / "other"))
    assert found.review.found is None
    assert not [name for name in mine(viewer) if "·" in name]
    assert "no volumes" in found.hint.text()


# ------------------------------------------------------------------------------------------------ crop and export
def test_accepted_volumes_are_cropped_once(found, viewer, qtbot):
    assert found.crop_button.toolTip() == "Accept boxes first"
    found.table.accept_requested.emit()
    assert found.crop_button.text() == "&Crop 1 accepted"
    found.crop_button.click()
    see(found, qtbot, lambda: "fish_a_crop" in found.session.volumes)
    qtbot.waitUntil(lambda: "1 crop made: fish_a_crop" in found.bar.text)
    assert found.session.volumes["fish_a_crop"].shape == (16, 12, 18)
    see(found, qtbot, lambda: found.table.row("fish_a").said == "✓ cropped")
    assert not found.crop_button.isEnabled()
    assert found.crop_button.toolTip() == "All accepted volumes are cropped already"
    assert [row.name for row in found.table.model_.rows] == ["fish_a", "fish_b"]
    assert found.form.volumes.value() == ("fish_a", "fish_b")


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


# ------------------------------------------------------------------------------------------------ the panel itself
def test_hidden_behind_another_tab_it_touches_no_layer(study, run, viewer, qtbot):
    localize(study, "fish_a", run)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench)
    session_of(viewer).set_study(study)
    stage = bench.stages["Localize"]
    qtbot.waitUntil(lambda: stage.review.found is not None)
    idle(stage, qtbot)
    assert len(viewer.layers) == 0
    bench.show_stage("Localize")
    stage.review.appear()  # what showing does in a window that is shown
    qtbot.waitUntil(lambda: "fish_a · box" in mine(viewer))


def test_every_control_has_a_name_for_a_screen_reader(found):
    for kind in (QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QToolButton):
        for control in found.findChildren(kind):
            qt_s_own = isinstance(control, QScrollBar) or control.objectName().startswith("qt_")
            name = control.accessibleName() or getattr(control, "text", lambda: "")()
            assert name or qt_s_own, f"{control} in {control.parent()}"


def test_both_themes_reach_the_panel(found, viewer):
    viewer.theme = "light"
    assert found.colors.dark is False
    viewer.theme = "dark"
    assert found.colors.dark is True


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
