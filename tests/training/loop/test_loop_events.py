"""What a training says while it goes on."""

from __future__ import annotations

import time

import cv2
import pytest
from toy_training import ToySettings, ToyTask

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Metrics, Notice, Progress, Result, Saved, Snapshot, StateChanged
from napari_sortingloss.networks.weights import load_weights
from napari_sortingloss.training.computer.pace import Laps
from napari_sortingloss.training.loop import reporter


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_the_first_event_says_which_run_is_running_and_the_last_is_the_result(trainer):
    run, job = trainer.job()
    events = list(job)
    assert events[0] == StateChanged(state="running", run=run.id, time=events[0].time)
    assert isinstance(events[-1], Result)
    assert isinstance(events[-2], StateChanged)
    assert events[-2].state == "finished"
    assert events[-2].step == 12
    assert run.state() == "finished"


def test_the_result_holds_the_keys_of_the_contract(trainer):
    run, job = trainer.job(validate=1)
    value = list(job)[-1].value
    assert value["run"] == run.id
    assert value["steps"] == 12
    assert value["state"] == "finished"
    assert value["seconds"] > 0
    assert value["slices_per_second"] > 0
    assert set(value["metrics"]) == set(value["validation"]) == {"loss", "error"}
    assert run.result() == value


def test_every_step_counts_in_the_training_figures(trainer, monkeypatch):
    monkeypatch.setattr(reporter, "METRICS_SECONDS", 1e9)  # one report in the end
    _, job = trainer.job()
    (metrics,) = of(Metrics, job)[1:] or of(Metrics, trainer.job()[1])[-1:]
    assert metrics.step == 12
    assert set(metrics.values) == {"loss", "error"}


def test_validation_comes_every_so_many_steps_and_at_the_end(trainer):
    _, job = trainer.job(validate=1, validate_every=5)
    steps = [e.step for e in of(Metrics, job) if e.split == "validation"]
    assert steps == [5, 10, 12]


def test_validation_is_the_same_for_the_same_weights(trainer):
    figures = []
    for _ in range(2):
        _, job = trainer.job(validate=2)
        figures.append(list(job)[-1].value["validation"])
    assert figures[0] == figures[1]


def test_a_validation_says_how_many_volumes_there_were_only_where_one_gave_fewer_figures():
    whole = {"loss": (0.4, 1), "left_out": (0.0, 1)}
    report = reporter.Reporter(None, 12, Laps(ToySettings(steps=12)))
    assert report.validation(5, [whole, whole]).values == {"loss": 0.4, "left_out": 0.0}
    less = report.validation(5, [whole, {"left_out": (1.0, 1)}])
    assert less.values == report.measured == {"loss": 0.4, "left_out": 0.5, "volumes": 2.0}


def test_without_validation_volumes_there_are_no_validation_figures(trainer):
    _, job = trainer.job()
    assert list(job)[-1].value["validation"] == {}


def test_all_events_but_hurried_progress_are_in_the_log_of_the_run(trainer):
    run, job = trainer.job(validate=1)
    events = [e for e in job if not isinstance(e, Progress)]
    assert [e for e in run.events() if not isinstance(e, Progress)] == events


def test_progress_tells_speed_and_time_left(trainer, monkeypatch):
    monkeypatch.setattr(reporter, "PROGRESS_SECONDS", 0.0)
    _, job = trainer.job()
    last = of(Progress, job)[-1]
    assert (last.done, last.total, last.unit) == (12, 12, "steps")
    assert last.what.endswith(" slices/s")
    assert last.seconds_left == 0


