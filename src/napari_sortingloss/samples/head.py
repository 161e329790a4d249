"""The organs of the head and the gills, painted in the body's frame."""

from __future__ import annotations

import numpy as np

from napari_sortingloss.samples.profile import BONE, BRAIN, FAT, FLUID, LENS, RETINA, WATER, Build
from napari_sortingloss.samples.shapes import (
    Canvas,
    Frame,
    capsule,
    chain,
    ellipsoid,
    join,
    meet,
    shell,
    triangle,
)


def paint_head(canvas: Canvas, build: Build) -> None:
    """Paint mouth, brain, inner ears and the bones of the head."""
    frame, pair = canvas.frame, canvas.frame.mirrored()
    fine, middle, coarse = canvas.grain
    bone = BONE * build.bone
    # Mouth and throat.
    gape = 0.004 + 0.010 * build.gape
    throat = chain(
        Frame(frame.s, frame.d * 2.2, frame.left),
        [(-0.03, -0.012, 0.0), (0.05, -0.035, 0.0), (0.15, -0.055, 0.0), (0.27, -0.060, 0.0)],
        [1.6 * gape, 0.026, 0.038, 0.018],
    )
    canvas.paint(throat, WATER + 0.02 * middle)
    tongue = ellipsoid(frame, (0.11, -0.037, 0.0), (0.055, 0.011, 0.018))
    canvas.paint(tongue, 0.60 + 0.04 * fine)
    # Brain: bulbs, telencephalon, optic tectum, cerebellum, hypothalamus, medulla.
    brain = ellipsoid(pair, (0.070, 0.036, 0.008), (0.014, 0.010, 0.009))
    for centre, radii in (
        ((0.108, 0.044, 0.012), (0.032, 0.019, 0.015)),
        ((0.165, 0.054, 0.026), (0.036, 0.027, 0.027)),
        ((0.165, 0.026, 0.010), (0.030, 0.018, 0.016)),
        ((0.208, 0.064, 0.000), (0.024, 0.024, 0.027)),
    ):
        brain = join(brain, ellipsoid(pair, centre, radii), 0.007)
    brain = join(brain, capsule(frame, (0.17, 0.045, 0.0), (0.280, 0.056, 0.0), 0.024, 0.011), 0.008)
    canvas.paint(brain - 0.007, FLUID + 0.03 * middle)
    roof = np.where(frame.d > 0.03, shell(brain, 0.010, 0.010), np.float32(1.0))
    canvas.paint(roof, bone + 0.16 * middle + 0.1 * coarse, strength=0.92)
    # Cell layers follow the surface: the neuropil inside is a little darker than the rind.
    rind = np.clip(1 + brain / 0.011, 0, 1)
    canvas.paint(brain, 0.57 + 0.13 * rind + 0.03 * fine + 0.02 * middle, BRAIN)
    ventricle = meet(brain + 0.006, np.maximum(pair.left - 0.0035, np.abs(frame.d - 0.050) - 0.016), 0.003)
    canvas.paint(ventricle, 0.34, None, strength=0.8)
    # Inner ear with its stones.
    canvas.paint(ellipsoid(pair, (0.212, 0.034, 0.047), (0.026, 0.024, 0.015)), FLUID + 0.02 * middle)
    canvas.paint(
        shell(ellipsoid(pair, (0.212, 0.034, 0.047), (0.026, 0.024, 0.015)), 0.003, 0.005), 0.85 * bone
    )
    canvas.paint(ellipsoid(pair, (0.216, 0.021, 0.046), (0.013, 0.011, 0.0065)), 1.75)
    canvas.paint(ellipsoid(pair, (0.196, 0.044, 0.047), (0.007, 0.007, 0.0055)), 1.6)
    canvas.paint(ellipsoid(pair, (0.026, 0.027, 0.030), (0.010, 0.008, 0.007)), WATER)
    # Jaws, base of the skull, hyoid, gill cover, shoulder girdle.
    drop = -0.012 * build.gape
    rods = capsule(pair, (0.005, -0.018 + drop, 0.008), (0.075, -0.046, 0.052), 0.0085, 0.0085)
    for start, stop, thick, end in (
        ((0.005, 0.005, 0.005), (0.040, -0.006, 0.050), 0.008, 0.006),
        ((0.035, 0.014, 0.000), (0.230, 0.016, 0.000), 0.006, 0.008),
        ((0.075, -0.046, 0.052), (0.150, -0.010, 0.070), 0.007, 0.008),
        ((0.060, -0.055, 0.008), (0.190, -0.088, 0.040), 0.006, 0.006),
        ((0.060, -0.055, 0.000), (0.205, -0.098, 0.000), 0.005, 0.006),
        ((0.255, 0.055, 0.062), (0.282, -0.045, 0.083), 0.007, 0.008),
        ((0.282, -0.045, 0.083), (0.245, -0.122, 0.018), 0.008, 0.006),
        ((0.050, 0.034, 0.014), (0.140, 0.080, 0.016), 0.005, 0.006),
    ):
        rods = np.minimum(rods, capsule(pair, start, stop, thick, end))
    canvas.paint(rods, bone + 0.15 * fine)


