"""Proposes the slices between two annotated ones from the distances to their outlines; paints over nothing.

A painting aid, and the baseline that a network has to beat: between two slices each class's outline moves evenly from
the one to the other. The distances are measured in the unit of length, so that voxels need not be square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.study.classes import BACKGROUND, UNPAINTED
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.editor import Action, AnnotationEditor

Labels = NDArray[np.uint8]

WHAT = "proposed by interpolation"
"""What the action of `propose` is called in the list of what was done."""


class AnnotatedSlices(Protocol):
    """What proposing needs of annotations; `napari_sortingloss.study.annotations.reading.Annotations` is one."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in voxels."""

    def status(self, axis: Axis, index: int) -> str:
        """Return whether a slice is empty, partial or complete."""

    def read_slice(self, axis: Axis, index: int) -> Labels:
        """Return what is painted on a slice."""

    def slices(self) -> Sequence[Any]:
        """Return the slices that are not empty."""


class Between:
    """The slices between two annotated ones, each made when it is asked for.

    Parameters
    ----------
    lower, upper : ndarray of uint8, shape (h, w)
        Class values; unpainted voxels and those painted as background are background.
    spacing : tuple of float
        (h, w) size of a voxel in any unit.

    Raises
    ------
    BadInput
        If the slices have different shapes.

    Notes
    -----
    Shape-based interpolation after Raya and Udupa (IEEE Trans. Med. Imaging 9, 1990, 32-42), for several classes: the
    signed distance to the outline of each class goes linearly from the one slice to the other, and a voxel that this
    puts inside a class, or inside all classes together, gets the class whose distance is largest. So classes that touch
    leave no gap. A class that only one slice shows shrinks and ends in the middle; so does a hole.
    """

    def __init__(self, lower: Labels, upper: Labels, spacing: tuple[float, float] = (1.0, 1.0)) -> None:
        if lower.shape != upper.shape or lower.ndim != 2:
            raise BadInput(
                "Cannot interpolate between two slices",
                f"their shapes {lower.shape} and {upper.shape} differ",
                "choose two slices of the same volume and axis",
            )
        ends = [np.where(end == BACKGROUND, 0, end).astype(np.uint8) for end in (lower, upper)]
        self.shape = (lower.shape[0], lower.shape[1])
        self._part = _around(np.logical_or(*ends))
        cut = [end[self._part] for end in ends]
        values = np.union1d(*cut)
        self._values = values[values != 0]
        masks = [[*(end == value for value in self._values), end != 0] for end in cut]
        pairs = [_distances(a, b, spacing) for a, b in zip(*masks, strict=True)]
        self._lower, self._upper = (np.stack([pair[end] for pair in pairs]) for end in (0, 1))

    def at(self, part: float) -> Labels:
        """Return the slice that lies at this part of the way.

        Parameters
        ----------
        part : float
            0 is the lower slice, 1 the upper.

        Returns
        -------
        ndarray of uint8, shape (h, w)
            Class values; 0 is background.
        """
        found = np.zeros(self.shape, np.uint8)
        if self._values.size:
            mixed = np.float32(1 - part) * self._lower + np.float32(part) * self._upper
            inside = (mixed > 0).any(axis=0)
            found[self._part] = np.where(inside, self._values[np.argmax(mixed[:-1], axis=0)], 0)
        return found


def _distances(
    lower: NDArray[np.bool_], upper: NDArray[np.bool_], spacing: tuple[float, float]
) -> list[NDArray[np.float32]]:
    """Return the signed distances to the outlines of two masks, at least one of which is not empty.

    Where a slice has no outline, being all outside or all inside, it is as far away as the other slice's deepest voxel, so
    that shape or hole ends half way.
    """
    found: list[NDArray[np.float32]] = []
    outlined = [mask.any() and not mask.all() for mask in (lower, upper)]
    ends = [
        _signed_distance(m, spacing) if o else None for m, o in zip((lower, upper), outlined, strict=True)
    ]
    for mask, own, other in zip((lower, upper), ends, ends[::-1], strict=True):
        if own is None:
            depth = 1.0
            if other is not None:
                depth = -float(other.min()) if mask.all() else float(other.max())
            own = np.full(mask.shape, depth if mask.all() else -depth, np.float32)
        found.append(own)
    return found


