"""What a run is called and how good it is said to be, what tells runs apart, and which is proposed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sortingloss.widgets.runs.run_words import best_run, differences, entry, figure
from napari_sortingloss.widgets.session.session import RunInfo


def info(
    name: str, displacement: float | None = None, state: str = "finished", called: str = "", **settings: Any
) -> RunInfo:
    measured = {} if displacement is None else {"mean_displacement": displacement}
    about = {"slices": 16, "validate": ["a"], "encoder": "resnet18", **settings}
    summary = {"step": 40, "steps": 100, "train": {}, "validation": measured}
    return RunInfo(name, "pretrain", "sorting", state, "2026", Path(name), summary, about, called)


def tuned(name: str, iou: float, kept: tuple[str, ...] = ("fish z 3",), split: str = "validation") -> RunInfo:
    summary = {"step": 40, "steps": 100, split: {"mean_iou": iou}}
    settings = {"kept": list(kept), "network": "unet"}
    return RunInfo(name, "finetune", "segmentation", "finished", "2026", Path(name), summary, settings)


def test_the_figure_is_said_in_a_word_or_two():
    assert figure(info("r", 0.94)) == "0.9 of 16 slices"
    assert figure(tuned("r", 0.714)) == "IoU 0.71"
    assert figure(tuned("r", 0.714, split="train")) == "IoU 0.71 in training"
    assert figure(info("r")) == ""


def test_an_entry_says_what_a_run_is_called_and_how_far_it_is_where_it_is_not_done():
    assert entry(info("r1", 0.9)) == "r1 · 0.9 of 16 slices"
    assert entry(info("r1", 0.9, called="all fish")) == "all fish · 0.9 of 16 slices"
    assert entry(info("r1", 4.9, "stopped")) == "r1 · 4.9 of 16 slices · stopped at 40 of 100"
    assert entry(info("r1", 4.9, "running")) == "r1 · 4.9 of 16 slices · ▶"


def test_the_best_finished_run_is_proposed_not_the_newest():
    runs = [info("newest", 3.0), info("cut off", 0.1, "stopped"), info("best", 0.9), info("oldest", 2.0)]
    assert best_run(runs) == "best"
    assert best_run(runs[:2]) == "newest"
    assert best_run([tuned("new", 0.6), tuned("old", 0.8)]) == "old"


def test_of_equally_good_runs_the_newest_is_proposed_and_of_none_nothing():
    assert best_run([info("new", 1.0), info("old", 1.0)]) == "new"
    assert best_run([info("new"), info("old")]) == "new"
    assert best_run([]) == ""


def test_figures_that_were_measured_on_something_else_are_not_compared():
    assert best_run([info("new", 3.0, validate=["b"]), info("old", 0.9)]) == "new"
    assert best_run([info("new", 3.0, slices=32), info("old", 0.9)]) == "new"
    assert best_run([tuned("new", 0.5, ("fish z 4",)), tuned("old", 0.9)]) == "new"
    assert best_run([tuned("new", 0.5), tuned("old", 0.9, split="train")]) == "new"


def test_what_was_stopped_is_proposed_only_where_nothing_is_finished_and_what_goes_on_last():
    going_on, stopped = info("r2", 0.1, "running"), info("r1", 5.0, "stopped")
    assert best_run([going_on, stopped]) == "r1"
    assert best_run([going_on]) == "r2"


def test_runs_without_a_name_are_told_apart_by_what_differs():
    runs = [
        info("r3", encoder="resnet34", size=64),
        info("r2", size=112),
        info("r1", called="all fish", size=112),
    ]
    assert differences(runs) == {"r3": "ResNet-34, 64 px", "r2": "ResNet-18, 112 px", "r1": ""}
    assert differences([info("r2"), info("r1")]) == {"r2": "", "r1": ""}


def test_what_runs_begin_with_goes_by_its_name():
    began = info("encoder", called="all fish")
    runs = [began, info("r2", init="encoder"), info("r1", init="scratch")]
    assert differences(runs)["r2"] == "from all fish"
    assert differences(runs)["r1"] == "from scratch"
