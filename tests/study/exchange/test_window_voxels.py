"""What a window does to voxels, and how it is measured, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.study.exchange.histogram import IntensityHistogram
from napari_sortingloss.study.exchange.measure_window import SAMPLE_SLICES, SAMPLE_VOXELS, sample_positions
from napari_sortingloss.study.exchange.window import Windower, apply_window

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64", "float32", "float64"]
PERCENTS = (0, 1, 37.5, 50, 99.95, 100)


def voxels(dtype: str, shape=(7, 11, 13)) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, shape)
    if np.dtype(dtype).kind == "f":
        return (values * 3e-3).astype(dtype)
    info = np.iinfo(dtype)
    middle, spread = (info.max + info.min) / 2, (info.max - info.min) / 8
    return np.clip(values * spread + middle, info.min, info.max).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_voxels_are_scaled_rounded_and_clipped(dtype):
    data = voxels(dtype)
    low, high = (float(v) for v in np.percentile(data, (5, 90)))
    expected = np.clip(np.floor((data.astype(float) - low) * 255 / (high - low) + 0.5), 0, 255)
    got = apply_window(data, low, high)
    assert got.dtype == np.uint8
    assert got.shape == data.shape
    # float32 arithmetic may fall on the other side of a half
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert np.mean(got != expected) < 0.002


def test_the_ends_of_the_window_become_0_and_255():
    got = apply_window(np.array([-901, -900, -200, 500, 501], np.int16), -900, 500)
    assert got.tolist() == [0, 0, 128, 255, 255]


def test_a_window_far_from_zero_loses_no_grey_levels():
    data = (4_000_000_000 + np.arange(256)).astype(np.uint32)
    assert apply_window(data, 4_000_000_000, 4_000_000_255).tolist() == list(range(256))


def test_nan_becomes_0_and_infinities_the_ends_and_both_are_counted():
    windower = Windower(0.0, 1.0)
    got = windower(np.array([[np.nan, -np.inf, np.inf], [0.2, 1.0, np.nan]], np.float32))
    assert got.tolist() == [[0, 0, 255], [51, 255, 0]]
    assert (windower.nan, windower.infinite) == (2, 2)
    assert (windower.minimum, windower.maximum) == (np.float32(0.2), 1.0)


def test_voxels_that_are_not_contiguous_are_mapped_as_well():
    data = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)[:, ::-1, ::2]
    assert (apply_window(data, 0, 255) == data).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_percentiles_are_those_of_numpy(dtype):
    data = voxels(dtype)
    histogram = IntensityHistogram(data.dtype)
    for slab in data:
        histogram.add(slab)
    got = histogram.percentiles(PERCENTS, lambda: iter(data))
    np.testing.assert_allclose(got, np.percentile(data, PERCENTS), rtol=1e-6)
    assert (histogram.minimum, histogram.maximum) == (float(data.min()), float(data.max()))


def test_percentiles_of_values_of_both_signs_and_few_levels_are_those_of_numpy():
    data = np.repeat(np.array([-np.pi, -0.0, 0.0, 1e-30, 2.5], np.float32), [5, 1, 3, 2, 4])
    histogram = IntensityHistogram(data.dtype)
    histogram.add(data)
    np.testing.assert_allclose(
        histogram.percentiles(PERCENTS, lambda: [data]), np.percentile(data, PERCENTS), rtol=1e-6
    )


def test_percentiles_leave_out_what_is_no_finite_number():
    data = voxels("float32")
    spoilt = data.copy()
    spoilt[2, 3], spoilt[4, 1, 1] = np.nan, np.inf
    histogram = IntensityHistogram(spoilt.dtype)
    histogram.add(spoilt)
    expected = np.percentile(spoilt[np.isfinite(spoilt)], PERCENTS)
    np.testing.assert_allclose(histogram.percentiles(PERCENTS, lambda: [spoilt]), expected, rtol=1e-6)
    assert histogram.not_finite == 14


def test_one_voxel_is_all_its_percentiles():
    histogram = IntensityHistogram(np.dtype(np.int16))
    histogram.add(np.array([-7], np.int16))
    assert histogram.percentiles((0, 50, 100)) == [-7, -7, -7]


def test_8_and_16_bit_need_no_second_reading_and_32_bit_do():
    assert IntensityHistogram(np.dtype(np.int16)).exact
    histogram = IntensityHistogram(np.dtype(np.float32))
    histogram.add(np.ones(3, np.float32))
    assert not histogram.exact
    with pytest.raises(ValueError, match="second reading"):
        histogram.percentiles((1,))


def test_the_slices_of_a_sample_are_the_middles_of_equal_stretches():
    assert sample_positions((4, 5000, 5000)) == [0, 1, 2, 3]
    chosen = sample_positions((1280, 5000, 5000))
    assert len(chosen) == SAMPLE_SLICES
    assert chosen[:3] == [10, 30, 50]
    assert len(sample_positions((100_000, 10, 10))) == SAMPLE_VOXELS // 100
