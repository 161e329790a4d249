"""A task that another package adds to the registry is in the form, with its own settings, and in the curves."""

from __future__ import annotations

import pytest

from napari_sortingloss.pretext import TASKS
from napari_sortingloss.widgets.pretrain.stage import PretrainWidget
from napari_sortingloss.widgets.session.session import session_of


@pytest.fixture
def stage(monkeypatch, viewer, study, qtbot):
    from outside_task import ENTRY

    monkeypatch.setitem(TASKS, "brightness", ENTRY)
    made = PretrainWidget(viewer)
    viewer.window.add_dock_widget(made)
    session_of(viewer).set_study(study)
    qtbot.waitUntil(lambda: len(made.session.volumes) == 2)
    made.form.task.setCurrentIndex(made.form.task.findData("brightness"))
    return made


def test_it_can_be_chosen_by_its_title(stage):
    assert stage.form.task.currentText() == "Brightness"


def test_its_settings_are_in_the_form(stage):
    stage.form.set_value(together=5)
    assert stage.form.settings().together == 5


def test_its_figures_are_the_curves(stage):
    assert [plot.title for plot in stage.panel._curves()] == ["loss", "brightness error"]
