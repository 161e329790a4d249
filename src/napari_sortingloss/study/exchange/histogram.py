"""Percentiles of a volume that is read once or twice, slab by slab: exact counts, never a sort, never all voxels at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 18
_BINS = 1 << 16
_FLOAT32_MAX = float(np.finfo(np.float32).max)

Slabs = Callable[[], Iterable[NDArray[Any]]]


class IntensityHistogram:
    """Counts of the finite voxel values of a stream of slabs.

    Every value is turned into an unsigned whole number, its *key*, in the same order: 8- and 16-bit integers into
    their distance from the lowest value of their type, 32-bit values into 32 bits (floats by the order of their bit
    patterns). Values are counted by the upper 16 bits of their key. That is exact for up to 16 bits; `Refinement`
    looks at the lower 16 bits in a second reading for the rest. 64-bit values are measured as float32.

    Attributes
    ----------
    count : int
        Finite voxels seen.
    not_finite : int
        NaN and infinite voxels seen; they are not counted.
    minimum, maximum : float
        The range of the finite values seen.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._keys = _Keys(dtype)
        self._bins: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self.count = 0
        self.not_finite = 0
        self.minimum = np.inf
        self.maximum = -np.inf

    @property
    def exact(self) -> bool:
        """Whether the counts are those of single values, so that one reading suffices."""
        return self._keys.shift == 0

    def add(self, slab: NDArray[Any]) -> None:
        """Count the voxels of a slab of any shape."""
        for chunk in _chunks(slab):
            finite = _finite(chunk)
            self.not_finite += chunk.size - finite.size
            if finite.size:
                self.minimum = min(self.minimum, float(finite.min()))
                self.maximum = max(self.maximum, float(finite.max()))
                keys = self._keys.of(finite) >> self._keys.shift
                self._bins += np.bincount(keys, minlength=_BINS)
                self.count += finite.size

    def percentiles(self, percents: Sequence[float], refine: Slabs | None = None) -> list[float]:
        """Compute percentiles with linear interpolation between neighbours, as `numpy.percentile` does.

        Parameters
        ----------
        percents : sequence of float
            Between 0 and 100.
        refine : callable returning slabs, optional
            Gives the same slabs a second time; called only where `exact` is false, and required then.

        Returns
        -------
        list of float
            As many values as `percents`.

        Raises
        ------
        ValueError
            If no finite voxel was seen, or `refine` is missing where it is needed.
        """
        if not self.count:
            raise ValueError("there is no finite voxel to take a percentile of")
        places = [p / 100 * (self.count - 1) for p in percents]
        ranks = sorted({int(r) for place in places for r in (np.floor(place), np.ceil(place))})
        values = self._order_statistics(ranks, refine)
        return [
            values[int(place)] + (values[int(np.ceil(place))] - values[int(place)]) * (place - int(place))
            for place in places
        ]

    def _order_statistics(self, ranks: list[int], refine: Slabs | None) -> dict[int, float]:
        cumulated = np.cumsum(self._bins)
        bins = np.searchsorted(cumulated, ranks, side="right")
        if self.exact:
            return {rank: self._keys.value(int(b)) for rank, b in zip(ranks, bins, strict=True)}
        if refine is None:
            raise ValueError("the values of this type need a second reading")
        low_bits = self._count_low_bits({int(b) for b in bins}, refine())
        found = {}
        for rank, b in zip(ranks, bins, strict=True):
            before = int(cumulated[b] - self._bins[b])
            within = np.searchsorted(np.cumsum(low_bits[int(b)]), rank - before, side="right")
            found[rank] = self._keys.value((int(b) << self._keys.shift) | int(within))
        return found

    def _count_low_bits(
        self, wanted: set[int], slabs: Iterable[NDArray[Any]]
    ) -> dict[int, NDArray[np.int64]]:
        counts = {b: np.zeros(_BINS, np.int64) for b in wanted}
        for slab in slabs:
            for chunk in _chunks(slab):
                keys = self._keys.of(_finite(chunk))
                upper = keys >> self._keys.shift
                for b, total in counts.items():
                    inside = keys[upper == b]
                    if inside.size:
                        total += np.bincount(inside & (_BINS - 1), minlength=_BINS)
        return counts


class _Keys:
    """Turns voxel values into unsigned whole numbers of the same order, and back."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        dtype = np.dtype(dtype)
        self._integer = dtype.kind in "uib"
        if self._integer and dtype.itemsize <= 2:
            self.shift = 0
            self._lowest = int(np.iinfo(dtype).min) if dtype.kind == "i" else 0
        elif self._integer and dtype.itemsize == 4:
            self.shift = 16
            self._lowest = int(np.iinfo(dtype).min)
        else:
            self._integer = False
            self.shift = 16

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._integer:
            unsigned = values.view(f"u{values.dtype.itemsize}")
            return unsigned ^ unsigned.dtype.type(-self._lowest) if self._lowest else unsigned
        if values.dtype.itemsize > 4:
            values = np.clip(values, -_FLOAT32_MAX, _FLOAT32_MAX)
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        negative = (bits.view(np.int32) >> 31).view(np.uint32)
        return bits ^ (negative | np.uint32(1 << 31))

    def value(self, key: int) -> float:
        if self._integer:
            return float(key + self._lowest)
        bits = key ^ (1 << 31) if key >> 31 else key ^ 0xFFFFFFFF
        return float(np.array(bits, np.uint32).view(np.float32))


def _chunks(slab: NDArray[Any]) -> Iterable[NDArray[Any]]:
    flat = slab.reshape(-1)
    return (flat[i : i + _CHUNK] for i in range(0, flat.size, _CHUNK))


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f" or (np.isfinite(values.min()) and np.isfinite(values.max())):
        return values
    finite: NDArray[Any] = values[np.isfinite(values)]
    return finite