def test_a_snapshot_is_one_row_of_tiles_in_the_run_folder(trainer):
    run, job = trainer.job()
    shot = of(Snapshot, job)[0]
    picture = cv2.imread(str(run.path / shot.picture), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (64, 64 * shot.tiles)
    assert shot.tiles == 4
    assert shot.captions == tuple("abcd")
    assert shot.correct == (True,) * 4
    assert shot.title in "ABC"


def test_only_the_newest_pictures_are_kept(trainer, monkeypatch):
    monkeypatch.setattr(reporter, "SNAPSHOT_SECONDS", 0.0)
    run, job = trainer.job()
    shots = of(Snapshot, job)
    assert len(shots) == 12
    assert sorted(p.name for p in run.path.glob("*.png")) == [s.picture for s in shots[-3:]]


def test_checkpoints_are_announced_and_the_best_is_marked(trainer):
    run, job = trainer.job(validate=1, validate_every=6, checkpoint_every=4)
    saved = of(Saved, job)
    assert [s.step for s in saved if not s.best] == sorted({s.step for s in saved})
    assert {4, 8, 12} <= {s.step for s in saved}
    assert any(s.best and s.file == "best.pt" for s in saved)
    assert (run.path / "last.pt").is_file()
    assert (run.path / "best.pt").is_file()


def test_the_encoder_is_exported_with_the_input_it_expects(trainer):
    run, job = trainer.job()
    list(job)
    state, spec = load_weights(run.path / "encoder.safetensors")
    assert "conv.weight" in state
    assert not any(key.startswith("head") for key in state)
    assert spec.size == 16
    assert spec.axis == "z"
    assert set(spec.windows) == {"A", "B", "C"}


def test_the_task_reviews_at_fixed_steps_and_its_notices_are_events(trainer):
    run, job = trainer.job(steps=45)
    notices = [e.message for e in of(Notice, job) if e.message.startswith("review")]
    assert notices == ["review at 20", "review at 40"]
    assert [e.message for e in of(Notice, run.events()) if "review" in e.message] == notices


def test_the_device_and_number_format_are_told(trainer):
    _, job = trainer.job()
    assert any("float32" in e.message for e in of(Notice, job))


class Broken(ToyTask):
    def make_batch(self, volumes, step, rng):
        if step == 7:
            raise UserError("Cannot read 'A'", "the disk is gone", "plug it in")
        return super().make_batch(volumes, step, rng)


def test_an_error_leaves_a_checkpoint_and_the_state_failed_with_the_sentence(trainer):
    run, job = trainer.job(Broken)
    with pytest.raises(UserError, match="plug it in"):
        list(job)
    assert run.state() == "failed"
    assert run.message() == "Cannot read 'A': the disk is gone; plug it in."
    assert list(trainer.resume(run))[-1].value["steps"] == 12
    assert run.state() == "finished"


class Diverging(ToyTask):
    def loss(self, network, batch):
        output = super().loss(network, batch)
        if batch.step >= 6 and self.settings.learning_rate > 1e-4:
            return type(output)(output.loss * float("nan"), output.metrics)
        return output


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_good_checkpoint(trainer):
    run, job = trainer.job(Diverging, checkpoint_every=5)
    with pytest.raises(
        UserError, match=r"step 7: the loss is no longer a number; resume .* lower learning rate"
    ):
        list(job)
    assert run.state() == "failed"
    events = list(trainer.resume(run, Diverging, learning_rate=1e-5))
    assert events[0].step == 5
    assert events[-1].value["steps"] == 12


class Exploding(ToyTask):
    def after_step(self, network, step):
        if step == 6:
            network.head.weight.fill_(float("inf"))


def test_weights_that_are_no_numbers_never_replace_a_good_checkpoint(trainer):
    run, job = trainer.job(Exploding, checkpoint_every=5)
    with pytest.raises(UserError, match="no longer a number"):
        list(job)
    assert next(iter(trainer.resume(run))).step == 5


def test_a_long_silence_of_the_reader_does_not_lose_events(trainer):
    _, job = trainer.job()
    seen = []
    for event in job:
        seen.append(event)
        if len(seen) == 3:
            time.sleep(0.3)
    assert isinstance(seen[-1], Result)
