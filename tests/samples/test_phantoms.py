"""What the phantom fish promise to everything that learns from them or is scored against them."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.filters import threshold_otsu

from napari_sortingloss.samples import COUNT, SAMPLE_CLASSES, Phantom, make_phantom
from napari_sortingloss.samples.phantoms import _SPECIMENS, _Model, _model
from napari_sortingloss.samples.profile import WATER
from napari_sortingloss.samples.scan import Plane, empty_tube

NAMES = [f"fish_{n:02d}" for n in range(1, COUNT + 1)]
EACH = pytest.mark.parametrize("index", range(COUNT), ids=NAMES)


def wall_of(phantom: Phantom, index: int) -> np.ndarray:
    """Return the pixels (y, x) that lie wholly in the wall of the tube."""
    plane = Plane.of(phantom.voxels.shape, phantom.voxel_size)
    radius = plane.from_tube(_SPECIMENS[index].scan)
    return (radius > plane.inner + 0.7 * plane.pixel) & (radius < plane.outer - 0.7 * plane.pixel)


def unscanned(index: int) -> _Model:
    """Return a fish in its tube before the scan, at half the resolution."""
    specimen = _SPECIMENS[index]
    z, y, x = (round(n * 0.5) for n in specimen.shape)
    dz, dy, dx = (h * n / m for h, n, m in zip(specimen.voxel_size, specimen.shape, (z, y, x), strict=True))
    return _model(specimen, (z, y, x), (dz, dy, dx), np.random.default_rng((0, index)))


def test_there_are_six_fish_with_names(school: tuple[Phantom, ...]) -> None:
    assert [p.name for p in school] == NAMES


def test_no_fish_is_a_cube_and_no_two_have_the_same_shape(school: tuple[Phantom, ...]) -> None:
    assert all(len(set(p.voxels.shape)) == 3 for p in school)
    assert len({p.voxels.shape for p in school}) == COUNT


def test_every_fish_has_three_different_voxel_sizes_in_micrometres(school: tuple[Phantom, ...]) -> None:
    assert all(len(set(p.voxel_size)) == 3 for p in school)
    assert {p.unit for p in school} == {"um"}


def test_the_scale_changes_the_voxels_and_not_the_specimen() -> None:
    full, half = make_phantom(1), make_phantom(1, scale=0.5)
    for (a, b), (c, d), coarse, fine in zip(
        full.box, half.box, half.voxel_size, full.voxel_size, strict=True
    ):
        assert abs((b - a) * fine - (d - c) * coarse) <= 3 * coarse


def test_the_sizes_stay_small_enough_for_two_minutes_of_training() -> None:
    for specimen in _SPECIMENS:
        z, y, x = specimen.shape
        assert 150 <= z <= 190
        assert 96 <= y <= 128
        assert 100 <= x <= 140


def test_exactly_one_fish_is_stored_upside_down(school: tuple[Phantom, ...]) -> None:
    assert [p.name for p in school if p.upside_down] == ["fish_03"]


@EACH
def test_all_structures_are_there(school: tuple[Phantom, ...], index: int) -> None:
    counts = np.bincount(school[index].labels.ravel(), minlength=len(SAMPLE_CLASSES) + 1)
    assert counts.size == len(SAMPLE_CLASSES) + 1
    assert (counts[1:] >= 20).all()


@EACH
def test_structures_follow_one_another_from_head_to_tail(school: tuple[Phantom, ...], index: int) -> None:
    phantom = school[index]
    centres = ndimage.center_of_mass(
        phantom.labels > 0, phantom.labels, [label for label, _, _ in SAMPLE_CLASSES]
    )
    along = np.array([z for z, _, _ in centres]) * (-1 if phantom.upside_down else 1)
    eyes = along[:2].mean()
    assert abs(along[0] - along[1]) < 1.0  # the lens sits in its retina
    assert (np.diff([eyes, *along[2:]]) > 1.0).all()


@EACH
def test_every_fish_has_two_eyes(school: tuple[Phantom, ...], index: int) -> None:
    parts, count = ndimage.label(school[index].labels == 1, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    assert count == 2
    assert sizes.min() > 0.6 * sizes.max()


@EACH
def test_the_spine_runs_in_one_piece_through_the_trunk(school: tuple[Phantom, ...], index: int) -> None:
    phantom = school[index]
    spine = phantom.labels == 7
    assert ndimage.label(spine, np.ones((3, 3, 3)))[1] == 1
    held = np.flatnonzero(spine.any(axis=(1, 2)))
    (z0, z1), _, _ = phantom.box
    assert held[-1] - held[0] > 0.55 * (z1 - z0)


@EACH
def test_labels_lie_inside_the_box(school: tuple[Phantom, ...], index: int) -> None:
    phantom = school[index]
    inside = np.zeros(phantom.labels.shape, bool)
    inside[tuple(slice(*span) for span in phantom.box)] = True
    assert not phantom.labels[~inside].any()


@EACH
def test_the_box_is_tight(school: tuple[Phantom, ...], index: int) -> None:
    # The fins reach further than any label, but by less than half of what the labels span.
    phantom = school[index]
    for axis, (low, high) in enumerate(phantom.box):
        filled = np.flatnonzero(phantom.labels.any(axis=tuple({0, 1, 2} - {axis})))
        assert filled[0] - low >= 0
        assert high - 1 - filled[-1] >= 0
        assert (filled[-1] + 1 - filled[0]) > 0.4 * (high - low)


@EACH
def test_the_box_holds_the_fish_exactly(school: tuple[Phantom, ...], index: int) -> None:
    specimen = _SPECIMENS[index]
    model = unscanned(index)
    tube = empty_tube(model.solid.shape[0], model.plane, specimen.scan, WATER)
    change = np.abs(model.attenuation - tube)
    box = tuple(slice(low, high) for low, high in school[index].box)
    held = np.zeros(tube.shape, bool)
    held[box] = True
    assert change[~ndimage.binary_dilation(held, np.ones((3, 3, 3)))].max() < 0.03
    assert model.solid[~held].max() < 0.5
    for axis in range(3):
        faces = np.moveaxis(model.solid[box] >= 0.5, axis, 0)
        assert faces[0].any()
        assert faces[-1].any()


@EACH
def test_some_empty_tube_is_left_at_both_ends_but_not_much(school: tuple[Phantom, ...], index: int) -> None:
    phantom = school[index]
    depth = phantom.voxels.shape[0]
    z0, z1 = phantom.box[0]
    assert 0.01 * depth < z0 < 0.15 * depth
    assert 0.01 * depth < depth - z1 < 0.15 * depth


@EACH
def test_the_tube_is_brighter_than_tissue(school: tuple[Phantom, ...], index: int) -> None:
    phantom = school[index]
    wall = np.median(phantom.voxels[:, wall_of(phantom, index)].astype(float))
    soft = phantom.voxels[(phantom.labels > 1) & (phantom.labels < 6)].astype(float)
    assert wall > np.percentile(soft, 75)


@EACH
def test_a_global_threshold_and_the_largest_component_find_the_tube(
    school: tuple[Phantom, ...], index: int
) -> None:
    phantom = school[index]
    voxels = phantom.voxels.astype(np.float32)
    parts, _ = ndimage.label(voxels > threshold_otsu(voxels))
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    assert largest[:, wall_of(phantom, index)].mean() > 0.9


@EACH
def test_the_fish_does_not_touch_the_tube(index: int) -> None:
    specimen = _SPECIMENS[index]
    model = unscanned(index)
    reached = model.plane.from_tube(specimen.scan)[(model.solid > 0).any(axis=0)].max()
    assert reached < model.plane.inner - model.plane.pixel


@EACH
def test_tube_and_noise_do_not_tell_where_along_the_axis_a_slice_lies(
    school: tuple[Phantom, ...], index: int
) -> None:
    phantom = school[index]
    wall = phantom.voxels[:, wall_of(phantom, index)].astype(float)
    for figure in (wall.mean(axis=1), wall.std(axis=1)):
        assert stats.spearmanr(np.arange(figure.size), figure).pvalue > 1e-3


def test_every_scan_has_its_own_grey_scale(school: tuple[Phantom, ...]) -> None:
    medians = sorted(float(np.median(p.voxels[p.labels == 3])) for p in school)
    assert all(high > 1.15 * low for low, high in itertools.pairwise(medians))
    assert {p.voxels.dtype.name for p in school} == {"uint16", "float32"}


def test_few_voxels_are_clipped_by_the_type(school: tuple[Phantom, ...]) -> None:
    for phantom in school:
        if phantom.voxels.dtype == np.uint16:
            assert np.isin(phantom.voxels, (0, 65535)).mean() < 1e-3


def test_bone_is_brighter_and_gas_darker_than_flesh(school: tuple[Phantom, ...]) -> None:
    for phantom in school:
        liver, gas, spine = (np.median(phantom.voxels[phantom.labels == label]) for label in (5, 6, 7))
        assert gas < liver < spine


def test_classes_have_distinct_labels_names_and_colours() -> None:
    labels, names, colours = zip(*SAMPLE_CLASSES, strict=True)
    assert labels == tuple(range(1, len(labels) + 1))
    assert len(set(names)) == len(set(colours)) == len(labels) >= 5
    assert all(len(colour) == 7 and int(colour[1:], 16) >= 0 for colour in colours)


def test_the_same_fish_is_generated_every_time(school: tuple[Phantom, ...]) -> None:
    again = make_phantom(2, scale=0.5)
    np.testing.assert_array_equal(again.voxels, school[2].voxels)
    np.testing.assert_array_equal(again.labels, school[2].labels)
    assert again.box == school[2].box


def test_another_seed_gives_other_noise_around_the_same_fish(school: tuple[Phantom, ...]) -> None:
    other = make_phantom(2, scale=0.5, seed=1)
    assert (other.voxels != school[2].voxels).mean() > 0.9
    union = (other.labels > 0) | (school[2].labels > 0)
    assert (other.labels == school[2].labels)[union].mean() > 0.6


def test_there_is_no_seventh_fish() -> None:
    with pytest.raises(IndexError, match="6 fish"):
        make_phantom(6)


def test_a_full_size_fish_costs_no_more_than_a_few_dozen_blurs_of_its_volume() -> None:
    # In blurs and not in seconds, so that a slow machine changes little: 25 to 60, or 2 seconds.
    start = time.thread_time()
    voxels = make_phantom(3).voxels.astype(np.float32)
    generated = time.thread_time() - start
    start = time.thread_time()
    for _ in range(4):
        ndimage.gaussian_filter(voxels, 2.0)
    assert generated < 120 * (time.thread_time() - start) / 4


def test_importing_the_room_imports_no_torch_and_no_viewer() -> None:
    code = (
        "import sys, napari_sortingloss.samples; "
        "sys.exit(bool({'torch', 'napari', 'qtpy', 'skimage', 'tifffile'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
