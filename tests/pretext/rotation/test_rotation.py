"""The rotation task on small volumes: its pairs, its figures, what it shows, counts, refuses and remembers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.pretext.rotation.pairs import turned
from napari_sortingloss.pretext.rotation.settings import RotationSettings
from napari_sortingloss.pretext.rotation.task import VALIDATION_PAIRS, RotationTask
from napari_sortingloss.slices.loader import step_rng
from napari_sortingloss.slices.reader import common_field
from napari_sortingloss.training.computer.estimate import estimate
from napari_sortingloss.training.curves import main_curve
from napari_sortingloss.training.task import DeviceBatch, Evaluation

SIZE = 32


def make_task(**settings):
    return RotationTask(RotationSettings(**{"size": SIZE, "augment": "none", **settings}))


def on_device(batch, step=0):
    tensors = {name: torch.from_numpy(array) for name, array in batch.arrays.items()}
    return DeviceBatch(tensors, batch.info, step)


class Always(nn.Module):
    """Says the same class for every pair."""

    def __init__(self, said, classes=7):
        super().__init__()
        self.logits = nn.Parameter(torch.eye(classes)[said] * 9)

    def forward(self, slices, first, second):
        return self.logits.expand(len(first), -1)


class Knows(nn.Module):
    """Says what it was told beforehand."""

    def __init__(self, classes):
        super().__init__()
        self.logits = nn.Parameter(torch.eye(7)[torch.from_numpy(classes)] * 9)

    def forward(self, slices, first, second):
        return self.logits


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


# ------------------------------------------------------------------------------------------------------------ batches
def test_a_batch_holds_slices_and_all_their_pairs_with_the_class_of_each(volumes):
    batch = make_task(pairs=5, together=5).make_batch(volumes, 0, step_rng(0, 0))
    arrays = batch.arrays
    assert arrays["slices"].shape == (10, SIZE, SIZE)
    assert arrays["slices"].dtype == np.uint8
    assert batch.count == 10
    assert len(arrays["classes"]) == len(arrays["first"]) == len(arrays["second"]) == 2 * 5 * 4
    assert (arrays["first"] // 5 == arrays["second"] // 5).all()
    assert not (arrays["first"] == arrays["second"]).any()
    assert set(arrays["classes"]) <= set(range(7))


def test_two_slices_compared_together_are_the_pairs_of_the_paper(volumes):
    classes = []
    for step in range(40):
        batch = make_task(together=2).make_batch(volumes, step, step_rng(0, step))
        assert len(batch.arrays["classes"]) == 16  # eight pairs, both ways
        classes.append(batch.arrays["classes"][batch.arrays["first"] % 2 == 0])
    assert np.bincount(np.concatenate(classes)).min() > 320 / 7 * 0.6


def test_a_batch_is_a_function_of_its_random_numbers(volumes):
    one, two, other = (
        make_task(augment="tough").make_batch(volumes, 0, step_rng(0, step)).arrays["slices"]
        for step in (3, 3, 4)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("together", [2, 8])
def test_a_slice_is_turned_against_the_other_by_the_angle_of_their_class(volumes, together):
    task = make_task(reach=0.0, together=together)
    found = []
    for step in range(4):
        batch = task.make_batch(volumes, 0, step_rng(0, step)).arrays
        slices = batch["slices"]
        for first, second, true in zip(batch["first"], batch["second"], batch["classes"], strict=True):
            copies = [turned(slices[first], a, SIZE).astype(float) for a in task.settings.angles]
            found.append(int(np.argmin([np.abs(c - slices[second]).mean() for c in copies])) == true)
    assert np.mean(found) > 0.75  # a disc in the middle looks the same at every angle


def test_slices_are_turned_by_a_common_angle_that_differs_from_place_to_place(make_study, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "napari_sortingloss.pretext.rotation.task.turned",
        lambda square, angle, size: asked.append(angle) or np.zeros((size, size), np.uint8),
    )
    task = make_task(pairs=20, together=4)
    batch = task.make_batch(make_study(1).select(), 0, step_rng(0, 0)).arrays
    angles = np.array(asked)
    assert len(asked) == 40  # each slice resampled exactly once
    differences = angles[batch["second"]] - angles[batch["first"]]
    assert np.allclose(differences, np.array(task.settings.angles)[batch["classes"]])
    assert len(set(np.round(angles[::4] % 30, 6))) == 10


def test_all_slices_are_cut_to_the_same_circle(volumes):
    slices = make_task(axes="ordering axis").make_batch(volumes, 0, step_rng(0, 0)).arrays["slices"]
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    assert not slices[:, np.hypot(y, x) > SIZE / 2].any()
    assert (slices > 0).mean() > 0.5


@pytest.mark.parametrize(("axes", "read"), [("ordering axis", {"x"}), ("all three", {"z", "y", "x"})])
def test_slices_are_drawn_along_the_axes_asked_for(make_study, axes, read, monkeypatch):
    study = make_study(1)
    study.update_volume("fish_0", axis="x")
    volume = study.volume("fish_0")
    asked = set()
    original = volume.read_slices
    monkeypatch.setattr(volume, "read_slices", lambda p, axis=None: asked.add(axis) or original(p, axis))
    make_task(axes=axes, pairs=30, together=2).make_batch([volume], 0, step_rng(0, 0))
    assert asked == read


def test_pairs_are_drawn_from_all_volumes(volumes, monkeypatch):
    asked = set()
    for volume in volumes:
        original = volume.read_slices
        monkeypatch.setattr(
            volume,
            "read_slices",
            lambda p, axis=None, name=volume.name, original=original: asked.add(name) or original(p, axis),
        )
    make_task(pairs=30, together=2).make_batch(volumes, 0, step_rng(0, 0))
    assert asked == {"fish_0", "fish_1", "fish_2"}


@pytest.mark.parametrize(("step", "count"), [(15, 13), (30, 7), (45, 5)])
def test_the_angles_reach_from_minus_to_plus_90_degrees(step, count):
    angles = RotationSettings(angle_step=step).angles
    assert (angles[0], angles[-1], len(angles)) == (-90, 90, count)
    assert 0 in angles
    with pytest.raises(BadSetting):
        RotationSettings(angle_step=40)


def test_one_scale_is_found_for_the_squares_of_all_axes(make_study):
    volumes = make_study(2).select()
    settings = RotationSettings(size=SIZE)
    # The longest of the shorter sides: 12 mm along z, 6.5 mm along y, 10.5 mm along x of the larger volume.
    assert common_field(settings.shown(volumes)) == pytest.approx(10.5, abs=0.31)
    assert common_field(settings.replace(axes="ordering axis").shown(volumes)) == pytest.approx(6.5, abs=0.31)


# ------------------------------------------------------------------------------------------------------------ the loss
def test_the_loss_flows_into_encoder_and_head(volumes):
    task = make_task()
    network = task.build()
    output = task.loss(network, on_device(task.make_batch(volumes, 0, step_rng(0, 0))))
    output.loss.backward()
    assert output.loss.dtype == torch.float32
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_perfect_network_is_shown_as_perfect(volumes):
    task = make_task()
    batch = task.make_batch(volumes, 0, step_rng(0, 0))
    output = task.loss(Knows(batch.arrays["classes"]), on_device(batch))
    assert output.metrics["accuracy"].item() == 1
    assert output.metrics["angle_error"].item() == 0
    assert all(output.snapshot().correct)


def test_the_accuracy_is_the_main_curve_with_its_chance_level():
    curves = {curve.metric: curve for curve in RotationSettings().curves()}
    main = main_curve(RotationSettings().curves())
    assert (main.metric, main.lower_is_better, main.chance) == ("accuracy", False, pytest.approx(1 / 7))
    angles = np.arange(-90, 91, 30)
    guessed = np.abs(angles[:, None] - angles).mean()
    assert curves["angle_error"].chance == pytest.approx(guessed)
    assert curves["angle_error"].unit == "°"


def test_the_snapshot_shows_pairs_with_the_true_angle_and_the_network_s(volumes):
    task = make_task(pairs=4, together=8)
    batch = task.make_batch(volumes, 0, step_rng(0, 0))
    picture = task.loss(Always(6), on_device(batch)).snapshot()
    assert picture.group == 2
    assert np.array_equal(picture.tiles, batch.arrays["slices"])
    turns = batch.info["turns"]
    angles = [30 * int(b - a) for a, b in zip(turns[::2], turns[1::2], strict=True)]
    assert picture.captions == tuple(f"{angle}° → 90°" for angle in angles)
    assert picture.correct == tuple(angle == 90 for angle in angles)


# ---------------------------------------------------------------------------------------------------------- validation
def test_validation_shows_every_angle_equally_often(volumes):
    task = make_task()
    batches = list(task.validation_batches(volumes[0], np.random.default_rng(0)))
    classes = np.concatenate([batch.arrays["classes"] for batch in batches])
    assert list(np.bincount(classes)) == [VALIDATION_PAIRS] * 7
    assert max(batch.count for batch in batches) == 16
    assert all((batch.arrays["second"] == batch.arrays["first"] + 1).all() for batch in batches)


def test_every_angle_weighs_the_same_in_the_loss(volumes):
    task = make_task()
    output = task.loss(Always(3), on_device(task.make_batch(volumes, 0, step_rng(0, 0))))
    assert output.metrics["accuracy"].item() == pytest.approx(1 / 7)
    assert output.metrics["angle_error"].item() == pytest.approx(360 / 7)


def test_a_network_that_always_says_zero_validates_at_chance(volumes):
    figures = measure(make_task(), Always(3), volumes[0])
    assert figures["accuracy"] == pytest.approx(1 / 7) == figures["random_accuracy"]
    assert figures["angle_error"] == pytest.approx(360 / 7)  # 0 is never far off
    assert figures["random_angle_error"] == pytest.approx(68.571, abs=0.001)


def test_validation_gives_the_same_figures_every_time(volumes):
    task = make_task()
    network = task.build()
    assert measure(task, network, volumes[0]) == measure(make_task(), network, volumes[0])


# ----------------------------------------------------------------------------------------------------- what it counts
def test_what_is_taken_for_what_is_counted_apart_for_training_and_validation(volumes):
    task = make_task()
    batch = task.make_batch(volumes, 0, step_rng(0, 0))
    network = Always(6)
    for _ in range(2):
        task.loss(network, on_device(batch))
    measure(task, network, volumes[0])
    table = task.take_matrix("train")
    assert table.labels == ("-90°", "-60°", "-30°", "0°", "30°", "60°", "90°")
    assert table.what == "angle"
    assert np.array_equal(table.counts[:, 6], 2 * np.bincount(batch.arrays["classes"], minlength=7))
    assert table.counts.sum() == 2 * 2 * 8 * 7
    assert task.take_matrix("validation").counts.sum() == 7 * VALIDATION_PAIRS
    assert task.take_matrix("train") is None


def test_what_was_counted_before_a_checkpoint_counts_after_a_resume(volumes):
    whole, first, resumed = make_task(), make_task(), make_task()
    network = Always(2)
    for step in range(4):
        batch = on_device(whole.make_batch(volumes, step, step_rng(0, step)), step)
        whole.loss(network, batch)
        (first if step < 2 else resumed).loss(network, batch)
        if step == 1:
            resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert resumed.state_dict() == whole.state_dict()
    assert np.array_equal(resumed.take_matrix("train").counts, whole.take_matrix("train").counts)


@pytest.mark.parametrize("together", [2, 8])
def test_when_memory_runs_out_it_uses_fewer_slices_and_remembers(volumes, together):
    task = make_task(pairs=4, together=together)
    assert task.smaller() == "trains on 4 slices at a time instead of 8"
    resumed = make_task(pairs=4, together=together)
    resumed.load_state_dict(json.loads(json.dumps(task.state_dict())))
    output = resumed.loss(task.build(), on_device(task.make_batch(volumes, 0, step_rng(0, 0))))
    assert len(output.snapshot().tiles) == 4
    assert task.smaller() == "trains on 2 slices at a time instead of 4"
    assert task.smaller() is None


def test_the_memory_of_a_step_counts_two_slices_a_pair_however_few_there_are(make_study):
    few = make_study(1, shape=(4, 20, 26)).select()
    settings = RotationSettings(size=SIZE, pairs=64, device="cpu", precision="32")
    assert settings.slices_per_step() == 128
    assert estimate(settings, few) == estimate(settings, few * 40)


# ----------------------------------------------------------------------------------------------------------- bad input
def test_a_volume_with_a_single_slice_along_an_axis_is_refused_in_one_sentence(make_study, add_volume):
    study = make_study(1)
    add_volume(study, "thin", np.random.default_rng(0).integers(0, 255, (24, 1, 26), np.uint8))
    with pytest.raises(BadInput, match=r"'thin'.*8|'thin'.*only 1"):
        make_task().check(study.select())
    add_volume(study, "one", np.random.default_rng(0).integers(0, 255, (1, 40, 40), np.uint8))
    with pytest.raises(BadInput, match=r"'one'.*only 1 slice along z"):
        make_task(axes="ordering axis").check([study.volume("one")])


def test_slices_of_a_few_voxels_are_refused_with_a_way_out(make_study, add_volume):
    study = make_study(1)
    add_volume(study, "flat", np.random.default_rng(0).integers(0, 255, (5, 40, 40), np.uint8))
    with pytest.raises(BadInput, match=r"'flat'.*5 voxels wide.*ordering axis z only"):
        make_task().check(study.select())
    make_task(axes="ordering axis").check(study.select())


def test_a_volume_of_one_grey_value_is_refused(make_study, add_volume):
    study = make_study(1)
    add_volume(study, "grey", np.full((20, 22, 26), 7, np.uint8))
    with pytest.raises(BadInput, match=r"'grey': all its voxels have the grey value 7"):
        make_task().check(study.select())


def test_a_volume_of_two_slices_trains(make_study, add_volume):
    study = make_study(1)
    add_volume(study, "two", np.random.default_rng(0).integers(0, 255, (2, 40, 40), np.uint8))
    task = make_task(axes="ordering axis")
    task.check(study.select())
    assert task.make_batch([study.volume("two")], 0, step_rng(0, 0)).count == 16
