"""Learning curves: paired trials that leave the user's study alone, go on where they stopped, and add up."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.segment.learning_curve import trial as one_trial
from napari_sortingloss.segment.learning_curve.job import (
    LearningCurveSettings,
    choose_volumes,
    curve_id,
    learning_curve,
)
from napari_sortingloss.segment.learning_curve.linked_study import draw_slices, linked_study
from napari_sortingloss.segment.learning_curve.results import Cell, CurveFolder, tabulate
from napari_sortingloss.segment.learning_curve.scores import confusion, dice, iou, mean_over_volumes
from napari_sortingloss.segment.learning_curve.statistics import paired, summary
from napari_sortingloss.segment.learning_curve.trial import between_indices, interpolation_cell
from napari_sortingloss.study.annotations.reading import Annotations

CANDIDATES = {f"fish_{i}": np.arange(10 + i, 60 + i) for i in range(8)}


@pytest.fixture
def settings(tiny):
    def make(**changes):
        given = {"slices": (1, 2), "seeds": 1, "volumes_per_seed": 2, "every": 6, "test": ("c",), **changes}
        return LearningCurveSettings.of(**{**tiny, "steps": 2, **given})

    return make


@pytest.fixture
def quick(monkeypatch):
    """Trials that train nothing: what an arm scores is set by hand; every trial that ran is listed."""
    ran = []

    def run(self, cell, drawn, words):
        ran.append(cell)
        yield Progress(done=1, total=2, what=words)
        value = 0.4 + 0.1 * cell.slices + (0.0 if cell.arm == "scratch" else 0.02 * (1 + cell.seed))
        figures = {"rod": value, "body": value + 0.1}
        return {"annotated": 4, "iou": figures, "dice": figures, "between": None}

    monkeypatch.setattr(one_trial.Trial, "run", run)
    return ran


def result(events):
    last = list(events)[-1]
    assert isinstance(last, Result)
    return last.value


# ------------------------------------------------------------------------------------------------------------ drawing
def test_fewer_slices_are_a_subset_of_more():
    few, many = (draw_slices(CANDIDATES, 3, 5, n) for n in (2, 5))
    assert {name: indices[:2] for name, indices in many.items()} == few


def test_seeds_draw_other_volumes_and_slices_and_the_same_seed_the_same():
    draws = [draw_slices(CANDIDATES, seed, 5, 2) for seed in range(6)]
    assert len({tuple(draw) for draw in draws}) > 1
    assert draws[0] == draw_slices(CANDIDATES, 0, 5, 2)
    assert all(set(indices) <= set(CANDIDATES[name]) for draw in draws for name, indices in draw.items())


def test_slices_of_a_volume_do_not_depend_on_which_others_there_are():
    fewer = {name: CANDIDATES[name] for name in ("fish_1", "fish_5")}
    assert draw_slices(fewer, 2, 2, 3)["fish_5"] == draw_slices(CANDIDATES, 2, 8, 3)["fish_5"]


def test_a_small_pool_is_taken_whole():
    assert set(draw_slices(CANDIDATES, 0, 100, 1)) == set(CANDIDATES)


# ------------------------------------------------------------------------------------------------------- study of links
def test_a_linked_study_shows_the_same_and_shares_no_annotation(with_references, paint, labels_of, tmp_path):
    study = with_references
    child = linked_study(study, tmp_path / "child", study.select(("a", "b")))
    assert list(child.volumes) == ["a", "b"]
    assert (child.volume("b").axis, child.volume("b").direction) == ("y", "-")
    np.testing.assert_array_equal(child.volume("b").read_slices([3]), study.volume("b").read_slices([3]))
    assert [c["name"] for c in child.classes] == ["rod", "body"]
    paint(child, "a", "z", 5, labels_of("a")[5])
    assert Annotations(child, "a").slices()
    assert not Annotations(study, "a").slices()


def test_a_linked_study_takes_no_room(with_references, tmp_path):
    study = with_references
    child = linked_study(study, tmp_path / "child", study.select(("a",)))
    shards = [path for path in child.volume_path("a").rglob("*") if path.is_file()]
    assert shards
    assert all(path.stat().st_nlink > 1 for path in shards)


def test_where_links_are_impossible_files_are_copied(with_references, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    child = linked_study(with_references, tmp_path / "child", with_references.select(("a",)))
    np.testing.assert_array_equal(
        child.volume("a").read_slices([3]), with_references.volume("a").read_slices([3])
    )


# -------------------------------------------------------------------------------------------------------------- scores
def test_iou_and_dice_come_from_counts():
    true = np.array([[0, 0, 1, 1], [2, 2, 2, 0]])
    said = np.array([[0, 1, 1, 1], [2, 2, 0, 0]])
    counts = confusion(true, said, 3)
    np.testing.assert_allclose(iou(counts)[:2], [2 / 3, 2 / 3])
    np.testing.assert_allclose(dice(counts)[:2], [4 / 5, 4 / 5])
    assert math.isnan(iou(counts)[2])


def test_a_volume_without_a_class_does_not_count_for_it():
    one, other = np.diag([5, 2, 0]), np.diag([5, 0, 3])
    other[0, 2] = 3
    np.testing.assert_allclose(mean_over_volumes([one, other]), [1.0, 0.5])


def test_differences_are_paired_by_seed():
    scratch, sorting = {0: 0.2, 1: 0.6, 2: 0.4}, {0: 0.3, 1: 0.7, 5: 0.9}
    gain = paired(sorting, scratch)
    assert (gain.mean, gain.sd, gain.count) == (pytest.approx(0.1), pytest.approx(0.0), 2)
    assert summary({0: 1.0}).to_json() == {"mean": 1.0, "sd": None, "seeds": 1}


def test_slices_between_annotated_ones_are_judged():
    assert between_indices((20, 5, 10), 3) == [6, 9, 12, 15, 18]
    assert between_indices((20, 5), 8) == [8, 16]
    assert between_indices((20, 5), 100) == [12]
    assert between_indices((4,), 1) == []


def test_interpolation_of_a_straight_rod_is_nearly_perfect(with_references):
    measured = interpolation_cell(with_references, {"a": (8, 14)}, [1, 2], 1)
    assert measured["iou"] is None
    assert measured["between"]["rod"] > 0.85


def test_interpolation_runs_across_the_ordering_axis(with_references):
    measured = interpolation_cell(with_references, {"b": (12, 16)}, [1, 2], 1)
    assert measured["between"]["body"] > 0.8


# ------------------------------------------------------------------------------------------------------------- the job
def test_a_trial_trains_on_the_drawn_slices_and_leaves_the_study_alone(with_references, settings):
    study = with_references
    before = {path.relative_to(study.path) for path in study.path.rglob("*")}
    value = result(learning_curve(study, settings(slices=(2,))))
    (arm,) = value["arms"]
    assert arm["title"] == "scratch"
    assert arm["points"][0]["annotated"] == 4
    assert arm["points"][0]["mean_iou"]["mean"] is not None
    assert value["pool"] == ["a", "b"]
    assert value["test"] == ["c"]
    after = {path.relative_to(study.path) for path in study.path.rglob("*")}
    assert {path.parts[0] for path in after - before} == {"learning_curves"}
    assert not any("trial" in path.parts for path in after)
    cell = json.loads(
        (study.path / "learning_curves" / value["id"] / "cells.jsonl").read_text().splitlines()[-1]
    )
    assert set(cell["drawn"]) == {"a", "b"}
    assert set(cell["iou"]) == {"rod", "body"}


def test_the_same_call_again_trains_nothing(with_references, settings, quick):
    first = result(learning_curve(with_references, settings(seeds=2)))
    count = len(quick)
    assert count == 4
    assert result(learning_curve(with_references, settings(seeds=2))) == first
    assert len(quick) == count


def test_more_seeds_and_numbers_add_to_what_is_there(with_references, settings, quick):
    first = result(learning_curve(with_references, settings()))
    more = result(learning_curve(with_references, settings(seeds=2, slices=(1, 2, 3))))
    assert more["id"] == first["id"]
    assert len(quick) == len({cell.key for cell in quick}) == 6


def test_another_recipe_is_another_curve(with_references, settings):
    pool, test = choose_volumes(with_references, settings())
    names = {
        curve_id(settings(**change), pool, test) for change in ({}, {"steps": 3}, {"every": 2}, {"size": 48})
    }
    assert len(names) == 4
    assert curve_id(settings(threads=2, seeds=9), pool, test) == curve_id(settings(), pool, test)


def test_a_cancelled_curve_goes_on_where_it_was(with_references, settings, quick):
    job = learning_curve(with_references, settings(seeds=2))
    while len(quick) < 3:
        next(job)
    job.close()
    result(learning_curve(with_references, settings(seeds=2)))
    keys = [cell.key for cell in quick]
    assert keys.count(keys[2]) == 2  # the one that was under way
    assert len(set(keys)) == 4
    assert len(keys) == 5


def test_a_cancelled_training_leaves_no_trial_behind(with_references, settings):
    job = learning_curve(with_references, settings())
    for event in job:
        if isinstance(event, Progress) and event.done:
            break
    job.close()
    assert not list((with_references.path / "learning_curves").glob("*/trial"))


def test_progress_runs_through_all_trials(with_references, settings, quick):
    events = [e for e in learning_curve(with_references, settings()) if isinstance(e, Progress) and e.total]
    assert [event.done for event in events] == [1, 3]
    assert {event.total for event in events} == {4}


def test_arms_are_compared_in_pairs(with_references, settings, quick):
    study = with_references
    with study.new_run("pretrain", "sorting", {"volumes": ["a", "c"]}) as writer:
        run = writer.run.id
    events = list(learning_curve(study, settings(inits=("scratch", run), seeds=3)))
    arms = {arm["title"]: arm for arm in events[-1].value["arms"]}
    gain = arms["sorting"]["points"][0]["minus_scratch"]
    assert gain["mean"] == pytest.approx(0.04)
    assert gain["sd"] == pytest.approx(0.02)
    assert (gain["seeds"], gain["better_in"]) == (3, 3)
    assert "minus_scratch" not in arms["scratch"]["points"][0]
    warnings = [e.message for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert warnings == [
        f"The run '{run}' was trained on 1 of the volumes that are judged on (c); for a fair comparison pre-train without "
        "them."
    ]


def test_a_line_cut_short_by_a_kill_is_done_again(tmp_path):
    folder = CurveFolder(tmp_path)
    first, second = (Cell("scratch", n, 0, "scratch") for n in (1, 2))
    folder.append(first, {"iou": None})
    with (tmp_path / "cells.jsonl").open("a") as file:
        file.write('{"arm": "scra')
    assert set(folder.cells()) == {first.key}
    folder.append(second, {"iou": None})
    assert set(folder.cells()) == {first.key, second.key}


def test_two_programs_do_not_measure_the_same_curve(tmp_path):
    with (
        CurveFolder(tmp_path).owned(),
        pytest.raises(StudyError, match="another program"),
        CurveFolder(tmp_path).owned(),
    ):
        pass


def test_unknown_figures_stay_unknown_in_the_table():
    cells = [
        {
            "arm": "scratch",
            "slices": 1,
            "seed": s,
            "annotated": 2,
            "iou": {"rod": v, "body": None},
            "dice": None,
        }
        for s, v in enumerate((0.5, None))
    ]
    value = tabulate(cells, titles={"scratch": "scratch"}, classes={1: "rod", 2: "body"}, slices=[1, 4])
    (point,) = value["arms"][0]["points"]
    assert point["mean_iou"] == {"mean": 0.5, "sd": None, "seeds": 1}
    assert point["iou"]["body"]["mean"] is None
    assert json.loads(json.dumps(value)) == value


# ------------------------------------------------------------------------------------------------------------ settings
def test_options_of_both_kinds_make_settings_that_survive_json(settings):
    found = settings(inits=("scratch", "sorting-1"))
    assert found.finetune.steps == 2
    assert found.finetune.held_back == 0
    assert LearningCurveSettings.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    "change", [{"inits": ()}, {"slices": ()}, {"slices": (0,)}, {"seeds": 0}, {"steps": 0}]
)
def test_settings_that_mean_nothing_are_refused(settings, change):
    with pytest.raises(BadSetting):
        settings(**change)


def test_without_names_two_of_five_labelled_volumes_are_judged_on(with_references, settings):
    pool, test = choose_volumes(with_references, settings(test=()))
    assert [v.name for v in test] == ["b"]
    assert [v.name for v in pool] == ["a", "c"]
    pool, test = choose_volumes(with_references, settings(test=(), volumes=("c",)))
    assert [v.name for v in test] == ["a", "b"]
    assert [v.name for v in pool] == ["c"]


def test_a_volume_cannot_be_trained_and_judged_on(with_references, settings):
    with pytest.raises(BadSetting, match="both to train and to judge on"):
        choose_volumes(with_references, settings(volumes=("a", "c"), test=("c",)))


def test_volumes_without_reference_are_refused(study, settings):
    with pytest.raises(BadInput, match="'c' has no reference labels"):
        choose_volumes(study, settings())
    with pytest.raises(BadInput, match="none is left"):
        choose_volumes(study, settings(test=()))
