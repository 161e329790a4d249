"""From a coarse map of evidence to the specimen's surface: the grey value that explains the evidence best, half-way."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.region import Floats, Mask, finite, is_flat
from napari_sortingloss.localize.resample import block_mean, resample, step_for

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

FINE, COARSE = 12_000_000, 1_200_000
"""At most so many points are looked at: at the surface, and while thresholds are compared."""

CANDIDATES = 32
"""Thresholds that are compared, for bright and for dark specimens each."""

ENOUGH = 0.5
"""Thresholds that explain at least this share of what the best one does are candidates for the surface."""

CLEAR = 0.7
"""The lowest candidate counts that stands out at least so much as clearly as the clearest: a specimen may hold something
brighter, such as bone in soft tissue, that stands out too."""

LEAST = 0.05
"""Share of the evidence's variance that has to be explained; less, and grey values are no guide to the specimen."""

SEED = 0.9
"""Quantile of the evidence from which on it counts for choosing among the parts of a threshold."""

REACH = 4.0
"""How far around the coarse part the surface is looked for, in coarse points."""

NEARER = 1e-3
"""What a coarse point of distance costs: where the score says nothing, what is nearer to the specimen comes first."""

HALF = 0.5
"""The threshold of the score: half-way between the specimen and what surrounds it."""


@dataclass(frozen=True, eq=False)
class Refined:
    """The specimen as the voxels show it.

    Attributes
    ----------
    score : ndarray of float32
        0 at the grey value of the surroundings, 1 at that of the specimen; a little below 0 far from it, the farther the
        lower.
    grid : Grid
        On which it lies.
    around, specimen : float
        The two grey values, 0 to 255.
    explained : float
        Which share of the evidence's variance the part and the rest explain (eta squared).
    """

    score: Floats
    grid: Grid
    around: float
    specimen: float
    explained: float


@dataclass(frozen=True)
class _Part:
    """A connected part of what lies above one threshold: the one with the most evidence."""

    threshold: float
    explained: float
    mask: Mask


def refine(volume: Volume, evidence: Floats, grid: Grid) -> Generator[str, None, Refined | None]:
    """Find the surface of the specimen in the voxels.

    For every threshold of the (slightly smoothed) grey values the connected part is looked at that holds most of the
    evidence. How well it explains what the network looks at is how much the part and the rest differ in evidence; thresholds
    that explain at least half as much as the best one are candidates. Of these the lowest is taken whose part stands out
    clearly from the ring around it, so that soft tissue stays with the bone in it. Then the threshold is moved half-way
    between the median of the part and the median of what surrounds it, until it stays. A tube that is brighter than the
    specimen is another part, and holds no evidence. Bright and dark specimens are both tried, the one that explains more
    first.

    Parameters
    ----------
    volume : Volume
    evidence : ndarray of float32, shape ``grid.shape``
        Higher where the network looks.
    grid : Grid

    Yields
    ------
    str
        What is being done, before each piece of work.

    Returns
    -------
    Refined or None
        None where grey values do not explain the evidence, or it is the same everywhere.

    Notes
    -----
    The half-way rule is that of Ridler and Calvard (1978), here with medians and with the surroundings of one part
    instead of the whole picture. Memory is bounded: large volumes are read from their pyramid.
    """
    evidence = finite(evidence)
    if is_flat(evidence):
        return None
    yield "reading the voxels"
    fine, fine_grid = _level(volume, FINE)
    step = step_for(fine_grid.shape, fine_grid.spacing(volume.voxel_size), COARSE)
    grey, coarse_grid = block_mean(fine, fine_grid, step)
    grey = ndimage.gaussian_filter(grey, 1.0)
    there = resample(evidence, grid, coarse_grid)
    found: list[tuple[float, _Part]] = []
    for sign, kind in ((1.0, "bright"), (-1.0, "dark")):
        yield f"comparing thresholds for a {kind} specimen"
        part = _explaining_part(sign * grey, there)
        if part is not None and part.explained >= LEAST:
            found.append((sign, part))
    for sign, part in sorted(found, key=lambda one: -one[1].explained):
        yield "finding the surface"
        around, specimen, distance = _half_way(sign * grey, there, part)
        # Moving the threshold may end at something else, such as the air around, that the network does not look at.
        if not specimen > around or not there[distance == 0].mean() > there.mean():
            continue
        smooth = 0.8 if max(fine_grid.scale) == 1 else 0.5
        score = ndimage.gaussian_filter(fine.astype(np.float32), smooth)
        score = (sign * score - around) / (specimen - around)
        apart = resample(distance, coarse_grid, fine_grid)
        score = np.where(apart > REACH, 0.0, np.maximum(score, 0.0)) - NEARER * apart
        return Refined(score.astype(np.float32), fine_grid, sign * around, sign * specimen, part.explained)
    return None


