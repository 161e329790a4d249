"""Close-ups show the same place of all slices, magnified, and mostly where something is."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.slices.closeup import draw_zoom, load_closeup
from napari_sortingloss.slices.reader import load_slices
from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter

SHAPE = (12, 40, 60)
FIELD = 18.0  # mm: the longer side of a slice, 60 voxels of 0.3 mm


@pytest.fixture
def spotted(study_dir, voxel_size):
    """A volume with one bright square in every slice, rows 8 to 16 and columns 40 to 48, in black."""
    values = np.zeros(SHAPE, np.uint8)
    values[:, 8:16, 40:48] = np.linspace(100, 250, SHAPE[0]).astype(np.uint8)[:, None, None]
    study = Study.create(study_dir)
    with VolumeWriter(study, VolumeRecord("fish", SHAPE, voxel_size, unit="mm")) as writer:
        writer.write(0, values)
        writer.commit()
    return study.volume("fish")


def test_a_closeup_of_one_is_the_whole_slice(spotted):
    near = load_closeup(spotted, [0, 5], 32, FIELD, 1.0, np.random.default_rng(0))
    assert np.array_equal(near, load_slices(spotted, [0, 5], 32, FIELD))


def test_a_closeup_magnifies_what_it_shows(spotted):
    whole = load_slices(spotted, [5], 64, FIELD)[0]
    near = load_closeup(spotted, [5], 64, FIELD, 3.0, np.random.default_rng(1))[0]
    assert (near > 50).sum() == pytest.approx(9 * (whole > 50).sum(), rel=0.35)


def test_a_closeup_looks_where_something_is(spotted):
    for seed in range(10):
        assert load_closeup(spotted, [3, 9], 32, FIELD, 4.0, np.random.default_rng(seed)).max() > 100


def test_all_slices_of_a_closeup_show_the_same_place(spotted):
    near = load_closeup(spotted, [0, 11], 48, FIELD, 3.0, np.random.default_rng(2))
    assert np.array_equal(*(one > one.max() / 2 for one in near))


def test_an_empty_volume_has_closeups_too(study_dir, voxel_size):
    study = Study.create(study_dir)
    with VolumeWriter(study, VolumeRecord("empty", SHAPE, voxel_size)) as writer:
        writer.write(0, np.zeros(SHAPE, np.uint8))
        writer.commit()
    near = load_closeup(study.volume("empty"), [0], 32, 0.0, 2.0, np.random.default_rng(0))
    assert near.shape == (1, 32, 32)
    assert not near.any()


def test_magnifications_spread_evenly_over_doublings():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_zoom(rng, 4.0) for _ in range(2000)])
    assert (drawn.min(), drawn.max()) == (pytest.approx(1, abs=0.01), pytest.approx(4, abs=0.02))
    assert (drawn < 2).mean() == pytest.approx(0.5, abs=0.04)


def test_without_zoom_no_random_number_is_used():
    rng = np.random.default_rng(0)
    assert draw_zoom(rng, 1.0) == 1.0
    assert rng.integers(1000) == np.random.default_rng(0).integers(1000)
