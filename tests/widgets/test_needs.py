"""The line that says what a run needs: three steps are timed where no such run was, and nothing frightens anybody meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.study import Study
from napari_sortingloss.training.computer.pace import Pace
from napari_sortingloss.training.settings import TrainSettings
from napari_sortingloss.widgets.pretrain.stage import PretrainWidget
from napari_sortingloss.widgets.runs import estimate_line as module
from napari_sortingloss.widgets.runs.estimate_line import BESIDE_THE_VIEWER, Needs, Wanted
from napari_sortingloss.widgets.toolkit.background import Background

PACE = Pace(step=0.5 / BESIDE_THE_VIEWER, measure=1.0, save=0.0, ready=3.0, libraries=0.0)
"""What was measured for runs that take half a second a step beside the viewer."""


class Stub:
    """Stands for the process that trains three steps; it takes as long as it is told to."""

    made: list[Stub]
    outcome: Pace | UserError

    def __init__(self, study: Any, kind: str, settings: TrainSettings, memory: int) -> None:
        self.settings, self.cancelled = settings, False
        self.go = threading.Event()
        type(self).made.append(self)

    def run(self) -> Pace | None:
        assert self.go.wait(20)
        if self.cancelled:
            return None
        if isinstance(self.outcome, UserError):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True
        self.go.set()


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Stub]]:
    Stub.made, Stub.outcome = [], PACE
    monkeypatch.setattr(module, "Trial", Stub)
    monkeypatch.setattr(module, "SETTLE_MS", 10)
    yield Stub.made
    for one in Stub.made:
        one.cancel()


@pytest.fixture
def line(keep: Any, viewer: Any, trials: list[Stub]) -> Needs:
    window = keep(QWidget())
    made = Needs(Background(window))
    QVBoxLayout(window).addWidget(made)
    window.show()
    return made


def wanted(study: Study, detached: bool = False, **settings: Any) -> Wanted:
    made = settings_for("sorting")(**{"steps": 100, "threads": 1, "validate": ("fish_b",), **settings})
    return Wanted(study, "pretrain", made, ("fish_a",), 1, detached)


def said(line: Needs) -> str:
    return line.text().replace("\N{NO-BREAK SPACE}", " ")


def test_no_time_is_said_before_it_was_measured(line, study, trials, qtbot):
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: len(trials) == 1)
    assert said(line).endswith("timing three steps on 1 core…")
    assert not any(unit in said(line) for unit in (" min", " h ", " s "))
    trials[0].go.set()
    # Getting ready, a hundred steps, measured once on a volume.
    qtbot.waitUntil(lambda: said(line).endswith("about 54 s on 1 core"))
    line.ask(wanted(study, steps=40, learning_rate=0.1))
    qtbot.waitUntil(lambda: said(line).endswith("about 24 s on 1 core"))
    assert len(trials) == 1


def test_what_was_measured_is_known_the_next_time(line, study, trials, keep, qtbot):
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: len(trials) == 1)
    trials[0].go.set()
    qtbot.waitUntil(lambda: "about" in said(line))
    again = keep(Needs(Background(line)))
    again.ask(wanted(study))
    qtbot.waitUntil(lambda: "about 54 s" in said(again))


def test_other_steps_are_timed_anew_and_the_process_of_the_old_ones_is_ended(line, study, trials, qtbot):
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: len(trials) == 1)
    line.ask(wanted(study, steps=7))
    assert not trials[0].cancelled
    line.ask(wanted(study, size=64))
    assert trials[0].cancelled
    qtbot.waitUntil(lambda: len(trials) == 2)
    assert trials[1].settings.size == 64


def test_nobody_who_is_still_typing_starts_a_process(line, study, trials, qtbot):
    line._settled.setInterval(150)
    for size in (32, 48, 64, 80):
        line.ask(wanted(study, size=size))
        qtbot.wait(20)
    qtbot.waitUntil(lambda: bool(trials))
    assert [one.settings.size for one in trials] == [80]


def test_nothing_is_timed_while_something_works(line, study, trials, qtbot):
    line.set_busy(True)
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: said(line).endswith("time on 1 core not known yet"))
    qtbot.wait(60)
    assert trials == []
    line.set_busy(False)
    qtbot.waitUntil(lambda: len(trials) == 1)
    line.set_busy(True)
    assert trials[0].cancelled
    assert said(line).endswith("time on 1 core not known yet")


def test_nothing_is_timed_that_nobody_sees(line, study, trials, qtbot):
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: len(trials) == 1)
    line.window().hide()
    assert trials[0].cancelled
    line.ask(wanted(study, size=64))
    qtbot.wait(60)
    assert len(trials) == 1
    line.window().show()
    qtbot.waitUntil(lambda: len(trials) == 2)


def test_what_cannot_be_timed_is_said_without_a_number_and_not_tried_again(line, study, trials, qtbot):
    Stub.outcome = UserError("Cannot time a run", "the disk is broken", "mend it")
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: len(trials) == 1)
    trials[0].go.set()
    qtbot.waitUntil(lambda: said(line).endswith("time on 1 core not known yet"))
    assert "the disk is broken" in line.toolTip()
    assert line.problem == ""
    line.ask(wanted(study, steps=7))
    qtbot.wait(60)
    assert len(trials) == 1


def test_a_run_without_an_end_has_a_pace(line, study, trials, qtbot):
    line.ask(wanted(study, steps=0))
    qtbot.waitUntil(lambda: len(trials) == 1)
    trials[0].go.set()
    qtbot.waitUntil(lambda: said(line).endswith("2 steps a second on 1 core until you stop it"))
    assert line.time_of(100) == "54 s"
    assert line.time_of(0) == ""


def test_the_libraries_count_where_they_are_not_loaded_yet(line, study, trials, qtbot):
    import dataclasses

    Stub.outcome = dataclasses.replace(PACE, libraries=50.0)
    line.ask(wanted(study, detached=True))
    qtbot.waitUntil(lambda: len(trials) == 1)
    trials[0].go.set()
    qtbot.waitUntil(lambda: said(line).endswith("about 2 min on 1 core"))


def test_in_a_process_of_its_own_a_step_takes_as_long_as_it_was_timed(line, study, trials, qtbot):
    line.ask(wanted(study, detached=True, steps=1000))
    qtbot.waitUntil(lambda: len(trials) == 1)
    trials[0].go.set()
    qtbot.waitUntil(lambda: "about" in said(line))
    assert line._found is not None
    assert line._found.pace is not None
    assert line._found.pace.step == pytest.approx(PACE.step, abs=1e-5)


def test_what_is_wrong_goes_before_all_else(line, study, trials, qtbot):
    told: list[str] = []
    line.changed.connect(lambda: told.append(line.problem))
    line.ask(None, "it is too small")
    assert (said(line), line.problem) == ("⚠ it is too small", "it is too small")
    line.ask(wanted(study))
    qtbot.waitUntil(lambda: "memory" in said(line))
    assert told == ["it is too small", ""]


def test_the_stage_times_nothing_while_a_job_waits_or_works(viewer, opened, trials, qtbot):
    stage = PretrainWidget(viewer)
    viewer.window.add_dock_widget(stage)
    assert not stage.form.needs._busy
    go = threading.Event()

    def wait() -> Iterator[Any]:
        go.wait(20)
        yield from ()

    opened.jobs.submit("waiting", wait)
    qtbot.waitUntil(lambda: stage.form.needs._busy)
    go.set()
    qtbot.waitUntil(lambda: not stage.form.needs._busy)
