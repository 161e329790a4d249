"""What a micro-CT scanner makes of an object: tube, beam hardening, rings, noise and its own grey scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sortingloss.samples.shapes import Field

AIR, WALL = 0.0, 1.0
"""Attenuation outside the tube and of its wall, on the scale of `profile.WATER`; soft tissue is 0.4 to 0.9."""


@dataclass(frozen=True)
class Scan:
    """The settings and faults of one scan.

    Attributes
    ----------
    noise : float
        Standard deviation of the noise where attenuation is 1, on the scale of the attenuation.
    rings : float
        Strength of the ring artefacts.
    cupping : float
        Loss of brightness in the middle of the tube by beam hardening, as a share.
    tube : tuple of float
        Offset of the tube's axis from the axis of rotation (y, x), as shares of its inner radius.
    gain, offset : float
        Stored value = offset + gain * attenuation.
    dtype : str
        ``"uint16"`` or ``"float32"``.
    """

    noise: float
    rings: float
    cupping: float
    tube: tuple[float, float]
    gain: float
    offset: float
    dtype: str


@dataclass(frozen=True)
class Plane:
    """The positions of the pixels of a slice, the same for every slice of a scan.

    Attributes
    ----------
    y, x : ndarray of float32, shapes (y, 1) and (1, x)
        Distance from the axis of rotation in um.
    inner, outer : float
        Radii of the tube in um.
    pixel : float
        Mean pixel size in um.
    """

    y: Field
    x: Field
    inner: float
    outer: float
    pixel: float

    @classmethod
    def of(cls, shape: tuple[int, int, int], voxel_size: tuple[float, float, float]) -> Plane:
        """Lay out the slices of a volume, with the largest tube that fits."""
        y, x = (
            ((np.arange(n) - (n - 1) / 2) * h).astype(np.float32)
            for n, h in zip(shape[1:], voxel_size[1:], strict=True)
        )
        half = min(shape[1] * voxel_size[1], shape[2] * voxel_size[2]) / 2
        return cls(y[:, None], x[None, :], 0.88 * half, 0.955 * half, (voxel_size[1] + voxel_size[2]) / 2)

    def from_tube(self, scan: Scan) -> Field:
        """Return the distance of each pixel from the tube's axis in um, shape (y, x)."""
        radius: Field = np.hypot(self.y - scan.tube[0] * self.inner, self.x - scan.tube[1] * self.inner)
        return radius


def empty_tube(depth: int, plane: Plane, scan: Scan, liquid: float) -> Field:
    """Return the attenuation of a tube filled with liquid, shape (depth, y, x): every slice is the same."""
    radius = plane.from_tube(scan)
    inside = np.clip(0.5 - (radius - plane.inner) / plane.pixel, 0, 1)
    within = np.clip(0.5 - (radius - plane.outer) / plane.pixel, 0, 1)
    slice_ = AIR + within * (WALL - AIR) + inside * (liquid - WALL)
    return np.repeat(slice_[None].astype(np.float32), depth, axis=0)


def expose(attenuation: Field, plane: Plane, scan: Scan, rng: np.random.Generator) -> NDArray[np.generic]:
    """Return what the scanner stores for an object.

    Nothing here depends on the position along the axis: a network can learn the order of the slices from the
    anatomy only.

    Parameters
    ----------
    attenuation : ndarray of float32, shape (z, y, x)
        The object.
    plane : Plane
    scan : Scan
    rng : Generator

    Returns
    -------
    ndarray of ``scan.dtype``, shape (z, y, x)
    """
    # The detector's blur, and the bright rim that phase contrast leaves at edges.
    image = ndimage.gaussian_filter(attenuation, 0.45, truncate=3.0)
    image += 0.35 * (image - ndimage.gaussian_filter(image, 1.3, truncate=3.0))
    depth = np.clip(plane.from_tube(scan) / plane.outer, 0, 1)
    image *= (1 - scan.cupping * (1 - depth**2)).astype(np.float32)
    image += _rings(image.shape[0], plane, scan, rng)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    grain = ndimage.gaussian_filter1d(grain, 0.5, axis=1, truncate=3.0)
    grain = ndimage.gaussian_filter1d(grain, 0.5, axis=2, truncate=3.0)
    grain *= scan.noise / grain.std()
    image += grain * np.sqrt(0.35 + 0.65 * np.clip(image, 0, 2))
    stored = scan.offset + scan.gain * image
    if scan.dtype == "uint16":
        stored = np.clip(np.rint(stored), 0, 65535)
    voxels: NDArray[np.generic] = stored.astype(scan.dtype)
    return voxels


def _rings(depth: int, plane: Plane, scan: Scan, rng: np.random.Generator) -> Field:
    radius = np.hypot(plane.y, plane.x) / plane.pixel
    count = int(radius.max()) + 2
    # A defect of the detector lasts through many slices, but each row of pixels has its own.
    table = 0.6 * rng.standard_normal(count) + 0.8 * rng.standard_normal((depth, count))
    table *= (rng.random(count) < 0.35) + 0.25
    table *= scan.rings / np.sqrt(1 + np.arange(count) / 6.0)
    low = np.floor(radius).astype(int)
    share = (radius - low).astype(np.float32)
    table = table.astype(np.float32)
    rings: Field = table[:, low] * (1 - share) + table[:, low + 1] * share
    return rings
