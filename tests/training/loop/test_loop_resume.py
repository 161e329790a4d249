"""A resumed run is the run that was never interrupted."""

from __future__ import annotations

import pytest
import torch
from toy_training import ToyTask

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Metrics, Notice, Result, StateChanged
from napari_sortingloss.study import RunWriter
from napari_sortingloss.training.loop import reporter
from napari_sortingloss.training.loop.checkpoints import load_checkpoint


def network_of(run):
    return load_checkpoint(run.path).network


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def close_at(job, step):
    for event in job:
        if isinstance(event, Metrics) and event.step >= step:
            job.close()
            return
    raise AssertionError("the run ended before")


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    monkeypatch.setattr(reporter, "METRICS_SECONDS", 0.0)
    monkeypatch.setattr(reporter, "LONG_RUN", 0.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_ten_steps_and_ten_more_are_twenty_steps_bit_for_bit(trainer, workers):
    straight, job = trainer.job(steps=20)
    list(job)
    broken, job = trainer.job(steps=20, workers=workers)
    close_at(job, 10)
    assert broken.state() == "stopped"
    assert load_checkpoint(broken.path).step == 10
    list(trainer.resume(broken))
    assert same(network_of(straight), network_of(broken))
    one, two = load_checkpoint(straight.path), load_checkpoint(broken.path)
    assert one.tasks == two.tasks
    assert one.slices == two.slices
    for mine, other in zip(one.optimizer["state"].values(), two.optimizer["state"].values(), strict=True):
        assert same(mine, other)


def test_validation_in_between_changes_nothing(trainer):
    straight, job = trainer.job(steps=20, validate=1)
    list(job)
    measured, job = trainer.job(steps=20, validate=1, validate_every=3, checkpoint_every=7)
    list(job)
    assert same(network_of(straight), network_of(measured))


def test_another_seed_gives_another_run(trainer):
    one, job = trainer.job()
    list(job)
    two, job = trainer.job(seed=1)
    list(job)
    assert not same(network_of(one), network_of(two))


def test_the_curve_of_a_resumed_run_is_continuous(trainer):
    straight, job = trainer.job(steps=20)
    list(job)
    broken, job = trainer.job(steps=20)
    close_at(job, 6)
    old = (broken.path / "last.pt").read_bytes()
    close_at(trainer.resume(broken), 9)
    (broken.path / "last.pt").write_bytes(old)  # as if it had been killed at step 9 without saving again
    list(trainer.resume(broken))

    def curve(run):
        return [(e.step, e.values["loss"]) for e in run.events() if isinstance(e, Metrics)]

    assert curve(broken) == curve(straight)
    assert [step for step, _ in curve(broken)] == list(range(1, 21))


def test_more_steps_train_on_after_the_end(trainer):
    straight, job = trainer.job(steps=20)
    list(job)
    run, job = trainer.job(steps=12)
    list(job)
    result = list(trainer.resume(run, steps=20))[-1]
    assert isinstance(result, Result)
    assert result.value["steps"] == 20
    assert same(network_of(straight), network_of(run))
    assert len([e for e in run.events() if isinstance(e, Result)]) == 1


def test_a_finished_run_has_nothing_to_resume_and_says_so(trainer):
    run, job = trainer.job()
    list(job)
    with pytest.raises(BadSetting, match="it has done all its 12 steps; ask for more than 12 steps"):
        list(trainer.resume(run))
    assert run.state() == "finished"


def test_a_run_that_another_job_holds_cannot_be_resumed(trainer):
    run, job = trainer.job()
    next(job)
    with pytest.raises(StudyError, match="another program or job is training it"):
        RunWriter.reopen(run)
    job.close()


def test_a_damaged_checkpoint_is_named_and_the_run_keeps_its_state(trainer):
    run, job = trainer.job()
    close_at(job, 5)
    data = (run.path / "last.pt").read_bytes()
    (run.path / "last.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"'last\.pt' is damaged"):
        list(trainer.resume(run))
    assert run.state() == "stopped"


def test_a_run_without_checkpoint_cannot_be_resumed(trainer):
    run, job = trainer.job()
    next(job)
    job.close()
    with pytest.raises(BadInput, match="the run has none yet; start a new run"):
        list(trainer.resume(run))


def test_what_the_task_remembers_survives(trainer):
    run, job = trainer.job(steps=50)
    close_at(job, 30)
    notices = [e.message for e in trainer.resume(run) if isinstance(e, Notice)]
    assert "review at 40" in notices
    assert load_checkpoint(run.path).tasks == [{"reviews": 2}]


def test_time_and_slices_add_up_over_sessions(trainer):
    run, job = trainer.job(steps=20)
    close_at(job, 10)
    before = load_checkpoint(run.path)
    result = list(trainer.resume(run))[-1].value
    assert before.slices == 40
    assert load_checkpoint(run.path).slices == 80
    assert result["seconds"] > before.seconds > 0


def test_the_best_value_is_remembered_over_sessions(trainer):
    run, job = trainer.job(steps=20, validate=1, validate_every=5)
    close_at(job, 12)
    best = load_checkpoint(run.path).best
    assert best is not None
    list(trainer.resume(run, validate=1))
    assert load_checkpoint(run.path).best <= best


class OtherTask(ToyTask):
    def build(self):
        network = super().build()
        network.head = torch.nn.Linear(4, 2)
        return network


def test_a_checkpoint_of_another_network_is_refused(trainer):
    run, job = trainer.job()
    close_at(job, 5)
    with pytest.raises(BadInput, match="another network"):
        list(trainer.resume(run, OtherTask))


def test_the_first_event_of_a_resumed_run_tells_its_step(trainer):
    run, job = trainer.job()
    close_at(job, 5)
    first = next(iter(trainer.resume(run)))
    assert isinstance(first, StateChanged)
    assert (first.state, first.step, first.run) == ("running", 5, run.id)
