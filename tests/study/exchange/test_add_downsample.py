"""Downsampling against plain loops over blocks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from napari_sortingloss.disk import downsample
from napari_sortingloss.disk.downsample import block_majority, block_mean, reduced_shape
from napari_sortingloss.formats import array_source
from napari_sortingloss.study.exchange import measure_window


def blocks(data: np.ndarray, n: int):
    """Yield (position, voxels) of every block, those cut off by a far face included."""
    for at in product(*(range(-(-s // n)) for s in data.shape)):
        yield at, data[tuple(slice(i * n, (i + 1) * n) for i in at)]


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "int32", "float32", "float64"])
def test_each_voxel_is_the_mean_of_its_block_even_where_a_face_cuts_it_off(n, dtype):
    data = (np.random.default_rng(0).random((7, 11, 13)) * 100).astype(dtype)
    got = block_mean(data, n)
    assert got.shape == reduced_shape(data.shape, n)
    for at, block in blocks(data, n):
        assert got[at] == pytest.approx(block.astype(float).mean(), rel=1e-5)


def test_what_is_not_finite_is_left_out_of_the_mean():
    data = np.arange(2 * 2 * 4, dtype=np.float32).reshape(2, 2, 4)
    data[0, 0, 0], data[1, 1, 1] = np.nan, np.inf
    data[:, :, 2:] = np.nan
    got = block_mean(data, 2)
    first = np.array([1, 4, 5, 8, 9, 12])
    assert got[0, 0, 0] == pytest.approx(first.mean())
    assert np.isnan(got[0, 0, 1])


def test_a_factor_of_one_changes_nothing():
    data = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    assert block_mean(data, 1) is data
    assert block_majority(data, 1) is data


@pytest.mark.parametrize("n", [2, 3])
def test_a_label_is_the_most_frequent_of_its_block_and_the_smallest_of_equals(n):
    data = np.random.default_rng(0).integers(0, 4, (7, 9, 10)).astype(np.uint16)
    got = block_majority(data, n)
    assert got.dtype == data.dtype
    for at, block in blocks(data, n):
        assert got[at] == np.bincount(block.ravel()).argmax()


def test_layers_of_blocks_that_are_read_in_pieces_give_the_same(monkeypatch, make_volume):
    source = array_source(make_volume((11, 9, 13), "float32"), "fish", (0.4, 0.25, 0.3), "mm")
    whole = np.concatenate(list(measure_window.downsampled_slabs(source, 4)))
    monkeypatch.setattr(
        measure_window, "slab_height", lambda shape, itemsize, multiple=1, budget=0: max(3, multiple)
    )
    pieces = list(measure_window.downsampled_slabs(source, 4))
    assert len(pieces) == 3
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-6)


def test_labels_of_wide_slices_are_reduced_in_tiles(monkeypatch):
    data = np.random.default_rng(0).integers(0, 3, (4, 31, 10)).astype(np.uint8)
    whole = block_majority(data, 2)
    monkeypatch.setattr(downsample, "_TILE", 100)
    assert (block_majority(data, 2) == whole).all()
