"""Ranking slices to annotate next, on made-up features."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.segment.suggest.ranking import (
    Importance,
    Suggestion,
    anatomical_ranks,
    match_anatomy,
    rank_suggestions,
)
from napari_sortingloss.segment.suggest.slice_features import SliceFeatures

ONLY = dict.fromkeys(("spread", "novelty", "doubt", "turn"), 0.0)


def only(name):
    return Importance(**{**ONLY, name: 1.0})


def seen(volume="fish_a", n=60, *, direction="+", doubt=None, foreground=None, embeddings=None, shift=0.0):
    """Features of a volume whose anatomy runs from 0 to 1 and whose embedding goes with it."""
    positions = np.arange(n)
    where = np.linspace(0, 1, n) + shift
    if embeddings is None:
        embeddings = np.stack([where, np.zeros(n), np.full(n, 7.0)], axis=1)
    return SliceFeatures(
        volume=volume,
        axis="y",
        positions=positions,
        indices=positions if direction == "+" else n - 1 - positions,
        slices=n,
        embeddings=np.asarray(embeddings, np.float32),
        anatomy=where.astype(np.float32),
        foreground=np.ones(n, bool) if foreground is None else foreground,
        doubt=np.full(n, np.nan, np.float32) if doubt is None else np.asarray(doubt, np.float32),
        step=3,
    )


def indices(found, volume="fish_a"):
    return [one.index for one in found if one.volume == volume]


def test_suggestions_spread_evenly_over_the_anatomy():
    found = rank_suggestions([seen()], {"fish_a": [0]}, 4, importance=only("spread"))
    assert indices(found)[:2] == [59, pytest.approx(30, abs=1)]
    assert sorted(indices(found)[2:]) == pytest.approx([15, 44], abs=2)


def test_a_slice_at_an_annotated_place_of_another_volume_is_not_needed():
    found = rank_suggestions(
        [seen("fish_a"), seen("fish_b")], {"fish_a": [0, 30]}, 1, importance=only("spread")
    )
    assert found[0].anatomy > 0.9


def test_a_slice_that_looks_unlike_the_annotated_ones_comes_first():
    embeddings = np.zeros((60, 2))
    embeddings[20:26] = [3.0, -1.0]
    found = rank_suggestions([seen(embeddings=embeddings)], {"fish_a": [50]}, 1, importance=only("novelty"))
    assert 20 <= found[0].index < 26
    assert "far from what you painted" in found[0].reason


def test_the_model_s_doubt_counts():
    doubt = np.linspace(0.1, 0.2, 60)
    doubt[40] = 0.9
    found = rank_suggestions([seen(doubt=doubt)], {"fish_a": [5]}, 1, importance=only("doubt"))
    assert found[0].index == 40
    assert found[0].reason == "the model is unsure"


def test_volumes_take_turns():
    found = rank_suggestions(
        [seen("fish_a"), seen("fish_b"), seen("fish_c")], {"fish_a": [30]}, 2, importance=only("turn")
    )
    assert {one.volume for one in found} == {"fish_b", "fish_c"}
    assert found[0].reason == "nothing painted in this volume yet"


def test_empty_slices_are_never_suggested():
    foreground = np.zeros(60, bool)
    foreground[20:40] = True
    found = rank_suggestions([seen(foreground=foreground)], {}, 60)
    assert found
    assert all(20 <= one.index < 40 for one in found)


def test_neighbours_of_annotated_and_of_suggested_slices_are_not_suggested():
    found = rank_suggestions([seen()], {"fish_a": [30]}, 60)
    taken = [30, *indices(found)]
    assert min(np.diff(sorted(taken))) > 3
    assert len(set(taken)) == len(taken)


def test_what_was_suggested_counts_as_annotated_for_the_next():
    first = rank_suggestions([seen()], {"fish_a": [0]}, 2)
    again = rank_suggestions([seen()], {"fish_a": [0, first[0].index]}, 1)
    assert again[0].index == first[1].index


def test_the_first_slice_of_all_is_a_typical_one():
    found = rank_suggestions([seen()], {}, 1)
    assert 20 < found[0].index < 40
    assert found[0].reason.startswith("a typical slice to begin with")


def test_indices_follow_the_array_and_positions_the_direction():
    doubt = np.zeros(60)
    doubt[10] = 1
    found = rank_suggestions([seen(direction="-", doubt=doubt)], {}, 1, importance=only("doubt"))
    assert (found[0].position, found[0].index) == (10, 49)


def test_only_wanted_volumes_are_suggested_but_all_annotations_count():
    both = [seen("fish_a"), seen("fish_b")]
    found = rank_suggestions(both, {"fish_b": [0]}, 3, volumes={"fish_a"}, importance=only("spread"))
    assert {one.volume for one in found} == {"fish_a"}
    assert found[0].anatomy > 0.9


def test_doubt_that_nobody_knows_takes_no_share_of_the_score():
    with_it = rank_suggestions([seen()], {"fish_a": [0]}, 1, importance=Importance(1, 1, 5, 0))
    without = rank_suggestions([seen()], {"fish_a": [0]}, 1, importance=Importance(1, 1, 0, 0))
    assert with_it[0].score == without[0].score > 0.9


def test_a_constant_network_still_gives_suggestions():
    dull = seen(embeddings=np.zeros((60, 4)))
    found = rank_suggestions([dull], {"fish_a": [3]}, 5)
    assert len(found) == 5
    assert all(np.isfinite(one.score) and one.reason for one in found)


def test_nothing_is_suggested_where_nothing_is_left():
    short = seen(n=5)
    assert rank_suggestions([short], {"fish_a": [2]}, 3) == []
    assert rank_suggestions([], {}, 3) == []


def test_a_suggestion_survives_json():
    one = rank_suggestions([seen()], {}, 1)[0]
    assert Suggestion.from_json(one.to_json()) == one


def test_anatomical_ranks_are_comparable_across_volumes():
    ranks = anatomical_ranks([seen("fish_a"), seen("fish_b", n=40, shift=1.0)])
    assert ranks.min() >= 0
    assert ranks.max() <= 1
    assert ranks[:60].max() < ranks[61:].min()


def test_the_same_anatomy_is_found_at_the_same_score_and_the_nearest_look():
    longer = seen("fish_b", n=120)
    embeddings = longer.embeddings.copy()
    embeddings[:, 1] = 2.0
    embeddings[62, 1] = 0.0
    longer = seen("fish_b", n=120, embeddings=embeddings)
    found = match_anatomy([seen("fish_a"), longer, seen("fish_c", n=30)], "fish_a", 30)
    by_volume = {one["volume"]: one for one in found}
    assert by_volume["fish_b"]["index"] == 62
    assert abs(by_volume["fish_c"]["index"] - 15) <= 1
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)


def test_the_same_anatomy_is_never_an_empty_slice():
    foreground = np.ones(60, bool)
    foreground[25:36] = False
    found = match_anatomy([seen("fish_a"), seen("fish_b", foreground=foreground)], "fish_a", 30)
    assert foreground[found[0]["index"]]


def test_the_same_anatomy_of_an_unknown_volume_is_an_error():
    with pytest.raises(KeyError):
        match_anatomy([seen("fish_a")], "fish_z", 3)
