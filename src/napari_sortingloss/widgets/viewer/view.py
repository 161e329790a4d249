"""Where a viewer stands in a volume: the axis of its slider, the slice in view, and going to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_sortingloss.widgets.toolkit.theme import unwrap


def layer_order(order: Sequence[int]) -> tuple[int, int, int]:
    """Return in which order napari shows the last three dimensions of a viewer: that of the slider, then the plane's."""
    ranks = np.argsort(np.argsort(order[-3:]))
    return int(ranks[0]), int(ranks[1]), int(ranks[2])


def slice_in_view(
    viewer: Any, units: Sequence[Any], voxel_size: Sequence[float], offset: Sequence[float]
) -> tuple[int, int, float]:
    """Return the axis of the slider, the voxel of a volume that it stands at, and the place of that slice.

    Parameters
    ----------
    viewer : napari.Viewer
    units : sequence of pint.Unit
        Of a layer of the volume; another layer may make the viewer count in others.
    voxel_size, offset : sequence of float
        Of the volume; the offset in voxels.
    """
    axis = layer_order(viewer.dims.order)[0]
    place = float(viewer.dims.point[-3:][axis]) * unit_ratio(viewer, units, axis)
    return axis, round(place / voxel_size[axis] - offset[axis]), place


def unit_ratio(viewer: Any, units: Sequence[Any], axis: int) -> float:
    """Return how many of a layer's units one of the viewer's is."""
    world = viewer.dims.units
    if world is None or len(world) < 3 or world[-3:][axis] == units[axis]:
        return 1.0
    return float((1 * world[-3:][axis]).to(units[axis]).magnitude)


def go_to(
    viewer: Any,
    units: Sequence[Any],
    voxel_size: Sequence[float],
    offset: Sequence[float],
    axis: int,
    index: int,
) -> None:
    """Bring a slice of a volume into view, if the slider steps along its axis.

    Parameters
    ----------
    viewer : napari.Viewer
    units, voxel_size, offset : sequence
        As of `slice_in_view`.
    axis : int
        0, 1 or 2 for z, y or x.
    index : int
        Of the slice in the volume's array.
    """
    place = (offset[axis] + index) * voxel_size[axis]
    viewer.dims.set_point(viewer.dims.ndim - 3 + axis, float(place) / unit_ratio(viewer, units, axis))


def fit(viewer: Any, layers: Sequence[Any]) -> None:
    """Let the camera show all of some layers, whatever else is in the viewer."""
    if hasattr(viewer, "fit_to_view"):
        viewer.fit_to_view(layers=layers)
    else:  # an older napari
        viewer.reset_view()


def step_along(viewer: Any, axis: str) -> None:
    """Let the slider step along an axis of the volumes (their last three dimensions)."""
    viewer = unwrap(viewer)
    extra = max(0, viewer.dims.ndim - 3)
    if viewer.dims.ndim < 3:
        return
    chosen = "zyx".index(axis)
    order = (*range(extra), *(extra + i for i in (chosen, *(i for i in range(3) if i != chosen))))
    if tuple(viewer.dims.order) != order:
        viewer.dims.order = order
