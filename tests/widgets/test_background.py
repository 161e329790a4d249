"""Short work off the GUI thread: newer calls overtake older ones, nothing is delivered to a closed widget."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from qtpy.QtWidgets import QWidget

from napari_sortingloss.widgets.session.detached import DetachedProcess
from napari_sortingloss.widgets.toolkit.background import Background


@pytest.fixture
def background(qapp: Any) -> Background:
    return Background()


def test_the_result_arrives_on_the_gui_thread(background, qtbot):
    got: list[Any] = []
    background.run(threading.get_ident, lambda worker: got.append((worker, threading.get_ident())))
    qtbot.waitUntil(lambda: bool(got))
    worker, here = got[0]
    assert here == threading.get_ident() != worker


def test_of_calls_with_one_topic_only_the_newest_is_delivered_and_those_between_never_run(background, qtbot):
    gate, ran, got = threading.Event(), [], []

    def work(number: int) -> int:
        ran.append(number)
        gate.wait(5)
        return number

    for number in range(4):
        background.run(lambda number=number: work(number), got.append, topic="preview")
    gate.set()
    qtbot.waitUntil(lambda: not background.busy)
    assert got == [3]
    assert ran == [0, 3]


def test_calls_without_a_topic_are_all_delivered(background, qtbot):
    got: list[int] = []
    for number in range(4):
        background.run(lambda number=number: number, got.append)
    qtbot.waitUntil(lambda: len(got) == 4)
    assert sorted(got) == [0, 1, 2, 3]


def test_an_error_goes_to_the_handler_of_the_call_or_else_to_the_common_one(qtbot, qapp):
    common: list[BaseException] = []
    own: list[BaseException] = []
    background = Background(error=common.append)
    background.run(lambda: 1 / 0)
    background.run(lambda: 1 / 0, error=own.append)
    qtbot.waitUntil(lambda: bool(common) and bool(own))
    assert isinstance(common[0], ZeroDivisionError)


def test_what_was_dropped_is_not_delivered(background, qtbot):
    got: list[int] = []
    background.run(lambda: 1, got.append, topic="open")
    background.drop("open")
    qtbot.waitUntil(lambda: not background.busy)
    assert got == []


def test_a_closed_widget_gets_nothing(qtbot, qapp):
    widget, gate, got = QWidget(), threading.Event(), []
    Background(widget).run(lambda: gate.wait(5), got.append)
    widget.deleteLater()
    qtbot.wait(20)
    gate.set()
    qtbot.wait(60)
    assert got == []


def test_a_separate_process_that_dies_says_its_last_line(tmp_path, qtbot, qapp):
    process = DetachedProcess(["no-such-command", "here"], tmp_path / "log.txt")
    failed: list[Any] = []
    process.failed.connect(failed.append)
    qtbot.waitUntil(lambda: bool(failed), timeout=30_000)
    assert "log.txt" in str(failed[0])
    assert "no-such-command" in failed[0].why
