"""The table of runs: state, figures, ticks that stay, and menus that say why not."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_sortingloss.widgets.runs.curves import COMPARED
from napari_sortingloss.widgets.runs.run_table import RunTable, figures
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.theme import colors


def info(name: str, state: str = "finished", step: int = 10, **figures: float) -> RunInfo:
    summary = {"step": step, "steps": 10, "train": {}, "validation": figures}
    settings = {"encoder": "resnet18", "size": 64, "slices": 4, "volumes": ["a", "b"], "validate": ["c"]}
    return RunInfo(
        name, "pretrain", "sorting", state, "2026-01-02T03:04:05", Path("/x") / name, summary, settings
    )


@pytest.fixture
def table(keep, viewer) -> RunTable:
    made = keep(RunTable())
    made.apply_theme(colors(viewer))
    return made


def texts(table: RunTable, row: int = 0) -> list[str]:
    return [table.topLevelItem(row).text(column) for column in range(4)]


def test_a_row_says_state_progress_and_displacement(table):
    table.set_runs([info("r1", "paused", 4, mean_displacement=1.234)])
    assert texts(table) == ["r1", "‖", "4/10", "1.23"]
    assert "‖ paused, step 4 of 10" in table.topLevelItem(0).toolTip(1)


def test_the_tooltip_says_what_the_run_was_given_and_how_good_it_is_against_chance(table):
    table.set_runs([info("r1", mean_displacement=1.2, random_displacement=5.3)])
    about = table.topLevelItem(0).toolTip(0)
    assert "ResNet-18, 4 slices of 64 px, 2 train · 1 validate" in about
    assert "mean displacement 1.20 slices on unseen volumes, random 5.30" in about


def test_ticks_and_the_selection_stay_when_the_list_is_read_again(table):
    table.set_runs([info("r1"), info("r2"), info("r3")])
    table.tick("r2")
    table.select("r3")
    table.set_runs([info("new", "running", 1), info("r1"), info("r2"), info("r3")])
    assert table.ticked() == ["r2"]
    assert table.current() == "r3"
    table.set_runs([info("new"), info("r1")])
    assert table.ticked() == []


def test_a_run_keeps_its_colour_whatever_else_is_ticked(table):
    table.set_runs([info(f"r{i}") for i in range(4)])
    table.tick("r2")
    colour = table.colour_of("r2")
    table.tick("r0")
    assert table.colour_of("r2") == colour != table.colour_of("r0")
    table.tick("r2", False)
    table.tick("r3")
    assert table.colour_of("r3") == colour


def test_no_more_runs_are_ticked_than_there_are_colours(table):
    table.set_runs([info(f"r{i}") for i in range(7)])
    for i in range(7):
        table.tick(f"r{i}")
    assert len(table.ticked()) == len(COMPARED)


def test_selecting_from_within_tells_nobody_a_person_s_choice_does(table):
    told: list[str] = []
    table.chosen.connect(told.append)
    table.set_runs([info("r1"), info("r2")])
    table.select("r2")
    assert told == []
    table.setCurrentItem(table.topLevelItem(0))
    assert told == ["r1"]


def actions(table: RunTable, run: str) -> dict[str, Any]:
    return {a.text().replace("&", ""): a for a in table.menu_for(run).actions()}


def test_the_menu_of_a_run_that_goes_on_says_what_cannot_be_done_and_why(table):
    table.set_runs([info("r1", "running", 0)])
    found = actions(table, "r1")
    assert not found["Delete…"].isEnabled()
    assert found["Delete…"].toolTip() == "Stop it first"
    assert found["Go on training"].toolTip() == "It is going on"
    assert found["Order the slices of all volumes"].toolTip() == "It has no weights yet"


def test_the_menu_asks_for_what_was_chosen(table):
    asked: list[str] = []
    table.delete_requested.connect(asked.append)
    table.settings_requested.connect(asked.append)
    table.set_runs([info("r1"), info("r2")])
    actions(table, "r2")["Delete…"].trigger()
    actions(table, "r1")["Use its settings for a new run"].trigger()
    assert asked == ["r2", "r1"]


def named(one: RunInfo, name: str) -> RunInfo:
    return dataclasses.replace(one, name=name)


def editor_of(table: RunTable) -> QLineEdit:
    return table.viewport().findChild(QLineEdit)


def press(table: RunTable, key: Qt.Key) -> None:
    """Press a key in the line that is being typed; Qt answers when it next has time, and then lets go of the line."""
    QTest.keyClick(editor_of(table), key)
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_a_run_goes_by_its_name_and_one_without_is_told_apart_by_what_differs(table):
    deeper = info("r3")
    deeper = dataclasses.replace(deeper, settings={**deeper.settings, "encoder": "resnet34"})
    table.set_runs([deeper, info("r2"), named(info("r1"), "all fish")])
    assert [texts(table, row)[0] for row in range(3)] == ["r3 · ResNet-34", "r2 · ResNet-18", "all fish"]
    assert table.topLevelItem(2).toolTip(0).splitlines()[:2] == ["all fish", "r1"]


def test_a_run_without_an_end_shows_how_far_it_is_not_of_what(table):
    one = info("r1", "running", 412)
    table.set_runs([dataclasses.replace(one, summary={**one.summary, "steps": 0})])
    assert texts(table)[2] == "412"


def test_f2_names_the_selected_run_and_return_keeps_the_name(table, qtbot):
    told: list[tuple[str, str]] = []
    table.renamed.connect(lambda *what: told.append(what))
    table.set_runs([info("r1"), info("r2")])
    table.show()
    table.select("r2")
    QTest.keyClick(table, Qt.Key.Key_F2)
    editor = editor_of(table)
    assert (editor.text(), editor.placeholderText()) == ("", "r2")
    QTest.keyClicks(editor, "  all  fish ")
    press(table, Qt.Key.Key_Return)
    assert told == [("r2", "all fish")]
    assert texts(table, 1)[0] == "r2"  # until it is kept


def test_a_name_being_typed_outlives_a_look_at_the_study_and_escape_gives_it_up(table):
    told: list[tuple[str, str]] = []
    table.renamed.connect(lambda *what: told.append(what))
    table.set_runs([named(info("r1"), "all fish"), info("r2")])
    table.show()
    actions(table, "r1")["Rename…\tF2"].trigger()
    editor = editor_of(table)
    assert editor.text() == "all fish"
    QTest.keyClicks(editor, "tough")
    table.set_runs([named(info("r1", step=11), "all fish"), info("r2")])
    assert editor_of(table).text() == "tough"
    press(table, Qt.Key.Key_Escape)
    assert told == []
    assert texts(table)[0] == "all fish"


def test_an_unchanged_name_is_not_told_and_an_empty_one_takes_it_away(table):
    told: list[tuple[str, str]] = []
    table.renamed.connect(lambda *what: told.append(what))
    table.set_runs([named(info("r1"), "all fish")])
    table.show()
    table.edit_name("r1")
    press(table, Qt.Key.Key_Return)
    assert told == []
    table.edit_name("r1")
    editor_of(table).clear()
    press(table, Qt.Key.Key_Return)
    assert told == [("r1", "")]


def test_figures_of_a_run_that_measured_nothing_are_left_out():
    assert figures(replace(info("r1"), summary={"step": 3})) == []
    assert figures(replace(info("r1"), summary={"train": {"mean_displacement": 2.0}})) == [
        "mean displacement 2.00 slices on the training volumes, random 1.25"
    ]


def test_figures_say_on_how_many_unseen_volumes_they_were_measured_where_some_were_left_out():
    measured = {"mean_displacement": 2.0, "random_displacement": 5.3, "left_out": 0.5, "volumes": 2.0}
    assert figures(replace(info("r1"), summary={"validation": measured})) == [
        "mean displacement 2.00 slices on 1 of 2 unseen volumes, random 5.30"
    ]
    measured["left_out"] = 0.0
    assert "on unseen volumes" in figures(replace(info("r1"), summary={"validation": measured}))[0]
