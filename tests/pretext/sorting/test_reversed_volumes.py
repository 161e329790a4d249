"""The guard that notices a volume stored upside down, fed with made-up correlations."""

import json

import pytest

from napari_sortingloss.pretext.sorting.reversed_volumes import RECENT, ReversedVolumes


def watched(rhos, rounds=RECENT):
    found = ReversedVolumes()
    for _ in range(rounds):
        for name, rho in rhos.items():
            found.observe(name, rho)
    return found


WELL = {f"fish_{i}": 0.9 for i in range(5)}


def test_one_reversed_volume_among_well_ordered_ones_is_noticed_once():
    directions = watched({**WELL, "odd": -0.83})
    (verdict,) = directions.review()
    assert (verdict.volume, verdict.reversed) == ("odd", True)
    assert verdict.spearman == pytest.approx(-0.83)
    assert verdict.others == pytest.approx(0.9)
    assert directions.reversed == {"odd"}
    assert directions.review() == []


def test_nothing_is_said_before_a_volume_has_been_seen_often_enough():
    assert watched({**WELL, "odd": -0.83}, rounds=RECENT - 1).review() == []


@pytest.mark.parametrize("others", [0.2, 0.5])
def test_nothing_is_said_while_the_network_cannot_order_the_others(others):
    assert watched({**dict.fromkeys(WELL, others), "odd": -0.9}).review() == []


@pytest.mark.parametrize("rho", [0.3, 0.0, -0.3])
def test_a_volume_that_is_merely_badly_ordered_stays(rho):
    assert watched({**WELL, "odd": rho}).review() == []


def test_two_or_three_volumes_make_no_majority():
    assert watched({"a": 0.9, "b": 0.9, "odd": -0.9}).review() == []


def test_when_half_of_the_volumes_point_the_other_way_nobody_is_left_out():
    half = {f"up_{i}": 0.8 for i in range(4)} | {f"down_{i}": -0.8 for i in range(4)}
    assert watched(half).review() == []


def test_two_reversed_volumes_among_eight_are_both_noticed():
    directions = watched({f"up_{i}": 0.8 for i in range(7)} | {"down_0": -0.8, "down_1": -0.9})
    assert {v.volume for v in directions.review()} == {"down_0", "down_1"}


def test_a_volume_that_comes_out_well_ordered_later_is_pardoned():
    directions = watched({**WELL, "odd": -0.83})
    directions.review()
    for _ in range(RECENT):
        directions.observe("odd", 0.9)
    (verdict,) = directions.review()
    assert (verdict.volume, verdict.reversed) == ("odd", False)
    assert not directions.reversed


def test_a_correlation_that_is_not_a_number_counts_as_no_order():
    assert watched({**WELL, "odd": float("nan")}).review() == []


def test_what_was_seen_survives_a_trip_through_json():
    before = watched({**WELL, "odd": -0.83})
    before.review()
    after = ReversedVolumes()
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert after.reversed == {"odd"}
    assert after.state_dict() == before.state_dict()
    assert after.review() == []
