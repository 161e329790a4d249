"""Finds the ends of the intensity window on a volume that may be larger than memory, in one reading or from a sample.

How it is measured depends on what reading costs. A volume that can only be read forwards (gzip), or is small, is read
once: its voxels are counted and put aside, and written from there. Of a large volume with cheap access to any slice a
systematic sample is counted: `SAMPLE_SLICES` evenly spaced slices or more, and of these every n-th row where they are
large. Let F(v) be the fraction of voxels up to v, and V(v) how much that fraction goes up and down in all from slice
to slice along z. With m slices, each amid its stretch of z, the sample's F(v) is off by at most V(v) / 2m (Koksma's
inequality). Near the upper end of a window V is small: where the brightest slice has 0.5 % of its voxels above the
99.95th percentile, V is about 1 % and 64 slices are off by less than 0.01 percentage points.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.downsample import block_mean, block_sums, mean_of, reduced_shape
from napari_sortingloss.disk.slabs import SPOOL_BYTES, Ahead, Spool, slab_height, steps
from napari_sortingloss.errors import BadInput
from napari_sortingloss.study.exchange.histogram import IntensityHistogram
from napari_sortingloss.study.exchange.window import Percentiles

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource

Voxels = NDArray[Any]
Slabs = Callable[[], Iterator[Voxels]]

#: Volumes of up to this many bytes are counted whole.
EXACT_BYTES = 16 << 20
#: About this many voxels of larger ones are counted, of at least so many slices.
SAMPLE_VOXELS = 2 << 20
SAMPLE_SLICES = 64


@dataclass(frozen=True)
class Measured:
    """The ends of the window, where the voxels come from next, and what a person should know.

    Attributes
    ----------
    low, high : float
        Intensities.
    slabs : callable
        Returns an iterator of the (downsampled) slabs of the whole volume in order.
    notice : str
        A sentence, or ``""``.
    """

    low: float
    high: float
    slabs: Slabs
    notice: str = ""


def downsampled_slabs(source: VoxelSource, factor: int) -> Iterator[Voxels]:
    """Read a volume slab by slab along z, each averaged over blocks of `factor` voxels."""
    depth, height = source.shape[0], slab_height(source.shape, source.dtype.itemsize, factor)
    thin = slab_height(source.shape, source.dtype.itemsize)
    for start, stop in steps(depth, height):
        if factor == 1 or thin >= height:
            yield block_mean(source.read(start, stop), factor)
            continue
        # Even one layer of blocks is larger than the budget.
        pieces = [(z, min(z + thin, stop)) for z in range(start, stop, thin)]
        total, number = block_sums(source.read(*pieces[0]), factor)
        for piece in pieces[1:]:
            more_total, more_number = block_sums(source.read(*piece), factor)
            total += more_total
            number += more_number
        yield mean_of(total, number)


def measured_in_one_reading(source: VoxelSource) -> bool:
    """Whether the volume's voxels are counted and put aside in one reading rather than sampled."""
    size = Spool.nbytes(source.shape, source.dtype)
    return source.sequential or size <= EXACT_BYTES or (source.together > 1 and size <= SPOOL_BYTES)


