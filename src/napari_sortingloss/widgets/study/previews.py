"""Looks into files and volumes for the Study stage; nothing here is for the GUI thread but `look_strip`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.toolkit.pictures import shrink
from napari_sortingloss.widgets.viewer.layers import OpenLayer

if TYPE_CHECKING:
    from napari_sortingloss.formats.options import ReadOptions
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study import Volume
    from napari_sortingloss.study.exchange.axis_proposal import AxisProposal
    from napari_sortingloss.study.exchange.preview_window import Preview

STRIP = 5
Strip = tuple[list[np.ndarray], list[str], tuple[float, float]]
"""Images, captions, and the (h, w) distance of the pixels."""


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
    reading : tuple of str
        The fields of `ReadOptions` that can matter for it.
    """

    name: str
    format: str
    shape: tuple[int, int, int]
    dtype: str
    voxel_size: tuple[float, float, float] | None
    unit: str
    path: Path | None = None
    layer: OpenLayer | None = None
    reading: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What tells it from the others: its path, or its name where it has none; as `study.add.add` calls it."""
        return str(self.path) if self.path is not None else self.name

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

    def described_by(self, source: VoxelSource) -> Candidate:
        """Return it as an opened source describes it."""
        return dataclasses.replace(
            self,
            name=source.name,
            format=source.format if self.layer is None else self.format,
            shape=source.shape,
            dtype=source.dtype.name,
            voxel_size=source.geometry.voxel_size,
            unit=source.geometry.unit,
        )


@dataclass(frozen=True, eq=False)
class Look:
    """What a candidate looks like.

    Attributes
    ----------
    candidate : Candidate
        As it was described when it was looked at.
    preview : Preview
    proposal : AxisProposal
    """

    candidate: Candidate
    preview: Preview
    proposal: AxisProposal


@dataclass(frozen=True)
class Found:
    """What lies behind files and folders.

    Attributes
    ----------
    candidates : list of Candidate
    problems : list of (Path, UserError)
        One for each file or folder that cannot be used.
    studies : list of Path
        Those of the paths that are studies, not data.
    """

    candidates: list[Candidate] = field(default_factory=list)
    problems: list[tuple[Path, UserError]] = field(default_factory=list)
    studies: list[Path] = field(default_factory=list)


def find_candidates(paths: Sequence[Path], options: ReadOptions) -> Found:
    """Find the volumes in files and folders."""
    from napari_sortingloss.formats import find_sources, open_source
    from napari_sortingloss.formats.naming import reading_fields

    found = Found()
    good: list[Path] = []
    for path in paths:
        if path.name == "study.json" or (path / "study.json").is_file():
            found.studies.append(path)
            continue
        try:
            find_sources([path], options)
            good.append(path)
        except UserError as error:
            found.problems.append((path, error))
    # All at once, because slices that are named one by one stand for one volume.
    for path in find_sources(good, options) if good else ():
        try:
            with open_source(path, options) as source:
                fields = () if source.format.endswith("slices") else reading_fields(path)
                blank = Candidate("", "", (0, 0, 0), "", None, "", path=path, reading=fields)
                found.candidates.append(blank.described_by(source))
        except UserError as error:
            found.problems.append((path, error))
    return found


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


def look_at(candidate: Candidate, options: ReadOptions) -> Look:
    """Read a thinned copy of a candidate, measure its grey values and see which axis stands out.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    from napari_sortingloss.study.exchange.axis_proposal import propose_axis
    from napari_sortingloss.study.exchange.preview_window import preview

    with candidate.open(options) as source:
        described = candidate.described_by(source)
        seen = preview(source)
    spacing = seen.spacing(described.voxel_size or (1.0, 1.0, 1.0))
    return Look(described, seen, propose_axis(seen.voxels, spacing))


def look_strip(
    look: Look,
    axis: str,
    direction: str,
    window: tuple[float, float],
    voxel_size: tuple[float, float, float],
) -> Strip:
    """Return a few slices of a candidate along an axis, first to last in the direction, as it will be added."""
    from napari_sortingloss.study.exchange.window import apply_window

    along = "zyx".index(axis)
    voxels = np.moveaxis(look.preview.voxels, along, 0)
    full = look.preview.shape[along]
    positions = _positions(full)
    indices = positions if direction == "+" else full - 1 - positions
    spacing = [s for i, s in enumerate(look.preview.spacing(voxel_size)) if i != along]
    low, high = window if window[0] < window[1] else (window[0], window[0] + 1)
    images = [apply_window(voxels[i * len(voxels) // full], low, high) for i in indices.tolist()]
    return images, [str(p) for p in positions], (spacing[0], spacing[1])


def volume_strip(volume: Volume) -> Strip:
    """Read a few slices of a volume along its ordering axis, first to last in its direction."""
    positions = _positions(volume.n_slices)
    images: Any = volume.read_slices(positions)
    return [shrink(image, 256) for image in images], [str(p) for p in positions], volume.slice_voxel_size


def _positions(n: int) -> np.ndarray:
    return np.unique(np.linspace(0.08, 0.92, min(STRIP, n)) * (n - 1)).astype(int)
