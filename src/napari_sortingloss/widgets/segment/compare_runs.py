"""Two predictions of a volume side by side: where they differ, and how far they agree on each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.lazy import LazyArray
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.segment.evaluate.scores import Confusion, mean
from napari_sortingloss.study.predictions.reading import find_prediction
from napari_sortingloss.widgets.segment.layers import DIFFERENCE, LabelsPlan

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord
    from napari_sortingloss.study.predictions.reading import Prediction

SLAB_BYTES = 16 << 20


class Difference:
    """A level of two predictions: 1 where they differ, read where somebody looks.

    Parameters
    ----------
    first, second : LazyArray
        Labels of one level, (z, y, x).
    """

    def __init__(self, first: Any, second: Any) -> None:
        self._first, self._second = first, second
        z, y, x = first.shape
        self.shape: tuple[int, int, int] = (z, y, x)

    def box(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return the voxels from `start` up to, not including, `stop`, both (z, y, x)."""
        cut = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        differs = np.asarray(self._first[cut]) != np.asarray(self._second[cut])
        return differs.astype(np.uint8)


def difference_plan(study: str, record: VolumeRecord, first: Prediction, second: Prediction) -> LabelsPlan:
    """Return what is needed to show where two predictions differ. Not for the GUI thread."""
    levels = zip(first.pyramid(), second.pyramid(), strict=True)
    data = [LazyArray.of(Difference(a, b)) for a, b in levels]
    stamp = (first.created, second.created)
    return LabelsPlan(study, record, DIFFERENCE, f"{first.run} {second.run}", data, (), stamp)


def compare(study: Study, volume: str, first: str, second: str) -> Iterator[Event]:
    """Count how far two predictions of a volume agree: a job.

    Parameters
    ----------
    study : Study
    volume : str
    first, second : str
        The runs that made them.

    Yields
    ------
    Event
        `Progress` in slices; last a `Result` whose value has ``volume``, ``runs``, ``differ`` (the share of all voxels),
        ``mean_iou`` and ``classes``: for each class by name its ``value``, ``color``, ``iou`` and ``dice`` of one
        prediction against the other, None where neither has it.

    Raises
    ------
    StudyError
        If one of them is missing, unfinished or damaged.
    """
    one, other = (find_prediction(study, volume, run) for run in (first, second))
    classes = {found.value: found for found in (*one.classes, *other.classes)}
    table = Confusion(sorted(classes))
    depth, _, _ = one.shape
    differ = 0
    for start, stop in steps(depth, slab_height(one.shape, 1, budget=SLAB_BYTES)):
        box = ((start, stop), (0, one.shape[1]), (0, one.shape[2]))
        a, b = one.read_box(box), other.read_box(box)
        table.add(a, b)
        differ += int(np.count_nonzero(a != b))
        yield Progress(done=stop, total=depth, what=f"{volume}: comparing", unit="slices")
    iou, dice = table.iou(), table.dice()
    yield Result(
        value={
            "volume": volume,
            "runs": [first, second],
            "differ": differ / max(1, int(np.prod(one.shape))),
            "mean_iou": mean([iou[value] for value in sorted(classes)]),
            "classes": {
                found.name: {
                    "value": value,
                    "color": found.color,
                    "iou": iou[value],
                    "dice": dice[value],
                }
                for value, found in sorted(classes.items())
            },
        }
    )


def pairs(runs: Sequence[str], chosen: str) -> list[tuple[str, str]]:
    """Return which predictions can be compared with the chosen one, it first."""
    return [(chosen, run) for run in runs if run != chosen] if chosen in runs else []
