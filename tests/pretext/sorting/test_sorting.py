"""The sorting task on small volumes: its batches, its figures, what it shows and what it remembers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from napari_sortingloss.errors import BadInput
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.pretext.sorting.task import SortingTask
from napari_sortingloss.slices.loader import step_rng
from napari_sortingloss.slices.reader import load_slices
from napari_sortingloss.training.curves import main_curve
from napari_sortingloss.training.rates import rate_factor
from napari_sortingloss.training.task import DeviceBatch, Evaluation


def make_task(**settings):
    return SortingTask(SortingSettings(**{"size": 32, "slices": 8, "augment": "none", **settings}))


def on_device(batch, step=0):
    tensors = {name: torch.from_numpy(array) for name, array in batch.arrays.items()}
    return DeviceBatch(tensors, batch.info, step)


class Brightness(nn.Module):
    """Scores a slice by its mean grey value: the discs of the fixture grow, so this is a perfect order."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(sign))

    def forward(self, slices):
        return self.weight * slices.float().mean(dim=(1, 2))


def measure(task, network, volume):
    network.eval()
    work = task.validate(network, volume, Evaluation(torch.device("cpu"), np.random.default_rng(0), 0))
    with torch.no_grad():
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value


@pytest.fixture
def volumes(make_study):
    return make_study(3).select()


def test_a_batch_holds_distinct_slices_of_one_volume_in_random_order(volumes):
    batch = make_task().make_batch(volumes, 0, step_rng(0, 0))
    positions = batch.arrays["positions"]
    (volume,) = [v for v in volumes if v.name == batch.info["volumes"][0]]
    assert batch.count == 8
    assert len(set(positions)) == 8
    assert list(positions) != sorted(positions)
    assert np.array_equal(batch.arrays["slices"], load_slices(volume, positions, 32))


def test_slices_are_augmented_independently_of_each_other(volumes):
    batch = make_task(augment="tough", pose="as stored").make_batch(volumes, 0, step_rng(0, 0))
    again = make_task(augment="tough", pose="as stored").make_batch(volumes, 0, step_rng(0, 0))
    (volume,) = [v for v in volumes if v.name == batch.info["volumes"][0]]
    plain = load_slices(volume, batch.arrays["positions"], 32)
    changes = {(a.astype(int) - b).std().round(3) for a, b in zip(batch.arrays["slices"], plain, strict=True)}
    assert len(changes) > 4
    assert np.array_equal(batch.arrays["slices"], again.arrays["slices"])


def test_all_slices_of_a_batch_lie_in_one_pose_that_differs_from_batch_to_batch(volumes):
    stored = make_task(augment="normal", pose="as stored")
    turned = make_task(augment="normal", pose="any")
    corners = []
    for step in range(6):
        before = stored.make_batch(volumes, step, step_rng(0, step)).arrays["slices"]
        after = turned.make_batch(volumes, step, step_rng(0, step)).arrays["slices"]
        outside = (after == 0) & (before > 0)
        corners.append(outside.all(axis=0).sum())  # black in all slices alike: they were moved alike
    assert len(set(corners)) > 3


def test_without_augmentation_slices_are_shown_as_stored(volumes):
    batch = make_task(augment="none", pose="any").make_batch(volumes, 0, step_rng(0, 0))
    (volume,) = [v for v in volumes if v.name == batch.info["volumes"][0]]
    assert np.array_equal(batch.arrays["slices"], load_slices(volume, batch.arrays["positions"], 32))


def test_a_batch_of_several_volumes_tells_them_apart(volumes):
    batch = make_task(volumes_per_batch=2, slices=5).make_batch(volumes, 0, step_rng(0, 0))
    assert list(batch.arrays["groups"]) == [0] * 5 + [1] * 5
    assert len(set(batch.info["volumes"])) == 2


def test_fewer_slices_than_asked_for_are_all_used_and_chance_adapts(make_study):
    (volume,) = make_study(1, shape=(5, 20, 26)).select()
    task = make_task(slices=16)
    batch = task.make_batch([volume], 0, step_rng(0, 0))
    assert sorted(batch.arrays["positions"]) == [0, 1, 2, 3, 4]
    output = task.loss(task.build(), on_device(batch))
    assert output.metrics["random_displacement"].item() == pytest.approx(24 / 15)
    assert measure(task, Brightness(), volume)["random_displacement"] == pytest.approx(24 / 15)


