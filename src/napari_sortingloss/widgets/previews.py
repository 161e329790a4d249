"""Looks into files and volumes for the Study stage; nothing here is for the GUI thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.layers import OpenLayer
from napari_sortingloss.widgets.pictures import shrink

if TYPE_CHECKING:
    from napari_sortingloss.formats.options import ReadOptions
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study import Volume
    from napari_sortingloss.study.add_settings import AddSettings

STRIP = 5


@dataclass(frozen=True, eq=False)
class Candidate:
    """A volume that could be added.

    Attributes
    ----------
    name, format : str
    shape : tuple of int
        (z, y, x).
    dtype : str
    voxel_size : tuple of float or None
        As the file says.
    unit : str
    path : Path or None
        None for a layer.
    layer : OpenLayer or None
    """

    name: str
    format: str
    shape: tuple[int, int, int]
    dtype: str
    voxel_size: tuple[float, float, float] | None
    unit: str
    path: Path | None = None
    layer: OpenLayer | None = None

    @property
    def voxels(self) -> int:
        """How many there are."""
        z, y, x = self.shape
        return z * y * x

    def open(self, options: ReadOptions) -> VoxelSource:
        """Open it for reading.

        Raises
        ------
        BadInput
            If it cannot be read.
        """
        from napari_sortingloss.formats import array_source, open_source

        if self.layer is not None:
            layer = self.layer
            size = layer.voxel_size if layer.unit else None
            return array_source(layer.data, layer.name, voxel_size=size, unit=layer.unit)
        assert self.path is not None
        return open_source(self.path, options)


@dataclass(frozen=True, eq=False)
class Look:
    """What a candidate looks like.

    Attributes
    ----------
    counts, edges : ndarray
        Its histogram.
    low, high : float
        The window in intensities.
    middle : ndarray, shape (h, w)
        The middle slice along z, shrunk for display, in the file's intensities.
    spacing : tuple of float
        (h, w) of the slice.
    """

    counts: np.ndarray
    edges: np.ndarray
    low: float
    high: float
    middle: np.ndarray
    spacing: tuple[float, float]


def find_candidates(
    paths: Sequence[Path], options: ReadOptions
) -> tuple[list[Candidate], list[UserError], list[Path]]:
    """Find the volumes in files and folders.

    Returns
    -------
    candidates : list of Candidate
    problems : list of UserError
        One for each file that cannot be used.
    studies : list of Path
        Those of `paths` that are studies, not data.
    """
    from napari_sortingloss.formats import find_sources, open_source

    studies = [path for path in paths if path.name == "study.json" or (path / "study.json").is_file()]
    candidates, problems = [], []
    found: list[Path] = []
    for path in paths:
        if path in studies:
            continue
        try:
            found += [source for source in find_sources([path], options) if source not in found]
        except UserError as error:
            problems.append(error)
    for path in found:
        try:
            with open_source(path, options) as source:
                candidates.append(
                    Candidate(
                        name=source.name,
                        format=source.format,
                        shape=source.shape,
                        dtype=source.dtype.name,
                        voxel_size=source.geometry.voxel_size,
                        unit=source.geometry.unit,
                        path=path,
                    )
                )
        except UserError as error:
            problems.append(error)
    return candidates, problems, studies


def layer_candidate(layer: OpenLayer) -> Candidate:
    """Return the candidate of an open layer."""
    z, y, x = layer.data.shape
    return Candidate(
        name=layer.name,
        format="layer",
        shape=(z, y, x),
        dtype=str(layer.data.dtype),
        voxel_size=layer.voxel_size if layer.unit else None,
        unit=layer.unit,
        layer=layer,
    )


def look_at(candidate: Candidate, settings: AddSettings) -> Look:
    """Measure the histogram and the window of a candidate and read its middle slice.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    from napari_sortingloss.study.preview import preview_window

    with candidate.open(settings) as source:
        counts, edges, low, high = preview_window(source, settings)
        index = source.shape[0] // 2
        middle = shrink(source.read(index, index + 1)[0])
    size = settings.voxel_size or candidate.voxel_size or (1.0, 1.0, 1.0)
    return Look(counts, edges, float(low), float(high), middle, (size[1], size[2]))


def windowed(middle: np.ndarray, low: float, high: float) -> np.ndarray:
    """Bring a slice to 8 bit for display."""
    from napari_sortingloss.study.window import apply_window

    return apply_window(middle, low, high) if high > low else np.zeros(middle.shape, np.uint8)


def volume_strip(
    volume: Volume, count: int = STRIP
) -> tuple[list[np.ndarray], list[str], tuple[float, float]]:
    """Read a few slices along the ordering axis, first to last in the ordering direction.

    Returns
    -------
    images : list of ndarray of uint8
    captions : list of str
        Their positions.
    spacing : tuple of float
        (h, w).
    """
    n = volume.n_slices
    positions = np.unique(np.linspace(0.08, 0.92, min(count, n)) * (n - 1)).astype(int)
    images: Any = volume.read_slices(positions)
    return [shrink(image, 256) for image in images], [str(p) for p in positions], volume.slice_voxel_size
