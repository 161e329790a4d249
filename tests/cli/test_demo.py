"""The demo from end to end on small fish, and the report it leaves."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from napari_sortingloss import samples
from napari_sortingloss.cli.svg import Line, plot, ticks


@pytest.fixture
def small_fish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "sample_study", functools.partial(samples.sample_study, scale=0.4))


@pytest.mark.usefixtures("small_fish")
def test_the_demo_reports_what_the_contract_asks_for_and_can_be_run_again(
    tmp_path: Path, run: Callable
) -> None:
    folder = tmp_path / "demo"
    first = run("demo", folder, "--steps", 2, "--no-gui", "--json")
    assert first.status == 0, first.err
    result = first.json
    assert {"mean_displacement", "random_displacement", "seconds", "report"} <= set(result)
    assert result["random_displacement"] == pytest.approx(5.3125)
    report = Path(result["report"])
    _check_page(report.read_text(encoding="utf-8"))

    second = run("demo", folder, "--steps", 1, "--no-gui", "--json")
    assert second.status == 0, second.err
    assert second.json["run"] != result["run"]


def _check_page(page: str) -> None:
    HTMLParser().feed(page)
    assert "random order: 5.31" in page
    for name in (f"fish_0{i}" for i in range(1, 7)):
        assert name in page
    assert not re.search(r'(?:src|href)="(?!data:)', page), "the report must be readable without a network"


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
