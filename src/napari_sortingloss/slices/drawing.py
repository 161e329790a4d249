"""Draws which slices of a volume go into a batch: without replacement, uniformly or favouring the middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices import Weighting

SHARPNESS = 8.0
"""Exponent b of the generalised Gaussian: the larger, the flatter its top and the steeper its flanks."""

WIDTH = 0.7
"""Scale s of the generalised Gaussian, as a fraction of half the axis."""


def centred_weights(n: int) -> NDArray[np.float64]:
    """Return how likely each of `n` slices is drawn where the sample is known to sit in the middle.

    Parameters
    ----------
    n : int
        Number of slices along the ordering axis.

    Returns
    -------
    ndarray, shape (n,)
        Probabilities that sum to 1: ``exp(-|u / 0.7| ** 8)`` with ``u`` going from -1 at the first slice to 1 at
        the last.
    """
    u = np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(n)
    weights: NDArray[np.float64] = np.exp(-(np.abs(u / WIDTH) ** SHARPNESS))
    weights /= weights.sum()
    return weights


def draw_positions(
    rng: np.random.Generator, n: int, k: int, weighting: Weighting = "uniform"
) -> NDArray[np.intp]:
    """Draw `k` distinct slice positions in random order.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the randomness comes from; equal generators give equal draws.
    n : int
        Number of slices along the ordering axis, at least 1.
    k : int
        Number of slices wanted, at least 1. Fewer slices than `k`: all of them are used, shuffled.
    weighting : {"uniform", "centred"}
        Every slice alike, or mostly slices near the middle.

    Returns
    -------
    ndarray of int, shape (min(k, n),)
        Positions from 0 to n - 1.

    Raises
    ------
    ValueError
        If `n` or `k` is smaller than 1.
    """
    if n < 1 or k < 1:
        raise ValueError(f"cannot draw {k} of {n} slices")
    if k >= n:
        return rng.permutation(n)
    if weighting == "uniform":
        return rng.choice(n, size=k, replace=False)
    # Exponential clocks that tick at the rate of the weights: the k first to ring are a weighted draw without
    # replacement (Efraimidis and Spirakis 2006), in one pass.
    rings = rng.standard_exponential(n) / centred_weights(n)
    return rng.permutation(np.argpartition(rings, k)[:k])
