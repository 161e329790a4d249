"""How well a window is filled by the grey values of a volume, and the sentence that names those it does not suit."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.study.exchange.grey_values import Fill, GreyValues, poorly_filled

DATA = np.random.default_rng(2).normal(120, 20, (13, 22, 17))


def test_percentiles_are_those_of_the_voxels():
    greys = GreyValues.of(DATA)
    for percent in (0, 1, 33.3, 99.95, 100):
        assert greys.at(percent) == pytest.approx(np.percentile(DATA, percent))
    assert greys.window("p2:p98") == pytest.approx(tuple(np.percentile(DATA, (2, 98))))
    assert greys.window("-900:500") == (-900, 500)


def test_percentiles_that_coincide_give_the_whole_range():
    sparse = np.zeros(10_000)
    sparse[0] = 900
    assert GreyValues.of(sparse).window("p1:p99.95") == (0, 900)


def test_a_window_that_is_none_is_refused():
    with pytest.raises(BadSetting, match="lower end"):
        GreyValues.of(DATA).window("500:-900")


def test_a_window_for_chests_shows_eight_bits_in_a_few_pale_greys():
    fill = GreyValues.of(DATA).fill(-900, 500)
    low, high = np.percentile(DATA, (1, 99.95))
    assert fill.share == pytest.approx((high - low) / 1400)
    assert fill.poor
    assert str(fill) == "8%"


@pytest.mark.parametrize(("window", "poor"), [((60, 200), False), ((0, 255), False), ((0, 400), True)])
def test_less_than_a_third_is_poor(window, poor):
    assert GreyValues.of(DATA).fill(*window).poor is poor


def test_a_volume_that_is_mostly_white_in_a_window_is_poor_though_it_fills_it():
    padded = np.concatenate([np.full(200, -1000.0), np.linspace(-900, 3000, 2000)])
    fill = GreyValues.of(padded).fill(-900, 500)
    assert fill.share > 0.9
    assert fill.white == pytest.approx(0.58, abs=0.01)
    assert fill.poor
    assert str(fill) == "58% white"


def test_a_volume_of_nearly_one_value_is_not_judged():
    sparse = np.zeros(10_000)
    sparse[:2] = 900
    assert not GreyValues.of(sparse).fill(0, 900).poor


def test_the_sentence_names_each_volume_and_by_how_much():
    fills = {"iguana": Fill(0.18, 0), "chest": Fill(0.9, 0), "tooth": Fill(0.4, 0.84)}
    assert poorly_filled("-900:500", fills) == (
        "2 of 3 volumes fill less than a third of the window -900:500, or lie mostly above it: "
        "iguana (18%), tooth (84% white)."
    )
    assert poorly_filled("-900:500", {"chest": Fill(0.9, 0)}) == ""
