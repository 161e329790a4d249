"""One thing after the other in a worker thread, results on the GUI thread."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from napari_sortingloss.widgets.toolkit.serial import Serial


@pytest.fixture
def serial(qapp) -> Serial:
    return Serial()


def test_things_are_done_in_the_order_asked_for_and_never_at_once(serial, qtbot):
    at_work, most, done = [0], [0], []

    def work(number: int) -> int:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        time.sleep(0.01)
        at_work[0] -= 1
        return number

    for number in range(6):
        serial.run(lambda number=number: work(number), done.append)
    qtbot.waitUntil(lambda: not serial.busy)
    assert done == list(range(6))
    assert most == [1]


def test_results_come_back_on_the_gui_thread(serial, qtbot):
    threads: list[Any] = []
    serial.run(
        lambda: threads.append(threading.current_thread()),
        lambda _: threads.append(threading.current_thread()),
    )
    qtbot.waitUntil(lambda: len(threads) == 2)
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


def test_a_failure_is_told_and_the_next_thing_is_done_all_the_same(qapp, qtbot):
    told: list[BaseException] = []
    done: list[int] = []
    serial = Serial(error=told.append)
    serial.run(lambda: 1 // 0)
    serial.run(lambda: 2, done.append)
    qtbot.waitUntil(lambda: not serial.busy)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert done == [2]


def test_finish_does_what_was_asked_for_and_hands_nothing_back(serial):
    done: list[str] = []
    for name in ("a", "b"):
        serial.run(
            lambda name=name: (time.sleep(0.02), done.append(name)), lambda _: done.append("handed back")
        )
    assert serial.finish(10)
    assert done == ["a", "b"]


def test_finish_gives_up_after_the_patience(serial):
    gate = threading.Event()
    serial.run(gate.wait)
    assert not serial.finish(0.05)
    gate.set()
