"""Six fish in their scans: how each lies in its tube, how it was scanned, and the exact truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.samples.fish import paint_fish
from napari_sortingloss.samples.profile import WATER, Build, trunk
from napari_sortingloss.samples.scan import Plane, Scan, empty_tube, expose
from napari_sortingloss.samples.shapes import Canvas, Field, Frame, texture

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

SAMPLE_CLASSES: tuple[tuple[int, str, str], ...] = (
    (1, "eye lens", "#e69f00"),
    (2, "retina", "#56b4e9"),
    (3, "brain", "#cc79a7"),
    (4, "heart", "#d55e00"),
    (5, "liver", "#009e73"),
    (6, "swim bladder", "#0072b2"),
    (7, "spine", "#f0e442"),
)
"""Value, name and colour of each class, in order from head to tail; the colours are Okabe and Ito's."""


@dataclass(frozen=True)
class Phantom:
    """One generated scan with the truth about it.

    Attributes
    ----------
    name : str
    voxels : ndarray of uint16 or float32, shape (z, y, x)
    labels : ndarray of uint8, shape (z, y, x)
        0 and the values of `SAMPLE_CLASSES`.
    specimen : ndarray of bool, shape (z, y, x)
        The voxels that are at least half fish, fins included; neither tube nor water.
    box : tuple
        Half-open bounding box ``((z0, z1), (y0, y1), (x0, x1))`` of the specimen with its fins, without the tube.
    voxel_size : tuple of float
        Along z, y and x, in `unit`.
    unit : str
    upside_down : bool
        Whether the tail lies at the low end of z.
    """

    name: str
    voxels: NDArray[np.generic]
    labels: NDArray[np.uint8]
    specimen: NDArray[np.bool_]
    box: Box
    voxel_size: tuple[float, float, float]
    unit: str
    upside_down: bool


@dataclass(frozen=True)
class _Specimen:
    name: str
    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float]
    length: float  # share of the volume's depth
    shift: tuple[float, float, float]  # z as a share of the depth, y and x of the tube's inner radius
    tilt: tuple[float, float]  # degrees, towards y and towards x
    roll: float  # degrees
    bend: tuple[float, float]  # sideways and upwards, body lengths
    stature: tuple[float, float]  # relative height and width
    build: Build
    scan: Scan
    upside_down: bool = False


_SPECIMENS = (
    _Specimen(
        "fish_01", (168, 112, 128), (24.0, 14.8, 13.0), 0.92, (-0.015, 0.03, -0.03), (2.5, -1.5), 6.0,
        (0.006, 0.004), (1.00, 1.00), Build(22, 1.0, 1.0, 0.6, False, 0.4, 1.0),
        Scan(0.060, 0.09, 0.16, (0.03, -0.02), 21000.0, 6000.0, "uint16"),
    ),
    _Specimen(
        "fish_02", (184, 104, 120), (19.0, 12.2, 10.6), 0.90, (-0.024, -0.04, 0.04), (-3.0, 2.0), -24.0,
        (-0.012, 0.003), (0.93, 0.97), Build(24, 0.9, 1.1, 0.9, True, 0.1, 1.05),
        Scan(0.050, 0.12, 0.22, (-0.04, 0.03), 7000.0, 4000.0, "uint16"),
    ),
    _Specimen(
        "fish_03", (156, 120, 132), (22.0, 11.7, 10.6), 0.91, (0.022, 0.00, 0.03), (1.5, 3.0), 38.0,
        (0.010, -0.004), (1.04, 1.05), Build(21, 1.1, 0.9, 0.4, False, 0.8, 0.95),
        Scan(0.070, 0.08, 0.12, (0.02, 0.04), 1.45, -0.12, "float32"), True,
    ),
    _Specimen(
        "fish_04", (176, 100, 116), (28.0, 19.8, 17.2), 0.89, (-0.033, 0.02, 0.00), (2.0, 1.0), -11.0,
        (0.004, 0.008), (1.06, 0.95), Build(23, 1.05, 1.0, 0.75, False, 0.0, 1.1),
        Scan(0.055, 0.11, 0.20, (-0.02, -0.04), 24000.0, 14000.0, "uint16"),
    ),
    _Specimen(
        "fish_05", (160, 108, 140), (30.0, 17.0, 13.2), 0.93, (-0.008, -0.02, -0.02), (-1.5, -2.0), 52.0,
        (-0.008, -0.002), (0.96, 1.06), Build(22, 0.85, 1.15, 0.5, True, 0.55, 0.9),
        Scan(0.065, 0.10, 0.14, (0.05, 0.00), 420.0, -55.0, "float32"),
    ),
    _Specimen(
        "fish_06", (188, 126, 136), (23.0, 13.0, 12.1), 0.90, (-0.026, 0.02, -0.04), (-1.0, 2.0), -38.0,
        (0.014, 0.002), (0.98, 0.98), Build(23, 1.0, 0.95, 0.3, False, 0.25, 1.0),
        Scan(0.050, 0.07, 0.18, (0.00, -0.05), 3500.0, 9000.0, "uint16"),
    ),
)  # fmt: skip

COUNT = len(_SPECIMENS)
"""How many fish there are."""


def depth_of(index: int, scale: float = 1.0) -> int:
    """Return how many slices a fish has along z, see `make_phantom`."""
    return round(_SPECIMENS[index].shape[0] * scale)