def paint_gills(canvas: Canvas, build: Build) -> None:
    """Paint the gill chambers with their arches and filaments, and the gill covers."""
    frame, pair = canvas.frame, canvas.frame.mirrored()
    fine, middle, _ = canvas.grain
    bone = BONE * build.bone
    surface = canvas.surface
    chamber = ellipsoid(pair, (0.214, -0.040, 0.056), (0.064, 0.052, 0.036))
    chamber = meet(chamber, surface + 0.014, 0.01)
    canvas.paint(chamber, WATER + 0.02 * middle)
    # Four arches, one behind the other; from each a fan of filaments spreads outwards and back.
    lean = pair.s - 0.55 * (pair.left - 0.03) + 0.25 * (frame.d + 0.03)
    row = triangle((lean - 0.158) / 0.029)
    angle = np.arctan2(frame.d + 0.022, pair.left - 0.012)
    comb = triangle(angle * 5.5 + 4.0 * pair.s)
    filament = np.clip(1.9 * comb - 0.25, 0, 1) * np.clip(2.6 * row - 0.3, 0, 1)
    leaf = meet(chamber + 0.007, np.abs(pair.s - 0.212) - 0.052, 0.006)
    canvas.paint(leaf, WATER + (0.58 + 0.06 * fine) * filament)
    reach = np.hypot(frame.d + 0.024, pair.left - 0.012)
    arch = np.maximum(np.abs(reach - 0.024) - 0.0055, (0.55 - row) * 0.02)
    canvas.paint(meet(arch, leaf, 0.003), 0.95 * bone)
    # The gill cover is a thin plate just under the skin, open along its hind edge.
    plate = np.maximum(
        shell(surface, -0.0095, 0.0085), np.abs(pair.s - 0.205 + 0.2 * np.abs(frame.d + 0.03)) - 0.058
    )
    plate = np.maximum(plate, np.abs(frame.d + 0.035) - 0.066)
    canvas.paint(plate, bone + 0.12 * middle)
    slit = np.maximum(
        np.abs(pair.s - 0.270 + 0.2 * np.abs(frame.d + 0.03)) - 0.005, np.abs(frame.d + 0.045) - 0.055
    )
    canvas.paint(np.maximum(slit, np.maximum(-surface - 0.020, surface)), WATER)


def paint_eyes(canvas: Canvas) -> None:
    """Paint the eyes: sclera, vitreous body, retina and lens."""
    pair = canvas.frame.mirrored()
    fine, middle, _ = canvas.grain
    centre = (0.077, 0.012, 0.052)
    ball = ellipsoid(pair, centre, (0.046, 0.046, 0.034))
    canvas.paint(ball - 0.006, FAT)
    canvas.paint(ball, 0.88 + 0.04 * middle)
    cup = ball + 0.0045
    canvas.paint(cup, 0.34)
    vitreous = ellipsoid(pair, (0.077, 0.012, 0.056), (0.031, 0.031, 0.022))
    retina = np.maximum(np.maximum(cup, -vitreous), pair.left - 0.066)
    # Two dark plexiform layers run between the bright layers of cells.
    layers = 0.76 + 0.10 * np.cos(2 * np.pi * cup / 0.0105)
    canvas.paint(retina, layers + 0.03 * fine, RETINA)
    lens = ellipsoid(pair, (0.077, 0.012, 0.066), (0.023, 0.023, 0.0205))
    canvas.paint(lens, np.clip(1.0 - 6.0 * (lens + 0.023), 0.86, 1.05), LENS)
    canvas.paint(shell(ellipsoid(pair, centre, (0.048, 0.048, 0.0395)), 0.0, 0.004), 0.66, None, strength=0.8)