def _level(volume: Volume, most: int) -> tuple[NDArray[np.uint8], Grid]:
    """Read the finest level of the pyramid that has at most `most` voxels."""
    levels, scales = volume.pyramid(), volume.level_scales
    chosen = next((i for i, level in enumerate(levels) if level.size <= most), len(levels) - 1)
    scale, offset = (
        tuple(float(s / v) for s, v in zip(values, volume.voxel_size, strict=True))
        for values in scales[chosen]
    )
    z, y, x = levels[chosen].shape
    return np.asarray(levels[chosen]), Grid(
        (z, y, x), (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2])
    )


def _explaining_part(grey: Floats, evidence: Floats) -> _Part | None:
    """Compare thresholds: of those that explain enough, take the lowest whose part stands out clearly."""
    weight = _seed(evidence)
    near = grey[ndimage.binary_dilation(weight > 0, iterations=4)]
    shares = np.linspace(0.02, 0.98, CANDIDATES // 2)
    levels = np.unique(np.concatenate([np.quantile(near, shares), np.quantile(grey, shares)]))
    found = [_explained(grey, evidence, weight, float(level)) for level in levels]
    best = int(np.argmax(found))
    if not found[best] > 0:
        return None
    candidates = [float(t) for t, share in zip(levels, found, strict=True) if share >= ENOUGH * found[best]]
    clear = [_clarity(grey, _part(grey > threshold, weight)) for threshold in candidates]
    if max(clear) <= 0:  # what surrounds the part is as bright: these thresholds cut through something
        return None
    threshold = next(t for t, one in zip(candidates, clear, strict=True) if one >= CLEAR * max(clear))
    return _Part(threshold, found[best], _part(grey > threshold, weight))


def _clarity(grey: Floats, mask: Mask) -> float:
    """Return by how many of their own deviations the grey values of a part and of the ring around it differ."""
    ring = ndimage.binary_dilation(mask, iterations=2 + int(REACH)) & ~ndimage.binary_dilation(
        mask, iterations=2
    )
    if not ring.any():
        return 0.0
    (inside, spread), (around, noise) = (_median_and_deviation(grey[where]) for where in (mask, ring))
    return (inside - around) / (spread + noise + 1.0)


def _median_and_deviation(values: Floats) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, float(np.median(np.abs(values - middle)))


def _explained(grey: Floats, evidence: Floats, weight: Floats, threshold: float) -> float:
    """Return the share of the evidence's variance between one part and the rest, 0 where the part has less of it."""
    labels, count = ndimage.label(grey > threshold)
    variance = float(evidence.var())
    if not count or variance <= 0:
        return 0.0
    flat = labels.ravel()
    part = int(np.bincount(flat, weight.ravel(), minlength=count + 1)[1:].argmax()) + 1
    size = int(np.bincount(flat, minlength=count + 1)[part])
    if not 0 < size < grey.size:
        return 0.0
    inside = float(np.bincount(flat, evidence.ravel(), minlength=count + 1)[part])
    outside = float(evidence.sum(dtype=np.float64)) - inside
    share = size / grey.size
    difference = inside / size - outside / (grey.size - size)
    return share * (1 - share) * difference**2 / variance if difference > 0 else 0.0


def _part(mask: Mask, weight: Floats) -> Mask:
    """Return the connected part that holds most of the evidence."""
    labels, count = ndimage.label(mask)
    if not count:
        return np.zeros(mask.shape, bool)
    masses = np.bincount(labels.ravel(), weight.ravel(), minlength=count + 1)
    masses[0] = -1.0
    part: Mask = labels == masses.argmax()
    return part


def _seed(evidence: Floats) -> Floats:
    start = np.float32(np.quantile(evidence, SEED))
    if start >= evidence.max():  # a plateau of more than that share: all of it counts alike
        return (evidence >= start).astype(np.float32)
    seed: Floats = np.maximum(evidence - start, 0)
    return seed


def _half_way(grey: Floats, evidence: Floats, part: _Part, rounds: int = 8) -> tuple[float, float, Floats]:
    """Return the grey values of the surroundings and of the specimen, and the distance from the part at each point."""
    weight, mask, threshold = _seed(evidence), part.mask, part.threshold
    around = specimen = threshold
    for _ in range(rounds):
        distance = ndimage.distance_transform_edt(~mask)
        ring = (distance > 2) & (distance <= 2 + REACH)
        around = float(np.median(grey[ring])) if ring.any() else float(grey.min())
        specimen = float(np.median(grey[mask]))
        middle = (around + specimen) / 2
        smaller = _part((grey > middle) & (distance <= REACH), weight)
        if middle <= part.threshold or not smaller.any():
            break
        settled = abs(middle - threshold) < 0.5
        mask, threshold = smaller, middle
        if settled:
            break
    distance = ndimage.distance_transform_edt(~mask).astype(np.float32)
    return around, specimen, distance
