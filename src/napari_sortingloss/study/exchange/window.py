"""The intensity window: what a person asks for, measured on a volume, and applied to bring its voxels to 8 bit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadSetting

_CHUNK = 1 << 18
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_PAIR = re.compile(rf"\s*([pP]?)\s*({_NUMBER})\s*:\s*([pP]?)\s*({_NUMBER})\s*")


@dataclass(frozen=True)
class Percentiles:
    """A window between two percentiles of the volume itself, e.g. ``p1:p99.95`` (SortingLoss paper, Medaka)."""

    low: float
    high: float


@dataclass(frozen=True)
class Values:
    """A window between two given intensities, e.g. ``-900:500`` Hounsfield units (SortingLoss paper, MosMed)."""

    low: float
    high: float


def parse_window(text: str) -> Percentiles | Values:
    """Read a window as a person writes it.

    Parameters
    ----------
    text : str
        ``"pX:pY"`` for two percentiles between 0 and 100, or ``"LOW:HIGH"`` for two intensities.

    Raises
    ------
    BadSetting
        If the text is neither, a percentile lies outside 0 to 100, or the lower end is not below the upper one.
    """
    what = f"Cannot use the intensity window '{text}'"
    match = _PAIR.fullmatch(text)
    if match is None:
        raise BadSetting(
            what,
            "it is neither two percentiles nor two intensities",
            "write it like p1:p99.95 or like -900:500",
        )
    p_low, low_text, p_high, high_text = match.groups()
    low, high = float(low_text) + 0.0, float(high_text) + 0.0  # no minus zero
    if bool(p_low) != bool(p_high):
        raise BadSetting(
            what,
            "one end is a percentile and the other an intensity",
            "write both with a p, like p1:p99.95, or both without, like -900:500",
        )
    if p_low and not (0 <= low <= 100 and 0 <= high <= 100):
        raise BadSetting(what, "a percentile lies between 0 and 100", "write it like p1:p99.95")
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadSetting(what, "one end is too large a number", "write it like -900:500")
    if low >= high:
        raise BadSetting(what, "its lower end is not below its upper end", "give the lower end first")
    return Percentiles(low, high) if p_low else Values(low, high)


def apply_window(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map intensities linearly so that `low` becomes 0 and `high` 255, rounded, clipped, as 8 bit.

    Parameters
    ----------
    values : ndarray
        Of any shape and any real type; NaN becomes 0, infinities the ends of the window.
    low, high : float
        The ends of the window.

    Returns
    -------
    ndarray of uint8
        Of the same shape.
    """
    return Windower(low, high)(values)


class Windower:
    """Applies one window to the slabs of a volume and remembers what it saw of it.

    Attributes
    ----------
    minimum, maximum : float
        The range of the finite voxels seen.
    nan, infinite : int
        How many voxels were not a number, or infinite.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = float(low), float(high)
        self.minimum, self.maximum = np.inf, -np.inf
        self.nan = self.infinite = 0

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Map one slab of any shape; see `apply_window`."""
        # Float32 holds all 16-bit values exactly; what has more bits is scaled in float64 to lose none of them.
        exact = values.dtype.kind in "uib" and values.dtype.itemsize <= 2
        kind = np.float32 if exact or values.dtype in (np.float32, np.float16) else np.float64
        flat = values.reshape(-1)
        result = np.empty(flat.size, np.uint8)
        buffer = np.empty(min(_CHUNK, flat.size), kind)
        low, scale = kind(self.low), kind(255.0 / (self.high - self.low))
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, flat.size, _CHUNK):
                chunk = flat[start : start + _CHUNK]
                scaled = buffer[: chunk.size]
                clean = self._look_at(chunk)
                np.subtract(chunk, low, out=scaled, dtype=kind, casting="unsafe")
                np.multiply(scaled, scale, out=scaled)
                np.add(scaled, kind(0.5), out=scaled)
                if not clean:
                    np.nan_to_num(scaled, copy=False, nan=0.0)
                np.clip(scaled, 0, 255, out=scaled)
                result[start : start + _CHUNK] = scaled
        return result.reshape(values.shape)

    def _look_at(self, chunk: NDArray[Any]) -> bool:
        """Keep the range; return whether the chunk is free of NaN."""
        low, high = float(chunk.min()), float(chunk.max())
        nan = 0
        if not (np.isfinite(low) and np.isfinite(high)):
            nan = int(np.count_nonzero(np.isnan(chunk)))
            finite = chunk[np.isfinite(chunk)]
            self.nan += nan
            self.infinite += chunk.size - finite.size - nan
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        return nan == 0