def test_a_volume_with_a_single_slice_is_refused_in_one_sentence(make_study, add_volume):
    study = make_study(1)
    add_volume(study, "flat", np.zeros((1, 20, 26), np.uint8))
    with pytest.raises(BadInput, match=r"'flat'.*only 1 along its ordering axis z"):
        make_task().check(study.select())


def test_volumes_with_different_ordering_axes_train_together(make_study):
    study = make_study(2)
    study.update_volume("fish_1", axis="x")
    task = make_task(volumes_per_batch=2)
    task.check(study.select())
    assert task.make_batch(study.select(), 0, step_rng(0, 0)).count == 16


def test_the_loss_flows_into_encoder_and_head(volumes):
    task = make_task()
    network = task.build()
    output = task.loss(network, on_device(task.make_batch(volumes, 0, step_rng(0, 0))))
    output.loss.backward()
    assert output.loss.dtype == torch.float32
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_perfect_network_is_shown_as_perfect(volumes):
    task = make_task()
    output = task.loss(Brightness(), on_device(task.make_batch(volumes, 0, step_rng(0, 0))))
    assert output.metrics["mean_displacement"].item() == 0
    assert output.metrics["pairwise_accuracy"].item() == 1
    assert all(output.snapshot().correct)


def test_the_snapshot_shows_the_slices_in_the_order_the_network_believes(volumes):
    task = make_task()
    batch = task.make_batch(volumes, 0, step_rng(0, 0))
    picture = task.loss(Brightness(-1.0), on_device(batch)).snapshot()
    assert [int(c) for c in picture.captions] == sorted(batch.arrays["positions"], reverse=True)
    grey = picture.tiles.mean(axis=(1, 2))
    assert list(grey) == sorted(grey, reverse=True)
    assert picture.correct == (False,) * 8
    assert picture.title == f"{batch.info['volumes'][0]} in the order the network believes"


def test_validation_compares_with_training_and_with_chance(volumes):
    figures = measure(make_task(), Brightness(), volumes[0])
    assert figures["mean_displacement"] == pytest.approx(0, abs=0.2)
    assert figures["random_displacement"] == pytest.approx(63 / 24)
    assert figures["pairwise_accuracy"] > 0.95
    assert figures["spearman"] > 0.98


def test_a_collapsed_network_validates_at_chance(volumes):
    figures = measure(make_task(), Brightness(0.0), volumes[0])
    assert figures["mean_displacement"] == pytest.approx(63 / 24)
    assert figures["mean_displacement_mm"] == pytest.approx(figures["random_displacement_mm"])
    assert figures["pairwise_accuracy"] == 0.5


def test_validation_gives_millimetres_whatever_the_unit(make_study):
    study = make_study(1)
    millimetres = measure(make_task(), Brightness(), study.volume("fish_0"))["random_displacement_mm"]
    study.update_volume("fish_0", unit="um", voxel_size=(400.0, 250.0, 300.0))
    assert measure(make_task(), Brightness(), study.volume("fish_0"))[
        "random_displacement_mm"
    ] == pytest.approx(millimetres)
    study.update_volume("fish_0", unit="")
    assert "random_displacement_mm" not in measure(make_task(), Brightness(), study.volume("fish_0"))


def test_empty_slices_spoil_the_figure_but_not_the_one_over_slices_with_sample(make_study, add_volume):
    study = make_study(1)
    values = study.volume("fish_0").read_slab(0, 30).copy()
    empty = np.random.default_rng(1).normal(20, 5, (15, *values.shape[1:])).clip(0, 255).astype(np.uint8)
    add_volume(study, "long", np.concatenate([values, empty]))
    figures = measure(make_task(), Brightness(), study.volume("long"))
    assert figures["mean_displacement"] > 1.5
    assert figures["mean_displacement_foreground"] < 0.3
    assert figures["random_displacement_foreground"] == pytest.approx(63 / 24)


def test_validation_gives_the_same_figures_every_time(volumes):
    network = make_task().build()
    assert measure(make_task(), network, volumes[0]) == measure(make_task(), network, volumes[0])


def test_the_mean_displacement_is_the_main_curve_with_its_chance_level():
    curve = main_curve(SortingSettings(slices=12).curves())
    assert (curve.metric, curve.lower_is_better) == ("mean_displacement", True)
    assert curve.chance == pytest.approx(143 / 36)


def test_the_rate_rises_then_falls_to_nothing():
    rates = [rate_factor(step, 1000) for step in range(1001)]
    assert 0 < rates[0] < 0.05
    assert max(rates) == rates[50] == 1
    assert rates[1000] == pytest.approx(0)
    assert all(0 <= rate_factor(step, 1) <= 1 for step in range(3))


