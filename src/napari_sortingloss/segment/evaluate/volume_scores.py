"""Compares the labels of one volume with its reference, or with what was painted on some slices of it."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import whole
from napari_sortingloss.segment.annotator.interpolate import interpolated_slices
from napari_sortingloss.segment.evaluate.scores import Confusion, Surfaces, SurfaceScore, surface_steps
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.segment.reference_labels import Reference
    from napari_sortingloss.study import Volume
    from napari_sortingloss.study.annotations.reading import Annotations
    from napari_sortingloss.study.predictions.reading import Prediction

Labels = NDArray[np.uint8]
SliceId = tuple[Axis, int]
"""Across which axis, and the index along the array."""


class Slabs(Protocol):
    """Labels of a volume that come slab by slab."""

    @property
    def axis(self) -> Axis:
        """Along which axis."""

    def next(self, start: int, stop: int) -> Labels:
        """Return the slab, (n, a, b): the axis first, the others in their order. Slabs are asked for in order."""


class PredictedSlabs:
    """The labels that a run predicted.

    Parameters
    ----------
    prediction : Prediction
    """

    axis: Axis = "z"

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def next(self, start: int, stop: int) -> Labels:
        """Return slices [start, stop)."""
        return self._prediction.read_box(((start, stop), *whole(self._prediction.shape)[1:]))


class InterpolatedSlabs:
    """The labels that interpolation between complete slices gives.

    Parameters
    ----------
    annotations : Annotations
    axis : {"z", "y", "x"}
        The axis of the complete slices.
    """

    def __init__(self, annotations: Annotations, axis: Axis) -> None:
        self.axis = axis
        size = annotations.shape[AXES.index(axis)]
        self._slices = interpolated_slices(annotations, axis, range(size), annotations.record.voxel_size)

    def next(self, start: int, stop: int) -> Labels:
        """Return slices [start, stop), the next ones."""
        return np.stack(list(islice(self._slices, stop - start)))


@dataclass
class VolumeScore:
    """How well the labels of one volume agree with what is taken for true.

    Attributes
    ----------
    confusion : Confusion
    surfaces : dict of int to SurfaceScore or None
        For each class value, in the unit of the voxel size; empty where surfaces were not asked for.
    steps : tuple of int
        Of which voxels along (z, y, x) the surfaces were taken.
    thinned : bool
        Whether some surface was so large that only part of its voxels was measured.
    """

    confusion: Confusion
    surfaces: dict[int, SurfaceScore | None] = field(default_factory=dict)
    steps: tuple[int, int, int] = (1, 1, 1)
    thinned: bool = False


def score_reference(
    reference: Reference,
    labels: Slabs,
    values: Sequence[int],
    left_out: Collection[SliceId] = (),
    surfaces: bool = True,
) -> Generator[int, None, VolumeScore]:
    """Compare labels with the reference of their volume, in bounded memory.

    Parameters
    ----------
    reference : Reference
    labels : Slabs
    values : sequence of int
        The class values that count.
    left_out : collection of (axis, index)
        Slices on which nothing counts.
    surfaces : bool
        Whether to measure the distance of surfaces too.

    Yields
    ------
    int
        Slices done, along the axis of `labels`.

    Returns
    -------
    VolumeScore
    """
    across = AXES.index(labels.axis)
    order = [across, *(i for i in range(3) if i != across)]
    volume = reference.volume
    found = VolumeScore(Confusion(values), steps=surface_steps(volume.shape, volume.voxel_size))
    gathered = None
    if surfaces:
        spacing = [volume.voxel_size[i] for i in order]
        gathered = Surfaces(values, spacing, [found.steps[i] for i in order])
    for start, stop in reference.slabs(labels.axis):
        box = list(whole(volume.shape))
        box[across] = (start, stop)
        truth = np.moveaxis(reference.read_box((box[0], box[1], box[2])), across, 0)
        said = labels.next(start, stop)
        known = _known(truth.shape, order, start, left_out)
        found.confusion.add(truth, said, known)
        if gathered is not None:
            gathered.add(start, truth, said, known)
        yield stop
    if gathered is not None:
        measuring = gathered.finish()
        while True:
            try:
                next(measuring)
            except StopIteration as end:
                found.surfaces = end.value
                break
            yield volume.shape[across]
        found.thinned = gathered.thinned
    return found


def _known(
    shape: tuple[int, ...], order: Sequence[int], start: int, left_out: Collection[SliceId]
) -> NDArray[np.bool_] | None:
    """Return which voxels of a slab lie on no slice that is left out; None where none can."""
    if not left_out:
        return None
    known = np.ones(shape, np.bool_)
    for axis, index in left_out:
        at = order.index(AXES.index(axis))
        local = index - start if at == 0 else index
        if 0 <= local < shape[at]:
            cut: list[int | slice] = [slice(None)] * 3
            cut[at] = local
            known[tuple(cut)] = False
    return known


def score_slice(annotations: Annotations, prediction: Prediction, which: SliceId, found: Confusion) -> None:
    """Count how predicted labels agree with what is painted on a slice; only what is known of it counts."""
    from napari_sortingloss.study.annotations.reading import IGNORE

    table = np.zeros(256, np.uint8)
    table[1 : len(found.values) + 1] = found.values
    target = annotations.target(*which, found.values)
    found.add(table[target], prediction.read_slice(*which), target != IGNORE)


def millimetres(volume: Volume) -> float | None:
    """Return how many mm a unit of the volume's voxel size is; None where the unit is not known."""
    from napari_sortingloss.slices.reader import MILLIMETRES

    return MILLIMETRES.get(volume.unit)
