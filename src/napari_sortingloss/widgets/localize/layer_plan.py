"""What the layers of a localisation show and where, made off the GUI thread; nothing here touches the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, Shape
from napari_sortingloss.widgets.viewer.layers import UNITS

if TYPE_CHECKING:
    from napari_sortingloss.localize.grid import Grid
    from napari_sortingloss.study import Study, VolumeRecord
    from napari_sortingloss.study.localizations.reading import Hull, Localization

_SAMPLE = 2_000_000
_LIMITS = (60.0, 99.8)
"""Percentiles between which the uncertainty is drawn: what is below is the dark that lets the CT through."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class PlacedMap:
    """An array on a coarse grid with its place in the viewer.

    Attributes
    ----------
    data : ndarray
        Points whose centre lies beyond the last voxel are left out: they would lengthen napari's sliders.
    scale, translate : tuple of float
        (z, y, x), physical.
    """

    data: NDArray[Any]
    scale: Triple
    translate: Triple


@dataclass(frozen=True)
class LocalizePlan:
    """All that the layers of one localisation need, made in a background thread; see `plan`.

    Attributes
    ----------
    study, volume : str
        The study's path and the volume's name.
    run : str
    shape, offset : tuple of int
        Of the volume, (z, y, x) in voxels.
    voxel_size : tuple of float
    unit : str
        As napari's units.
    box : Box
        In voxels of the volume.
    uncertainty, region : PlacedMap
    limits, bounds : tuple of float
        Contrast limits of the uncertainty, and its lowest and highest value.
    hull : tuple of ndarray or None
        Vertices (n, 3) in voxel indices of the volume, and faces (m, 3).
    """

    study: str
    volume: str
    run: str
    shape: Shape
    offset: Shape
    voxel_size: Triple
    unit: str
    box: Box
    uncertainty: PlacedMap
    region: PlacedMap
    limits: tuple[float, float]
    bounds: tuple[float, float]
    hull: tuple[NDArray[Any], NDArray[Any]] | None

    def mark(self, content: str) -> dict[str, str]:
        """What says that a layer is this one."""
        return {"study": self.study, "volume": self.volume, "content": content}

    def name(self, content: str) -> str:
        """The layer's name."""
        return f"{self.volume} · {content}"

    @property
    def corner(self) -> Triple:
        """The physical place of the volume's first voxel."""
        z, y, x = (float(o * s) for o, s in zip(self.offset, self.voxel_size, strict=True))
        return z, y, x


def plan(
    study: Study | Path | str,
    localization: Localization,
    uncertainty: tuple[NDArray[np.floating], Grid],
    region: tuple[NDArray[np.bool_], Grid],
    record: VolumeRecord,
) -> LocalizePlan:
    """Prepare the layers of a localisation. Not for the GUI thread.

    Parameters
    ----------
    study : Study or path
    localization : Localization
    uncertainty : tuple of ndarray and Grid
        The map and where its points lie in the volume.
    region : tuple of ndarray of bool and Grid
        The mask, on a grid of its own.
    record : VolumeRecord
        Of the volume; a crop's offset moves its layers to where it was cut from.
    """
    path = str(getattr(study, "path", study))
    limits, bounds = _limits(uncertainty[0])
    return LocalizePlan(
        study=path,
        volume=record.name,
        run=localization.run,
        shape=record.shape,
        offset=record.offset,
        voxel_size=record.voxel_size,
        unit=UNITS.get(record.unit, record.unit),
        box=localization.box,
        uncertainty=placed(*uncertainty, record),
        region=placed(np.asarray(region[0]).astype(np.uint8), region[1], record),
        limits=limits,
        bounds=bounds,
        hull=mesh_of(localization.hull, record.shape),
    )


def placed(data: NDArray[Any], grid: Grid, record: VolumeRecord | LocalizePlan) -> PlacedMap:
    """Return an array on a grid with its place, for a volume's record or a plan of it."""
    kept = tuple(
        slice(0, max(1, int(np.count_nonzero(grid.voxels(axis) <= record.shape[axis] - 1 + 1e-6))))
        for axis in range(3)
    )
    z, y, x = (
        float((o + g) * s) for o, g, s in zip(record.offset, grid.offset, record.voxel_size, strict=True)
    )
    return PlacedMap(np.asarray(data)[kept], grid.spacing(record.voxel_size), (z, y, x))


def _limits(values: NDArray[np.floating]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return contrast limits, from percentiles of a sample, and what they can be moved between; both are no points."""
    flat = np.asarray(values).ravel()
    flat = flat[:: max(1, flat.size // _SAMPLE)]
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return (0.0, 1.0), (0.0, 1.0)
    least, most = float(flat.min()), float(flat.max())
    if not most > least:
        most = least + (abs(least) or 1.0)
    low, high = (float(v) for v in np.percentile(flat, _LIMITS))
    return ((low, high) if high > low else (least, most)), (least, most)


def mesh_of(hull: Hull | None, shape: Shape) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return vertices and faces of a hull to be drawn, or None where there is none.

    The vertices lie inside the volume (see `box_geometry` for why), and all faces look outwards, which their shading
    needs.
    """
    if hull is None or not len(hull.faces):
        return None
    vertices = np.clip(hull.vertices, 0, np.asarray(shape) - 1.0)
    faces = np.array(hull.faces)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    outwards = ((np.cross(b - a, c - a)) * ((a + b + c) / 3 - vertices.mean(axis=0))).sum(axis=1)
    faces[outwards < 0] = faces[outwards < 0][:, ::-1]
    return vertices, faces
