"""What a person may write for an intensity window."""

from __future__ import annotations

import pytest

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.study.exchange.window import Percentiles, Values, parse_window


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("p1:p99.95", Percentiles(1, 99.95)),
        (" P0 : p100 ", Percentiles(0, 100)),
        ("p.5:p99", Percentiles(0.5, 99)),
        ("-900:500", Values(-900, 500)),
        ("+0.25:1e3", Values(0.25, 1000)),
        ("-2.5e-3:-1e-3", Values(-0.0025, -0.001)),
    ],
)
def test_a_window_is_two_percentiles_or_two_values(text, window):
    assert parse_window(text) == window


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "neither two percentiles nor two intensities; write it like p1:p99.95 or like -900:500."),
        ("bone", "neither two percentiles nor two intensities"),
        ("1,99", "neither two percentiles nor two intensities"),
        ("1:2:3", "neither two percentiles nor two intensities"),
        ("nan:inf", "neither two percentiles nor two intensities"),
        ("p1:500", "one end is a percentile and the other an intensity"),
        ("p1:p101", "a percentile lies between 0 and 100"),
        ("p-1:p50", "a percentile lies between 0 and 100"),
        ("p60:p40", "its lower end is not below its upper end; give the lower end first."),
        ("500:-900", "its lower end is not below its upper end"),
        ("7:7", "its lower end is not below its upper end"),
        ("0:1e999", "one end is too large a number"),
    ],
)
def test_a_window_that_cannot_be_used_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(BadSetting) as refusal:
        parse_window(text)
    assert str(refusal.value).startswith(f"Cannot use the intensity window '{text}': ")
    assert sentence in str(refusal.value)
