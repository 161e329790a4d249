"""Pieces of slices: crops to train on, overlapping tiles to predict in, and the pixel size that all slices share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.fit import resize
from napari_sortingloss.slices.reader import MILLIMETRES, MOST_UNLIKE

SAME = 1.1
"""Voxel sizes that differ by less than this factor are taken for one."""

Uint8 = NDArray[np.uint8]


def common_pixel(spacings: Sequence[tuple[tuple[float, float], str]]) -> float:
    """Return the pixel size at which slices of several voxel sizes are shown to a network.

    Parameters
    ----------
    spacings : sequence of ((h, w) voxel size, unit)
        Those of the slices.

    Returns
    -------
    float
        In mm: the finest voxel side there is. 0 where slices are best left as they are: their voxels are the same
        everywhere, a unit is not known, or they are too unlike for one scale.
    """
    sides = [s * MILLIMETRES.get(unit, 0.0) for spacing, unit in spacings for s in spacing]
    if not sides or min(sides) <= 0:
        return 0.0
    ratio = max(sides) / min(sides)
    return 0.0 if ratio < SAME or ratio > MOST_UNLIKE else min(sides)


def pixel_shape(
    shape: tuple[int, int], spacing: tuple[float, float], unit: str, pixel_size: float
) -> tuple[int, int]:
    """Return the height and width that a slice has at a pixel size.

    Parameters
    ----------
    shape : tuple of int
        Height and width in voxels.
    spacing : tuple of float
        Height and width of a voxel in `unit`.
    unit : str
        Slices of an unknown unit keep their voxels.
    pixel_size : float
        In mm; 0 keeps the voxels.
    """
    millimetres = MILLIMETRES.get(unit, 0.0)
    if not pixel_size or not millimetres:
        return shape
    h, w = (max(1, round(n * s * millimetres / pixel_size)) for n, s in zip(shape, spacing, strict=True))
    return h, w


def resize_labels(labels: Uint8, height: int, width: int) -> Uint8:
    """Return a label slice in another number of pixels, each the label of the voxel that lies at its middle."""
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(np.intp)
    picked: Uint8 = labels[rows[:, None], columns]
    return picked


def to_pixels(image: Uint8, height: int, width: int) -> Uint8:
    """Return a slice in another number of pixels; itself where that is what it has."""
    return image if image.shape == (height, width) else resize(image, height, width)


def cut_out(
    image: Uint8, labels: Uint8, centre: tuple[float, float], size: tuple[int, int]
) -> tuple[Uint8, Uint8]:
    """Cut a crop around a place out of a slice and its labels.

    Parameters
    ----------
    image, labels : ndarray of uint8, shape (h, w)
    centre : tuple of float
        Where the middle of the crop should be, in pixels; it moves so that the crop stays inside.
    size : tuple of int
        Height and width of the crop. Where the slice is smaller, it lies in the middle of the crop; around it its edge
        is repeated, as inside the networks, and the labels are ``IGNORE``.

    Returns
    -------
    image, labels : ndarray of uint8, shape `size`
        New arrays.
    """
    known = np.full(size, IGNORE, np.uint8)
    source: list[slice] = []
    target: list[slice] = []
    margins: list[tuple[int, int]] = []
    for side, wanted, middle in zip(image.shape, size, centre, strict=True):
        if side <= wanted:
            before = (wanted - side) // 2
            source.append(slice(0, side))
            target.append(slice(before, before + side))
            margins.append((before, wanted - side - before))
        else:
            start = min(max(0, round(middle - wanted / 2)), side - wanted)
            source.append(slice(start, start + wanted))
            target.append(slice(0, wanted))
            margins.append((0, 0))
    crop = np.pad(image[tuple(source)], margins, mode="edge")
    known[tuple(target)] = labels[tuple(source)]
    return crop, known


def cut_turned(
    image: Uint8,
    labels: Uint8,
    centre: tuple[float, float],
    size: tuple[int, int],
    turn: NDArray[np.float64],
) -> tuple[Uint8, Uint8]:
    """Cut a crop around a place out of a slice and its labels as it looks after a turn, each resampled once.

    Parameters
    ----------
    image, labels : ndarray of uint8, shape (h, w)
    centre : tuple of float
        What will be in the middle of the crop, in pixels; along a side on which the slice is smaller, its own middle.
    size : tuple of int
        Height and width of the crop.
    turn : ndarray, shape (2, 2)
        The linear map of (x, y) from the slice to the crop.

    Returns
    -------
    image, labels : ndarray of uint8, shape `size`
        New arrays. Outside of the slice its edge is repeated, and the labels are ``IGNORE``.
    """
    import cv2

    y, x = (
        (side - 1) / 2 if side <= wanted else min(max(middle, wanted / 2), side - wanted / 2) - 0.5
        for side, wanted, middle in zip(image.shape, size, centre, strict=True)
    )
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    pose = np.column_stack([turn, middle - turn @ np.array([x, y])])
    shape = size[::-1]
    seen = cv2.warpAffine(image, pose, shape, borderMode=cv2.BORDER_REPLICATE)
    known = cv2.warpAffine(labels, pose, shape, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,))
    return np.asarray(seen, np.uint8), np.asarray(known, np.uint8)


def tile_starts(side: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Return where tiles of `tile` pixels begin so that neighbours share at least `overlap` of them and none sticks out."""
    if side <= tile:
        return (0,)
    count = 1 + math.ceil((side - tile) / (tile - overlap))
    return tuple(int(start) for start in np.linspace(0, side - tile, count).round())


def tiles(shape: tuple[int, int], tile: int, overlap: int) -> list[tuple[slice, slice]]:
    """Return the tiles that cover a slice, evenly spread.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the slice.
    tile : int
        The side of a tile; a shorter side of the slice is taken whole.
    overlap : int
        Neighbours share at least so many pixels.
    """
    spans = [
        [slice(start, start + min(tile, side)) for start in tile_starts(side, tile, overlap)]
        for side in shape
    ]
    return [(rows, columns) for rows, columns in itertools.product(*spans)]


def blending_weights(shape: tuple[int, int], overlap: int) -> NDArray[np.float32]:
    """Return how much each pixel of a tile counts where tiles overlap, shape `shape`.

    Notes
    -----
    1 in the middle, falling like a Hann window over `overlap` pixels to nearly nothing at the edge, where a network
    sees only one side.
    """
    sides = []
    for side in shape:
        depth = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
        sides.append(np.sin(0.5 * np.pi * np.clip(depth / max(1, overlap), 0, 1)) ** 2 + 1e-3)
    return np.outer(sides[0], sides[1]).astype(np.float32)
