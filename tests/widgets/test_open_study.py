"""What a person sees first when napari opens on a study."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from napari_sortingloss.widgets.open_study import begin_with_results
from napari_sortingloss.widgets.predicted import PredictedLook


def _begin(localized: dict[str, object], predictions: dict[str, dict[str, Any]] | None = None) -> list[Any]:
    seen: list[Any] = []
    session = SimpleNamespace(
        volumes={"a": None, "b": None, "c": None},
        localized=localized,
        predictions=predictions or {},
        set_current_volume=seen.append,
        show_stage=seen.append,
    )
    begin_with_results(session, lambda volume, run: seen.append((volume, run)))  # type: ignore[arg-type]
    return seen


def _look(volume: str, run: str, created: str, complete: bool = True) -> PredictedLook:
    value: Any = SimpleNamespace(created=created, complete=complete)
    return PredictedLook(volume, run, (created,), value)


def test_a_study_with_boxes_opens_on_the_first_of_them():
    assert _begin({"c": {}, "b": {}}) == ["b", "Localize"]


def test_a_study_without_results_opens_as_ever():
    assert _begin({}) == []


def test_a_study_with_predictions_opens_on_the_newest_whole_one():
    predictions = {
        "a": {"r1": _look("a", "r1", "2026-01-03"), "r2": _look("a", "r2", "2026-01-09", complete=False)},
        "c": {"r1": _look("c", "r1", "2026-01-05")},
    }
    assert _begin({"b": {}}, predictions) == ["c", "Segment", ("c", "r1")]
