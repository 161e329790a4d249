"""A run shows what it is doing, obeys whoever steers it, belongs to one program at a time, and survives its death."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Metrics, Progress, Result, StateChanged
from napari_sortingloss.study import RunWriter, Study, StudyError
from napari_sortingloss.study.runs import run as runs
from napari_sortingloss.study.runs import writer as run_writer

Program = Callable[..., subprocess.Popen[str]]

TRAIN = """
    import sys, time
    from napari_sortingloss.events import Metrics, StateChanged
    from napari_sortingloss.study import Study
    writer = Study.open(sys.argv[1]).new_run("pretrain", "sorting", {"steps": 100})
    writer.append(StateChanged(state="running"))
    writer.append(Metrics(step=5, values={"loss": 0.5}))
    print(writer.run.id, flush=True)
    while writer.command() != "stop":
        time.sleep(0.01)
    writer.append(StateChanged(state="stopped", step=5, message="as asked"))
    writer.close()
    print("stopped", flush=True)
"""


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_writer, "LOOK_SECONDS", 0.0)


def test_a_run_has_a_readable_id_and_keeps_its_settings(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {"steps": 7, "volumes": ("a", "b")}) as writer:
        pass
    run = study.run(writer.run.id)
    assert re.fullmatch(r"sorting-\d{6}-\d{6}", run.id)
    assert (run.kind, run.task, run.settings) == ("pretrain", "sorting", {"steps": 7, "volumes": ["a", "b"]})
    assert run.created


def test_runs_begun_in_one_second_have_different_ids_and_come_newest_first(study: Study) -> None:
    made = []
    for _ in range(12):
        with study.new_run("pretrain", "sorting", {}) as writer:
            made.append(writer.run.id)
    assert len(set(made)) == 12
    assert [run.id for run in study.runs()] == made[::-1]


def test_a_run_is_found_by_the_beginning_of_its_id(study: Study) -> None:
    with pytest.raises(StudyError, match="the study has no runs yet; pre-train first"):
        study.run("sorting")
    with study.new_run("pretrain", "sorting", {}) as one, study.new_run("pretrain", "rotation", {}) as two:
        pass
    assert study.run("sort").id == one.run.id
    assert study.run(two.run.id).id == two.run.id
    for name in ("cat", ""):
        with pytest.raises(StudyError, match=f"Cannot find run '{name}'.*choose one of these"):
            study.run(name)


def test_an_ambiguous_beginning_names_the_candidates(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as one, study.new_run("pretrain", "sorting", {}) as two:
        pass
    with pytest.raises(StudyError, match="these fit") as caught:
        study.run("sorting")
    assert one.run.id in str(caught.value)
    assert study.run(one.run.id).id == one.run.id  # the first is also the beginning of the second
    assert study.run(two.run.id).id == two.run.id


def test_the_state_follows_the_events(study: Study) -> None:
    writer = study.new_run("pretrain", "sorting", {})
    run = study.run(writer.run.id)
    assert run.state() == "running"
    for state in ("running", "paused", "running", "failed", "running"):
        writer.append(StateChanged(state=state, message=f"now {state}"))
        assert run.state() == state
    assert run.message() == "now running"
    writer.append(Result(value={"steps": 3}))
    writer.append(StateChanged(state="finished"))
    writer.close()
    assert (run.state(), run.result()) == ("finished", {"steps": 3})


def test_a_run_left_without_an_end_is_interrupted(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        writer.append(StateChanged(state="paused"))
    assert writer.run.state() == "interrupted"
    assert writer.run.result() is None


def test_a_run_that_ends_while_it_is_looked_at_is_not_taken_for_interrupted(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = study.new_run("pretrain", "sorting", {"steps": 100})
    writer.append(StateChanged(state="running"))
    run = study.run(writer.run.id)

    def ends() -> bool:
        writer.append(StateChanged(state="stopped"))
        writer.close()
        return False

    monkeypatch.setattr(run, "is_alive", ends)
    assert run.state() == "stopped"


def test_the_summary_gives_the_last_figures(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {"steps": 50}) as writer:
        assert writer.run.summary() == {"step": 0, "steps": 50, "train": {}, "validation": {}}
        writer.append(Metrics(step=1, values={"loss": 0.9}))
        writer.append(Metrics(step=2, values={"loss": 0.8}))
        writer.append(Metrics(step=2, values={"loss": 0.85}, split="validation"))
        writer.append(Progress(done=3, total=60, unit="steps"))
        expected = {"step": 3, "steps": 60, "train": {"loss": 0.8}, "validation": {"loss": 0.85}}
        assert writer.run.summary() == expected
        assert study.run(writer.run.id).summary() == expected


def test_a_killed_run_is_interrupted_and_can_be_resumed(study: Study, program: Program) -> None:
    training = program(TRAIN, study.path)
    run = study.run(training.stdout.readline().strip())
    assert run.state() == "running"
    training.kill()
    training.wait()
    assert run.state() == "interrupted"
    assert Study.open(study.path).run(run.id).state() == "interrupted"
    with RunWriter.reopen(run) as again:
        again.append(StateChanged(state="running"))
        assert run.state() == "running"


def test_a_run_in_another_process_is_steered_and_cannot_be_taken_over(study: Study, program: Program) -> None:
    training = program(TRAIN, study.path)
    run = study.run(training.stdout.readline().strip())
    with pytest.raises(StudyError, match="another program or job is training it"):
        RunWriter.reopen(run)
    with pytest.raises(StudyError, match="it is going on; stop it first"):
        run.delete()
    assert run.state() == "running"
    run.request("stop")
    assert training.stdout.readline() == "stopped\n"
    training.wait()
    assert (run.state(), run.message()) == ("stopped", "as asked")


def test_a_second_job_of_this_program_is_refused_too(study: Study) -> None:
    with (
        study.new_run("pretrain", "sorting", {}) as writer,
        pytest.raises(StudyError, match="another program or job is training it"),
    ):
        RunWriter.reopen(study.run(writer.run.id))
    RunWriter.reopen(writer.run).close()


def test_a_writer_may_be_closed_in_another_thread(study: Study) -> None:
    writer = study.new_run("pretrain", "sorting", {})
    thread = threading.Thread(target=writer.close)
    thread.start()
    thread.join()
    assert not writer.run.is_alive()
    RunWriter.reopen(writer.run).close()


def test_the_run_is_let_go_when_the_job_fails(study: Study) -> None:
    writer = study.new_run("pretrain", "sorting", {})
    os.close(writer._events)  # even when the log cannot be written nor closed any more
    with pytest.raises(UserError, match="Cannot write run"):
        writer.append(Metrics(step=1, values={}))
    with pytest.raises(OSError, match="Bad file descriptor"):
        writer.close()
    assert not writer.run.is_alive()
    RunWriter.reopen(writer.run).close()


def test_watching_does_not_get_in_the_way_of_taking_over(study: Study) -> None:
    writer = study.new_run("pretrain", "sorting", {})
    run, stop = writer.run, threading.Event()

    def watch() -> None:
        while not stop.is_set():
            run.state()

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(10):
            writer.close()
            writer = RunWriter.reopen(run)
    finally:
        stop.set()
        for watcher in watchers:
            watcher.join()
        writer.close()


def test_requests_reach_the_job(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        run = study.run(writer.run.id)
        assert writer.command() == "run"
        for command, seen in (("pause", "pause"), ("resume", "run"), ("pause", "pause"), ("stop", "stop")):
            run.request(command)
            assert writer.command() == seen
        run.request("resume")
        assert writer.command() == "stop"  # stopping is for good


def test_a_request_is_looked_for_a_few_times_a_second_only(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_writer, "LOOK_SECONDS", 60.0)
    with study.new_run("pretrain", "sorting", {}) as writer:
        assert writer.command() == "run"
        writer.run.request("pause")
        assert writer.command() == "run"


def test_a_request_for_an_earlier_owner_is_forgotten(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        writer.run.request("stop")
    with RunWriter.reopen(writer.run) as again:
        assert again.command() == "run"


def test_a_request_that_makes_no_sense_is_ignored(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        for content in ("", "[]", '{"command": "dance"}', '{"command": ["pause"]}'):
            (writer.path / "control.json").write_text(content)
            assert writer.command() == "run"
        writer.run.request("pause")
        assert writer.command() == "pause"


def test_a_run_that_is_not_going_on_takes_no_requests(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        pass
    for command in ("pause", "resume", "stop"):
        with pytest.raises(StudyError, match="it is not going on"):
            writer.run.request(command)
    assert not (writer.path / "control.json").exists()


def test_an_owner_on_another_computer_is_known_by_its_heartbeat(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        pass
    run = writer.run
    (run.path / "owner.json").write_text(json.dumps({"pid": 1, "host": socket.gethostname() + "-2"}))
    (run.path / "heartbeat").touch()
    assert run.state() == "running"
    with pytest.raises(StudyError, match="another program or job is training it"):
        RunWriter.reopen(run)
    os.utime(run.path / "heartbeat", (time.time() - runs.HEARTBEAT_SECONDS - 1,) * 2)
    assert run.state() == "interrupted"
    RunWriter.reopen(run).close()


def test_an_owner_shows_that_it_lives(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        beat = writer.path / "heartbeat"
        os.utime(beat, (0, 0))
        monkeypatch.setattr(run_writer, "BEAT_SECONDS", 0.0)
        writer.append(Metrics(step=1, values={}))
        assert time.time() - beat.stat().st_mtime < 60
        os.utime(beat, (0, 0))
        writer.heartbeat()
        assert time.time() - beat.stat().st_mtime < 60


def test_a_deleted_run_is_gone(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        pass
    writer.run.delete()
    assert study.runs() == []
    assert list((study.path / "runs").iterdir()) == []


@pytest.mark.parametrize("content", [None, "", "{}", '{"kind": "pretrain", "settings": 7}'])
def test_a_damaged_run_is_listed_as_failed_and_can_be_deleted(study: Study, content: str | None) -> None:
    with study.new_run("pretrain", "sorting", {}) as good:
        good.append(StateChanged(state="finished"))
    broken = study.path / "runs" / "broken"
    broken.mkdir()
    if content is not None:
        (broken / "settings.json").write_text(content)
    (study.path / "runs" / "notes.txt").write_text("not a run")
    listed = {run.id: run for run in study.runs()}
    assert {name: run.state() for name, run in listed.items()} == {
        good.run.id: "finished",
        "broken": "failed",
    }
    run = listed["broken"]
    assert run.message() == "its 'settings.json' is missing or damaged"
    assert (run.events(), run.result(), run.summary()["step"]) == ([], None, 0)
    with pytest.raises(StudyError, match="is missing or damaged; start a new run"):
        RunWriter.reopen(run)
    run.delete()
    assert [run.id for run in study.runs()] == [good.run.id]


def test_a_run_mended_by_hand_is_well_again(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        pass
    file = writer.path / "settings.json"
    content = file.read_text()
    file.write_text("{")
    assert study.runs()[0].problem
    file.write_text(content)
    assert not study.runs()[0].problem


def test_a_run_cannot_be_begun_under_an_impossible_name(study: Study) -> None:
    for task in ("", "a/b"):
        with pytest.raises(Exception, match="Cannot begin a run"):
            study.new_run("pretrain", task, {})


def test_a_run_that_cannot_be_written_says_so(study: Study) -> None:
    (study.path / "runs").write_text("a file in its place")
    with pytest.raises(Exception, match="Cannot begin a run of 'sorting': ") as caught:
        study.new_run("pretrain", "sorting", {})
    assert "\n" not in str(caught.value)


def test_a_run_in_a_study_of_somebody_else_can_be_watched(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        writer.append(StateChanged(state="running"))
        (writer.path / "run.lock").rename(writer.path / "kept.lock")
        (writer.path / "run.lock").mkdir()  # refuses to be tried, even by root
        assert writer.run.state() == "running"
        (writer.path / "owner.json").unlink()
        assert writer.run.state() == "interrupted"