def make_phantom(index: int, *, scale: float = 1.0, seed: int = 0) -> Phantom:
    """Generate one fish as micro-CT would show it.

    Parameters
    ----------
    index : int
        0 to 5.
    scale : float
        Relative number of voxels along each axis; the specimen keeps its size, the voxels grow.
    seed : int
        Another seed gives the same fish with other noise and texture.

    Returns
    -------
    Phantom

    Raises
    ------
    IndexError
        If there is no such fish.
    """
    if not 0 <= index < COUNT:
        raise IndexError(f"there are {COUNT} fish, numbered from 0; there is no fish {index}")
    specimen = _SPECIMENS[index]
    rng = np.random.default_rng((seed, index))
    shape = tuple(round(n * scale) for n in specimen.shape)
    voxel_size = tuple(h * n / m for h, n, m in zip(specimen.voxel_size, specimen.shape, shape, strict=True))
    model = _model(
        specimen, (shape[0], shape[1], shape[2]), (voxel_size[0], voxel_size[1], voxel_size[2]), rng
    )
    solid = model.solid >= 0.5
    return Phantom(
        name=specimen.name,
        voxels=expose(model.attenuation, model.plane, specimen.scan, rng),
        labels=model.labels,
        specimen=solid,
        box=_bounds(solid),
        voxel_size=(voxel_size[0], voxel_size[1], voxel_size[2]),
        unit="um",
        upside_down=specimen.upside_down,
    )


@dataclass(frozen=True)
class _Model:
    attenuation: Field
    labels: NDArray[np.uint8]
    solid: Field
    plane: Plane


def _model(
    specimen: _Specimen,
    shape: tuple[int, int, int],
    voxel_size: tuple[float, float, float],
    rng: np.random.Generator,
) -> _Model:
    """Return the fish in its tube before the scan: attenuation, labels and the share of each voxel that is fish."""
    plane = Plane.of(shape, voxel_size)
    image = empty_tube(shape[0], plane, specimen.scan, WATER)
    labels = np.zeros(shape, np.uint8)
    solid = np.zeros(shape, np.float32)
    length = specimen.length * shape[0] * voxel_size[0]
    frame = _frame(specimen, shape, voxel_size, length, plane)
    # Only the part of the volume that can hold the fish is painted.
    reach = (np.abs(frame.d) < 0.24) & (np.abs(frame.left) < 0.24) & (frame.s > -0.03) & (frame.s < 1.03)
    z, y, x = (slice(low, high) for low, high in _bounds(reach))
    frame = _warp(Frame(frame.s[z, y, x], frame.d[z, y, x], frame.left[z, y, x]), shape, rng)
    grain = (
        texture(frame.s.shape, rng, 0.8),
        texture(frame.s.shape, rng, 2.0),
        texture(frame.s.shape, rng, 5.0),
    )
    edge = float(np.prod(voxel_size) ** (1 / 3)) / length
    paint_fish(
        Canvas(frame, edge, image[z, y, x], labels[z, y, x], solid[z, y, x], trunk(frame), grain),
        specimen.build,
    )
    return _Model(image, labels, solid, plane)


def _frame(
    specimen: _Specimen,
    shape: tuple[int, int, int],
    voxel_size: tuple[float, float, float],
    length: float,
    plane: Plane,
) -> Frame:
    """Return the body's coordinates of every voxel: the inverse of the fish's rigid motion, then its bend."""
    along_y, along_x = np.radians(specimen.tilt)
    head_to_tail = np.array([1.0, np.tan(along_y), np.tan(along_x)])
    if specimen.upside_down:
        head_to_tail[0] = -1.0
    head_to_tail /= np.linalg.norm(head_to_tail)
    roll = np.radians(specimen.roll)
    # Dorsal is towards low y when the roll is 0, as in a radiograph.
    up = np.array([0.0, -np.cos(roll), np.sin(roll)])
    up -= head_to_tail * (up @ head_to_tail)
    up /= np.linalg.norm(up)
    side = np.cross(head_to_tail, up)
    z = (np.arange(shape[0]) - (shape[0] - 1) / 2 - specimen.shift[0] * shape[0]) * voxel_size[0] / length
    y = plane.y / length - (specimen.scan.tube[0] + specimen.shift[1]) * plane.inner / length
    x = plane.x / length - (specimen.scan.tube[1] + specimen.shift[2]) * plane.inner / length
    z = z.astype(np.float32)[:, None, None]
    s, d, left = (
        (z * np.float32(a[0]) + y[None] * np.float32(a[1]) + x[None] * np.float32(a[2]))
        for a in (head_to_tail, up, side)
    )
    s = s + np.float32(0.5)
    swing = np.sin(2.6 * (s - 0.25)) * np.clip(s, 0, 1)
    d = (d - specimen.bend[1] * swing) / np.float32(specimen.stature[0])
    left = (left - specimen.bend[0] * swing) / np.float32(specimen.stature[1])
    return Frame(s, d, left)


def _warp(frame: Frame, shape: tuple[int, int, int], rng: np.random.Generator) -> Frame:
    """Shift the coordinates a little, smoothly, so that no organ is a perfect solid."""
    coarse = shape[0] / 168 * 9.0
    s, d, left = (
        c + np.float32(size) * texture(c.shape, rng, coarse)
        for c, size in zip((frame.s, frame.d, frame.left), (0.0035, 0.0028, 0.0028), strict=True)
    )
    return Frame(s, d, left)


def _bounds(mask: NDArray[np.bool_]) -> Box:
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        spans.append((int(filled[0]), int(filled[-1]) + 1))
    return spans[0], spans[1], spans[2]
