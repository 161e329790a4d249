"""Certainty along the axes: every curve counts along the array, whatever the ordering axis and direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sortingloss.localize.certainty import certainty_curves, sampled
from napari_sortingloss.pretext.rotation.certainty import RotationCertainty, build_network
from napari_sortingloss.pretext.rotation.settings import RotationSettings
from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter

SHAPE = (30, 24, 36)
VOXEL_SIZE = (0.4, 0.25, 0.3)


class Brightness:
    """Stands in for the network: as sure as the slice is bright."""

    def __init__(self):
        self.batches = []

    def along(self, volume, axis, positions):
        for start in range(0, len(positions), 7):
            part = volume.read_slices(positions[start : start + 7], axis=axis)
            self.batches.append(len(part))
            yield part.mean(axis=(1, 2), dtype=np.float32) / 255


@pytest.fixture
def values(make_volume):
    return make_volume(SHAPE)


@pytest.fixture
def volume(study_dir, values):
    def make(**record):
        study = Study.create(study_dir)
        about = {"voxel_size": VOXEL_SIZE, "unit": "mm", **record}
        with VolumeWriter(study, VolumeRecord(name="fish", shape=SHAPE, **about)) as writer:
            writer.write(0, values)
            writer.commit()
        return study.volume("fish")

    return make


def run(job):
    """All events of a job, and what it returns."""
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as done:
            return events, done.value


@pytest.mark.parametrize("direction", ["+", "-"])
@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_curves_count_along_the_array_whatever_the_order(volume, values, axis, direction):
    _, curves = run(certainty_curves(Brightness(), volume(axis=axis, direction=direction), step=1))
    assert list(curves) == ["z", "y", "x"]
    for across, curve in enumerate(curves.values()):
        assert curve.positions.tolist() == list(range(SHAPE[across]))
        others = tuple(i for i in range(3) if i != across)
        np.testing.assert_allclose(curve.values, values.mean(axis=others) / 255, rtol=1e-5)


def test_only_every_nth_slice_is_looked_at(volume, values):
    judge = Brightness()
    _, curves = run(certainty_curves(judge, volume(direction="-"), step=4))
    assert curves["z"].positions.tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    assert curves["y"].positions.tolist() == [1, 5, 9, 13, 17, 21]
    np.testing.assert_allclose(curves["z"].values, values.mean(axis=(1, 2))[::4] / 255, rtol=1e-5)
    assert max(judge.batches) <= 7


def test_progress_counts_the_slices_of_all_axes(volume):
    events, _ = run(certainty_curves(Brightness(), volume(), step=2))
    assert events[-1].done == events[-1].total == 45
    assert [e.done for e in events] == sorted({e.done for e in events})
    assert {e.what for e in events} == {"fish along z", "fish along y", "fish along x"}
    assert events[-1].seconds_left == 0


@pytest.mark.parametrize(
    ("size", "step", "count"), [(1, None, 1), (100, None, 100), (1000, None, 125), (5, 50, 1)]
)
def test_about_as_many_slices_are_taken_from_a_long_side_as_from_a_short_one(size, step, count):
    taken = sampled(size, step)
    assert len(taken) == count
    assert abs(taken[0] - (size - 1 - taken[-1])) <= 1


def test_the_network_of_a_rotation_run_can_be_asked(volume):
    torch.manual_seed(0)
    settings = RotationSettings(size=32)
    judge = RotationCertainty(build_network(settings).eval(), settings, step=0, bfloat16=False)
    fish = volume(axis="y", direction="-")
    _, curves = run(certainty_curves(judge, fish, step=5))
    for axis, curve in curves.items():
        counted = curve.positions if axis != "y" else SHAPE[1] - 1 - curve.positions
        expected = np.concatenate(list(judge.along(fish, axis, counted)))
        np.testing.assert_allclose(curve.values, expected, rtol=1e-5)
        assert ((curve.values > 0) & (curve.values < 1)).all()