def measure(
    source: VoxelSource, factor: int, wish: Percentiles, scratch: Path, keep: ExitStack
) -> Generator[float, None, Measured]:
    """Measure the window of a volume after downsampling.

    Parameters
    ----------
    source : VoxelSource
    factor : int
        Of the downsampling.
    wish : Percentiles
    scratch : Path
        The folder of the temporary file.
    keep : ExitStack
        Holds what `Measured.slabs` needs, until it is closed.

    Yields
    ------
    float
        The fraction done, at least every quarter of a second.

    Returns
    -------
    Measured

    Raises
    ------
    BadInput
        If the volume has no finite voxel, or the same value everywhere.
    """
    if measured_in_one_reading(source):
        histogram, slabs = yield from _count_all(source, factor, scratch, keep)
    else:
        sampled = yield from _count_sample(source, factor)
        histogram, slabs = sampled
        if histogram.count and histogram.minimum < histogram.maximum:
            low, high = histogram.percentiles((wish.low, wish.high), slabs)
            if low < high:
                return Measured(low, high, lambda: downsampled_slabs(source, factor))
        histogram, slabs = yield from _count_all(source, factor, None, keep)
    refuse_uniform(source, histogram.minimum, histogram.maximum)
    low, high = histogram.percentiles((wish.low, wish.high), slabs)
    if low < high:
        return Measured(low, high, slabs)
    notice = (
        f"{source.name}: nearly all voxels have the value {low:g}, so its percentiles {wish.low:g} and "
        f"{wish.high:g} are the same; its whole range {histogram.minimum:g} to {histogram.maximum:g} was used "
        "as the window."
    )
    return Measured(histogram.minimum, histogram.maximum, slabs, notice)


def refuse_uniform(source: VoxelSource, minimum: float, maximum: float) -> None:
    """Refuse a volume whose finite voxels span the range from `minimum` to `maximum` if that is a single value, or empty.

    Raises
    ------
    BadInput
        With the one value in the sentence.
    """
    what = f"Cannot add '{source.path.name if source.path else source.name}'"
    if minimum > maximum:
        raise BadInput(what, "no voxel is a finite number (all are NaN or infinite)", "export it again")
    if minimum == maximum:
        raise BadInput(
            what,
            f"every voxel has the value {minimum:g}, so there is nothing to learn",
            "check that it is the right file and was exported completely",
        )


def _count_all(
    source: VoxelSource, factor: int, scratch: Path | None, keep: ExitStack
) -> Generator[float, None, tuple[IntensityHistogram, Slabs]]:
    """Count every voxel; with a `scratch` folder the voxels are put aside, without they are read again later."""
    shape = reduced_shape(source.shape, factor)
    dtype = block_mean(np.zeros((1, 1, 1), source.dtype), factor).dtype
    spool = keep.enter_context(Spool(shape, dtype, scratch)) if scratch is not None else None
    histogram = IntensityHistogram(dtype)
    done = 0
    with Ahead(downsampled_slabs(source, factor)) as slabs:
        for slab in slabs:
            if slab is not None:
                histogram.add(slab)
                if spool is not None:
                    spool.append(slab)
                done += len(slab)
            yield done / shape[0]

    return histogram, (lambda: downsampled_slabs(source, factor)) if spool is None else spool.slabs


def _count_sample(
    source: VoxelSource, factor: int
) -> Generator[float, None, tuple[IntensityHistogram, Slabs]]:
    shape = reduced_shape(source.shape, factor)
    positions = sample_positions(shape)
    rows = max(1, len(positions) * shape[1] * shape[2] // SAMPLE_VOXELS)
    kept: list[Voxels] = []

    def read() -> Iterator[Voxels]:
        for i, position in enumerate(positions):
            stop = min((position + 1) * factor, source.shape[0])
            yield block_mean(source.read(position * factor, stop), factor)[:, i % rows :: rows]

    histogram: IntensityHistogram | None = None
    with Ahead(read()) as slabs:
        for slab in slabs:
            if slab is not None:
                histogram = histogram or IntensityHistogram(slab.dtype)
                histogram.add(slab)
                kept.append(np.ascontiguousarray(slab))
            yield len(kept) / len(positions)
    assert histogram is not None
    return histogram, lambda: iter(kept)


def sample_positions(shape: tuple[int, int, int]) -> list[int]:
    """Choose the slices of a sample: the middles of equal stretches of z."""
    wanted = max(SAMPLE_SLICES, SAMPLE_VOXELS // (shape[1] * shape[2]))
    count = min(shape[0], wanted)
    return [int((i + 0.5) * shape[0] / count) for i in range(count)]
