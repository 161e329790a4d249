"""The outline of the body, the tissues and what differs from fish to fish; lengths count in body lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from napari_sortingloss.samples.shapes import Field, Frame, meet

LENS, RETINA, BRAIN, HEART, LIVER, BLADDER, SPINE = range(1, 8)

WATER = 0.24
"""Attenuation of the liquid around the specimen; muscle is about 0.55 and bone 1.2 on this scale."""

GAS, FAT, FLUID, BONE, SKIN = 0.03, 0.40, 0.30, 1.15, 0.74

# Outline of the body: position, and how far it reaches towards back, belly and sides.
_OUTLINE = (
    (0.000, 0.000, 0.000, 0.000),
    (0.005, 0.031, 0.028, 0.038),
    (0.015, 0.045, 0.041, 0.055),
    (0.035, 0.057, 0.053, 0.067),
    (0.065, 0.068, 0.066, 0.076),
    (0.095, 0.077, 0.076, 0.081),
    (0.140, 0.090, 0.092, 0.087),
    (0.200, 0.107, 0.116, 0.096),
    (0.280, 0.122, 0.142, 0.101),
    (0.360, 0.131, 0.152, 0.099),
    (0.440, 0.131, 0.152, 0.093),
    (0.520, 0.123, 0.138, 0.081),
    (0.600, 0.107, 0.108, 0.065),
    (0.680, 0.085, 0.079, 0.048),
    (0.760, 0.062, 0.055, 0.034),
    (0.830, 0.047, 0.043, 0.024),
    (0.880, 0.042, 0.040, 0.018),
    (1.000, 0.040, 0.040, 0.010),
)
_STATION, _BACK, _BELLY, _SIDE = (tuple(column) for column in zip(*_OUTLINE, strict=True))
_SPINE_STATION = (0.0, 0.26, 0.40, 0.55, 0.70, 0.88, 1.0)
_SPINE_HEIGHT = (0.03, 0.042, 0.046, 0.033, 0.013, 0.002, 0.0)


@dataclass(frozen=True)
class Build:
    """What differs from fish to fish inside the skin.

    Attributes
    ----------
    vertebrae : int
        Number of vertebrae.
    bladder, liver, gut : float
        Relative size of the swim bladder and the liver; how full the gut is (0 to 1).
    eggs : bool
        Whether the ovary holds eggs.
    gape : float
        How far the mouth stands open, 0 to 1.
    bone : float
        Relative mineralisation.
    """

    vertebrae: int = 22
    bladder: float = 1.0
    liver: float = 1.0
    gut: float = 0.6
    eggs: bool = False
    gape: float = 0.4
    bone: float = 1.0


def _along(s: Field, stations: tuple[float, ...], values: tuple[float, ...]) -> Field:
    table = PchipInterpolator(stations, values)(np.linspace(0.0, 1.0, 501)).astype(np.float32)
    place = np.clip(s, 0.0, 0.9999) * np.float32(500)
    low = place.astype(np.int32)
    there: Field = table[low] + (place - low) * (table[low + 1] - table[low])
    return there


def back_height(s: Field) -> Field:
    """Return how far the body reaches towards the back at each position along it, in body lengths."""
    return _along(s, _STATION, _BACK)


def belly_depth(s: Field) -> Field:
    """Return how far the body reaches towards the belly at each position along it, in body lengths."""
    return _along(s, _STATION, _BELLY)


def spine_height(s: Field) -> Field:
    """Return the height of the vertebral column at each position along the body, in body lengths."""
    return _along(s, _SPINE_STATION, _SPINE_HEIGHT)


def trunk(frame: Frame) -> Field:
    """Return the signed distance to the body without eyes and fins: an egg-shaped section along a profile."""
    s, d, left = frame.s, frame.d, np.abs(frame.left)
    height = np.where(d > 0, back_height(s), belly_depth(s)) + np.float32(1e-4)
    width = _along(s, _STATION, _SIDE) + np.float32(1e-4)
    # The flanks of the belly are fuller than an ellipse, the back is keeled.
    power = np.where(d > 0, np.float32(1.9), np.float32(2.25))
    reach = ((np.abs(d) / height) ** power + (left / width) ** power) ** (1 / power)
    radius = np.sqrt(d * d + left * left)
    across = np.where(reach > 1e-3, radius * (1 - 1 / np.maximum(reach, 1e-3)), -np.minimum(height, width))
    across = np.maximum(across, -np.minimum(height, width))
    return meet(np.maximum(across, -s), s - 0.90, 0.01)
