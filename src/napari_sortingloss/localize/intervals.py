"""Where along an axis a curve is high: one interval an axis, the box of three, and a map made of three curves.

Uses numpy, scipy and scikit-image only: a window may call it at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sortingloss.boxes import Box
from napari_sortingloss.localize.grid import Grid

SMOOTH = 0.02
"""Width (standard deviation) of the Gaussian that smooths a curve, as a share of the side."""

LEAST_CONTRAST = 0.02
"""How much higher the high part of a curve must be on average; certainties that differ by less say nothing."""

LEAST_NOISES = 4.0
"""The same in standard deviations of the noise that smoothing leaves; Otsu splits noise alone by 1.6 of them."""

FEWEST = 4
"""Points that a curve needs to be judged."""

SHORTEST = 3
"""Samples that an interval must be long; less is an outlier."""

ENOUGH = 16
"""Points by which noise can be told: the steep sides of a stretch make up less than half of them."""

INSIDE = 0.5
"""Above it `fused_map` is high along all three axes."""


@dataclass(frozen=True, eq=False)
class Interval:
    """The stretch of a side where a curve is high.

    Attributes
    ----------
    low, high : int
        Half-open, in voxel indices along the array.
    threshold : float or None
        What the smoothed curve exceeds there; None where nothing stands out and the whole side is kept.
    smoothed : ndarray of float32, shape (size,)
        The smoothed curve at each voxel.
    warnings : tuple of str
        One sentence for each thing a person should know.
    """

    low: int
    high: int
    threshold: float | None
    smoothed: NDArray[np.float32]
    warnings: tuple[str, ...] = ()


def interval(
    curve: ArrayLike, positions: ArrayLike, size: int, *, smooth: float = SMOOTH, name: str = "its side"
) -> Interval:
    """Find the longest stretch of a side where a curve is high.

    The curve is interpolated linearly between the points where it was sampled (constant beyond the first and the
    last), smoothed, and split by Otsu's threshold; the longest run of voxels above it is taken.

    Parameters
    ----------
    curve : array of float, shape (n,)
        Values; those that are no numbers are left out.
    positions : array, shape (n,)
        Where they were sampled, in voxel indices along the array, in any order.
    size : int
        Voxels of the side.
    smooth : float
        Standard deviation of the smoothing Gaussian, as a share of the side.
    name : str
        The axis, for the warnings.

    Returns
    -------
    Interval
        The whole side, with a warning, where nothing stands out: too few values, a flat curve or one of noise, or only
        a stretch shorter than three samples.

    Raises
    ------
    ValueError
        If curve and positions differ in length or a position lies outside the side.

    Notes
    -----
    Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    from scipy.ndimage import gaussian_filter1d
    from skimage.filters import threshold_otsu

    values, at = np.asarray(curve, np.float64), np.asarray(positions, np.float64)
    if values.shape != at.shape or values.ndim != 1 or (len(at) and not 0 <= at.min() <= at.max() < size):
        raise ValueError(f"no curve of {values.shape} at {at.shape} along {size} voxels")
    order = np.argsort(at)
    order = order[np.isfinite(values[order])]
    values, at = values[order], at[order]
    if len(values) < FEWEST:
        level = values.mean() if len(values) else 0.0
        return _whole(np.full(size, level), f"only {len(values)} slices along {name} could be judged")
    spread = smooth * size
    smoothed = gaussian_filter1d(np.interp(np.arange(size), at, values), spread, mode="nearest")
    nothing = f"nothing stands out along {name}"
    if np.ptp(smoothed) < LEAST_CONTRAST:
        return _whole(smoothed, nothing)
    threshold = float(threshold_otsu(smoothed))
    above = smoothed > threshold
    contrast = smoothed[above].mean() - smoothed[~above].mean()
    sampling = max(1.0, float(np.median(np.diff(at))))
    if contrast < max(LEAST_CONTRAST, LEAST_NOISES * _noise(values, spread / sampling)):
        return _whole(smoothed, nothing)
    edges = np.flatnonzero(np.diff(above, prepend=False, append=False))
    runs = sorted(
        zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True), key=lambda run: run[0] - run[1]
    )
    low, high = runs[0]
    if high - low < SHORTEST * sampling:
        return _whole(smoothed, f"only the voxels {low} to {high - 1} stand out along {name}")
    warnings: tuple[str, ...] = ()
    if len(runs) > 1 and 2 * (runs[1][1] - runs[1][0]) >= high - low:
        other = f"{runs[1][0]} to {runs[1][1] - 1}"
        warnings = (
            f"Two stretches stand out along {name}, the voxels {low} to {high - 1} and {other}: the longer one is "
            "taken; check that the specimen is not cut.",
        )
    return Interval(low, high, threshold, smoothed.astype(np.float32), warnings)


def box_of_intervals(intervals: Sequence[Interval]) -> Box:
    """Return the box of the intervals along z, y and x."""
    z, y, x = ((i.low, i.high) for i in intervals)
    return z, y, x


def fused_map(intervals: Sequence[Interval], grid: Grid) -> NDArray[np.float32]:
    """Combine the curves along z, y and x into one map, as if it had been measured at every place.

    Parameters
    ----------
    intervals : sequence of three Interval
        Along z, y and x.
    grid : Grid
        Where the map is wanted.

    Returns
    -------
    ndarray of float32, shape `grid.shape`
        At each point the least of the three smoothed curves, each brought to 0 where it is lowest, to `INSIDE` at its
        threshold and to 1 where it is highest; at most `INSIDE` outside its interval, and 1 throughout where the whole
        side is kept. The places above `INSIDE` are thus the box of the intervals.
    """
    levels = [
        np.interp(grid.voxels(axis), np.arange(len(found.smoothed)), _level(found))
        for axis, found in enumerate(intervals)
    ]
    z, y, x = np.ix_(*levels)
    fused: NDArray[np.float32] = np.minimum(np.minimum(z, y), x).astype(np.float32)
    return fused


def _level(found: Interval) -> NDArray[np.float64]:
    """Bring a curve to 0 at its lowest, `INSIDE` at its threshold and 1 at its highest."""
    curve = found.smoothed.astype(np.float64)
    if found.threshold is None:
        return np.ones_like(curve)
    level = np.interp(curve, [curve.min(), found.threshold, curve.max()], [0, INSIDE, 1])
    outside = np.ones(len(curve), bool)
    outside[found.low : found.high] = False
    level[outside] = level[outside].clip(max=INSIDE)
    return level


def _noise(values: NDArray[np.float64], spread: float) -> float:
    """Estimate the noise that a Gaussian of `spread` samples leaves in a curve, as a standard deviation."""
    if len(values) < ENOUGH:
        return 0.0
    bends = float(np.median(np.abs(np.diff(values, 2))))
    noise = bends / (0.6745 * math.sqrt(6))  # the median of a normal variable; its second difference
    return noise / math.sqrt(max(1.0, 2 * math.sqrt(math.pi) * spread))


def _whole(smoothed: NDArray[np.float64], why: str) -> Interval:
    """Keep the whole side, and say why."""
    sentence = (
        f"{why[0].upper()}{why[1:]}: the whole side is kept; set it by hand where you see the specimen."
    )
    return Interval(0, len(smoothed), None, smoothed.astype(np.float32), (sentence,))
