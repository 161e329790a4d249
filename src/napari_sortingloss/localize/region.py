"""From a map of evidence to a region, its hull and its box; quick enough to follow a slider."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box, Shape, share_of
from napari_sortingloss.localize.grid import Grid, Triple
from napari_sortingloss.study.localizations.record import Hull

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

FEW = 8
"""A largest part of fewer points than this is an accident; all parts are taken together then."""

NARROW = 3
"""A region of fewer points than this along an axis says little about where it ends."""


@dataclass(frozen=True, eq=False)
class Region:
    """What of a volume is taken for the specimen.

    Attributes
    ----------
    mask : ndarray of bool
        On the grid of the evidence; the largest connected part above the threshold.
    box : Box
        In voxels of the volume; `NO_BOX` where nothing was found.
    hull : Hull or None
        The convex hull of the region in voxel indices.
    threshold : float
        What lies above it in the evidence was taken.
    fraction : float
        The share of the volume above it, before only the largest part was kept.
    warnings : tuple of str
        What a person should know before trusting the box.
    """

    mask: Mask
    box: Box
    hull: Hull | None
    threshold: float
    fraction: float
    warnings: tuple[str, ...] = ()


def find_region(
    evidence: Floats,
    grid: Grid,
    volume_shape: Shape,
    voxel_size: Triple,
    *,
    threshold: float | None = None,
    fraction: float | None = None,
) -> Region:
    """Take the largest connected part of what lies above a threshold over the whole volume.

    Parameters
    ----------
    evidence : ndarray of float32, shape ``grid.shape``
        Higher where the specimen is; what is not finite counts as the lowest value.
    grid : Grid
    volume_shape : tuple of int
        (z, y, x) of the volume.
    voxel_size : tuple of float
        (z, y, x), for the extent of the region in physical units.
    threshold : float, optional
        What counts must be larger.
    fraction : float, optional
        Instead of a threshold: the share of the volume that lies above it. With neither Otsu's method chooses.

    Returns
    -------
    Region

    Notes
    -----
    Zharov et al., Localization (section 2.2): there the fraction is 0.03.
    """
    values = finite(evidence)
    if is_flat(values):
        return _nothing(
            values,
            float(values.max()),
            "The network sees no difference anywhere in this volume: nothing was found.",
        )
    if threshold is None:
        threshold = _otsu(values) if fraction is None else _quantile(values, fraction)
    above = values > threshold
    share = float(above.mean())
    if not above.any():
        return _nothing(values, threshold, "Nothing lies above this threshold.")
    warnings: list[str] = []
    mask = largest_part(above)
    if np.count_nonzero(mask) < FEW and np.count_nonzero(above) > np.count_nonzero(mask):
        mask = above
        warnings.append(
            "The region falls apart into specks; the box holds all of them. Take a larger share or a finer grid."
        )
    box = grid.box_of(mask, volume_shape)
    warnings += _doubts(mask, box, grid, volume_shape, voxel_size)
    return Region(mask, box, hull_of(mask, grid), float(threshold), share, tuple(warnings))


def largest_part(mask: Mask) -> Mask:
    """Return the connected part (face to face) of the most points; ties go to the first."""
    from scipy import ndimage

    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask.copy()
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    part: Mask = parts == sizes.argmax()
    return part


def hull_of(mask: Mask, grid: Grid) -> Hull | None:
    """Return the convex hull of the cells around the points of a region.

    Parameters
    ----------
    mask : ndarray of bool, shape ``grid.shape``
    grid : Grid

    Returns
    -------
    Hull or None
        Vertices in voxel indices, triangles that are all turned the same way; None for an empty region.
    """
    from scipy.spatial import ConvexHull

    ends = _ends_of_rows(mask)
    if not len(ends):
        return None
    corners = np.array(list(product((-0.5, 0.5), repeat=3)))
    points = ends.astype(np.float64)
    if len(points) > 64:
        # The hull of the cells is the hull of their centres' hull with a cell at each corner.
        try:
            points = points[ConvexHull(points).vertices]
        except _flat_errors():
            pass
    cells = (points[:, None] + corners).reshape(-1, 3)
    hull = ConvexHull(np.unique(cells, axis=0))
    order = np.full(len(hull.points), -1)
    order[hull.vertices] = np.arange(len(hull.vertices))
    triangles = hull.simplices.copy()
    a, b, c = (hull.points[triangles[:, i]] for i in range(3))
    inwards = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    return Hull(grid.to_voxels(hull.points[hull.vertices]), order[triangles])


def _flat_errors() -> tuple[type[Exception], ...]:
    from scipy.spatial import QhullError

    return (QhullError,)


def _ends_of_rows(mask: Mask) -> NDArray[np.intp]:
    """Return the first and last marked point of every row: the only ones that can be corners of a hull."""
    rows = mask.any(axis=2)
    z, y = np.nonzero(rows)
    if not len(z):
        return np.zeros((0, 3), np.intp)
    marked = mask[z, y]
    first = marked.argmax(axis=1)
    last = mask.shape[2] - 1 - marked[:, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([z, y, first], 1), np.stack([z, y, last], 1)])


def finite(evidence: Floats) -> Floats:
    """Return a map in which what is not finite has the lowest of the other values."""
    good = np.isfinite(evidence)
    if good.all():
        return evidence
    lowest = float(evidence[good].min()) if good.any() else 0.0
    return np.where(good, evidence, np.float32(lowest))


def is_flat(values: Floats) -> bool:
    """Return whether a map is the same everywhere, but for rounding."""
    low, high = float(values.min()), float(values.max())
    return high - low <= 1e-6 * max(abs(high), abs(low), 1e-30)


def _otsu(values: Floats) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(values.ravel()))  # a map three points wide is no colour picture


def _quantile(values: Floats, fraction: float) -> float:
    """Return what `fraction` of the values exceed; at least one does."""
    count = min(max(1, round(fraction * values.size)), values.size - 1)
    flat = values.ravel()
    place = values.size - count - 1
    found = np.partition(flat, place)[place]
    highest = flat.max()
    if found == highest:  # more than `count` points share it
        found = flat[flat < highest].max()
    return float(found)


def _nothing(values: Floats, threshold: float, why: str) -> Region:
    return Region(np.zeros(values.shape, bool), NO_BOX, None, float(threshold), 0.0, (why,))


def _doubts(mask: Mask, box: Box, grid: Grid, shape: Shape, voxel_size: Triple) -> list[str]:
    doubts = []
    for axis, name in enumerate("zyx"):
        points = int(mask.any(axis=tuple(a for a in range(3) if a != axis)).sum())
        if points < min(NARROW, grid.shape[axis]) and grid.scale[axis] > 1:
            doubts.append(
                f"The grid is too coarse: along {name} the region is {points} of {grid.shape[axis]} points long, one "
                f"every {grid.scale[axis]:.3g} voxels. Choose a finer grid, or train on larger slices."
            )
            break
    if share_of(box, shape) > 0.95:
        doubts.append(
            "The box is nearly the whole volume: there is little to cut away, or the specimen was not found."
        )
    return doubts
