"""Boxes of voxels: half-open intervals along z, y and x, their share of a volume, and their way between frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_sortingloss.errors import BadSetting

Shape = tuple[int, int, int]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Half-open intervals of voxel indices along z, y and x."""

NO_BOX: Box = ((0, 0), (0, 0), (0, 0))


def whole(shape: Shape) -> Box:
    """Return the box of a whole volume."""
    z, y, x = shape
    return (0, z), (0, y), (0, x)


def box_of(values: Sequence[Sequence[int]], shape: Shape, what: str = "Cannot use this box") -> Box:
    """Return a box from lists, seen to lie in a volume of this shape.

    Raises
    ------
    BadSetting
        If it is no box of three intervals, is empty or reaches out of the volume.
    """
    try:
        (a, b), (c, d), (e, f) = ((int(low), int(high)) for low, high in values)
    except (TypeError, ValueError) as error:
        raise BadSetting(what, f"{values!r} is no box", "give [[z0, z1], [y0, y1], [x0, x1]]") from error
    box: Box = ((a, b), (c, d), (e, f))
    for name, (low, high), size in zip("zyx", box, shape, strict=True):
        if not 0 <= low < high <= size:
            raise BadSetting(
                what,
                f"along {name} it goes from {low} to {high}, the volume from 0 to {size}",
                "choose a box inside the volume",
            )
    return box


def size_of(box: Box) -> Shape:
    """Return how many voxels a box has along each axis."""
    z, y, x = (high - low for low, high in box)
    return z, y, x


def share_of(box: Box, shape: Shape) -> float:
    """Return the share of a volume's voxels that lie in a box."""
    return math.prod(size_of(box)) / math.prod(shape)


def grown(box: Box, shape: Shape, margin: Sequence[float]) -> Box:
    """Return a box with a margin of so many voxels on both sides along each axis, inside the volume."""
    z, y, x = (
        (max(0, math.floor(low - more)), min(size, math.ceil(high + more)))
        for (low, high), size, more in zip(box, shape, margin, strict=True)
    )
    return z, y, x


def shifted(box: Box, offset: Sequence[int]) -> Box:
    """Return a box moved by an offset in voxels, e.g. from the frame of a crop into that of its parent."""
    z, y, x = ((low + o, high + o) for (low, high), o in zip(box, offset, strict=True))
    return z, y, x
