"""The demo from end to end on small fish, and the report it leaves."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss import samples
from napari_sortingloss.cli import summaries
from napari_sortingloss.cli.demo import PAINTED
from napari_sortingloss.cli.svg import Line, plot, ticks
from napari_sortingloss.localize.settings import RECIPES
from napari_sortingloss.study import Study

FISH = [f"fish_0{i}" for i in range(1, 7)]


@pytest.fixture
def small_fish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "sample_study", functools.partial(samples.sample_study, scale=0.4))
    monkeypatch.setitem(RECIPES["measured"], "every", 8)


@pytest.mark.usefixtures("small_fish")
def test_the_demo_reports_what_the_contract_asks_for_and_can_be_run_again(
    tmp_path: Path, run: Callable
) -> None:
    folder = tmp_path / "demo"
    first = run("demo", folder, "--steps", 2, "--finetune-steps", 2, "--slices", 3, "--no-gui", "--json")
    assert first.status == 0, first.err
    result = first.json
    asked = {"mean_displacement", "random_displacement", "box_error", "mean_iou", "seconds", "report"}
    assert asked <= set(result)
    assert 0 <= result["mean_iou"] <= 1
    painted = [one["volume"] for one in result["slices"]]
    assert len(painted) == 9
    assert {name[:7] for name in painted} == set(PAINTED)
    assert result["random_displacement"] == pytest.approx(5.3125)
    assert [box["name"] for box in result["boxes"]] == FISH
    assert result["box_error"] == pytest.approx(np.mean([box["box_error"] for box in result["boxes"]]))
    _check_page(Path(result["report"]).read_text(encoding="utf-8"))
    volumes = list(Study.open(folder).volumes)
    assert volumes[:6] == FISH
    assert volumes[6:] == [box["crop"] for box in result["boxes"] if box["crop"]]

    second = run("demo", folder, "--steps", 1, "--finetune-steps", 1, "--slices", 3, "--no-gui", "--json")
    assert second.status == 0, second.err
    assert second.json["run"] != result["run"]
    assert second.json["slices"] == result["slices"], "slices were painted again"
    again = Study.open(folder)
    parents = [record.parent for record in again.volumes.values() if record.parent]
    assert len(parents) == len(set(parents)), "a fish was cropped again"
    assert {record.name for record in again.volumes.values() if not record.parent} == set(FISH)
    assert set(again.run(second.json["run"]).settings["volumes"]) <= set(FISH)
    tuned = again.run(result["finetune_run"])
    assert tuned.settings["init"] == result["run"]
    learnt = {key.split("_crop")[0].split(" ")[0] for key in tuned.settings["learnt"]}
    assert learnt <= set(PAINTED), "the network learnt from a fish that it is judged on"
    assert not set(parents) - set(FISH), "a crop was cropped"
    assert {folder.name for folder in (again.path / "localizations").iterdir()} == set(FISH)


def _check_page(page: str) -> None:
    HTMLParser().feed(page)
    assert "random order: 5.31" in page
    assert "Where is the fish?" in page
    for name in FISH:
        assert name in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page), "the report must be readable without a network"
    assert not re.search(r"url\((?!data:)", page)
    for target in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{target}"' in page
    for chapter in (
        "A handful of painted slices",
        "From slices to a segmentation",
        "Fish that nobody painted",
    ):
        assert chapter in page
    assert "nan" not in re.sub(r"data:[^)\"]+", "", page)


@pytest.mark.usefixtures("small_fish")
def test_the_demo_refuses_a_sample_study_in_which_a_fish_is_missing(tmp_path: Path, run: Callable) -> None:
    for _ in samples.sample_study(tmp_path / "fish"):
        pass
    Study.open(tmp_path / "fish").remove_volume("fish_04")
    refused = run("demo", tmp_path / "fish", "--no-gui")
    assert refused.status == 2
    assert "fish_04 was removed or renamed" in refused.err


def test_what_a_person_reads_at_the_end_names_the_unit_of_the_box_error() -> None:
    said = summaries.demo(
        {
            "mean_displacement": 0.9,
            "random_displacement": 5.3,
            "flipped": ["fish_03"],
            "directions": "fish_03",
            "box_error": 0.0033,
            "box_error_held_back": 0.004,
            "removed_fraction": 0.604,
            "slices": [{}] * 15,
            "mean_iou": 0.871,
            "mean_dice": 0.93,
            "seconds": 1,
            "study": "s",
            "report": "r",
        }
    )
    assert "0.3 % of the volume's side (0.4 % on unseen fish); cropping removes 60 %" in said
    assert "15 slices were painted" in said
    assert "mean IoU of 0.87 (Dice 0.93)" in said


def test_the_demo_does_not_open_napari_without_a_display(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from napari_sortingloss.cli.demo import show_in_napari

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert show_in_napari(tmp_path) is False


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 5.4), (0, 1000), (-0.3, 0.2), (0, 0), (0, 1e-6)])
def test_ticks_are_few_and_within_the_axis(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 8
    assert found == sorted(set(found))
    assert max(found) <= max(high, low + 1) + 1e-9


def test_a_plot_draws_its_level_and_leaves_out_what_is_no_number() -> None:
    picture = plot(
        [Line("a", [0, 1, 2], [1.0, float("nan"), 2.0])],
        title="T",
        x_label="x",
        y_label="y",
        level=(1.5, "random"),
    )
    assert ">random<" in picture
    assert "nan" not in picture
