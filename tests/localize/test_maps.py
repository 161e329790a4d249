"""Maps over volumes: what the network looks at lies where it is, whatever axis, direction, voxel size and scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_sortingloss.errors import BadInput
from napari_sortingloss.localize.certainty import sampled
from napari_sortingloss.localize.maps import View, doubts_of_scale, smoothed, uncertainty_map
from napari_sortingloss.localize.settings import LocalizeSettings
from napari_sortingloss.localize.variance import DropoutVariance
from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.pretext.loading import Trained
from napari_sortingloss.pretext.sorting.scoring import SortingNetwork
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.slices.fit import fit_slice
from napari_sortingloss.study import CropSettings, Study
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.localizations.reading import Localization, LocalizationWriter

SHAPE = (30, 72, 64)
VOXEL_SIZE = (0.4, 0.25, 0.3)
PLACE = (19.0, 27.0, 41.0)
"""The middle of the bright blob, in none of the planes of symmetry."""

SETTINGS = LocalizeSettings(run="sorting-1").resolved()


class Brightness(nn.Module):
    """Stands in for a trained network: the score of a slice is how bright it is."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def score(self, pictures: Tensor) -> Tensor:
        return self.weight * pictures.mean(dim=(1, 2, 3))


def trained(network=None, size=64, field=None):
    settings = SortingSettings(size=size, field_of_view=field, device="cpu", threads=1)
    return Trained(network or Brightness(), settings, step=1, bfloat16=False)


def blob(shape=SHAPE, place=PLACE, radii=(2.5, 4.0, 3.4)):
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    at = [(i - p) / r for i, p, r in zip((z, y, x), place, radii, strict=True)]
    return (20 + 200 * np.exp(-(at[0] ** 2 + at[1] ** 2 + at[2] ** 2))).astype(np.uint8)


@pytest.fixture
def volume(study_dir, store):
    def make(values=None, **about):
        return store(Study.create(study_dir), "fish", blob() if values is None else values, **about)

    return make


@pytest.fixture
def look(run_through):
    """Measure a map, and return it with its grid."""

    def measure(volume, settings=SETTINGS, network=None, **about):
        return run_through(uncertainty_map(trained(network, **about), volume, settings))[1]

    return measure


def seen_at(values, grid):
    """The voxel at which the middle of what is high in a map lies, and the one of its highest point."""
    points = np.argwhere(values > values.max() / 2)
    weights = values[tuple(points.T)]
    middle = (points * weights[:, None]).sum(axis=0) / weights.sum()
    return grid.to_voxels(np.array([middle, np.unravel_index(values.argmax(), values.shape)]))


def lies_right(values, grid, place=PLACE):
    middle, highest = seen_at(values, grid)
    assert np.abs(highest - place).max() <= max(grid.scale)
    np.testing.assert_allclose(middle, place, atol=0.6)


