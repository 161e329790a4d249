"""Pausing, stopping, closing and interrupting a training, from this process or another."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import torch
from toy_training import ToyTask

from napari_sortingloss.errors import OutOfMemory
from napari_sortingloss.events import Metrics, Notice, Progress, Result, Saved, StateChanged
from napari_sortingloss.study.runs import writer as run_writer
from napari_sortingloss.training.loop import loop
from napari_sortingloss.training.loop.checkpoints import load_checkpoint


@pytest.fixture(autouse=True)
def quick_answers(monkeypatch):
    monkeypatch.setattr(run_writer, "LOOK_SECONDS", 0.0)


def states(events):
    return [event.state for event in events if isinstance(event, StateChanged)]


def until(job, wanted, limit=5000):
    """Take events up to the first that is `wanted`."""
    seen = []
    for event in job:
        seen.append(event)
        if wanted(event):
            return seen
        assert len(seen) < limit
    raise AssertionError("the job ended before")


def test_a_job_runs_in_a_thread_as_well(trainer):
    run, job = trainer.job()
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(job))
    thread.start()
    thread.join(60)
    assert isinstance(seen[-1], Result)
    assert run.state() == "finished"


def test_a_stop_request_ends_the_run_with_what_it_achieved(trainer):
    run, job = trainer.job(steps=100_000)
    until(job, lambda e: isinstance(e, Metrics))
    run.request("stop")
    events = list(job)
    assert states(events) == ["stopped"]
    assert isinstance(events[-1], Result)
    assert events[-1].value["state"] == "stopped"
    assert 0 < events[-1].value["steps"] == load_checkpoint(run.path).step
    assert run.state() == "stopped"


def test_a_paused_run_saves_waits_without_working_and_goes_on(trainer):
    run, job = trainer.job(steps=100_000)
    until(job, lambda e: isinstance(e, Metrics))
    run.request("pause")
    before = until(job, lambda e: isinstance(e, StateChanged))
    assert before[-1].state == "paused"
    assert any(isinstance(e, Saved) for e in before)
    assert run.state() == "paused"
    began, cpu = time.monotonic(), time.process_time()
    waiting = [next(job) for _ in range(3)]
    assert all(isinstance(e, Progress) and e.what == "paused" for e in waiting)
    assert len({e.done for e in waiting}) == 1
    assert 0.4 < time.monotonic() - began < 5
    assert time.process_time() - cpu < 0.2
    run.request("resume")
    assert until(job, lambda e: isinstance(e, StateChanged))[-1].state == "running"
    until(job, lambda e: isinstance(e, Metrics))
    job.close()


def test_a_paused_run_can_be_stopped(trainer):
    run, job = trainer.job(steps=100_000)
    until(job, lambda e: isinstance(e, Metrics))
    run.request("pause")
    until(job, lambda e: isinstance(e, StateChanged) and e.state == "paused")
    run.request("stop")
    assert states(job) == ["stopped"]


def test_time_spent_paused_is_not_training_time(trainer):
    run, job = trainer.job(steps=50)
    until(job, lambda e: isinstance(e, Metrics))
    run.request("pause")
    until(job, lambda e: isinstance(e, StateChanged) and e.state == "paused")
    time.sleep(0.7)
    run.request("resume")
    assert list(job)[-1].value["seconds"] < 0.6


def test_closing_the_job_saves_and_says_stopped(trainer):
    run, job = trainer.job(steps=100_000)
    step = until(job, lambda e: isinstance(e, Metrics))[-1].step
    job.close()
    assert run.state() == "stopped"
    assert load_checkpoint(run.path).step == step
    assert not run.is_alive()


def test_closing_a_job_before_its_first_step_leaves_a_stopped_run(trainer):
    run, job = trainer.job()
    next(job)
    job.close()
    assert run.state() == "stopped"


def test_closing_in_the_middle_of_a_validation_loses_nothing(trainer, monkeypatch):
    from napari_sortingloss.training.loop import reporter

    monkeypatch.setattr(reporter, "PROGRESS_SECONDS", 0.0)
    run, job = trainer.job(steps=20, validate=1, validate_every=5)
    until(job, lambda e: isinstance(e, Progress) and e.what.startswith("measuring"))
    job.close()
    assert load_checkpoint(run.path).step == 5
    assert list(trainer.resume(run, validate=1))[-1].value["steps"] == 20


def test_no_thread_of_the_run_survives_it(trainer, threads_of_jobs):
    before = threads_of_jobs()
    _, job = trainer.job(steps=100_000, workers=3)
    until(job, lambda e: isinstance(e, Metrics))
    job.close()
    assert threads_of_jobs() == before


def test_the_number_of_threads_is_what_it_was(trainer):
    before = torch.get_num_threads()
    list(trainer.job(threads=2)[1])
    assert torch.get_num_threads() == before


class Interrupted(ToyTask):
    """Ctrl-C comes in the middle of a step."""

    finished = 0

    def loss(self, network, batch):
        output = super().loss(network, batch)
        if network.training and batch.step == 4:
            signal.raise_signal(signal.SIGINT)
            type(self).finished += 1
        return output


def test_an_interrupt_lets_the_step_end_then_saves_and_is_raised_again(trainer):
    run, job = trainer.job(Interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(job)
    assert Interrupted.finished == 1
    assert run.state() == "stopped"
    assert load_checkpoint(run.path).step == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_without_an_end_is_finished_when_it_is_stopped_and_goes_on_like_any_other(trainer):
    run, job = trainer.job(steps=0, validate=1)
    first = until(job, lambda e: isinstance(e, Progress) and e.done > 3)
    assert all(e.total == 0 and e.seconds_left is None for e in first if isinstance(e, Progress))
    run.request("stop")
    result = list(job)[-1].value
    stopped_at = result["steps"]
    assert (run.state(), result["state"]) == ("finished", "finished")
    assert run.message() == f"stopped by you after {stopped_at} steps"
    assert result["validation"]["error"] > 0  # its last steps were measured too
    assert run.summary()["steps"] == 0
    job = trainer.resume(run, validate=1)
    until(job, lambda e: isinstance(e, Progress) and e.done > stopped_at + 3)
    job.close()
    assert run.state() == "finished"
    assert load_checkpoint(run.path).step > stopped_at
    reached = load_checkpoint(run.path).step
    assert list(trainer.resume(run, steps=reached + 2))[-1].value["steps"] == reached + 2


def test_a_run_without_an_end_that_has_done_nothing_yet_is_stopped_not_finished(trainer):
    run, job = trainer.job(steps=0)
    next(job)
    job.close()
    assert run.state() == "stopped"


def test_an_interrupt_is_how_a_run_without_an_end_is_stopped_on_a_terminal(trainer):
    Interrupted.finished = 0
    run, job = trainer.job(Interrupted, steps=0)
    result = list(job)[-1].value
    assert (result["state"], result["steps"]) == ("finished", 5)
    assert run.message() == "stopped by you after 5 steps"
    assert load_checkpoint(run.path).step == 5


class Greedy(ToyTask):
    """Runs out of memory as long as it trains on more than `fits` slices."""

    fits = 1
    part = 4

    def loss(self, network, batch):
        if network.training and batch.step >= 3 and self.part > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().loss(network, batch)

    def smaller(self):
        if self.part == 1:
            return None
        self.part //= 2
        return f"goes on with {self.part} slices at a time"

    def state_dict(self):
        return {"reviews": 0, "part": self.part}

    def load_state_dict(self, state):
        self.part = state["part"]


def test_too_little_memory_is_answered_with_less_and_a_notice(trainer):
    run, job = trainer.job(Greedy)
    events = list(job)
    notices = [e.message for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert notices == [
        "The memory did not suffice; training goes on with 2 slices at a time.",
        "The memory did not suffice; training goes on with 1 slices at a time.",
    ]
    assert events[-1].value["steps"] == 12
    assert load_checkpoint(run.path).tasks[0]["part"] == 1


def test_what_did_not_fit_is_remembered_when_the_run_goes_on(trainer):
    run, job = trainer.job(Greedy)
    list(job)
    again = list(trainer.resume(run, Greedy, steps=15))
    assert not [e for e in again if isinstance(e, Notice) and e.level == "warning"]


class Insatiable(Greedy):
    fits = 0


def test_memory_that_never_suffices_ends_with_a_sentence_and_a_checkpoint(trainer):
    run, job = trainer.job(Insatiable)
    with pytest.raises(OutOfMemory, match="lower the size or the number of slices"):
        list(job)
    assert run.state() == "failed"
    assert load_checkpoint(run.path).step == 3


class NoRoom(ToyTask):
    def build(self):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")


def test_a_network_that_does_not_fit_ends_with_a_sentence(trainer):
    run, job = trainer.job(NoRoom)
    with pytest.raises(OutOfMemory, match="more memory than the computer"):
        list(job)
    assert run.state() == "failed"


def test_a_checkpoint_is_written_when_enough_time_has_passed(trainer, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.05)
    _run, job = trainer.job(steps=100_000)
    saved = until(job, lambda e: isinstance(e, Saved))[-1]
    assert 0 < saved.step < 100_000
    job.close()
