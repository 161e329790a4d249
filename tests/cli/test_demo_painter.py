"""Which slices the demo's simulated person paints, and that nothing painted before is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.cli.demo_painter import Coverage, paint
from napari_sortingloss.events import Notice, Result
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotation_editor import AnnotationEditor
from napari_sortingloss.study.annotations import Annotations
from napari_sortingloss.study.classes import add_class


def _areas(n: int, *spans: tuple[int, int]) -> np.ndarray:
    areas = np.zeros((n, len(spans)), np.int64)
    for k, (low, high) in enumerate(spans):
        areas[low:high, k] = 20
    return areas


def test_every_organ_is_seen_before_any_is_seen_twice_at_the_same_place() -> None:
    areas = _areas(100, (5, 12), (40, 50), (60, 95))
    chosen = Coverage(3).choose(areas, 3)
    assert all(areas[chosen, k].any() for k in range(3))


def test_the_slices_of_two_fish_fall_between_each_other() -> None:
    areas = _areas(100, (10, 90))
    coverage = Coverage(1)
    first, second = coverage.choose(areas, 3), coverage.choose(areas, 3)
    assert min(abs(a - b) for a in first for b in second) > 4


def test_slices_without_organs_and_neighbours_are_not_chosen() -> None:
    chosen = Coverage(1).choose(_areas(30, (10, 14)), 5)
    assert chosen
    assert all(10 <= index < 14 for index in chosen)
    assert len(chosen) == 1


@pytest.fixture
def fish(study_dir: Path, scan: Path, tmp_path: Path, run: Callable) -> Study:
    labels = np.zeros((24, 18, 30), np.uint8)
    labels[2:8, 3:9, 5:15], labels[10:22, 9:15, 12:25] = 1, 2
    np.save(tmp_path / "ref.npy", labels)
    run("new", study_dir)
    assert run("add", study_dir, scan, "--reference", tmp_path / "ref.npy", "--axis", "y").status == 0
    study = Study.open(study_dir)
    add_class(study, "a")
    add_class(study, "b")
    return study


def _painted(study: Study, count: int, turned: tuple[str, ...] = ()) -> tuple[list[dict], list[str]]:
    slices, said = [], []
    for event in paint(study, ["scan"], count, turned):
        if isinstance(event, Result):
            slices = event.value["slices"]
        elif isinstance(event, Notice):
            said.append(event.message)
    return slices, said


def test_slices_across_the_ordering_axis_are_painted_exactly_and_complete(fish: Study) -> None:
    slices, _ = _painted(fish, 3)
    found = Annotations(fish, "scan")
    assert [(one.axis, one.index, one.status) for one in found.slices()] == [
        ("y", one["index"], "complete") for one in slices
    ]
    reference = np.zeros((24, 18, 30), np.uint8)
    reference[2:8, 3:9, 5:15], reference[10:22, 9:15, 12:25] = 1, 2
    for one in slices:
        np.testing.assert_array_equal(found.read_slice("y", one["index"]), reference[:, one["index"]])


def test_a_fish_that_lies_the_other_way_round_is_painted_from_its_head(fish: Study) -> None:
    record = fish.volumes["scan"]
    areas = np.zeros((record.shape[1], 2), np.int64)
    areas[3:9, 0], areas[9:15, 1] = 60, 156
    expected = Coverage(2).choose(areas[::-1], 2)
    slices, _ = _painted(fish, 2, ("scan",))
    assert [one["index"] for one in slices] == sorted(len(areas) - 1 - position for position in expected)


def test_what_a_person_painted_counts_and_stays(fish: Study) -> None:
    with AnnotationEditor(fish, "scan") as editor:
        editor.put_slice("y", 5, np.ones((24, 30), np.uint8), what="by hand", status="partial")
    slices, _ = _painted(fish, 2)
    assert 5 in [one["index"] for one in slices]
    assert len(slices) == 2
    assert (Annotations(fish, "scan").read_slice("y", 5) == 1).all()
    again, said = _painted(fish, 2)
    assert again == slices
    assert said == ["scan: 2 slices are annotated already and stay."]
