"""Turns probabilities into labels whose overlap with the truth can be expected to be the largest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Totals = NDArray[np.uint16]

LEAST = 1 / 3
"""No class is labelled where it is less probable: what one of three axes alone says, however surely, is not enough."""


class OverlapLimits:
    """Counts how often each probability of each class occurs in a volume; from that follows from where on to label it.

    Parameters
    ----------
    classes : int
        Without background.
    most : int
        The total that stands for probability 1.

    Notes
    -----
    The likeliest class at each voxel makes the fewest wrong voxels. Scores ask for overlap: where the probability ``p`` of a
    class at each voxel is known, its expected Dice coefficient is largest if all voxels with ``p > D / 2`` are labelled,
    where ``D`` is what is then reached (Lipton et al., Optimal thresholding of classifiers to maximize F1 measure, 2014; Dai
    and Li, RankSEG, 2023). ``D`` is at most 1: a class is labelled from a probability below one half on, the lower the
    less sure the network is of it. As there, the expected Dice is ``2 sum(p over labelled) / (labelled + sum(p))``.
    """

    def __init__(self, classes: int, most: int) -> None:
        self._most = most
        self._counts = np.zeros((classes, most + 1), np.int64)

    def add(self, totals: Totals) -> None:
        """Count voxels.

        Parameters
        ----------
        totals : ndarray of uint16, shape (n, classes, h, w)
            Probabilities times `most`.
        """
        for counts, found in zip(self._counts, np.moveaxis(totals, 1, 0), strict=True):
            counts += np.bincount(found.ravel(), minlength=self._most + 1)

    def limits(self) -> NDArray[np.int64]:
        """Return the smallest total that is labelled, for each class, shape (classes,)."""
        weights = np.arange(self._most + 1) / self._most
        labelled = self._counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        inside = (self._counts * weights)[:, ::-1].cumsum(axis=1)[:, ::-1]
        dice = 2 * inside / np.maximum(labelled + inside[:, :1], 1e-9)
        least = int(np.ceil(LEAST * self._most))
        # Of totals that do as well the largest: where a class is nowhere, none of its voxels is labelled.
        best: NDArray[np.int64] = self._most - dice[:, least:][:, ::-1].argmax(axis=1)
        return best


def labels_above(totals: Totals, limits: Sequence[int] | NDArray[np.int64], values: Sequence[int]) -> Bytes:
    """Return the class whose total is furthest above its limit, as their ratio says, at each voxel.

    Parameters
    ----------
    totals : ndarray of uint16, shape (n, classes, h, w)
    limits : sequence of int, shape (classes,)
        From `OverlapLimits.limits`.
    values : sequence of int
        The class values.

    Returns
    -------
    ndarray of uint8, shape (n, h, w)
        Class values; 0, background, where no class reaches its limit.
    """
    found = np.zeros((totals.shape[0], *totals.shape[2:]), np.uint8)
    best = np.full(found.shape, np.nextafter(np.float32(1), np.float32(0)))
    for channel, (limit, value) in enumerate(zip(limits, values, strict=True)):
        ratio = totals[:, channel] / np.float32(limit)
        better = ratio > best
        found[better] = value
        best[better] = ratio[better]
    return found
