"""The demo's simulated person: chooses slices on which the organs are seen, and paints them exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.study.references import FOLDER as REFERENCES
from napari_sortingloss.study.schema import AXES

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, Volume

WHAT = "painted by the demo"
"""What the action is called in the list of what was done."""

_BINS, _REACH = 40, 0.06
"""Into how many stretches an organ is divided, and how far a slice speaks for its neighbours, in lengths of the organ."""

Areas = NDArray[np.int64]


def paint(
    study: Study, volumes: Sequence[str], count: int, upside_down: Collection[str] = ()
) -> Iterator[Event]:
    """Paint a few slices across the ordering axis of each volume and mark them complete: a job.

    Where as many slices are annotated already, by an earlier demo or a person, they stay and nothing is painted.

    Parameters
    ----------
    study : Study
    volumes : sequence of str
        Volumes with reference labels.
    count : int
        How many slices of each.
    upside_down : collection of str
        Those of the volumes in which the slices run from tail to head.

    Yields
    ------
    Event
        `Progress` in slices, and last a `Result` with ``slices``: ``{"volume", "axis", "index"}`` of each annotated
        slice of these volumes, the index along the array.
    """
    from napari_sortingloss.study.annotation_editor import AnnotationEditor
    from napari_sortingloss.study.annotations import Annotations
    from napari_sortingloss.study.classes import read_classes

    values = [one.value for one in read_classes(study)]
    coverage = Coverage(len(values))
    done: list[dict[str, Any]] = []
    for number, name in enumerate(volumes):
        volume = study.volume(name)
        axis, reference = volume.axis, _reference(volume)
        areas = np.stack([(reference == value).sum(axis=(1, 2)) for value in values], axis=1)
        there = [one.index for one in Annotations(study, name).slices() if one.axis == axis]
        last = len(areas) - 1

        def along(index: int, turned: bool = name in upside_down, last: int = last) -> int:
            return last - index if turned else index

        seen = areas[::-1] if name in upside_down else areas
        for index in there:
            coverage.add(seen, along(index))
        if len(there) >= count:
            yield Notice(message=f"{name}: {len(there)} slices are annotated already and stay.")
            done += [{"volume": name, "axis": axis, "index": index} for index in there]
            continue
        with AnnotationEditor(study, name) as editor:
            chosen = coverage.choose(seen, count - len(there), [along(index) for index in there])
            for index in sorted([*there, *(along(position) for position in chosen)]):
                if index not in there:
                    editor.put_slice(axis, index, reference[index], what=WHAT, status="complete")
                done.append({"volume": name, "axis": axis, "index": index})
                yield Progress(
                    done=len(done), total=count * len(volumes), what=f"{name}: painting", unit="slices"
                )
            editor.flush()
        yield Progress(done=count * (number + 1), total=count * len(volumes), what=name, unit="slices")
    yield Result(value={"slices": done})


class Coverage:
    """Which stretches of which organs were painted, in several fish together.

    Parameters
    ----------
    classes : int
        How many organs there are.

    Notes
    -----
    Every organ runs from 0 to 1 in each fish. A painted slice covers the stretch around where it cuts an organ, and
    covering the same stretch again is worth less each time, so that the slices of several fish fall between each other.
    """

    def __init__(self, classes: int) -> None:
        self._covered = np.zeros((classes + 1, _BINS))

    def add(self, areas: Areas, index: int) -> None:
        """Note that a slice was painted."""
        self._covered += _stretches(areas)[index]

    def choose(self, areas: Areas, count: int, taken: Sequence[int] = ()) -> list[int]:
        """Choose the slices of a fish that cover most of what is not covered yet, and note them.

        Parameters
        ----------
        areas : ndarray of int, shape (n, classes)
            The pixels of each organ on each slice.
        count : int
        taken : sequence of int
            Slices that are not to be chosen.

        Returns
        -------
        list of int
            In the order in which they were chosen; fewer where no other slice shows anything.
        """
        stretches = _stretches(areas)
        worth = _worth(areas)
        left = np.asarray(areas.any(axis=1), np.bool_)
        left[list(taken)] = False
        chosen: list[int] = []
        while left.any() and len(chosen) < count:
            gain = (worth * np.exp(-self._covered) * -np.expm1(-stretches)).sum(axis=(1, 2))
            best = int(np.where(left, gain, -1.0).argmax())
            chosen.append(best)
            left[max(0, best - 3) : best + 4] = False  # a neighbour shows nearly the same
            self._covered += stretches[best]
        return chosen


def _stretches(areas: Areas) -> NDArray[np.float64]:
    """Return what each slice covers of each organ, and last of all organs together, shape (n, classes + 1, bins)."""
    there = np.concatenate([areas > 0, areas.any(axis=1, keepdims=True)], axis=1)
    covers = np.zeros((*there.shape, _BINS))
    bins = (np.arange(_BINS) + 0.5) / _BINS
    for k in range(there.shape[1]):
        where = np.flatnonzero(there[:, k])
        if len(where):
            at = (where - where[0] + 0.5) / (where[-1] - where[0] + 1)
            covers[where, k] = np.exp(-0.5 * ((at[:, None] - bins) / _REACH) ** 2)
    return covers


def _worth(areas: Areas) -> NDArray[np.float64]:
    """Return how much each stretch of each organ counts, more where it is thick; all organs together are one more."""
    worth = np.ones((areas.shape[1] + 1, _BINS))
    for k in range(areas.shape[1]):
        where = np.flatnonzero(areas[:, k])
        if len(where):
            ends = np.linspace(where[0], where[-1], _BINS)
            worth[k] = np.interp(ends, np.arange(len(areas)), areas[:, k])
            worth[k] = np.sqrt(worth[k] / worth[k].mean())
    return worth


def _reference(volume: Volume) -> NDArray[np.uint8]:
    """Return the reference labels, the ordering axis first; the sample's volumes are small."""
    import zarr

    path = volume.study.path / REFERENCES / f"{volume.record.reference}.zarr" / "0"
    labels: Any = zarr.open_array(path, mode="r")
    return np.ascontiguousarray(np.moveaxis(np.asarray(labels[:], np.uint8), AXES.index(volume.axis), 0))
