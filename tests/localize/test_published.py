"""The published recipe end to end, against the same computed step by step from what the paper says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sortingloss.localize.region import FEW
from napari_sortingloss.localize.variance import DropoutVariance
from napari_sortingloss.pretext.loading import load_network
from napari_sortingloss.pretext.sorting.scoring import build_network
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.slices.fit import fit_slice
from napari_sortingloss.study.localizations.reading import read_localization, read_map


@pytest.fixture
def variances(study, runs):
    """The variance at every super-pixel of every slice of fish_b, which is ordered along y; shape (y, 4, 4)."""
    volume = study.volume("fish_b")
    voxels = volume.read_slab(0, volume.shape[0])
    with load_network(study.run(runs.sorting), "best", "cpu", 1, SortingSettings, build_network) as trained:
        fitted = [fit_slice(voxels[:, y], (0.4, 0.3), 32) for y in range(volume.shape[1])]
        return DropoutVariance(trained.network.encoder, 20, 8)(torch.from_numpy(np.stack(fitted))).numpy()


def test_the_region_is_the_largest_part_of_the_highest_three_percent(study, runs, ask, variances):
    value, _ = ask("fish_b", recipe="published", grid=8, passes=None, every=None)
    stored, grid = read_map(study, "fish_b", runs.sorting, "uncertainty")
    beyond = [
        (0, have - got) for have, got in zip(stored.shape, np.moveaxis(variances, 0, 1).shape, strict=True)
    ]
    repeated = np.pad(np.moveaxis(variances, 0, 1), beyond, mode="edge")
    np.testing.assert_allclose(stored, repeated, rtol=1e-5)

    count = round(0.03 * stored.size)
    threshold = np.sort(stored, axis=None)[-count - 1]
    above = stored > threshold
    assert above.sum() == count
    labels, parts = ndimage.label(above)
    sizes = [(labels == part).sum() for part in range(1, parts + 1)]
    assert max(sizes) >= FEW
    points = np.argwhere(labels == 1 + int(np.argmax(sizes)))

    (one,) = value["volumes"]
    shape = study.volume("fish_b").shape
    for axis, name in enumerate("zyx"):
        half = grid["scale"][axis] / 2
        low = grid["offset"][axis] + grid["scale"][axis] * points[:, axis].min() - half
        high = grid["offset"][axis] + grid["scale"][axis] * points[:, axis].max() + half
        expected = [
            max(0, int(np.floor(low + 0.5 + 1e-6))),
            min(shape[axis], int(np.ceil(high + 0.5 - 1e-6))),
        ]
        assert one["box"][axis] == expected, name
    assert one["threshold"] == pytest.approx(float(threshold))
    assert one["fraction"] == pytest.approx(count / stored.size)
    assert read_localization(study, "fish_b", runs.sorting).evidence_grid is None


def test_super_pixels_lie_where_the_slice_was_in_the_square(study, runs, ask):
    """A slice of 31 x 0.4 by 36 x 0.3 mm fills 32 by 28 of 32 pixels: its first column is the third of the square."""
    ask("fish_b", recipe="published", grid=8, passes=2, every=None)
    _, grid = read_map(study, "fish_b", runs.sorting, "uncertainty")
    assert grid["shape"] == [5, 28, 5]  # the last of each stands for the pixels beyond the last super-pixel
    np.testing.assert_allclose(grid["scale"], [8 * 31 / 32, 1, 8 * 36 / 28])
    np.testing.assert_allclose(grid["offset"], [0.5 * 31 / 32 - 0.5, 0, (0 - 2 + 0.5) * 36 / 28 - 0.5])
