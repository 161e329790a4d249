"""A quick look at a source before it is imported: its histogram, and the window its settings would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.study.add_settings import AddSettings
from napari_sortingloss.study.histogram import IntensityHistogram
from napari_sortingloss.study.measure import refuse_uniform
from napari_sortingloss.study.window import Percentiles, parse_window

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource

_SLICES = 16
_VOXELS = 2 << 20
_BINS = 256


class WindowPreview(NamedTuple):
    """A histogram and the ends of a window.

    Attributes
    ----------
    counts : ndarray of int64, shape (256,)
        Voxels of the sample in each bin.
    edges : ndarray of float64, shape (257,)
        The bins' edges: the whole range of the sample.
    low, high : float
        The intensities that would become black and white.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    low: float
    high: float


def preview_window(source: VoxelSource, settings: AddSettings) -> WindowPreview:
    """Measure the window on a few slices; `apply_window` shows a slice through it.

    The import itself measures all voxels or many more of them, after downsampling, so its window may differ a little.

    Parameters
    ----------
    source : VoxelSource
        Read at 16 places along z, in rising order.
    settings : AddSettings
        Its window counts.

    Raises
    ------
    BadInput
        If the slices cannot be read, or hold no finite voxel.
    """
    count = min(_SLICES, source.shape[0])
    positions = [int((i + 0.5) * source.shape[0] / count) for i in range(count)]
    rows = max(1, count * source.shape[1] * source.shape[2] // _VOXELS)
    sample = [np.array(source.read(p, p + 1)[:, ::rows]) for p in positions]
    histogram = IntensityHistogram(source.dtype)
    for piece in sample:
        histogram.add(piece)
    if not histogram.count:
        refuse_uniform(source, histogram.minimum, histogram.maximum)
    bounds = (histogram.minimum, histogram.maximum)
    if bounds[0] == bounds[1]:  # other slices may differ; the import looks at all of them
        bounds = (bounds[0], bounds[0] + 1.0)
    counts, edges = np.zeros(_BINS, np.int64), np.linspace(*bounds, _BINS + 1)
    for piece in sample:
        counts += np.histogram(piece[np.isfinite(piece)], _BINS, bounds)[0]
    wish = parse_window(settings.window)
    low, high = wish.low, wish.high
    if isinstance(wish, Percentiles):
        low, high = histogram.percentiles((wish.low, wish.high), lambda: sample)
        if low >= high:
            low, high = bounds
    return WindowPreview(counts, edges, low, high)
