"""The thinned copy of a source that is looked at before an import."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.readers.plain import ArraySource
from napari_sortingloss.study.exchange import preview_window as previews
from napari_sortingloss.study.exchange.preview_window import preview


def source(data: np.ndarray) -> ArraySource:
    return ArraySource(data, axes=(0, 1, 2), name="fish", format="layer")


def test_a_small_volume_is_looked_at_whole(make_volume, voxel_size):
    data = make_volume((12, 9, 17), "uint16")
    seen = preview(source(data))
    assert (seen.voxels == data).all()
    assert seen.counts.sum() == data.size
    assert (seen.edges[0], seen.edges[-1]) == (data.min(), data.max())
    assert seen.greys.window("p2:p98") == pytest.approx(tuple(np.percentile(data, (2, 98))))
    assert seen.spacing(voxel_size) == pytest.approx(voxel_size)


def test_a_large_one_is_thinned_evenly_along_each_axis(make_volume, monkeypatch, voxel_size):
    monkeypatch.setattr(previews, "SLICES", 6)
    monkeypatch.setattr(previews, "LEAST_SLICES", 2)
    monkeypatch.setattr(previews, "SIDE", 9)
    data = make_volume((24, 18, 36), "float32")
    seen = preview(source(data))
    assert (seen.voxels == data[2::4, 1::2, 2::4]).all()
    assert seen.spacing(voxel_size) == pytest.approx((1.6, 0.5, 1.2))


def test_no_more_is_read_than_is_allowed(make_volume, monkeypatch):
    monkeypatch.setattr(previews, "LEAST_SLICES", 3)
    monkeypatch.setattr(previews, "READ_BYTES", 5 * 18 * 30 * 2)
    data = make_volume((24, 18, 30), "uint16")
    chunked = source(data)
    assert len(preview(chunked).voxels) == 5
    chunked.together = 8  # each slice costs eight
    assert len(preview(chunked).voxels) == 3


def test_few_values_have_a_bin_each():
    data = np.tile(np.arange(7, dtype=np.uint8), 60).reshape(5, 7, 12)
    seen = preview(source(data))
    assert seen.counts.tolist() == [60] * 7
    assert (seen.edges[0], seen.edges[-1]) == (-0.5, 6.5)


def test_a_source_without_a_finite_voxel_is_refused():
    with pytest.raises(BadInput, match="no voxel is a finite number"):
        preview(source(np.full((3, 4, 5), np.nan, np.float32)))


def test_what_is_not_finite_is_not_measured(make_volume):
    data = make_volume((12, 9, 17), "float32")
    expected = np.percentile(data, (1, 99.95))
    data = np.concatenate([data, np.full_like(data, np.nan)])
    assert preview(source(data)).greys.window("p1:p99.95") == pytest.approx(tuple(expected))
