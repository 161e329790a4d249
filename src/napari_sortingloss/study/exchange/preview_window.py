"""A quick look at a volume: a thinned copy that shows a section along any axis, and how its grey values are spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.study.exchange.grey_values import GreyValues
from napari_sortingloss.study.exchange.measure_window import refuse_uniform

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study.volume import Volume

Voxels = NDArray[Any]

SLICES, SIDE = 96, 160
"""At most so many slices along z are read, and of each about so many rows and columns kept."""
LEAST_SLICES = 16
READ_BYTES = 512 << 20
"""What may be read for it, as far as `LEAST_SLICES` allow."""
_BINS = 256


@dataclass(frozen=True, eq=False)
class Preview:
    """What a look at a volume shows.

    Attributes
    ----------
    voxels : ndarray, shape (z', y', x')
        Every n-th voxel along each axis, evenly; small.
    shape : tuple of int
        (z, y, x) of the volume itself.
    counts, edges : ndarray, shapes (n,) and (n + 1,)
        The histogram of `voxels` over their whole range; n is 256, or less where there are fewer values.
    greys : GreyValues
    """

    voxels: Voxels
    shape: tuple[int, int, int]
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    greys: GreyValues

    def spacing(self, voxel_size: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the (z, y, x) distances of `voxels` in a volume of this voxel size."""
        z, y, x = (
            s * full / kept for s, full, kept in zip(voxel_size, self.shape, self.voxels.shape, strict=True)
        )
        return z, y, x


def preview(source: VoxelSource) -> Preview:
    """Look at a source before it is imported.

    The import itself measures all voxels or many more of them, after downsampling, so its window may differ a little.

    Raises
    ------
    BadInput
        If the slices cannot be read, or hold no finite voxel.
    """
    together = max(1, source.together)
    voxels = _thinned(source.read, source.shape, source.dtype.itemsize * together)
    finite = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels.ravel()
    if not finite.size:
        refuse_uniform(source, np.inf, -np.inf)
    low, high, bins = float(finite.min()), float(finite.max()), _BINS
    if voxels.dtype.kind != "f" and high - low < _BINS:  # a bin for each value, so that none of them is empty
        low, high, bins = low - 0.5, high + 0.5, int(high - low) + 1
    elif low == high:  # other voxels may differ; the import looks at all of them
        high = low + 1.0
    counts, edges = np.histogram(finite, bins, (low, high))
    return Preview(voxels, source.shape, counts.astype(np.int64), edges, GreyValues.of(finite))


def thinned_volume(volume: Volume) -> Voxels:
    """Return every n-th voxel of a volume of a study, along each axis."""
    return _thinned(volume.read_slab, volume.shape, 1)


def _thinned(read: Callable[[int, int], Voxels], shape: tuple[int, int, int], voxel_bytes: int) -> Voxels:
    depth, height, width = shape
    affordable = READ_BYTES // (height * width * voxel_bytes)
    count = min(depth, max(LEAST_SLICES, min(SLICES, affordable)))
    rows, columns = (_places(n, min(n, SIDE)) for n in (height, width))
    return np.stack([read(z, z + 1)[0][np.ix_(rows, columns)] for z in _places(depth, count).tolist()])


def _places(length: int, count: int) -> NDArray[np.intp]:
    """Return the middles of `count` equal stretches."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)
