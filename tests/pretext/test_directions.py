"""Which volumes look stored upside down, and of which a network that is near random cannot tell."""

from __future__ import annotations

import pytest

from napari_sortingloss.pretext.directions import directions, word


def entry(name: str, spearman: float, displacement: float = 1.0) -> dict[str, object]:
    batch = {"mean_displacement": displacement, "random_displacement": 5.31}
    return {"name": name, "spearman": spearman, "flipped": spearman < -0.5, "batch": batch}


def test_a_network_that_knows_every_volume_says_which_are_upside_down():
    assert directions([entry("a", 0.9), entry("b", 0.8)]).said == "none"
    assert directions([entry("a", 0.9), entry("b", -0.8), entry("c", -0.6)]).said == "b, c"


def test_near_random_it_says_that_it_cannot_tell_with_its_figure_and_that_of_chance():
    found = directions([entry("a", 0.1, 4.8), entry("b", -0.3, 5.0)])
    assert found.flipped == ()
    assert found.said == (
        "none so far; of a, b the network cannot tell yet (mean displacement 4.9 slices, random 5.3)"
    )


def test_what_it_knows_is_said_beside_what_it_cannot_tell():
    found = directions([entry("a", 0.9), entry("b", -0.9), entry("c", 0.2, 4.4)])
    assert found.flipped == ("b",)
    assert found.warning == "of c the network cannot tell yet (mean displacement 4.4 slices, random 5.3)"


def test_many_volumes_are_counted():
    assert "of v0, v1, v2 and 2 more the" in directions([entry(f"v{i}", 0.0, 5.0) for i in range(5)]).said


@pytest.mark.parametrize(("spearman", "said"), [(0.9, ""), (-0.9, "upside down?"), (0.3, "cannot tell yet")])
def test_one_volume_has_a_word_of_its_own(spearman, said):
    assert word(entry("a", spearman)) == said


def test_entries_of_an_earlier_version_are_judged_by_their_whole_volume():
    old = {
        "name": "a",
        "spearman": 0.1,
        "flipped": False,
        "mean_displacement": 50.0,
        "random_displacement": 55.0,
    }
    assert "mean displacement 50.0 slices, random 55.0" in directions([old]).said
