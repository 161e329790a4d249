"""Ordering whole volumes with a trained run: learns on tiny volumes, finds the ones stored upside down."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.pretext.jobs.order import FILE, OrderSettings, order, read_order
from napari_sortingloss.pretext.jobs.pretrain import pretrain
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.training.loop.checkpoints import Checkpoint, path_of, save_checkpoint

QUICK = {
    "size": 32,
    "slices": 8,
    "threads": 1,
    "workers": 1,
    "device": "cpu",
    "precision": "32",
    "dropout": 0.0,
    "learning_rate": 1e-3,
    "pose": "as stored",
}


def finish(job):
    events = list(job)
    assert isinstance(events[-1], Result)
    return events[-1].value, events


@pytest.fixture(scope="module")
def trained(six_fish):
    """A run that learnt on fish_0 to fish_3 (fish_2 is upside down) and validated on fish_4 and fish_5 (so is it)."""
    settings = SortingSettings(**QUICK, steps=110, validate=("fish_4", "fish_5"), validate_every=40)
    return finish(pretrain(six_fish, settings))


@pytest.fixture(scope="module")
def ordered(six_fish, trained):
    return finish(order(six_fish, OrderSettings(run=trained[0]["run"], threads=1)))


def test_a_small_encoder_learns_to_order_a_volume_it_never_saw(trained):
    found = trained[0]["validation"]
    assert found["mean_displacement"] < 0.4 * found["random_displacement"]


def test_training_tolerates_and_reports_the_volume_that_is_upside_down(trained):
    told = [e.message for e in trained[1] if isinstance(e, Notice) and e.level == "warning"]
    assert any(message.startswith("fish_2 looks stored upside down") for message in told)


def test_order_marks_exactly_the_reversed_volumes_trained_on_or_not(ordered):
    flipped = {entry["name"] for entry in ordered[0]["volumes"] if entry["flipped"]}
    assert flipped == {"fish_2", "fish_5"}
    told = [e.message for e in ordered[1] if isinstance(e, Notice)]
    assert sorted(message.split()[0] for message in told) == ["fish_2", "fish_5"]


def test_each_volume_shows_its_displacement_beside_that_of_a_random_order(six_fish, ordered):
    for entry in ordered[0]["volumes"]:
        n = six_fish.volume(entry["name"]).n_slices
        assert entry["slices"] == n
        assert entry["random_displacement"] == pytest.approx((n * n - 1) / (3 * n))
        assert entry["mean_displacement_mm"] == pytest.approx(0.4 * entry["mean_displacement"])
        assert entry["batch"]["random_displacement"] == pytest.approx(63 / 24)
        assert (entry["mean_displacement"] < entry["random_displacement"] / 2) is not entry["flipped"]


def test_every_slice_gets_a_predicted_position_and_together_they_fill_the_volume(ordered):
    for entry in ordered[0]["volumes"]:
        assert sorted(entry["predicted"]) == list(range(entry["slices"]))
        errors = np.abs(np.array(entry["predicted"]) - np.arange(entry["slices"]))
        assert errors.mean() == pytest.approx(entry["mean_displacement"])


def test_the_scores_lie_in_the_run_folder_for_the_plot(six_fish, ordered):
    document = read_order(six_fish.run(ordered[0]["run"]))
    assert list(document["volumes"]) == [f"fish_{i}" for i in range(6)]
    entry = document["volumes"]["fish_0"]
    assert len(entry["scores"]) == len(entry["positions"]) == len(entry["predicted"]) == 30
    assert json.loads((six_fish.run(ordered[0]["run"]).path / FILE).read_text()) == document


def test_flipping_the_direction_puts_the_volume_right_without_touching_the_others(six_fish, ordered):
    run = ordered[0]["run"]
    before = read_order(six_fish.run(run))["volumes"]
    six_fish.update_volume("fish_2", direction="-")
    try:
        value, _ = finish(order(six_fish, OrderSettings(run=run, volumes=("fish_2",), threads=1)))
        after = read_order(six_fish.run(run))["volumes"]
    finally:
        six_fish.update_volume("fish_2", direction="+")
    (entry,) = value["volumes"]
    assert not entry["flipped"]
    assert entry["spearman"] == pytest.approx(-before["fish_2"]["spearman"], abs=0.01)
    assert after["fish_0"] == before["fish_0"]


def test_results_for_a_direction_that_is_no_longer_the_volumes_are_dropped(six_fish, ordered):
    run = ordered[0]["run"]
    six_fish.update_volume("fish_5", direction="-")
    try:
        finish(order(six_fish, OrderSettings(run=run, volumes=("fish_0",), threads=1)))
        assert "fish_5" not in read_order(six_fish.run(run))["volumes"]
    finally:
        six_fish.update_volume("fish_5", direction="+")


def test_a_quick_look_takes_every_third_slice_and_still_counts_in_slices(six_fish, trained):
    settings = OrderSettings(run=trained[0]["run"], volumes=("fish_0",), every=3, threads=1)
    (entry,) = finish(order(six_fish, settings))[0]["volumes"]
    assert entry["slices"] == 10
    assert set(entry["predicted"]) <= set(range(0, 30, 3))
    assert entry["random_displacement"] == pytest.approx(3 * 99 / 30)


def test_it_reports_progress_in_slices(ordered, six_fish):
    progress = [e for e in ordered[1] if isinstance(e, Progress) and e.total]
    total = sum(v.n_slices for v in six_fish.select())
    assert progress[-1].done == progress[-1].total == total
    assert {e.what for e in progress} == set(six_fish.volumes)


def test_closing_the_job_keeps_what_was_done(six_fish, trained):
    run = six_fish.run(trained[0]["run"])
    (run.path / FILE).unlink(missing_ok=True)
    job = order(six_fish, OrderSettings(run=run.id, threads=1))
    for event in job:
        if isinstance(event, Progress) and event.what == "fish_1":
            break
    job.close()
    assert list(read_order(run)["volumes"]) == ["fish_0"]


def test_the_last_weights_can_be_asked_for(six_fish, trained):
    settings = OrderSettings(run=trained[0]["run"], volumes=("fish_0",), weights="last", threads=1)
    assert finish(order(six_fish, settings))[0]["step"] == trained[0]["steps"]


def refused(study, **settings):
    return list(order(study, OrderSettings(**{"threads": 1, **settings})))


def test_an_unknown_run_is_refused(make_study):
    with pytest.raises(StudyError, match="run 'sorting-7'"):
        refused(make_study(1), run="sorting-7")


def test_an_unknown_volume_is_refused(six_fish, trained):
    with pytest.raises(StudyError, match="whale"):
        refused(six_fish, run=trained[0]["run"], volumes=("whale",))


def test_a_run_of_another_task_is_refused(make_study):
    study = make_study(1)
    with study.new_run("pretrain", "rotation", {}) as writer:
        run = writer.run.id
    with pytest.raises(BadSetting, match="trained the task 'rotation'"):
        refused(study, run=run)


def test_a_run_without_weights_is_refused(make_study):
    study = make_study(1)
    with study.new_run("pretrain", "sorting", SortingSettings(**QUICK).to_json()) as writer:
        run = writer.run.id
    with pytest.raises(BadInput, match=f"weights of the run '{run}': it has none yet"):
        refused(study, run=run)


def test_a_volume_with_too_few_slices_is_refused(make_study, add_volume, trained, six_fish):
    add_volume(six_fish, "flat", np.zeros((1, 20, 26), np.uint8))
    try:
        with pytest.raises(BadInput, match="'flat'"):
            refused(six_fish, run=trained[0]["run"])
    finally:
        six_fish.remove_volume("flat")


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"nonsense", lambda data: b""]
)
def test_damaged_weights_are_refused(six_fish, trained, damage):
    path = path_of(six_fish.run(trained[0]["run"]).path, "best")
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(data))
    try:
        with pytest.raises(BadInput, match=r"the file 'best\.pt' is damaged"):
            refused(six_fish, run=trained[0]["run"])
    finally:
        path.write_bytes(data)


def test_weights_of_another_network_are_refused(make_study):
    study = make_study(1)
    with study.new_run("pretrain", "sorting", SortingSettings(**QUICK).to_json()) as writer:
        run = writer.run
        network = {"encoder.stem.conv.weight": torch.zeros(1)}
        save_checkpoint(run.path, Checkpoint(80, network, {}, [], SortingSettings(**QUICK).to_json()))
    with pytest.raises(BadInput, match="belong to another kind of network"):
        refused(study, run=run.id)


def test_a_window_can_read_the_settings_and_results_without_loading_torch():
    code = (
        "import sys, napari_sortingloss.pretext.jobs.order, napari_sortingloss.pretext.sorting.settings;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'albumentations', 'cv2', 'monai')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
