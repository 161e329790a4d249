"""The form of the Pre-train stage: settings in and out, the volumes, and the line that says what a run will need."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QLabel, QWidget

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.widgets.pretrain.form import PretrainForm
from napari_sortingloss.widgets.runs.run_fields import DETACHED
from napari_sortingloss.widgets.runs.split import Split
from napari_sortingloss.widgets.toolkit.background import Background


@pytest.fixture
def form(keep, viewer, study) -> PretrainForm:
    owner = keep(QWidget())
    made = keep(PretrainForm(Background(owner)))
    made.set_study(study)
    made.set_volumes(("fish_a", "fish_b"))
    return made


def test_untouched_it_gives_the_defaults_and_all_volumes(form):
    assert form.settings() == settings_for("sorting")(volumes=("fish_a", "fish_b"))


def test_what_matters_is_in_the_open_and_everything_else_under_more(form):
    assert list(form.edits) == ["encoder", "steps", "slices"]
    assert "size" in form.form.edits
    assert not form.form.fold.is_open


def test_encoders_have_names_a_person_knows_and_what_is_automatic_says_so(form):
    combo = form.edits["encoder"].widget
    assert combo.itemText(0) == "ResNet-18"
    assert form.form.edits["threads"].widget.text() == "automatic"


def test_every_input_has_a_label_and_a_name_for_screen_readers(form):
    for edit in [*form.edits.values(), *form.form.edits.values()]:
        assert edit.widget.accessibleName()
    assert {"Task", "Encoder", "Volumes", "Steps", "Slices", "Run"} <= {
        label.text() for label in form.findChildren(QLabel)
    }


def test_it_says_what_a_run_needs_on_how_many_cores(form, qtbot, monkeypatch):
    monkeypatch.setattr("napari_sortingloss.training.computer.devices.usable_cores", lambda: 8)
    form.estimate()
    qtbot.waitUntil(lambda: "on\N{NO-BREAK SPACE}7\N{NO-BREAK SPACE}cores" in form.needs.text())
    assert "MB" in form.needs.text()
    form.where.setCurrentIndex(form.where.findData(DETACHED))
    qtbot.waitUntil(lambda: "7\N{NO-BREAK SPACE}cores" not in form.needs.text())


def test_a_run_that_cannot_fit_the_memory_is_warned_of(form, qtbot):
    form.set_value(slices=1024, size=2048)
    qtbot.waitUntil(lambda: "⚠" in form.needs.text())
    assert "lower the size" in form.needs.text()


def test_a_value_that_does_not_fit_is_a_problem_until_it_is_mended(form, monkeypatch):
    edit = form.edits["slices"]
    monkeypatch.setattr(edit, "value", lambda: 1)
    form.estimate()
    assert "slices" in form.problem
    assert form.error() is not None
    monkeypatch.undo()
    form.estimate()
    assert form.problem == ""


def test_a_choice_of_volumes_stays_when_another_volume_is_added(form):
    form.set_split(Split(("fish_a",), ("fish_b",)))
    form.set_volumes(("fish_a", "fish_b", "fish_c"))
    assert form.split == Split(("fish_a", "fish_c"), ("fish_b",))
    assert form.volumes.text() == "2 train · 1 validate"


def test_the_settings_of_an_earlier_run_can_be_taken_over(form):
    changed: list[int] = []
    form.changed.connect(lambda: changed.append(1))
    earlier = settings_for("sorting")(
        steps=7, size=48, encoder="resnet50", volumes=("fish_b", "gone"), validate=("fish_a",)
    )
    form.show_settings("sorting", earlier.to_json())
    now: Any = form.settings()
    assert (now.steps, now.size, now.encoder) == (7, 48, "resnet50")
    assert form.split == Split(("fish_b",), ("fish_a",))
    assert len(changed) == 1


def test_settings_of_a_task_this_version_does_not_know_are_refused(form):
    with pytest.raises(BadSetting):
        form.show_settings("no such task", {})


def test_another_task_brings_its_own_fields(form):
    before = form.edits["steps"]
    form._on_task()
    assert form.edits["steps"] is not before
    assert form.settings() == settings_for("sorting")(volumes=("fish_a", "fish_b"))
