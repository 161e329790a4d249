"""Makes a volume smaller by a whole factor: intensities by averaging blocks, labels by the most frequent one of a block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TILE = 1 << 22


def reduced_shape(shape: tuple[int, int, int], factor: int) -> tuple[int, int, int]:
    """Return the (z, y, x) shape after downsampling; blocks cut off by the volume's far faces count."""
    z, y, x = (-(-n // factor) for n in shape)
    return z, y, x


def block_mean(slab: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average blocks of ``factor`` voxels along every axis.

    A block cut off by a far face is averaged over the voxels it has, so that no part of the specimen is lost; NaN and
    infinite voxels are left out of their block's average.

    Parameters
    ----------
    slab : ndarray (z, y, x)
        Begins at a multiple of `factor` in z.
    factor : int
        At least 1; with 1 the slab itself is returned.

    Returns
    -------
    ndarray (ceil(z / factor), ceil(y / factor), ceil(x / factor))
        Of float32, or float64 where the voxels have more than 32 bits or are 32-bit integers; NaN where a block has
        no finite voxel.
    """
    if factor == 1:
        return slab
    return mean_of(*block_sums(slab, factor))


def block_sums(slab: NDArray[Any], factor: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the sum of the finite voxels of every block of `block_mean`, and how many they are.

    Slabs of fewer slices than `factor` that together make one layer of blocks can be summed one after the other and
    their results added.
    """
    wide = slab.dtype.itemsize > 4 or (slab.dtype.kind in "ui" and slab.dtype.itemsize == 4)
    kind = np.dtype(np.float64 if wide else np.float32)
    if slab.dtype.kind == "f" and not (np.isfinite(slab.min()) and np.isfinite(slab.max())):
        finite = np.isfinite(slab)
        return _sum_blocks(np.where(finite, slab, 0), factor, kind), _sum_blocks(finite, factor, kind)
    total = _sum_blocks(slab, factor, kind)
    lengths = []
    for length, blocks in zip(slab.shape, total.shape, strict=True):
        lengths.append(np.full(blocks, factor, kind))
        lengths[-1][-1] = length - factor * (blocks - 1)
    z, y, x = lengths
    return total, z[:, None, None] * (y[:, None] * x)


def mean_of(total: NDArray[Any], number: NDArray[Any]) -> NDArray[Any]:
    """Divide what `block_sums` returns; NaN where a block has no finite voxel."""
    with np.errstate(invalid="ignore"):
        mean: NDArray[Any] = total / number
    return mean


def block_majority(labels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Take the most frequent label of every block of `block_mean`; of equally frequent ones the smallest.

    Parameters
    ----------
    labels : ndarray (z, y, x) of unsigned integers of up to 32 bits
        Begins at a multiple of `factor` in z.
    factor : int
        At least 1; with 1 the slab itself is returned.
    """
    if factor == 1:
        return labels
    rows = max(1, _TILE // (labels.shape[0] * labels.shape[2] * factor)) * factor
    tiles = [_majority(labels[:, y : y + rows], factor) for y in range(0, labels.shape[1], rows)]
    return np.concatenate(tiles, axis=1)


def _majority(labels: NDArray[Any], factor: int) -> NDArray[Any]:
    z, y, x = (-(-n // factor) for n in labels.shape)
    padded = np.full((z * factor, y * factor, x * factor), -1, np.int64)
    padded[: labels.shape[0], : labels.shape[1], : labels.shape[2]] = labels
    blocks = padded.reshape(z, factor, y, factor, x, factor).transpose(1, 3, 5, 0, 2, 4)
    ordered = np.sort(blocks.reshape(factor**3, z, y, x), axis=0)
    best, best_run = ordered[0].copy(), np.zeros((z, y, x), np.int32)
    run = np.zeros((z, y, x), np.int32)
    for i, current in enumerate(ordered):
        run = np.where(current == ordered[i - 1], run + 1, 1) if i else run + 1
        better = (run > best_run) & (current >= 0)
        best[better], best_run[better] = current[better], run[better]
    majority: NDArray[Any] = best.astype(labels.dtype)
    return majority


def _sum_blocks(slab: NDArray[Any], factor: int, kind: np.dtype[Any]) -> NDArray[Any]:
    for axis in range(3):
        first = [slice(None)] * 3
        first[axis] = slice(0, None, factor)
        total = slab[tuple(first)].astype(kind)
        for offset in range(1, factor):
            part_of, into = list(first), [slice(None)] * 3
            part_of[axis] = slice(offset, None, factor)
            part = slab[tuple(part_of)]
            into[axis] = slice(0, part.shape[axis])
            total[tuple(into)] += part
        slab = total
    return slab
