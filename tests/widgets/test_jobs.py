"""The job queue: one at a time, errors and cancels never leave it standing, workers clean up in their own thread."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from napari.utils import progress

from napari_sortingloss.errors import BadInput
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.widgets.session import jobs
from napari_sortingloss.widgets.session.jobs import JobRunner


@pytest.fixture
def runner(qapp: Any) -> Iterator[JobRunner]:
    made = JobRunner()
    yield made
    made.shutdown(2)


def three(value: int = 1) -> Iterator[Event]:
    for i in range(3):
        yield Progress(done=i + 1, total=3, what="counting")
    yield Notice(message="nearly")
    yield Result(value={"value": value})


def endless(log: list[str] | None = None) -> Iterator[Event]:
    try:
        while True:
            yield Progress(done=0, total=1)
            time.sleep(0.005)
    finally:
        if log is not None:
            log.append(threading.current_thread().name)


def test_a_job_tells_that_it_started_what_happened_and_what_it_achieved(runner, qtbot):
    said: list[Any] = []
    job = runner.submit("Counting", three)
    job.signals.started.connect(lambda: said.append("started"))
    job.signals.event.connect(said.append)
    job.signals.finished.connect(lambda result: said.append(result))
    job.signals.ended.connect(lambda: said.append("ended"))
    qtbot.waitUntil(lambda: job.ended)
    kinds = [s.kind if isinstance(s, Event) else s for s in said]
    assert kinds == ["started", "progress", "notice", "result", {"value": 1}, "ended"]


def test_of_a_thousand_progress_events_a_few_are_delivered_and_the_last_is_one_of_them(runner, qtbot):
    def busy() -> Iterator[Event]:
        for i in range(1000):
            yield Progress(done=i + 1, total=1000)

    seen: list[int] = []
    job = runner.submit("Busy", busy)
    job.signals.event.connect(lambda event: seen.append(event.done))
    qtbot.waitUntil(lambda: job.ended)
    assert len(seen) < 20
    assert seen[-1] == 1000
    assert seen == sorted(seen)


def test_signals_arrive_on_the_gui_thread_and_the_work_happens_on_another(runner, qtbot):
    threads: dict[str, int] = {}

    def where() -> Iterator[Event]:
        threads["work"] = threading.get_ident()
        yield Result(value={})

    job = runner.submit("Where", where)
    job.signals.finished.connect(lambda _: threads.update(signal=threading.get_ident()))
    qtbot.waitUntil(lambda: job.ended)
    assert threads["signal"] == threading.get_ident() != threads["work"]


def test_a_second_job_waits_until_the_first_has_ended(runner, qtbot):
    first = runner.submit("First", endless)
    second = runner.submit("Second", three)
    qtbot.waitUntil(lambda: first.state == "running")
    assert runner.waiting == (second,)
    assert second.state == "waiting"
    first.cancel()
    qtbot.waitUntil(lambda: second.ended)
    assert (first.state, second.state) == ("cancelled", "finished")


def test_cancelling_closes_the_generator_in_its_own_thread(runner, qtbot):
    log: list[str] = []
    job = runner.submit("Endless", lambda: endless(log))
    cancelled: list[bool] = []
    job.signals.cancelled.connect(lambda: cancelled.append(True))
    qtbot.waitUntil(lambda: job.progress is not None)
    assert job.cancel()
    qtbot.waitUntil(lambda: job.ended)
    assert cancelled == [True]
    assert log == ["sortingloss-job Endless"]


def test_a_waiting_job_can_be_cancelled_before_it_began(runner, qtbot):
    first, second = runner.submit("First", endless), runner.submit("Second", three)
    second.cancel()
    assert second.state == "cancelled"
    assert runner.waiting == (first,)
    first.cancel()
    qtbot.waitUntil(lambda: first.ended)


def test_an_ended_job_cannot_be_cancelled(runner, qtbot):
    job = runner.submit("Counting", three)
    qtbot.waitUntil(lambda: job.ended)
    assert not job.cancel()


def test_a_failing_job_hands_over_its_error_and_the_next_one_runs(runner, qtbot):
    def bad() -> Iterator[Event]:
        yield Progress(done=0, total=1)
        raise BadInput("Cannot read 'x.tif'", "it is cut off", "copy it again")

    failed: list[BaseException] = []
    job = runner.submit("Bad", bad)
    job.signals.failed.connect(failed.append)
    after = runner.submit("After", three)
    qtbot.waitUntil(lambda: after.ended)
    assert isinstance(failed[0], BadInput)
    assert job.state == "failed"
    assert after.state == "finished"


def test_a_job_that_cannot_even_be_made_fails_like_any_other(runner, qtbot):
    def make() -> Iterator[Event]:
        raise ValueError("no such thing")

    job = runner.submit("Broken", make)
    qtbot.waitUntil(lambda: job.ended)
    assert isinstance(job.error, ValueError)


def test_an_error_while_cleaning_up_after_a_cancel_is_not_lost(runner, qtbot):
    def stubborn() -> Iterator[Event]:
        try:
            while True:
                yield Progress(done=0, total=1)
                time.sleep(0.005)
        finally:
            raise OSError("the checkpoint cannot be written")

    job = runner.submit("Stubborn", stubborn)
    qtbot.waitUntil(lambda: job.progress is not None)
    job.cancel()
    qtbot.waitUntil(lambda: job.ended)
    assert job.state == "failed"


def test_a_mistake_in_a_listener_leaves_no_button_dead(runner, qtbot):
    ended: list[bool] = []
    job = runner.submit("Counting", three)
    job.signals.finished.connect(lambda _: 1 / 0)
    job.signals.ended.connect(lambda: ended.append(True))
    after = runner.submit("After", three)
    with qtbot.captureExceptions() as caught:
        qtbot.waitUntil(lambda: after.ended)
    assert len(caught) == 1
    assert ended == [True]


def test_shutdown_waits_for_the_clean_up(runner, qtbot):
    log: list[str] = []
    job = runner.submit("Endless", lambda: endless(log))
    qtbot.waitUntil(lambda: job.progress is not None)
    assert runner.shutdown(5)
    assert log
    assert job.ended


def test_shutdown_gives_up_on_a_job_that_does_not_end(runner, qtbot):
    release = threading.Event()

    def deaf() -> Iterator[Event]:
        yield Progress(done=0, total=1)
        release.wait(10)

    job = runner.submit("Deaf", deaf)
    qtbot.waitUntil(lambda: job.progress is not None)
    began = time.monotonic()
    assert not runner.shutdown(0.1)
    assert time.monotonic() - began < 2
    release.set()


def test_the_activity_dock_shows_the_job_while_it_runs(runner, qtbot):
    job = runner.submit("Endless", endless)
    qtbot.waitUntil(lambda: job.progress is not None)
    assert [bar.desc.strip(": ") for bar in progress._all_instances] == ["Endless"]
    job.cancel()
    qtbot.waitUntil(lambda: job.ended)
    assert not progress._all_instances


def test_a_job_is_found_by_its_kind(runner, qtbot):
    first = runner.submit("First", endless, "train")
    second = runner.submit("Second", three, "add")
    qtbot.waitUntil(lambda: first.state == "running")
    assert runner.find("train") is first
    assert runner.find("add") is second
    assert runner.find("export") is None
    first.cancel()
    qtbot.waitUntil(lambda: second.ended)


@pytest.mark.filterwarnings("always::UserWarning")
def test_what_a_library_warns_of_in_a_job_is_logged_and_does_not_pop_up(runner, qtbot, monkeypatch, caplog):
    popped: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: popped.append(str(message)))

    def warn() -> Iterator[Event]:
        warnings.warn("for developers", UserWarning, stacklevel=1)
        yield Result(value={})

    job = runner.submit("Warning", warn)
    qtbot.waitUntil(lambda: job.ended)
    assert job.state == "finished"
    assert "for developers" in caplog.text
    warnings.warn("from the window itself", UserWarning, stacklevel=1)
    thread = threading.Thread(target=warnings.warn, args=("of somebody else", UserWarning))
    thread.start()
    thread.join()
    assert popped == ["from the window itself", "of somebody else"]


def test_a_window_that_closes_while_a_job_is_about_to_start_starts_none_and_leaves_no_progress_bar(
    runner, monkeypatch
):
    """Making napari's progress bar serves the window's events, and one of them may be its end."""

    class ClosingTheWindow(jobs.Activity):
        def __init__(self, title: str) -> None:
            super().__init__(title)
            runner.shutdown(0)

    monkeypatch.setattr(jobs, "Activity", ClosingTheWindow)
    begun: list[int] = []
    before = len(progress._all_instances)
    job = runner.submit("Counting", lambda: iter(begun.append(1) or ()))
    runner._tick()
    assert job.state == "cancelled"
    assert runner.running is None
    assert begun == []
    assert len(progress._all_instances) == before
