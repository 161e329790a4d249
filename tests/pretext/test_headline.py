"""The main figure of a run, and on how many volumes it was measured."""

from __future__ import annotations

import pytest

from napari_sortingloss.pretext.headline import headline, main_figure, measured_on
from napari_sortingloss.training.curves import Curve

FIGURES = {"mean_displacement": 2.333, "random_displacement": 5.31, "left_out": 0.0}
CURVE = Curve("mean_displacement", "mean displacement", "slices", chance=5.3125, main=True)


def test_it_says_the_level_of_chance_beside_the_value():
    found = headline(FIGURES, CURVE)
    assert found is not None
    assert (found.title, found.beside) == ("mean displacement", "2.33 (random 5.31)")


def test_it_says_on_how_many_volumes_it_was_measured_where_others_were_left_out():
    found = headline({**FIGURES, "left_out": 0.5, "volumes": 2.0}, CURVE)
    assert found is not None
    assert found.beside == "2.33 (random 5.31) on 1 of 2 volumes"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"left_out": 1 / 3, "volumes": 3.0}, "2 of 3"),
        ({"left_out": 0.25}, "75 % of the"),  # a run from before the volumes were counted
        ({"left_out": 0.0, "volumes": 3.0}, ""),
        ({}, ""),
    ],
)
def test_the_volumes_are_counted_where_that_is_known_and_not_mentioned_where_all_were_measured(values, said):
    assert measured_on(values) == said


def test_a_split_without_figures_has_no_headline():
    assert headline({"left_out": 1.0}, CURVE) is None
    assert headline(None, CURVE) is None


def test_without_a_measured_level_of_chance_that_of_the_curve_is_said():
    found = headline({"mean_displacement": 2.333}, CURVE)
    assert found is not None
    assert (found.random, found.chance) == ("5.31", 5.3125)


@pytest.mark.parametrize(
    ("kind", "task", "metric"),
    [
        ("pretrain", "sorting", "mean_displacement"),
        ("pretrain", "rotation", "accuracy"),
        ("finetune", "segmentation", "mean_iou"),
    ],
)
def test_a_run_is_judged_by_the_main_curve_of_its_settings_even_where_they_are_damaged(kind, task, metric):
    for settings in ({}, {"size": "large"}):
        found = main_figure(kind, task, settings)
        assert found is not None
        assert (found.metric, found.main) == (metric, True)


def test_nothing_is_known_of_a_task_that_is_not_in_the_registry():
    assert main_figure("pretrain", "of another version", {}) is None