@pytest.mark.parametrize("field", [None, 30.0], ids=["filled", "wide"])
@pytest.mark.parametrize("direction", ["+", "-"])
@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_map_is_high_where_the_network_looks(volume, look, axis, direction, field):
    values, grid = look(volume(axis=axis, direction=direction), field=field)
    assert values.shape == grid.shape
    lies_right(values, grid)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_every_third_slice_puts_it_in_the_same_place(volume, look, axis):
    values, grid = look(volume(axis=axis, direction="-"), SETTINGS.replace(every=3))
    along = "zyx".index(axis)
    assert grid.scale[along] == 3
    assert grid.shape[along] == len(range((SHAPE[along] - 1) % 3 // 2, SHAPE[along], 3))
    lies_right(values, grid)


@pytest.mark.parametrize("size", [33, 50, 112])
def test_a_square_of_an_odd_side_or_larger_than_the_slice_puts_it_in_the_same_place(volume, look, size):
    lies_right(*look(volume(axis="y"), size=size))


def test_a_volume_whose_unit_is_unknown_fills_the_square(volume, look):
    values, grid = look(volume(unit="", axis="x"), field=30.0)
    lies_right(values, grid)
    assert grid.shape[1] == 32  # 64 pixels, two to a point, along the longer side


def test_a_crop_is_looked_at_in_its_own_frame_and_lies_where_it_was_cut_from(volume, look):
    whole = volume(axis="x", direction="-")
    box = ((4, 29), (5, 60), (12, 62))
    found = Localization(volume="fish", run="r", created="", shape=SHAPE, box=box, found=box)
    study = Study.open(whole.study)
    with LocalizationWriter(study, "fish", "r") as writer:
        writer.uncertainty(np.zeros((1, 1, 1)), {"shape": [1] * 3, "scale": [1] * 3, "offset": [0] * 3})
        writer.commit(found)
    list(crop(study, CropSettings(volumes=("fish",))))
    part = study.volume("fish_crop")
    values, grid = look(part)
    offset = np.array(part.record.offset)
    assert offset.tolist() == [4, 5, 12]
    lies_right(values, grid, PLACE - offset)
    physical = (offset + seen_at(values, grid)[0]) * part.voxel_size
    np.testing.assert_allclose(physical, np.array(PLACE) * VOXEL_SIZE, atol=0.2)


def test_the_grid_covers_the_slices_and_not_the_black_around_them(volume, look):
    _, grid = look(volume(axis="z"), field=30.0)
    for axis in (1, 2):
        first, last = grid.voxels(axis)[[0, -1]]
        half = grid.scale[axis] / 2
        assert -grid.scale[axis] < first - half <= -0.49
        assert SHAPE[axis] - 0.51 <= last + half < SHAPE[axis] - 0.5 + grid.scale[axis]


def test_points_are_about_equally_far_apart_within_a_slice(volume, look):
    _, grid = look(volume(axis="y"))
    z, _, x = grid.spacing(VOXEL_SIZE)
    assert z == pytest.approx(x, rel=0.05)


def test_what_looks_the_same_in_all_slices_is_not_seen(volume, look):
    values = blob()
    values[:, 50:60, 10:20] = 250
    found, grid = look(volume(values))
    lies_right(found, grid)
    points = [round((p - o) / s) for p, o, s in zip((5, 55, 15), grid.offset, grid.scale, strict=True)]
    assert found[tuple(points)] < 0.01 * found.max()


def test_an_empty_volume_gives_a_flat_map(volume, look):
    values, _ = look(volume(np.full(SHAPE, 30, np.uint8)))
    assert np.ptp(values) == 0


def test_progress_counts_slices_and_ends_with_the_last(volume, run_through):
    events, _ = run_through(uncertainty_map(trained(), volume(axis="x"), SETTINGS))
    done = [e.done for e in events]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 64)
    assert {(e.total, e.what, e.unit) for e in events} == {(64, "fish", "slices")}


def test_noise_of_changing_sign_averages_out_and_a_steady_sign_stays():
    noise = np.random.default_rng(0).choice([-1.0, 1.0], (20, 24, 28)).astype(np.float32)
    steady = np.ones_like(noise)
    assert smoothed(noise, (2, 2, 2)).mean() < 0.1
    assert smoothed(-steady, (2, 2, 2)).mean() == pytest.approx(1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SortingNetwork(build_encoder("resnet18", dropout=0.2)).eval()


def variance_settings(grid, **more):
    return SETTINGS.replace(statistic="variance", passes=3, grid=grid, every=5, **more)


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize(("axis", "direction"), [("z", "+"), ("y", "-"), ("x", "-")])
def test_the_variance_lies_at_the_centres_of_its_super_pixels(volume, look, network, axis, direction, stride):
    fish = volume(axis=axis, direction=direction)
    values, grid = look(fish, variance_settings(stride, refine=False), network=network)
    along = "zyx".index(axis)
    assert grid.voxels(along).tolist() == sampled(SHAPE[along], 5).tolist()
    index = 4
    picture = fit_slice(
        np.take(blob(), int(grid.voxels(along)[index]), axis=along), fish.slice_voxel_size, 64
    )
    whole = DropoutVariance(network.encoder, 3, stride)(torch.from_numpy(picture)[None])[0].numpy()
    part = np.take(values, index, axis=along)
    across = [i for i in range(3) if i != along]
    fitted = View.of(fish, SortingSettings(size=64), 1).fitted
    places = []
    for i, length in zip(across, fitted, strict=True):
        pixels = (grid.voxels(i) + 0.5) * length / SHAPE[i] - 0.5 + (64 - length) // 2
        np.testing.assert_allclose(pixels / stride, np.round(pixels / stride), atol=1e-6)
        assert (
            grid.voxels(i)[-1] + grid.scale[i] / 2 >= SHAPE[i] - 0.5 - 1e-6
        )  # nothing is out of reach of a box
        places.append(np.minimum(np.round(pixels / stride).astype(int), len(whole) - 1))
    np.testing.assert_allclose(part, whole[np.ix_(*places)], rtol=1e-4)


def test_the_relative_variance_is_another_map_on_the_same_grid(volume, look, network):
    fish = volume()
    plain, grid = look(fish, variance_settings(16), network=network)
    relative, same = look(fish, variance_settings(16).replace(statistic="relative variance"), network=network)
    assert grid == same
    assert not np.allclose(plain, relative)


def test_the_variance_of_a_network_without_dropout_is_refused(volume, look):
    plain = SortingNetwork(build_encoder("resnet18")).eval()
    with pytest.raises(BadInput, match="the run was trained without dropout"):
        look(volume(), variance_settings(32), network=plain)


def test_slices_larger_than_the_field_of_view_fill_the_square(volume):
    fish = volume(axis="z")
    assert View.of(fish, SortingSettings(size=64, field_of_view=3.0), None).fitted == (60, 64)
    assert View.of(fish, SortingSettings(size=64, field_of_view=38.4), None).fitted == (30, 32)


@pytest.mark.parametrize(
    ("unit", "field", "said"),
    [
        ("mm", 0.0, ""),
        ("mm", 20.0, ""),
        ("mm", 90.0, "has not learned on anything of this size"),
        ("mm", 2.0, "has not learned on anything of this size"),
        ("", 20.0, "the unit of this one is not known"),
        ("", 0.0, ""),
    ],
)
def test_a_volume_of_another_scale_than_the_run_knows_is_doubted(volume, unit, field, said):
    doubts = doubts_of_scale(volume(unit=unit), SortingSettings(size=64, field_of_view=field))
    assert [said in doubt for doubt in doubts] == ([True] if said else [])
