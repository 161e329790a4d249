"""How the grey values of a volume are spread, and how well they fill an intensity window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.study.exchange.window import Percentiles, parse_window

_PERCENTS = np.unique(np.concatenate([np.linspace(0, 100, 1001), [0.01, 0.05, 99.95, 99.99]]))
_ENOUGH = 1 << 19
"""So many voxels are measured, evenly chosen."""

LEAST_FILLED = 1 / 3
"""A window of which less than this is filled shows a volume in a few, pale grey values."""
MOST_WHITE = 0.5
"""Where more of the voxels than this become white, their differences are lost."""


@dataclass(frozen=True)
class Fill:
    """How the grey values of one volume lie in a window.

    Attributes
    ----------
    share : float
        What part of the window lies between their 1st and their 99.95th percentile.
    white : float
        What part of the voxels lies above it.
    """

    share: float
    white: float

    @property
    def poor(self) -> bool:
        """Whether the volume would be hard to see, for a person and for a network."""
        return self.share < LEAST_FILLED or self.white > MOST_WHITE

    def __str__(self) -> str:
        return f"{self.white:.0%} white" if self.white > MOST_WHITE else f"{self.share:.0%}"


class GreyValues:
    """The percentiles of a volume's voxels.

    Parameters
    ----------
    values : ndarray of float
        At fixed percentages, rising; see `of`.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    @classmethod
    def of(cls, voxels: NDArray[Any]) -> GreyValues:
        """Measure finite voxels of any shape."""
        flat = voxels.ravel()
        some = flat[:: max(1, flat.size // _ENOUGH)]
        return cls(np.percentile(some.astype(np.float64), _PERCENTS))

    def at(self, percent: float) -> float:
        """Return the grey value at a percentage, between the measured ones by interpolation."""
        return float(np.interp(percent, _PERCENTS, self._values))

    def window(self, text: str) -> tuple[float, float]:
        """Return the ends of a window, as `parse_window` reads it, in grey values.

        Raises
        ------
        BadSetting
            If the text is no window.
        """
        wish = parse_window(text)
        if not isinstance(wish, Percentiles):
            return wish.low, wish.high
        low, high = self.at(wish.low), self.at(wish.high)
        return (low, high) if low < high else (self.at(0), max(self.at(100), self.at(0) + 1.0))

    def fill(self, low: float, high: float) -> Fill:
        """Say how well a window is filled; one of nearly a single value is not judged."""
        first, last = self.at(1), self.at(99.95)
        if first >= last:
            return Fill(1.0, 0.0)
        share = max(0.0, min(last, high) - max(first, low)) / (high - low)
        place = int(np.searchsorted(self._values, high, side="left"))
        white = 1 - _PERCENTS[min(place, len(_PERCENTS) - 1)] / 100
        return Fill(float(share), float(white))


def poorly_filled(window: str, fills: Mapping[str, Fill]) -> str:
    """Say in one sentence which volumes a window does not suit; empty where it suits all.

    Parameters
    ----------
    window : str
        As a person wrote it.
    fills : mapping of str to Fill
        Of each volume, by its name.
    """
    poor = [f"{name} ({fill})" for name, fill in fills.items() if fill.poor]
    if not poor:
        return ""
    of = "The volume" if len(fills) == 1 else f"{len(poor)} of {len(fills)} volumes"
    fills_it, lies = ("fills", "lies") if len(poor) == 1 else ("fill", "lie")
    where = f"less than a third of the window {window}, or {lies} mostly above it"
    return f"{of} {fills_it} {where}: {', '.join(poor)}."
