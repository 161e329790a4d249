"""What the widgets of one viewer share, and what happens to it when the study changes or the window goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QEvent

from napari_sortingloss.errors import StudyError
from napari_sortingloss.events import Event, Progress
from napari_sortingloss.formats import array_source
from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.widgets.session import session as session_module
from napari_sortingloss.widgets.session.activity import SPEED
from napari_sortingloss.widgets.session.recent import recent_studies, remember_study
from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.stage import Stage


def test_one_viewer_has_one_session_whoever_asks(viewer):
    assert session_of(viewer) is session_of(PublicOnlyProxy(viewer))


def test_opening_a_study_tells_everybody_and_lists_its_volumes(session, study, qtbot):
    heard: list[Any] = []
    session.study_changed.connect(heard.append)
    session.open_path(study.path)
    qtbot.waitUntil(lambda: session.study is not None)
    assert heard[0].path == study.path
    assert list(session.volumes) == ["fish_a", "fish_b"]
    assert session.current_volume == "fish_a"
    assert session.free_bytes > 0


def test_a_folder_that_is_no_study_is_refused_and_the_open_one_stays(opened, tmp_path, qtbot):
    errors: list[Any] = []
    opened.failed.connect(errors.append)
    before = opened.study
    opened.open_path(tmp_path)
    qtbot.waitUntil(lambda: bool(errors))
    assert isinstance(errors[0], StudyError)
    assert opened.study is before


def test_what_another_program_changes_is_noticed(opened, study, qtbot):
    Study.open(study.path).update_volume("fish_a", direction="-")
    opened.refresh()
    qtbot.waitUntil(lambda: opened.volumes["fish_a"].direction == "-")


def test_nothing_is_told_when_nothing_changed(opened, qtbot):
    heard: list[bool] = []
    qtbot.wait(60)
    opened.volumes_changed.connect(lambda: heard.append(True))
    opened.refresh()
    qtbot.waitUntil(lambda: not opened._background.busy)
    assert heard == []


def test_a_look_that_takes_longer_than_the_next_is_due_is_not_lost(session, study, monkeypatch, qtbot):
    quick = session_module.look

    def slow(study: Study) -> Any:
        time.sleep(0.15)
        return quick(study)

    monkeypatch.setattr(session_module, "look", slow)
    session._timer.setInterval(20)
    session.set_study(study)
    qtbot.waitUntil(lambda: len(session.volumes) == 2, timeout=2000)


@pytest.mark.parametrize("kind", ["add", "crop"])
def test_a_volume_is_seen_as_soon_as_a_job_turns_to_the_next_one(opened, study, make_volume, kind, qtbot):
    go_on = threading.Event()

    def job() -> Iterator[Event]:
        yield Progress(done=0, total=48, what="fish_c (1 of 2): writing")
        yield from add(study, AddSettings(), [array_source(make_volume(), "fish_c")])
        yield Progress(done=24, total=48, what="fish_d (2 of 2): writing")
        go_on.wait(10)

    opened._timer.stop()
    running = opened.jobs.submit("Adding", job, kind)
    qtbot.waitUntil(lambda: "fish_c" in opened.volumes)
    assert not running.ended
    go_on.set()
    qtbot.waitUntil(lambda: running.ended)


def test_a_failing_disk_is_told_once_not_every_two_seconds(opened, study, qtbot):
    errors: list[Any] = []
    opened.failed.connect(errors.append)
    (study.path / "study.json").write_text("{")
    for _ in range(2):
        opened.refresh()
        qtbot.waitUntil(lambda: not opened._background.busy)
    assert len(errors) == 1


def test_a_run_going_on_elsewhere_is_seen(opened, study, qtbot):
    with study.new_run("pretrain", "sorting", {"volumes": ["fish_a"]}) as writer:
        opened.refresh()
        qtbot.waitUntil(lambda: len(opened.runs) == 1)
        assert opened.runs[0].id == writer.run.id
        assert opened.runs[0].state == "running"
        assert opened.states["fish_a"].pretrained
        assert not opened.states["fish_b"].pretrained
    opened.refresh()
    qtbot.waitUntil(lambda: opened.runs[0].state == "interrupted")


def test_removing_the_current_volume_moves_to_another(opened, study, qtbot):
    study.remove_volume("fish_a")
    opened.refresh()
    qtbot.waitUntil(lambda: opened.current_volume == "fish_b")


def test_closing_the_window_lets_the_running_job_clean_up(own_viewer, qapp, qtbot):
    cleaned = threading.Event()

    def training() -> Iterator[Event]:
        try:
            while True:
                yield Progress(done=0, total=1)
                time.sleep(0.005)
        finally:
            time.sleep(0.1)
            cleaned.set()

    stage = Stage(own_viewer)
    own_viewer.window.add_dock_widget(stage)
    own_viewer.window._qt_window.show()
    session = session_of(own_viewer)
    job = session.jobs.submit("Training", training)
    qtbot.waitUntil(lambda: job.progress is not None)
    own_viewer.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert cleaned.is_set()
    assert session.closed


def test_a_closed_panel_is_not_called_again(opened, viewer, qapp):
    called: list[bool] = []

    class Listening(Stage):
        def __init__(self, viewer: Any) -> None:
            super().__init__(viewer)
            self.follow(self.session.volumes_changed, self.on_volumes)

        def on_volumes(self) -> None:
            called.append(True)

    before = len(opened.volumes_changed)
    stage = Listening(viewer)
    dock = viewer.window.add_dock_widget(stage)
    opened.volumes_changed.emit()
    assert called == [True]
    viewer.window.remove_dock_widget(dock)
    stage.deleteLater()
    del stage, dock
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    opened.volumes_changed.emit()
    assert called == [True]
    assert len(opened.volumes_changed) == before


def test_recent_studies_are_remembered_newest_first_and_forgotten_when_gone(study, tmp_path):
    other = Study.create(tmp_path / "other")
    remember_study(study.path)
    remember_study(other.path)
    remember_study(study.path)
    assert recent_studies() == [study.path, other.path]
    (other.path / "study.json").unlink()
    assert recent_studies() == [study.path]


def test_the_sign_of_work_turns_slowly_it_draws_the_whole_window_anew_each_time(viewer, session):
    from qtpy.QtWidgets import QLabel

    window = viewer.window._qt_window
    session.attach_window(window)
    signs = [
        found for label in window.statusBar().findChildren(QLabel) if (found := label.movie()) is not None
    ]
    assert [sign.speed() for sign in signs] == [SPEED]
