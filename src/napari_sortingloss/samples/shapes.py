"""Implicit shapes: signed distances in the body's frame, and a canvas that paints them with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.floating[Any]]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """Coordinates of every voxel in the frame of the body, in body lengths.

    Attributes
    ----------
    s, d, left : ndarray of float32, shape (z, y, x)
        Along the body (0 at the snout, 1 at the tip of the tail), towards the back, and towards the left side.
    """

    s: Field
    d: Field
    left: Field

    def mirrored(self) -> Frame:
        """Return the frame with left and right folded together, for paired organs."""
        return Frame(self.s, self.d, np.abs(self.left))


def ellipsoid(frame: Frame, centre: Point, radii: Point) -> Field:
    """Return the approximate signed distance to an ellipsoid whose axes follow the body's."""
    s, d, left = ((c - m) / r for c, m, r in zip((frame.s, frame.d, frame.left), centre, radii, strict=True))
    k0 = np.sqrt(s * s + d * d + left * left)
    k1 = np.sqrt((s / radii[0]) ** 2 + (d / radii[1]) ** 2 + (left / radii[2]) ** 2)
    distance: Field = k0 * (k0 - 1.0) / np.maximum(k1, 1e-3)
    return distance


def capsule(frame: Frame, start: Point, stop: Point, radius: float, end_radius: float | None = None) -> Field:
    """Return the signed distance to a rod with round ends whose radius may change along it."""
    axis = np.subtract(stop, start)
    length2 = float(axis @ axis)
    along = (
        (frame.s - start[0]) * axis[0] + (frame.d - start[1]) * axis[1] + (frame.left - start[2]) * axis[2]
    ) / length2
    along = np.clip(along, 0.0, 1.0)
    away = np.sqrt(
        (frame.s - start[0] - along * axis[0]) ** 2
        + (frame.d - start[1] - along * axis[1]) ** 2
        + (frame.left - start[2] - along * axis[2]) ** 2
    )
    thickness = radius if end_radius is None else radius + (end_radius - radius) * along
    distance: Field = away - thickness
    return distance


def chain(frame: Frame, points: Sequence[Point], radii: Sequence[float]) -> Field:
    """Return the signed distance to a bent tube through `points`."""
    tube = capsule(frame, points[0], points[1], radii[0], radii[1])
    for i in range(1, len(points) - 1):
        tube = np.minimum(tube, capsule(frame, points[i], points[i + 1], radii[i], radii[i + 1]))
    return tube


def join(first: Field, second: Field, blend: float) -> Field:
    """Return the union of two shapes with a fillet of about `blend` where they meet."""
    h = np.maximum(blend - np.abs(first - second), 0.0) / blend
    union: Field = np.minimum(first, second) - h * h * (blend / 4)
    return union


def meet(first: Field, second: Field, blend: float) -> Field:
    """Return what two shapes share, with its rim rounded by about `blend`."""
    return -join(-first, -second, blend)


def shell(shape: Field, depth: float, thickness: float) -> Field:
    """Return a sheet of `thickness` whose middle lies `depth` outside (negative: inside) the shape's surface."""
    sheet: Field = np.abs(shape - depth) - thickness / 2
    return sheet


def triangle(phase: Field) -> Field:
    """Return a triangle wave of period 1 that is 0 at whole numbers and 1 halfway between them."""
    wave: Field = 1.0 - np.abs(2.0 * (phase - np.floor(phase)) - 1.0)
    return wave


def texture(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> Field:
    """Return smooth noise of mean 0 and variance 1 whose grain is `sigma` voxels.

    Coarse grain is drawn on a coarse grid, so that the cost does not grow with `sigma`.
    """
    step = max(1, int(sigma))
    coarse = tuple(n // step + 4 for n in shape)
    noise: Field = rng.standard_normal(coarse, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, sigma / step, mode="wrap", truncate=3.0)
    if step > 1:
        for axis, n in enumerate(shape):
            noise = _stretch(noise, axis, n, step)
    noise = noise[tuple(slice(0, n) for n in shape)]
    noise = (noise - noise.mean()) / noise.std()
    return noise


def _stretch(coarse: Field, axis: int, length: int, step: int) -> Field:
    """Interpolate linearly along one axis, with `step` points for each interval."""
    low = np.arange(length) // step
    share = (np.arange(length) % step / step).astype(np.float32)
    share = share.reshape([-1 if a == axis else 1 for a in range(coarse.ndim)])
    first = coarse.take(low, axis)
    stretched: Field = first + share * (coarse.take(low + 1, axis) - first)
    return stretched


class Canvas:
    """A box of voxels to paint shapes on, with the exact label of what was painted last.

    Parameters
    ----------
    frame : Frame
        Where each voxel lies in the body.
    edge : float
        Width of a soft edge, in body lengths: about one voxel, so that an edge voxel holds both tissues in
        proportion (partial volume).
    image, labels, solid : ndarray, shape (z, y, x)
        Attenuation, label and the share of the voxel that is specimen; all are changed in place.
    surface : ndarray of float32, shape (z, y, x)
        Signed distance to the surface of the body.
    grain : tuple of ndarray of float32, shape (z, y, x)
        Fine, middle and coarse texture of mean 0 and variance 1.
    """

    def __init__(
        self,
        frame: Frame,
        edge: float,
        image: Field,
        labels: NDArray[np.uint8],
        solid: Field,
        surface: Field,
        grain: tuple[Field, Field, Field],
    ) -> None:
        self.frame, self.edge = frame, edge
        self.image, self.labels, self.solid = image, labels, solid
        self.surface, self.grain = surface, grain

    def part(self, start: float, stop: float) -> Canvas:
        """Return a view of the slices that hold any of the body between `start` and `stop` (body lengths)."""
        low = self.frame.s.min(axis=(1, 2))
        high = self.frame.s.max(axis=(1, 2))
        rows = np.flatnonzero((high >= start) & (low <= stop))
        cut = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)
        frame = Frame(self.frame.s[cut], self.frame.d[cut], self.frame.left[cut])
        fine, middle, coarse = (g[cut] for g in self.grain)
        return Canvas(
            frame,
            self.edge,
            self.image[cut],
            self.labels[cut],
            self.solid[cut],
            self.surface[cut],
            (fine, middle, coarse),
        )

    def cover(self, shape: Field) -> Field:
        """Return the share of each voxel that lies inside a shape."""
        share: Field = np.clip(0.5 - shape / self.edge, 0.0, 1.0)
        return share

    def paint(self, shape: Field, value: float | Field, label: int | None = 0, strength: float = 1.0) -> None:
        """Fill a shape.

        Parameters
        ----------
        shape : ndarray of float32
            Signed distance, negative inside.
        value : float or ndarray
            Attenuation inside.
        label : int or None
            Label of the voxels that lie at least half inside; ``None`` leaves the labels as they are.
        strength : float
            Opacity.
        """
        share = self.cover(shape)
        if label is not None:
            self.labels[share >= 0.5] = label
        self.image += (share * strength) * (value - self.image)

    def add_body(self, shape: Field) -> None:
        """Count what lies inside a shape as specimen."""
        np.maximum(self.solid, self.cover(shape), out=self.solid)

    def trim(self, around: Field) -> None:
        """Give what was painted outside the specimen back to its surroundings."""
        self.image -= (1 - np.clip(2 * self.solid, 0, 1)) * (self.image - around)
        self.labels[self.solid < 0.5] = 0
