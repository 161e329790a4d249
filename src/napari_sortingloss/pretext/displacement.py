"""How far an ordering is from the truth: mean displacement, its chance level, pairwise accuracy, Spearman's rho."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any] | Sequence[float]


def average_ranks(values: Values) -> NDArray[np.float64]:
    """Rank values from 0; equal values share the mean of the ranks they occupy.

    Parameters
    ----------
    values : array_like, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    found = _vector(values)
    ordered = np.sort(found)
    first = np.searchsorted(ordered, found, side="left")
    last = np.searchsorted(ordered, found, side="right") - 1
    return (first + last) / 2.0


def mean_displacement(positions: Values, scores: Values) -> float:
    """Mean distance, in ranks, between where a slice is and where the scores put it.

    Parameters
    ----------
    positions : array_like, shape (k,)
        True positions of the slices along the ordering axis, in any order and any unit.
    scores : array_like, shape (k,)
        One number a slice; larger means further along the axis.

    Returns
    -------
    float
        0 for a perfect order, `random_displacement` for a random one; 0 for fewer than two slices.

    Notes
    -----
    Zharov et al., Localization, section 2.1, read as *ranks*: the formula printed there takes one ``argsort``, which is
    a rank only for a batch that is already in order, and inflates a single swap of neighbours up to (k + 1)/3 times.

    Slices with equal scores are nobody's order yet. They are given the average over all orders of the tied ranks:
    a slice of true rank t tied over the ranks a..b counts mean(abs(t - r), r = a..b). A collapsed encoder (all scores
    equal) therefore shows exactly the chance level (k^2 - 1)/(3k). Giving each tied slice the average *rank* instead
    would show k/4 there, a quarter better than chance: 4.0 instead of 5.3 at k = 16. For the ties of a few slices
    without sample both agree: 1.0 for an otherwise perfect order at k = 12 with 10 % empty slices.
    """
    return float(np.mean(_distances(average_ranks(positions), scores))) if len(positions) else 0.0


def random_displacement(k: int) -> float:
    """Expected `mean_displacement` of a random order of `k` slices: (k^2 - 1)/(3k)."""
    return (k * k - 1) / (3 * k) if k > 0 else 0.0


def mean_distance(positions: Values, scores: Values, spacing: float) -> float:
    """`mean_displacement` as a length: how far each slice lies from the place the scores give it.

    Parameters
    ----------
    positions : array_like, shape (k,)
        True positions in slices.
    scores : array_like, shape (k,)
    spacing : float
        Distance between neighbouring slices of the volume; the result has its unit.

    Returns
    -------
    float
        Mean distance between the true place of a slice and the true place of the slice whose rank it was given. Over
        all slices of a volume this is ``spacing * mean_displacement``.
    """
    return float(np.mean(_distances(_vector(positions), scores))) * spacing if len(positions) else 0.0


def random_distance(positions: Values, spacing: float) -> float:
    """Expected `mean_distance` of a random order: the mean distance of two slices drawn with replacement."""
    places = np.sort(_vector(positions))
    n = len(places)
    if n == 0:
        return 0.0
    return float(2.0 * np.sum((2.0 * np.arange(n) - n + 1) * places) / n**2) * spacing


def pairwise_accuracy(positions: Values, scores: Values) -> float:
    """Return the share of the pairs of slices that the scores put in the right order.

    Parameters
    ----------
    positions, scores : array_like, shape (k,)

    Returns
    -------
    float
        0.5 is chance; a pair with equal scores counts one half, pairs at the same position do not count. 0.5 where
        there is no pair.
    """
    places, found = _vector(positions), _vector(scores)
    above = places[:, None] > places[None, :]
    pairs = int(np.count_nonzero(above))
    if pairs == 0:
        return 0.5
    right = np.count_nonzero(above & (found[:, None] > found[None, :]))
    wrong = np.count_nonzero(above & (found[:, None] < found[None, :]))
    return 0.5 + 0.5 * (right - wrong) / pairs


def spearman(positions: Values, scores: Values) -> float:
    """Spearman's rank correlation of position and score, with average ranks for ties.

    Returns
    -------
    float
        1 for the right order, -1 for the reversed one; 0 where one of the two is constant (no order at all).
    """
    x, y = average_ranks(positions), average_ranks(scores)
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt(np.sum(x * x) * np.sum(y * y)))
    return float(np.clip(np.sum(x * y) / size, -1.0, 1.0)) if size > 0 else 0.0


def foreground_slices(slices: NDArray[np.uint8], least: float = 0.02) -> NDArray[np.bool_]:
    """Tell the slices that show something of the sample from the empty ones.

    What lies in the same place in every slice (a tube's wall, a bed, rings) says nothing about the order, so the darkest
    value each pixel ever takes is subtracted first; what rises above Otsu's threshold of the rest is content. A slice
    is empty when it has less than `least` of the content of the fullest slice.

    Parameters
    ----------
    slices : ndarray of uint8, shape (n, h, w)
        Slices of one volume, at any (small) size.
    least : float
        Share of the fullest slice's content below which a slice is empty.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if len(slices) < 2:
        return np.ones(len(slices), dtype=bool)
    rest = slices - slices.min(axis=0)
    content = np.count_nonzero(rest > _otsu(rest), axis=(1, 2))
    if content.max() == 0:
        return np.ones(len(slices), dtype=bool)
    return np.asarray(content >= least * content.max())


def _distances(places: NDArray[np.float64], scores: Values) -> NDArray[np.float64]:
    """Distance of each item's place to the places its score gives it, averaged over the orders of tied items."""
    found = _vector(scores)
    if found.shape != places.shape:
        raise ValueError(f"{len(places)} positions, but {len(found)} scores")
    slots, ordered = np.sort(places), np.sort(found)
    first = np.searchsorted(ordered, found, side="left")
    stop = np.searchsorted(ordered, found, side="right")
    middle = np.clip(np.searchsorted(slots, places), first, stop)
    total = np.concatenate([[0.0], np.cumsum(slots)])
    below = places * (middle - first) - (total[middle] - total[first])
    above = (total[stop] - total[middle]) - places * (stop - middle)
    return np.asarray((below + above) / (stop - first))


def _otsu(image: NDArray[np.uint8]) -> int:
    """Otsu's threshold: the grey level that splits the histogram into the two classes furthest apart."""
    counts = np.bincount(image.ravel(), minlength=256).astype(np.float64)
    levels = np.arange(256)
    low, high = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    low_mean = np.cumsum(counts * levels) / np.maximum(low, 1)
    high_mean = np.cumsum((counts * levels)[::-1])[::-1] / np.maximum(high, 1)
    between = low[:-1] * high[1:] * (low_mean[:-1] - high_mean[1:]) ** 2
    return int(np.argmax(between))


def _vector(values: Values) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(-1)
