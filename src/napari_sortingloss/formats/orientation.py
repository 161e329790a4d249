"""Bringing stored axes to the LPS frame of DICOM and ITK by permuting and flipping, never by resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeVar

import numpy as np

Number = TypeVar("Number", int, float)

_LETTERS = ("LR", "PA", "SI")


@dataclass(frozen=True)
class Layout:
    """How the axes of an LPS volume are found in storage.

    Attributes
    ----------
    order : tuple of int
        For z, y and x of the volume: the stored axis (0 is the slowest in memory).
    flip : tuple of bool
        For z, y and x: whether the stored axis runs the other way.
    codes : str
        The directions in which the stored axes grow, fastest first, e.g. ``"RAS"``; ``""`` if unknown.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flip: tuple[bool, bool, bool] = (False, False, False)
    codes: str = ""

    def metadata(self) -> dict[str, Any]:
        """Return the provenance to keep with the volume."""
        return {"orientation": self.codes} if self.codes else {}

    def sizes(self, stored: Sequence[Number]) -> tuple[Number, Number, Number]:
        """Bring one number a stored axis to (z, y, x)."""
        return (stored[self.order[0]], stored[self.order[1]], stored[self.order[2]])

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return the (z, y, x) view of an array in stored order."""
        turned = array.transpose(self.order)
        return turned[tuple(slice(None, None, -1 if f else 1) for f in self.flip)]


AS_STORED = Layout()


def to_lps(directions: np.ndarray) -> Layout:
    """Find the permutation and the flips that bring stored axes nearest to LPS.

    Parameters
    ----------
    directions : numpy.ndarray
        (3, 3); row ``a`` is the direction in LPS coordinates in which stored axis ``a`` grows (axis 0 the slowest).

    Returns
    -------
    Layout
        As stored if the directions are degenerate.
    """
    matrix = np.asarray(directions, dtype=float)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or (lengths < 1e-12).any():
        return AS_STORED
    unit = matrix / lengths
    if abs(np.linalg.det(unit)) < 1e-6:
        return AS_STORED

    def alignment(order: tuple[int, ...]) -> float:
        return float(sum(abs(unit[order[o], 2 - o]) for o in range(3)))

    best = (0, 1, 2)
    for order in permutations(range(3)):
        if alignment(order) > alignment(best) + 1e-9:
            best = (order[0], order[1], order[2])
    signs = [float(unit[best[o], 2 - o]) for o in range(3)]
    component = {best[o]: 2 - o for o in range(3)}
    codes = "".join(_LETTERS[component[a]][int(unit[a, component[a]] < 0)] for a in (2, 1, 0))
    return Layout(best, (signs[0] < 0, signs[1] < 0, signs[2] < 0), codes)
