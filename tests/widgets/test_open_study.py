"""What a person sees first when napari opens on a study."""

from __future__ import annotations

from types import SimpleNamespace

from napari_sortingloss.widgets.open_study import begin_with_boxes


def _session(localized: dict[str, object]) -> tuple[SimpleNamespace, list[str]]:
    seen: list[str] = []
    session = SimpleNamespace(
        volumes={"a": None, "b": None, "c": None},
        localized=localized,
        set_current_volume=seen.append,
        show_stage=seen.append,
    )
    return session, seen


def test_a_study_with_boxes_opens_on_the_first_of_them():
    session, seen = _session({"c": {}, "b": {}})
    begin_with_boxes(session)
    assert seen == ["b", "Localize"]


def test_a_study_without_boxes_opens_as_ever():
    session, seen = _session({})
    begin_with_boxes(session)
    assert seen == []
