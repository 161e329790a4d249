"""Which slices the demo's simulated person paints, and that nothing painted before is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.cli.demo_painter import REACH, choose_slices, paint
from napari_sortingloss.events import Notice, Result
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import add_class


def _organs(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    labels = np.zeros((40, 24, 30), np.uint8)
    for value, box in enumerate(boxes, 1):
        labels[box] = value
    return labels


def _seen(labels: np.ndarray, chosen: list) -> set[int]:
    return {int(v) for axis, index in chosen for v in np.unique(labels.take(index, "zyx".index(axis)))} - {0}


HEAD = (slice(2, 8), slice(3, 9), slice(4, 12))
TAIL = (slice(25, 38), slice(12, 20), slice(15, 26))
LONG = (slice(3, 37), slice(10, 12), slice(20, 22))
WIDE = (slice(3, 37), slice(5, 17), slice(10, 24))


def test_every_organ_is_seen_before_any_is_seen_twice() -> None:
    labels = _organs(HEAD, TAIL)
    assert _seen(labels, choose_slices(labels, (1, 2), 2)) == {1, 2}


def test_a_long_thin_organ_is_cut_lengthwise() -> None:
    ((axis, index),) = choose_slices(_organs(LONG), (1,), 1)
    assert (axis, index) in {("y", 10), ("y", 11), ("x", 20), ("x", 21)}


def test_a_small_organ_counts_as_much_as_a_large_one() -> None:
    labels = _organs(TAIL, (slice(2, 5), slice(2, 4), slice(2, 4)))
    assert _seen(labels, choose_slices(labels, (1, 2), 2)) == {1, 2}


def test_no_axis_has_more_than_its_share_while_another_shows_something() -> None:
    chosen = choose_slices(_organs(WIDE), (1,), 5)
    assert len(chosen) == 5
    assert max(Counter(axis for axis, _ in chosen).values()) == 2


def test_painted_slices_count_in_the_share_of_their_axis() -> None:
    taken = [("y", 6), ("y", 16)]
    assert "y" not in {axis for axis, _ in choose_slices(_organs(WIDE), (1,), 3, taken)}


def test_slices_without_organs_and_neighbours_are_not_chosen() -> None:
    labels = _organs(HEAD)
    chosen = choose_slices(labels, (1,), 50)
    assert 3 <= len(chosen) < 50
    assert all((labels.take(index, "zyx".index(axis)) == 1).any() for axis, index in chosen)
    for axis in "zyx":
        along = sorted(index for one, index in chosen if one == axis)
        assert all(b - a >= REACH for a, b in pairwise(along))


def test_what_is_painted_already_is_not_chosen_again() -> None:
    labels = _organs(HEAD)
    first = choose_slices(labels, (1,), 1)
    second = choose_slices(labels, (1,), 1, first)
    assert second
    assert first != second


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


def _painted(study: Study, count: int) -> tuple[list[dict], list[str]]:
    slices, said = [], []
    for event in paint(study, ["scan"], count):
        if isinstance(event, Result):
            slices = event.value["slices"]
        elif isinstance(event, Notice):
            said.append(event.message)
    return slices, said


def test_the_chosen_slices_are_painted_exactly_and_complete(fish: Study) -> None:
    reference = np.zeros((24, 18, 30), np.uint8)
    reference[2:8, 3:9, 5:15], reference[10:22, 9:15, 12:25] = 1, 2
    slices, _ = _painted(fish, 3)
    assert {(one["axis"], one["index"]) for one in slices} == set(choose_slices(reference, (1, 2), 3))
    found = Annotations(fish, "scan")
    assert {(one.axis, one.index, one.status) for one in found.slices()} == {
        (one["axis"], one["index"], "complete") for one in slices
    }
    for one in slices:
        np.testing.assert_array_equal(
            found.read_slice(one["axis"], one["index"]),
            reference.take(one["index"], "zyx".index(one["axis"])),
        )


def test_what_a_person_painted_counts_and_stays(fish: Study) -> None:
    with AnnotationEditor(fish, "scan") as editor:
        editor.put_slice("y", 5, np.ones((24, 30), np.uint8), what="by hand", status="partial")
    slices, _ = _painted(fish, 5)
    assert ("y", 5) in [(one["axis"], one["index"]) for one in slices]
    assert len(slices) == 5
    assert {one["axis"] for one in slices} != {"y"}, "no other slice crosses it"
    assert (Annotations(fish, "scan").read_slice("y", 5) == 1).all()
    again, said = _painted(fish, 5)
    assert again == slices
    assert said == ["scan: 5 slices are annotated already and stay."]
