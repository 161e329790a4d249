"""Rotation runs from beginning to end, with the real ResNet-18, tiny: trained, resumed, asked how sure they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Matrix, Saved, Snapshot
from napari_sortingloss.networks.weights import load_encoder
from napari_sortingloss.pretext import TASKS, settings_for, task_class
from napari_sortingloss.pretext.headline import headline, main_figure
from napari_sortingloss.pretext.jobs.order import OrderSettings, order
from napari_sortingloss.pretext.jobs.pretrain import pretrain
from napari_sortingloss.pretext.rotation.certainty import RotationCertainty, build_network, load_rotation
from napari_sortingloss.pretext.rotation.settings import RotationSettings
from napari_sortingloss.training.loop.checkpoints import load_checkpoint, path_of

TINY = RotationSettings(
    size=32, pairs=3, together=3, steps=6, precision="32", device="cpu", workers=1, augment="normal"
)


@pytest.fixture
def study(make_study):
    return make_study(3)


@pytest.fixture
def run(study):
    """A run of two steps."""
    return study.run(list(pretrain(study, TINY.replace(steps=2)))[-1].value["run"])


def test_sorting_stays_the_default_and_rotation_is_offered_beside_it():
    assert list(TASKS)[:2] == ["sorting", "rotation"]
    assert settings_for("rotation") is RotationSettings
    assert task_class("rotation").settings_class is RotationSettings


def test_a_run_trains_measures_counts_and_exports(study):
    events = list(pretrain(study, TINY.replace(validate=("fish_2",), validate_every=4)))
    value = events[-1].value
    assert value["run"].startswith("rotation-")
    for figures in (value["metrics"], value["validation"]):
        names = {"loss", "accuracy", "random_accuracy", "angle_error", "random_angle_error"}
        assert names <= set(figures)
    json.dumps(value)
    tables = [(e.step, e.split) for e in events if isinstance(e, Matrix)]
    assert tables == [(4, "train"), (4, "validation"), (6, "train"), (6, "validation")]
    picture = next(e for e in events if isinstance(e, Snapshot))
    assert (picture.tiles, picture.group, len(picture.captions)) == (
        4,
        2,
        2,
    )  # places of three: one pair each
    run = study.run(value["run"])
    assert run.settings["field_of_view"] == pytest.approx(10.8, abs=0.31)
    assert (
        headline(run.summary()["validation"], main_figure(run.kind, run.task, run.settings)).title
        == "accuracy"
    )
    encoder, spec = load_encoder(run.path / "encoder.safetensors")
    assert (encoder.name, spec.size) == ("resnet18", 32)


def test_ten_steps_are_four_and_six_more_whatever_the_number_of_threads(study):
    settings = TINY.replace(steps=10, checkpoint_every=4, validate_every=3)
    straight = study.run(list(pretrain(study, settings))[-1].value["run"])
    job = pretrain(study, settings)
    broken = study.run(next(job).run)
    assert next(event for event in job if isinstance(event, Saved)).step == 4
    job.close()
    list(pretrain(study, resume=broken.id, changes={"workers": 2}))
    one, two = (load_checkpoint(run.path) for run in (straight, broken))
    assert all((one.network[key] == two.network[key]).all() for key in one.network)
    tables = [
        [(e.step, e.counts) for e in run.events() if isinstance(e, Matrix)] for run in (straight, broken)
    ]
    assert tables[0] == tables[1]
    assert [step for step, _ in tables[0]] == [3, 6, 9, 10]


def test_its_network_scores_no_slices_so_ordering_by_it_is_refused(study, run):
    with pytest.raises(BadSetting, match=r"it trained the task 'rotation', which scores no slices"):
        list(order(study, OrderSettings(run=run.id)))


def test_the_certainty_is_the_probability_of_no_turn_for_each_slice(study, run):
    volume = study.volume("fish_0")
    with load_rotation(run, "best", "cpu", 1) as asked:
        assert (asked.step, asked.settings.size) == (2, 32)
        discs = asked.discs(volume, "y", np.arange(20))
        found = asked.certainty(discs)
        assert found.shape == (20,)
        assert found.dtype == np.float32
        assert ((found > 0) & (found < 1)).all()
        assert np.allclose(found, asked.certainty(discs[::-1])[::-1], atol=1e-5)  # in evaluation mode
        assert not asked.network.training
        one = torch.from_numpy(discs[3:4])
        embedded = asked.network.embed(one)
        expected = asked.network.compare(embedded, embedded).softmax(dim=1)[0, 3].item()
        assert found[3] == pytest.approx(expected, abs=1e-5)
        parts = list(asked.along(volume, "z", range(30)))
        assert [len(part) for part in parts] == [16, 14]


def test_what_lies_outside_of_the_circle_does_not_count():
    settings = RotationSettings(size=32)
    asked = RotationCertainty(build_network(settings).eval(), settings, 0, False)
    slices = np.random.default_rng(0).integers(0, 255, (2, 32, 32), np.uint8)
    slices[1] = slices[0]
    slices[1, :3, :3] = 255
    one, two = asked.certainty(slices)
    assert one == two
    assert asked.certainty(slices[:0]).shape == (0,)


def test_a_run_of_another_task_or_without_weights_is_refused(study, run):
    sorting = settings_for("sorting")(size=32, slices=4, steps=1, precision="32", device="cpu", workers=1)
    other = study.run(list(pretrain(study, sorting))[-1].value["run"])
    with (
        pytest.raises(BadSetting, match="it trained the task 'sorting'"),
        load_rotation(other, "best", "cpu", 1),
    ):
        pass
    path_of(run.path, "last").unlink()
    with pytest.raises(BadInput, match="it has none yet"), load_rotation(run, "best", "cpu", 1):
        pass
