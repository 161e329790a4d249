"""Reads the round, centred part of slices and turns it: both slices of a pair by one angle, the second by more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.slices.along import SquareOf
from napari_sortingloss.slices.fit import fitted_shape
from napari_sortingloss.slices.reader import MILLIMETRES, SliceVolume, load_slices

Bytes = NDArray[np.uint8]

REDRAWN = 3
"""How often a pair that shows nothing is drawn anew."""

RIM = 1.0
"""Pixels left out along the edge of the disc, where a turned square would show its straight sides."""


def draw_near(
    rng: np.random.Generator, n: int, reach: float, count: int, load: Callable[[NDArray[np.intp]], Bytes]
) -> Bytes:
    """Draw slices from one place of a volume, no two of them further apart than the reach.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Slices of the volume along the axis, at least 1.
    reach : float
        The largest distance as a share of `n`; rounded to slices, at least one slice unless 0. Positions are clipped at
        the ends of the volume.
    count : int
        How many. Of two, the first lies anywhere and the other around it; more lie around a place that is anywhere.
    load : callable
        Loads slices at an array of positions.

    Returns
    -------
    ndarray of uint8, shape (count, d, d)
        Slices of which one shows a single grey value are drawn anew, `REDRAWN` times at most: black padding has
        nothing to teach. Noise without specimen is kept, so that the network learns to be unsure of it.
    """
    farthest = max(1, round(reach * n)) if reach > 0 else 0
    for _ in range(1 + REDRAWN):
        place = int(rng.integers(n))
        if count == 2:
            positions = np.array([place, place + int(rng.integers(-farthest, farthest + 1))])
        else:
            positions = place - farthest // 2 + rng.integers(0, farthest + 1, size=count)
        squares = load(np.clip(positions, 0, n - 1))
        if all(square.min() != square.max() for square in squares):
            break
    return squares


def draw_turns(rng: np.random.Generator, count: int, classes: int) -> NDArray[np.intp]:
    """Draw by how many steps each of some slices is turned, so that any two differ by no more than the largest angle.

    Parameters
    ----------
    rng : numpy.random.Generator
    count : int
        How many slices.
    classes : int
        How many relative angles there are, an odd number: from -(classes // 2) to classes // 2 steps.

    Returns
    -------
    ndarray of int, shape (count,)
        Two slices differ by each relative angle equally often. More have each turn about equally often: then small
        differences are more frequent than large ones, which the loss has to weigh.
    """
    most = classes // 2
    if count == 2:
        return np.array([most, most + int(rng.integers(-most, most + 1))])
    if count <= most + 1:
        return rng.integers(0, most + 1, size=count)
    return rng.permutation(np.arange(count) % (most + 1))


def all_pairs(
    groups: NDArray[np.intp], turns: NDArray[np.intp], classes: int
) -> tuple[NDArray[np.intp], ...]:
    """Return all ordered pairs of different slices within groups.

    Parameters
    ----------
    groups : ndarray, shape (n,)
        Which slices belong together.
    turns : ndarray, shape (n,)
        By how many steps each is turned.
    classes : int
        As in `draw_turns`.

    Returns
    -------
    first, second, target : ndarray of int, shape (p,)
        Indices of the slices of each pair, and the class of the angle from the first to the second.
    """
    first, second = np.nonzero((groups[:, None] == groups) & ~np.eye(len(groups), dtype=bool))
    return first, second, turns[second] - turns[first] + classes // 2


def disc_diameter(slices: SliceVolume, size: int, field: float = 0.0) -> int:
    """Return the side in pixels of the square middle of a slice within the network's square.

    Parameters
    ----------
    slices : SliceVolume
        The whole slices.
    size : int
        Side of the network's square in pixels.
    field : float
        Side of the network's square in mm, 0 to fill it.
    """
    square, millimetres = SquareOf(slices), MILLIMETRES.get(slices.unit)
    side = field / millimetres if millimetres else 0.0
    return min(fitted_shape(square.slice_shape, square.slice_voxel_size, size, side))


def load_squares(
    slices: SliceVolume,
    positions: Sequence[int] | NDArray[np.intp],
    size: int,
    field: float = 0.0,
    at: float = 0.5,
) -> Bytes:
    """Read the square part of slices, fitted to the disc's diameter, so that it fills the returned squares.

    Parameters
    ----------
    slices : SliceVolume
    positions : sequence of int, n of them
    size, field
        As in `disc_diameter`.
    at : float
        Where the square lies along the longer side of the slice, see `SquareOf`.

    Returns
    -------
    ndarray of uint8, shape (n, d, d)
        d is `disc_diameter`.
    """
    return load_slices(SquareOf(slices, at), positions, disc_diameter(slices, size, field))


def turned(square: Bytes, angle: float, size: int) -> Bytes:
    """Turn a square about its centre, centre it on a black square and cut it to the inscribed circle.

    Parameters
    ----------
    square : ndarray of uint8, shape (d, d)
    angle : float
        In degrees, counter-clockwise as the picture is shown.
    size : int
        Side of the result, at least d.

    Returns
    -------
    ndarray of uint8, shape (size, size)
        Resampled once (linear); not at all for an angle of 0 and an even difference of the sides.
    """
    import cv2

    d = square.shape[0]
    if angle == 0:
        start = (size - d) // 2
        out = np.zeros((size, size), np.uint8)
        out[start : start + d, start : start + d] = square
    else:
        matrix = cv2.getRotationMatrix2D(((d - 1) / 2, (d - 1) / 2), angle, 1.0)
        matrix[:, 2] += (size - d) // 2
        out = np.asarray(cv2.warpAffine(square, matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)
    out[~_disc(size, d)] = 0
    return out


def load_discs(
    slices: SliceVolume,
    positions: Sequence[int] | NDArray[np.intp],
    size: int,
    field: float = 0.0,
    at: float = 0.5,
    angle: float = 0.0,
) -> Bytes:
    """Read slices as the network sees them when nothing is augmented: cut to a disc, turned by one angle.

    Returns
    -------
    ndarray of uint8, shape (n, size, size)
    """
    squares = load_squares(slices, positions, size, field, at)
    return np.stack([turned(square, angle, size) for square in squares])


def cut_discs(slices: Bytes) -> Bytes:
    """Return squares cut to their inscribed circles, shape (n, size, size)."""
    size = slices.shape[-1]
    return np.where(_disc(size, size), slices, np.uint8(0))


@lru_cache(maxsize=64)
def _disc(size: int, diameter: int) -> NDArray[np.bool_]:
    """Return which pixels of a square lie in the circle inscribed in a square of `diameter` at its centre."""
    centre = (size - diameter) // 2 + (diameter - 1) / 2
    y, x = np.ogrid[:size, :size]
    inside: NDArray[np.bool_] = np.hypot(y - centre, x - centre) <= diameter / 2 - RIM
    inside.setflags(write=False)
    return inside
