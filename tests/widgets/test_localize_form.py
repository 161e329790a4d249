"""The inputs of the Localize stage: run, volumes, settings, threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_sortingloss.widgets.localize.form import LocalizeForm
from napari_sortingloss.widgets.localize.fraction_slider import FractionSlider
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.volume_menu import VolumeMenu


def info(
    name: str, task: str = "sorting", step: int = 20, kind: str = "pretrain", **settings: Any
) -> RunInfo:
    return RunInfo(name, kind, task, "finished", "2026", Path(name), {"step": step}, settings)


@pytest.fixture
def form(keep: Any) -> LocalizeForm:
    made = keep(LocalizeForm())
    made.volumes.set_volumes(("a", "b", "c"))
    return made


@pytest.fixture
def menu(keep: Any) -> VolumeMenu:
    made = keep(VolumeMenu())
    made.resize(200, 24)
    made.set_volumes(("a", "b", "c", "a_crop"), left_out={"a_crop"}, done={"a"}, selected=("c",))
    return made


def test_only_runs_that_can_see_are_offered(form):
    form.set_runs(
        [info("s"), info("r", "rotation"), info("new", step=0), info("o", "other"), info("f", kind="f")]
    )
    assert [form.run.itemData(i) for i in range(form.run.count())] == ["s", "r"]


def test_the_chosen_run_stays_when_newer_ones_come(form):
    told: list[str] = []
    form.run_changed.connect(told.append)
    form.set_runs([info("old")])
    form.choose_run("old")
    form.set_runs([info("new"), info("old")])
    assert form.run_id == "old"
    form.choose_run("new")
    assert told == ["old", "new"]


def test_the_best_finished_run_is_proposed_and_its_entry_says_how_good_it_is(form):
    def run(name: str, displacement: float, state: str = "finished", **settings: Any) -> RunInfo:
        measured = {"mean_displacement": displacement}
        about = {"slices": 16, "validate": ["a"], **settings}
        summary = {"step": 9, "steps": 10, "validation": measured}
        return RunInfo(name, "pretrain", "sorting", state, "2026", Path(name), summary, about)

    form.set_runs([run("worse", 2.0), run("better", 0.9)])
    assert form.run_id == "better"
    assert form.run.currentText() == "better · 0.9 of 16 slices"
    form.set_runs([run("cut off", 0.5, "stopped"), run("worse", 2.0), run("better", 0.9)])
    assert form.run_id == "better"
    assert form.run.itemText(0) == "cut off · 0.5 of 16 slices · stopped at 9 of 10"
    form.set_runs([run("best", 0.8), run("cut off", 0.5, "stopped"), run("worse", 2.0), run("better", 0.9)])
    assert form.run_id == "best"


def test_a_run_with_results_to_check_is_proposed_before_a_better_one(form):
    form.begin_with("found")
    form.set_runs([info("new"), info("found")])
    assert form.run_id == "found"


def test_a_run_may_be_chosen_before_it_is_there(form):
    form.choose_run("later")
    form.set_runs([info("old")])
    form.set_runs([info("later"), info("old")])
    assert form.run_id == "later"


def test_what_the_recipe_chooses_is_left_to_the_recipe(form):
    form.set_runs([info("s")])
    settings = form.settings()
    assert (settings.run, settings.volumes) == ("s", ("a", "b", "c"))
    assert settings.statistic is settings.passes is settings.refine is settings.fraction is None
    assert not settings.again
    form.set_value(recipe="published", passes=7, refine=True)
    settings = form.settings().resolved()
    assert (settings.statistic, settings.passes, settings.refine) == ("variance", 7, True)


def test_what_stands_in_the_way_is_said(form):
    assert "Pre-train first" in form.problem()
    form.set_runs([info("s", dropout=0.0)], others={"gone"})
    assert form.problem() == ""
    form.set_value(recipe="published")
    assert "without dropout" in form.problem()
    form.set_runs([info("s", dropout=0.1)], others={"gone"})
    assert form.problem() == ""
    form.volumes.choose(())
    assert form.problem() == "Choose volumes first"
    form.choose_run("gone")
    assert "no longer in the study" in form.problem()


def test_all_volumes_but_crops_are_chosen_to_begin_with(menu):
    assert menu.value() == ("a", "b", "c")
    assert menu.text() == "all 3"
    menu.set_volumes(("a", "b", "c", "d"))
    assert menu.value() == ("a", "b", "c", "d")


def test_the_menu_offers_the_undone_and_the_selected(menu):
    menu._fill()
    texts = {entry.text(): entry for entry in menu.menu_.actions()}
    texts["&Not yet localized (2)"].trigger()
    assert menu.value() == ("b", "c")
    menu._fill()
    texts = {entry.text(): entry for entry in menu.menu_.actions()}
    texts["&Selected in the table (1)"].trigger()
    assert menu.value() == ("c",)
    assert menu.text() == "c"


def test_several_volumes_are_ticked_while_the_menu_stays_open(menu, qtbot):
    menu.menu_.popup(menu.pos())
    entries = {entry.data(): entry for entry in menu.menu_.actions() if entry.data()}
    for name in ("b", "a_crop"):
        menu.menu_.setActiveAction(entries[name])
        qtbot.keyClick(menu.menu_, Qt.Key.Key_Space)
    assert menu.menu_.isVisible()
    menu.menu_.close()
    assert menu.value() == ("a", "c", "a_crop")
    assert menu.text() == "3 of 4"


def test_a_volume_that_is_gone_is_no_longer_chosen(menu):
    told: list[bool] = []
    menu.choose(("a", "b"))
    menu.changed.connect(lambda: told.append(True))
    menu.set_volumes(("b", "c"))
    assert menu.value() == ("b",)
    assert told == [True]


def test_the_slider_goes_over_three_decades(keep):
    slider = keep(FractionSlider())
    told: list[Any] = []
    slider.changed.connect(told.append)
    for tick in (0, slider.slider.maximum() // 2, slider.slider.maximum()):
        slider.slider.setValue(tick)
    slider.slider.setValue(0)
    assert told == pytest.approx([0.001, 0.03, 0.9, 0.001], rel=0.01)


def test_a_share_is_shown_without_an_echo_and_automatic_is_one_click_away(keep):
    slider = keep(FractionSlider())
    told: list[Any] = []
    slider.changed.connect(told.append)
    slider.set_value(0.26, False)
    assert told == []
    assert slider.box.text() == "26 %"
    assert not slider.auto.isChecked()
    slider.box.setValue(12.5)
    assert told == [pytest.approx(0.125)]
    slider.auto.click()
    assert told[1:] == [None]
    assert slider.automatic
    slider.auto.click()
    assert slider.auto.isChecked()
