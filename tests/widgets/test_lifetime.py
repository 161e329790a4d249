"""What lasts as long as a panel: nothing calls a panel that is gone, however it goes, and whatever job it has begun."""

from __future__ import annotations

import functools
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import segmenting as seg
from localizing import BOXES, localize, trained
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.localize.settings import LocalizeSettings
from napari_sortingloss.study import Study
from napari_sortingloss.widgets.session.jobs import JobRunner
from napari_sortingloss.widgets.study.previews import Candidate
from napari_sortingloss.widgets.toolkit.lifetime import at_end, follow


class Source:
    told = Signal(int)


class Listener(QWidget):
    """A panel that stands in a cycle of references, as all of ours do."""

    def __init__(self, source: Source, heard: list[int], ended: list[str]) -> None:
        super().__init__()
        self.itself, self._heard = self, heard
        follow(self, source.told, self.hear)
        at_end(self, ended.append, "gone")

    def hear(self, number: int) -> None:
        self._heard.append(number)


@pytest.mark.parametrize("how", ["destroyed", "collected"])
def test_a_panel_that_is_gone_hears_nothing_and_what_was_to_be_done_is_done_once(qapp, how):
    source, heard, ended = Source(), [], []
    panel = Listener(source, heard, ended)
    source.told.emit(1)
    if how == "destroyed":
        panel.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    else:
        del panel
        gc.collect()
    assert len(source.told) == 0
    source.told.emit(2)
    assert (heard, ended) == ([1], ["gone"])


def test_what_is_followed_does_not_keep_a_panel_alive(qapp):
    source, ended = Source(), []
    panel = Listener(source, [], ended)
    follow(panel, source.told, functools.partial(Listener.hear, panel))
    del panel
    gc.collect()
    assert ended == ["gone"]


def test_a_panel_taken_out_of_its_dock_ends_at_once(viewer, opened):
    dock, bench = viewer.window.add_plugin_dock_widget("napari-sortingloss", "Workbench")
    dock.setFloating(True)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert isalive(bench)
    dock.destroyOnClose()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not isalive(bench)
    assert not len(opened.stage_requested)


# ------------------------------------------------------------------------------------ closing a panel while a job runs
def slow(until: list[bool]) -> Iterator[Event]:
    """Stand for any job: it goes on telling how far it is until it is let go."""
    yield Progress(done=0, total=10, what="fish_a: working")
    while not until:
        time.sleep(0.002)
        yield Progress(done=1, total=10, what="fish_a: working")
    yield Result(value={"volumes": [], "run": "", "study": "", "path": "x", "mean_iou": None})


def add(stage: Any, path: Path, runs: dict[str, str]) -> None:
    new = Candidate("fish_c", "TIFF", (4, 5, 6), "uint8", None, "", path / "fish_c.tif")
    stage.import_panel.add_candidates([new])
    stage.show_button.click()


Verb = Callable[[Any, Path, dict[str, str]], Any]

VERBS: dict[str, tuple[Verb, ...]] = {
    "Study": (
        add,
        lambda stage, path, runs: stage.actions_.export_to("fish_a", path / "a.tif"),
        lambda stage, path, runs: stage.actions_.open_sample(),
        lambda stage, path, runs: stage.actions_._order(stage.session.study, runs["sort"], "fish_a"),
    ),
    "Pre-train": (
        lambda stage, path, runs: stage.runs.start(),
        lambda stage, path, runs: stage.runs.resume(runs["sort"]),
        lambda stage, path, runs: stage.orders.order(runs["sort"]),
    ),
    "Localize": (
        lambda stage, path, runs: stage.actions_.begin(
            LocalizeSettings(run=runs["sort"], volumes=("fish_a",))
        ),
        lambda stage, path, runs: stage.actions_._submit_crop(stage.session.study, ("fish_a",), runs["sort"]),
        lambda stage, path, runs: stage.actions_._submit_export(
            stage.session.study, "fish_a", runs["sort"], "crop", path / "crop.tif"
        ),
    ),
    "Annotate": (lambda stage, path, runs: stage.suggestions.ask(runs["sort"]),),
    "Segment": (
        lambda stage, path, runs: stage.runs.start(),
        lambda stage, path, runs: stage.predicting.predict(runs["first"]),
        lambda stage, path, runs: stage.predicting.evaluate(),
        lambda stage, path, runs: stage.predicting.compare(runs["first"], runs["second"]),
    ),
}


@pytest.fixture
def runs(study: Study) -> dict[str, str]:
    """Return runs of each kind; both volumes are painted, predicted twice and localised."""
    seg.paint(study)
    found = {"sort": trained(study), "first": seg.trained(study), "second": seg.trained(study)}
    for name in BOXES:
        localize(study, name, found["sort"])
        for run in ("first", "second"):
            seg.predict_one(study, name, found[run])
    return found


@pytest.mark.parametrize("title", VERBS)
def test_a_dock_that_is_closed_while_its_jobs_run_is_collected_and_opened_again(
    title, viewer, runs, opened, tmp_path, qtbot, monkeypatch
):
    until: list[bool] = []
    submit = JobRunner.submit
    monkeypatch.setattr(
        JobRunner,
        "submit",
        lambda self, text, make, kind="", about=None: submit(self, text, lambda: slow(until), kind, about),
    )
    dock, stage = viewer.window.add_plugin_dock_widget("napari-sortingloss", title)
    qtbot.waitUntil(lambda: len(opened.runs) == 3 and bool(opened.predictions))
    if title == "Segment":
        monkeypatch.setattr(type(stage), "to_judge", lambda self: ("fish_a",))
    for begin in VERBS[title]:
        begin(stage, tmp_path, runs)
    jobs = opened.jobs.waiting
    assert len(jobs) == len(VERBS[title])
    qtbot.waitUntil(lambda: jobs[0].progress is not None)
    panel = weakref.ref(stage)
    viewer.window.remove_dock_widget(dock)
    del dock, stage, begin
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert panel() is None
    viewer.window.add_plugin_dock_widget("napari-sortingloss", title)
    until.append(True)
    qtbot.waitUntil(lambda: all(job.ended for job in jobs))
    gc.collect()
    assert {job.state for job in jobs} == {"finished"}