def test_when_memory_runs_out_it_uses_fewer_slices_and_remembers(volumes):
    task = make_task(slices=8, volumes_per_batch=2)
    assert task.smaller() == "trains on 4 slices of a volume at a time instead of 8"
    resumed = make_task(slices=8, volumes_per_batch=2)
    resumed.load_state_dict(json.loads(json.dumps(task.state_dict())))
    output = resumed.loss(task.build(), on_device(task.make_batch(volumes, 0, step_rng(0, 0))))
    assert output.metrics["random_displacement"].item() == pytest.approx(15 / 12)
    assert len(output.snapshot().tiles) == 4
    assert task.smaller() == "trains on 2 slices of a volume at a time instead of 4"
    assert task.smaller() is None


@pytest.fixture
def many(make_study):
    return make_study(6, upside_down=(2,)).select()


def train_along(task, network, volumes, steps=60):
    """Let the task see batches and review them as the loop does, without changing the network."""
    network.train()
    told = []
    for step in range(steps):
        output = task.loss(network, on_device(task.make_batch(volumes, step, step_rng(0, step)), step))
        if (step + 1) % 10 == 0:
            told += task.review(step + 1)
    return told, output


def outputs_of(task, network, volume):
    return task.loss(network, on_device(task.make_batch([volume], 0, step_rng(0, 0))))


def test_a_volume_stored_upside_down_is_told_and_no_longer_learnt_from(many):
    task, network = make_task(), Brightness()
    told, _ = train_along(task, network, many)
    (notice,) = told
    assert notice.level == "warning"
    assert notice.message.startswith("fish_2 looks stored upside down")
    assert "left out of training from step" in notice.message
    output = outputs_of(task, network, many[2])
    output.loss.backward()
    assert output.loss.item() == 0
    assert network.weight.grad.item() == 0
    assert not output.metrics
    assert outputs_of(task, network, many[1]).metrics


def test_in_a_batch_of_several_volumes_only_the_reversed_one_is_left_out(many):
    task, network = make_task(volumes_per_batch=6), Brightness()
    told, output = train_along(task, network, many, steps=10)
    assert len(told) == 1
    output = train_along(task, network, many, steps=1)[1]
    assert output.metrics["mean_displacement"].item() == 0
    assert output.loss.item() == 0


@pytest.mark.parametrize(("mode", "notices"), [("report", 1), ("ignore", 0)])
def test_the_reversed_volume_may_be_only_reported_or_ignored(many, mode, notices):
    task, network = make_task(reversed_volumes=mode), Brightness()
    told, _ = train_along(task, network, many)
    assert len(told) == notices
    assert all("left out" not in notice.message for notice in told)
    assert outputs_of(task, network, many[2]).loss.item() > 0


def test_a_reversed_validation_volume_is_told_once_and_does_not_spoil_the_figures(many):
    task, network = make_task(), Brightness()
    train_along(task, network, [v for i, v in enumerate(many) if i != 2])
    assert measure(task, network, many[2]) == {"left_out": 1.0}
    assert measure(task, network, many[1])["left_out"] == 0.0
    (notice,) = task.review(80)
    assert notice.message.startswith("fish_2 looks stored upside down")
    assert "left out of the validation figures" in notice.message
    measure(task, network, many[2])
    assert task.review(100) == []


def test_without_a_majority_a_reversed_validation_volume_counts_like_any_other(many):
    assert measure(make_task(), Brightness(), many[2])["mean_displacement"] > 63 / 24


def test_what_the_task_noticed_goes_on_after_a_resume_as_if_nothing_had_happened(many):
    whole, halves = make_task(), make_task()
    network = Brightness()
    told, _ = train_along(whole, network, many)
    first, _ = train_along(halves, network, many, steps=25)  # between two reviews
    resumed = make_task()
    resumed.load_state_dict(json.loads(json.dumps(halves.state_dict())))
    for step in range(25, 60):
        resumed.loss(network, on_device(resumed.make_batch(many, step, step_rng(0, step)), step))
        if (step + 1) % 10 == 0:
            first += resumed.review(step + 1)
    assert [n.message for n in first] == [n.message for n in told]
    assert resumed.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    ("pose", "volumes", "turned"),
    [("auto", 11, True), ("auto", 12, False), ("any", 40, True), ("as stored", 2, False)],
)
def test_few_volumes_are_shown_in_any_pose_unless_asked_otherwise(pose, volumes, turned):
    assert SortingSettings(pose=pose).poses(volumes) is turned
    assert not SortingSettings(pose=pose, augment="none").poses(volumes)
