"""The specimen's surface in the voxels: found from weak, blurred evidence, whatever is brighter beside it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sortingloss.localize import refine as refining
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.refine import HALF, refine
from napari_sortingloss.localize.region import find_region
from napari_sortingloss.localize.resample import block_mean
from napari_sortingloss.study import Study

SHAPE = (44, 52, 60)
VOXEL_SIZE = (0.4, 0.25, 0.3)
MIDDLE = (24.0, 25.0, 31.0)
RADII = (13.0, 9.0, 14.0)
WATER, TISSUE, BONE, TUBE = 40, 110, 220, 230


@pytest.fixture
def specimen(ellipsoid):
    return ellipsoid(SHAPE, MIDDLE, RADII)


def noisy(values, spread=6, seed=0):
    noise = np.random.default_rng(seed).normal(0, spread, SHAPE)
    return (ndimage.gaussian_filter(values.astype(np.float64), 0.6) + noise).clip(0, 255).astype(np.uint8)


def in_tube(specimen, tissue=TISSUE, water=WATER):
    """A specimen in liquid, in a bright tube along z that it does not touch, in air."""
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    distance = np.hypot((y - 25) / 21, (x - 30) / 26)
    values = np.full(SHAPE, 10.0)
    values[:, distance < 1] = water
    values[:, (distance >= 0.9) & (distance < 1)] = TUBE
    values[specimen] = tissue
    return values


def evidence_of(where, blur=2.0, noise=0.3, block=(3, 4, 4), seed=1):
    """What a network might say: coarse, blurred and noisy."""
    values, grid = block_mean(where.astype(np.float32), Grid.of_voxels(SHAPE), block)
    values = ndimage.gaussian_filter(values, blur)
    values += noise * values.max() * np.random.default_rng(seed).random(values.shape, np.float32)
    return values, grid


@pytest.fixture
def volume(study_dir, store):
    def make(values, **about):
        return store(Study.create(study_dir), "fish", values, **about)

    return make


@pytest.fixture
def refined(volume, run_through):
    def work(values, evidence, **about):
        return run_through(refine(volume(values, **about), *evidence))[1]

    return work


def box_of(where):
    return Grid.of_voxels(SHAPE).box_of(where, SHAPE)


def region_of(found, voxel_size=VOXEL_SIZE):
    return find_region(found.score, found.grid, SHAPE, voxel_size, threshold=HALF)


def off_by(found, where):
    """By how many voxels the faces of the box are wrong, at most."""
    return np.abs(np.array(region_of(found).box) - box_of(where)).max()


def test_a_specimen_in_a_brighter_tube_is_found_to_a_voxel(specimen, refined):
    found = refined(noisy(in_tube(specimen)), evidence_of(specimen))
    assert off_by(found, specimen) <= 1
    mask = region_of(found).mask
    assert (mask & specimen).sum() > 0.97 * specimen.sum()
    assert (mask & ~specimen).sum() < 0.05 * specimen.sum()


def test_the_grey_values_are_told(specimen, refined):
    found = refined(noisy(in_tube(specimen)), evidence_of(specimen))
    assert found.around == pytest.approx(WATER, abs=5)
    assert found.specimen == pytest.approx(TISSUE, abs=5)
    assert 0.1 < found.explained <= 1


def test_the_score_goes_from_nothing_around_to_one_inside(specimen, refined):
    found = refined(noisy(in_tube(specimen)), evidence_of(specimen))
    assert found.score.shape == found.grid.shape == SHAPE
    assert found.score.dtype == np.float32
    assert np.median(found.score[specimen]) == pytest.approx(1, abs=0.1)
    assert found.score[~ndimage.binary_dilation(specimen, iterations=3)].mean() < 0.1


def test_far_from_the_specimen_what_is_nearer_comes_first(specimen, refined):
    found = refined(noisy(in_tube(specimen)), evidence_of(specimen))
    apart = ndimage.distance_transform_edt(~specimen, sampling=1)
    near, far = (apart > 14) & (apart < 16), (apart > 20) & (apart < 22)
    assert near.any()
    assert far.any()
    assert 0 >= found.score[near].min() > found.score[far].max()


def test_the_tube_is_not_in_the_score(specimen, refined):
    values = in_tube(specimen)
    found = refined(noisy(values), evidence_of(specimen))
    far = (values == TUBE) & ~ndimage.binary_dilation(specimen, iterations=10)
    assert far.any()
    assert found.score[far].max() <= 0


def test_a_dark_specimen_in_bright_resin_is_found(specimen, refined):
    values = np.where(specimen, 60.0, 170.0)
    found = refined(noisy(values), evidence_of(specimen))
    assert off_by(found, specimen) <= 1
    assert found.specimen < found.around


def test_soft_tissue_is_kept_with_the_bright_bone_inside(ellipsoid, specimen, refined):
    values = in_tube(specimen)
    values[ellipsoid(SHAPE, MIDDLE, [0.5 * r for r in RADII])] = BONE
    found = refined(noisy(values), evidence_of(specimen))
    assert (region_of(found).mask & specimen).sum() > 0.97 * specimen.sum()
    assert off_by(found, specimen) <= 2


def test_weak_and_blurred_evidence_in_the_right_place_suffices(specimen, refined):
    found = refined(noisy(in_tube(specimen)), evidence_of(specimen, blur=3.0, noise=1.5))
    assert off_by(found, specimen) <= 1


def test_evidence_from_a_part_of_the_specimen_gives_all_of_it(ellipsoid, specimen, refined):
    seen = ellipsoid(SHAPE, (20.0, 25.0, 25.0), (6.0, 5.0, 6.0))
    found = refined(noisy(in_tube(specimen)), evidence_of(seen))
    assert off_by(found, specimen) <= 2


def test_evidence_that_has_nothing_to_do_with_grey_values_gives_nothing(specimen, refined):
    evidence = np.random.default_rng(2).random((15, 13, 15), np.float32)
    grid = Grid((15, 13, 15), (3.0, 4.0, 4.0), (1.0, 1.5, 1.5))
    assert refined(noisy(in_tube(specimen)), (evidence, grid)) is None


@pytest.mark.parametrize("value", [0.0, 3.0, float("nan")])
def test_flat_evidence_gives_nothing(specimen, refined, value):
    evidence = np.full((15, 13, 15), value, np.float32)
    grid = Grid((15, 13, 15), (3.0, 4.0, 4.0), (1.0, 1.5, 1.5))
    assert refined(noisy(in_tube(specimen)), (evidence, grid)) is None


def test_evidence_that_is_no_number_here_and_there_does_no_harm(specimen, refined):
    values, grid = evidence_of(specimen)
    values[0, 0, :] = np.nan
    found = refined(noisy(in_tube(specimen)), (values, grid))
    assert off_by(found, specimen) <= 1


def test_evidence_that_is_equally_high_in_a_large_part_is_used(specimen, refined):
    values, grid = evidence_of(specimen, noise=0.0)
    evidence = (values > 0.1).astype(np.float32)
    assert evidence.mean() > 0.1
    found = refined(noisy(in_tube(specimen)), (evidence, grid))
    assert off_by(found, specimen) <= 1


def test_a_volume_without_any_contrast_gives_nothing(specimen, refined):
    assert refined(np.full(SHAPE, 77, np.uint8), evidence_of(specimen)) is None


def test_the_ordering_axis_and_the_direction_change_nothing(specimen, study_dir, store, run_through):
    study = Study.create(study_dir)
    values, evidence = noisy(in_tube(specimen)), evidence_of(specimen)
    plain = store(study, "plain", values)
    turned = store(study, "turned", values, axis="x", direction="-")
    found = [run_through(refine(volume, *evidence))[1] for volume in (plain, turned)]
    np.testing.assert_array_equal(found[0].score, found[1].score)


@pytest.fixture
def larger(specimen, volume):
    """The same, every voxel eight times: stored with a pyramid of two levels."""
    values = noisy(in_tube(specimen))
    return volume(values.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def twice(grid):
    """A grid over that volume, with the same points."""
    return Grid(
        grid.shape,
        tuple(2 * s for s in grid.scale),
        tuple(2 * o + 0.5 for o in grid.offset),
    )


@pytest.mark.parametrize("most", [200_000, 10], ids=["a level that fits", "none that fits"])
def test_a_large_volume_is_read_from_its_pyramid_and_found_as_well(
    specimen, larger, run_through, monkeypatch, most
):
    monkeypatch.setattr(refining, "FINE", most)
    monkeypatch.setattr(refining, "COARSE", 40_000)
    values, grid = evidence_of(specimen)
    found = run_through(refine(larger, values, twice(grid)))[1]
    assert found.grid == Grid(SHAPE, (2.0,) * 3, (0.5,) * 3)
    region = find_region(found.score, found.grid, larger.shape, VOXEL_SIZE, threshold=HALF)
    assert np.abs(np.array(region.box) - 2 * np.array(box_of(specimen))).max() <= 2


def test_it_says_what_it_does_before_each_piece_of_work(specimen, volume, run_through):
    told, _ = run_through(refine(volume(noisy(in_tube(specimen))), *evidence_of(specimen)))
    assert told == [
        "reading the voxels",
        "comparing thresholds for a bright specimen",
        "comparing thresholds for a dark specimen",
        "finding the surface",
    ]


def test_parts_that_stand_out_from_nothing_are_no_specimen(specimen, refined):
    """A ramp through the volume: above every threshold lies a part, and around it what is nearly as bright."""
    ramp = np.broadcast_to(np.linspace(0, 255, SHAPE[2]).astype(np.uint8), SHAPE)
    found = refined(np.ascontiguousarray(ramp), evidence_of(specimen))
    assert found is None or found.specimen > found.around


def test_soft_tissue_stays_with_the_bone_that_stands_out_more(specimen, refined):
    bone = ndimage.binary_erosion(specimen, iterations=4) & ~ndimage.binary_erosion(specimen, iterations=6)
    values = np.where(bone, BONE, np.where(specimen, WATER + 50, WATER)).astype(np.uint8)
    found = refined(noisy(values), evidence_of(bone))
    assert off_by(found, specimen) <= 1