def _around(painted: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the part of a slice in which something is painted, with one voxel of background on each side."""
    spans = []
    for axis in (1, 0):
        there = np.flatnonzero(painted.any(axis=axis))
        size = painted.shape[1 - axis]
        spans.append(slice(max(0, there[0] - 1), min(size, there[-1] + 2)) if there.size else slice(0, 0))
    return spans[0], spans[1]


def _signed_distance(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.float32]:
    """Return how far each voxel is from the outline, positive inside."""
    from scipy.ndimage import distance_transform_edt

    inside = distance_transform_edt(mask, sampling=spacing)
    inside -= distance_transform_edt(~mask, sampling=spacing)
    return np.asarray(inside, np.float32)


def interpolate_between(
    lower: Labels, upper: Labels, at: float, spacing: tuple[float, float] = (1.0, 1.0)
) -> Labels:
    """Return the slice at a part of the way between two others, see `Between`.

    Parameters
    ----------
    lower, upper : ndarray of uint8, shape (h, w)
        Class values.
    at : float
        0 is the lower slice, 1 the upper.
    spacing : tuple of float
        (h, w) size of a voxel.

    Returns
    -------
    ndarray of uint8, shape (h, w)
        Class values; 0 is background.

    Raises
    ------
    BadInput
        If the slices have different shapes.
    """
    return Between(lower, upper, spacing).at(at)


def slice_spacing(voxel_size: Sequence[float], axis: Axis) -> tuple[float, float]:
    """Return the (h, w) size of a voxel of slices across an axis."""
    h, w = (float(s) for s, name in zip(voxel_size, AXES, strict=True) if name != axis)
    return h, w


def complete_slices(annotations: AnnotatedSlices, axis: Axis) -> list[int]:
    """Return the indices of the complete slices across an axis, ascending."""
    return sorted(s.index for s in annotations.slices() if s.axis == axis and s.status == "complete")


def interpolated_slices(
    annotations: AnnotatedSlices,
    axis: Axis,
    indices: Sequence[int],
    voxel_size: Sequence[float],
) -> Iterator[Labels]:
    """Make slices from the complete ones nearest to them on both sides.

    Parameters
    ----------
    annotations : AnnotatedSlices
    axis : {"z", "y", "x"}
    indices : sequence of int
        Along the array, best ascending: what two complete slices give is made once.
    voxel_size : tuple of float
        (z, y, x).

    Yields
    ------
    ndarray of uint8, shape (h, w)
        Class values, 0 is background. Outside the outermost complete slices the nearer of them is repeated.

    Raises
    ------
    BadInput
        If no slice across the axis is complete.
    """
    known = complete_slices(annotations, axis)
    if not known:
        raise BadInput(
            "Cannot interpolate", f"no slice across {axis} is complete", "mark at least two slices complete"
        )
    spacing = slice_spacing(voxel_size, axis)
    ends: tuple[int, int] | None = None
    between: Between | None = None
    for index in indices:
        after = int(np.searchsorted(known, index))
        low, high = known[max(0, after - 1)], known[min(after, len(known) - 1)]
        low = high if high == index else low
        if between is None or ends != (low, high):
            ends = (low, high)
            between = Between(annotations.read_slice(axis, low), annotations.read_slice(axis, high), spacing)
        yield between.at(0.0 if low == high else (index - low) / (high - low))


def propose_between(
    annotations: AnnotatedSlices,
    axis: Axis,
    low: int,
    high: int,
    values: Sequence[int] | None = None,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
) -> dict[int, Labels]:
    """Propose labels for the slices between two complete ones; nothing is written.

    Parameters
    ----------
    annotations : AnnotatedSlices
    axis : {"z", "y", "x"}
    low, high : int
        Indices along the array of two complete slices.
    values : sequence of int, optional
        The classes to propose; all when left out. A voxel that another class would get stays unpainted.
    voxel_size : tuple of float
        (z, y, x).

    Returns
    -------
    dict of int to ndarray of uint8, shape (h, w)
        For each slice between the two that is not complete itself and gets something new: the proposed class where
        nothing is painted, and 0 elsewhere. Background is not proposed: it is known once a person marks the slice
        complete.

    Raises
    ------
    BadSetting
        If the two slices are not in the volume, or the same.
    BadInput
        If one of them is not complete, or nothing lies between them.
    """
    what = f"Cannot interpolate across {axis}"
    low, high = sorted((int(low), int(high)))
    size = annotations.shape[AXES.index(axis)]
    if low < 0 or high >= size or low == high:
        raise BadSetting(
            what, f"slices {low} and {high} are no two slices", f"choose two from 0 to {size - 1}"
        )
    for index in (low, high):
        if annotations.status(axis, index) != "complete":
            raise BadInput(
                what,
                f"slice {index} is {annotations.status(axis, index)}",
                "mark it complete once all of it is painted, or choose another",
            )
    if high == low + 1:
        raise BadInput(what, f"slices {low} and {high} are neighbours", "choose two slices further apart")
    between = Between(
        annotations.read_slice(axis, low),
        annotations.read_slice(axis, high),
        slice_spacing(voxel_size, axis),
    )
    found: dict[int, Labels] = {}
    for index in range(low + 1, high):
        if annotations.status(axis, index) == "complete":
            continue
        proposed = between.at((index - low) / (high - low))
        proposed[annotations.read_slice(axis, index) != UNPAINTED] = 0
        if values is not None:
            proposed[~np.isin(proposed, np.asarray(values, np.uint8))] = 0
        if proposed.any():
            found[index] = proposed
    return found


def nearest_complete(annotations: AnnotatedSlices, axis: Axis, index: int) -> tuple[int, int]:
    """Return the complete slices below and above a slice.

    Raises
    ------
    BadInput
        If one of them is missing.
    """
    known = complete_slices(annotations, axis)
    below, above = [i for i in known if i < index], [i for i in known if i > index]
    if not below or not above:
        side = "before" if not below else "behind"
        raise BadInput(
            f"Cannot interpolate at slice {index} across {axis}",
            f"there is no complete slice {side} it",
            "paint one there and mark it complete",
        )
    return below[-1], above[0]


def propose(
    editor: AnnotationEditor, axis: Axis, low: int, high: int, values: Sequence[int] | None = None
) -> Action | None:
    """Paint the proposals of `propose_between` into the annotations, as one step that can be undone.

    Parameters
    ----------
    editor : AnnotationEditor
    axis, low, high, values
        As in `propose_between`.

    Returns
    -------
    Action or None
        None where everything between the slices is painted already. The slices become partial; nothing painted is
        changed.

    Raises
    ------
    BadSetting, BadInput
        As `propose_between`.
    OutOfSpace, UserError
        If the labels cannot be written.
    """
    from napari_sortingloss.study.annotations.change import Change

    annotations = editor.annotations
    voxel_size = annotations.record.voxel_size
    across = AXES.index(axis)
    changes = []
    for index, proposed in propose_between(annotations, axis, low, high, values, voxel_size).items():
        start = [index if i == across else 0 for i in range(3)]
        new = np.expand_dims(proposed, across)
        change = Change.between(
            start, np.zeros_like(new), new
        )  # what is not proposed is 0, and stays out of it
        if change is not None:
            changes.append(change)
    return editor.apply(changes, what=WHAT, axis=axis) if changes else None
