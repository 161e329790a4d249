"""The demo's simulated person: chooses slices on which the organs are seen, and paints them exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.study.schema import AXES, Axis
from napari_sortingloss.study.volumes.references import FOLDER as REFERENCES

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, Volume

WHAT = "painted by the demo"
"""What the action is called in the list of what was done."""

REACH = 4
"""For how many slices on either side of it a slice speaks."""

_LEFT = 0.3
"""What a voxel near a painted slice is still worth."""


def paint(study: Study, volumes: Sequence[str], count: int) -> Iterator[Event]:
    """Paint a few slices of each volume, equally many across each axis, and mark them complete: a job.

    Where as many slices are annotated already, by an earlier demo or a person, they stay and nothing is painted.

    Parameters
    ----------
    study : Study
    volumes : sequence of str
        Volumes with reference labels.
    count : int
        How many slices of each.

    Yields
    ------
    Event
        `Progress` in slices, and last a `Result` with ``slices``: ``{"volume", "axis", "index"}`` of each annotated
        slice of these volumes, the index along the array.
    """
    from napari_sortingloss.study.annotations.editor import AnnotationEditor
    from napari_sortingloss.study.annotations.reading import Annotations
    from napari_sortingloss.study.classes import read_classes

    values = [one.value for one in read_classes(study)]
    done: list[dict[str, Any]] = []
    for number, name in enumerate(volumes):
        there = [(one.axis, one.index) for one in Annotations(study, name).slices()]
        if len(there) >= count:
            yield Notice(message=f"{name}: {len(there)} slices are annotated already and stay.")
            done += [{"volume": name, "axis": axis, "index": index} for axis, index in there]
            continue
        reference = _reference(study.volume(name))
        chosen = choose_slices(reference, values, count - len(there), there)
        pictures = {one: _beside(study, name, reference, *one) for one in chosen}
        with AnnotationEditor(study, name) as editor:
            for axis, index in sorted([*there, *chosen], key=lambda one: (AXES.index(one[0]), one[1])):
                if (axis, index) in pictures:
                    editor.put_slice(axis, index, pictures[axis, index], what=WHAT, status="complete")
                done.append({"volume": name, "axis": axis, "index": index})
                yield Progress(
                    done=len(done), total=count * len(volumes), what=f"{name}: painting", unit="slices"
                )
            editor.flush()
        yield Progress(done=count * (number + 1), total=count * len(volumes), what=name, unit="slices")
    yield Result(value={"slices": done})


def choose_slices(
    labels: NDArray[np.uint8], values: Sequence[int], count: int, taken: Sequence[tuple[Axis, int]] = ()
) -> list[tuple[Axis, int]]:
    """Choose slices across any axis that together show most of every organ.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
    values : sequence of int
        Of the organs. Each counts the same, however small it is.
    count : int
    taken : sequence of (axis, index)
        Slices that are painted already.

    Returns
    -------
    list of (axis, index)
        In the order in which they were chosen; fewer where no other slice shows anything. No two across the same axis
        are closer than `REACH` slices, and the axes have equally many, as far as they show something: the network is
        asked along all of them.

    Notes
    -----
    Greedy: the next slice is the one near which, up to `REACH` slices away, most voxels of the organs lie; voxels near a
    slice that was painted before count less.
    """
    sizes = np.bincount(labels.ravel(), minlength=256)
    share = np.zeros(256, np.float32)
    for value in values:
        if sizes[value]:
            share[value] = 1 / sizes[value]
    worth = share[labels]
    shown = {axis: np.asarray((worth > 0).any(axis=_others(axis)), np.bool_) for axis in AXES}
    for axis, index in taken:
        _paint_over(worth, axis, index, shown)
    chosen: list[tuple[Axis, int]] = []
    most = math.ceil((len(taken) + count) / len(AXES))
    while len(chosen) < count and (showing := [axis for axis in AXES if shown[axis].any()]):
        across = Counter(axis for axis, _ in (*taken, *chosen))
        behind = [axis for axis in showing if across[axis] < most] or showing
        gains = {axis: np.where(shown[axis], _near(worth, axis), -1.0) for axis in behind}
        best = max(behind, key=lambda axis: float(gains[axis].max()))
        chosen.append((best, int(gains[best].argmax())))
        _paint_over(worth, *chosen[-1], shown)
    return chosen


def _beside(
    study: Study, name: str, reference: NDArray[np.uint8], axis: Axis, index: int
) -> NDArray[np.uint8]:
    """Return a slice of the reference; where it crosses what was painted before, that stays."""
    from napari_sortingloss.study.annotations.reading import Annotations

    before = Annotations(study, name).read_slice(axis, index)
    return np.where(before > 0, before, np.moveaxis(reference, AXES.index(axis), 0)[index])


def _near(worth: NDArray[np.float32], axis: Axis) -> NDArray[np.float64]:
    """Return what lies near each slice across an axis."""
    along = worth.sum(axis=_others(axis), dtype=np.float64)
    return np.convolve(np.pad(along, REACH), np.ones(2 * REACH + 1), "valid")


def _paint_over(
    worth: NDArray[np.float32], axis: Axis, index: int, shown: dict[Axis, NDArray[np.bool_]]
) -> None:
    """Make what lies near a painted slice worth less, and rule its neighbours out."""
    near = slice(max(0, index - REACH), index + REACH + 1)
    np.moveaxis(worth, AXES.index(axis), 0)[near] *= _LEFT
    shown[axis][max(0, index - REACH + 1) : index + REACH] = False


def _others(axis: Axis) -> tuple[int, ...]:
    return tuple(k for k, one in enumerate(AXES) if one != axis)


def _reference(volume: Volume) -> NDArray[np.uint8]:
    """Return the reference labels, shape (z, y, x); the sample's volumes are small."""
    import zarr

    path = volume.study / REFERENCES / f"{volume.record.reference}.zarr" / "0"
    labels: Any = zarr.open_array(path, mode="r")
    return np.asarray(labels[:], np.uint8)
