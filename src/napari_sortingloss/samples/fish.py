"""The anatomy of a small teleost, painted in the body's frame from the skin inwards."""

from __future__ import annotations

import numpy as np

from napari_sortingloss.samples.head import paint_eyes, paint_gills, paint_head
from napari_sortingloss.samples.profile import (
    BLADDER,
    BONE,
    FAT,
    FLUID,
    GAS,
    HEART,
    LIVER,
    SKIN,
    SPINE,
    Build,
    back_height,
    belly_depth,
    spine_height,
)
from napari_sortingloss.samples.shapes import (
    Canvas,
    Field,
    Frame,
    capsule,
    chain,
    ellipsoid,
    join,
    meet,
    triangle,
)


def paint_fish(canvas: Canvas, build: Build) -> None:
    """Paint a whole fish.

    Parameters
    ----------
    canvas : Canvas
        A canvas that holds the liquid around the specimen.
    build : Build
        What is particular to this fish.
    """
    around = canvas.image.copy()
    eyes = ellipsoid(canvas.frame.mirrored(), (0.077, 0.012, 0.053), (0.049, 0.049, 0.037))
    surface = join(canvas.surface, eyes, 0.012)
    canvas.add_body(surface)
    _paint_fins(canvas, build)
    _paint_flesh(canvas, surface, build)
    paint_head(canvas.part(-0.02, 0.32), build)
    paint_gills(canvas.part(0.12, 0.31), build)
    _paint_trunk_organs(canvas.part(0.20, 0.62), build)
    _paint_column(canvas.part(0.22, 0.95), build)
    paint_eyes(canvas.part(0.04, 0.18))
    canvas.trim(around)


def _paint_flesh(canvas: Canvas, surface: Field, build: Build) -> None:
    s, d, left = canvas.frame.s, canvas.frame.d, np.abs(canvas.frame.left)
    fine, middle, _ = canvas.grain
    canvas.paint(surface, SKIN + 0.10 * middle)
    canvas.paint(surface + 0.0075, FAT + 0.05 * middle)
    # Myomeres: cones nested along the body. Seen from the side each is a W, in cross-section the muscle
    # shows as arcs around the column.
    rise = np.abs(d - spine_height(s)) / 0.10
    fold = np.abs(rise - 0.55)
    phase = (s + 0.055 * fold - 0.35 * left) * np.float32(build.vertebrae / 0.61)
    wave = triangle(phase)
    muscle = 0.56 + 0.035 * fine + 0.03 * middle + 0.035 * np.sin(2.4 * np.floor(phase))
    muscle = np.where(s > 0.22, muscle - 0.20 * np.clip(1 - 3.5 * wave, 0, 1), muscle)
    # The horizontal and vertical septa that part the four muscle masses.
    seam = np.minimum(np.abs(d - spine_height(s) + 0.12 * left), left + 0.06 * (s < 0.26)) - 0.0015
    muscle -= 0.13 * canvas.cover(seam) * (s > 0.24)
    canvas.paint(surface + 0.0145, muscle)


def _paint_trunk_organs(canvas: Canvas, build: Build) -> None:
    frame, pair = canvas.frame, canvas.frame.mirrored()
    s, d = frame.s, frame.d
    fine, middle, coarse = canvas.grain
    surface = canvas.surface
    height = spine_height(s)
    cavity = meet(surface + 0.027, d - height + 0.022, 0.014)
    cavity = meet(cavity, np.abs(s - 0.435) - 0.150 + 0.3 * np.maximum(d + 0.02, 0), 0.02)
    canvas.paint(cavity - 0.004, 0.70)
    canvas.paint(cavity, FAT + 0.045 * middle + 0.03 * coarse)
    # Pericardium and heart: bulbus, ventricle, atrium.
    sac = ellipsoid(frame, (0.252, -0.096, 0.0), (0.036, 0.031, 0.034))
    canvas.paint(meet(sac, surface + 0.016, 0.006), FLUID)
    ventricle = ellipsoid(frame, (0.250, -0.102, 0.004), (0.020, 0.019, 0.020))
    atrium = ellipsoid(frame, (0.270, -0.086, -0.008), (0.016, 0.016, 0.020))
    bulbus = ellipsoid(frame, (0.229, -0.090, 0.002), (0.013, 0.010, 0.011))
    heart = join(join(ventricle, atrium, 0.006), bulbus, 0.006)
    heart = meet(heart, surface + 0.018, 0.004)
    canvas.paint(heart, 0.86 + 0.05 * fine, HEART)
    lumen = np.minimum(np.minimum(ventricle + 0.011, atrium + 0.006), bulbus + 0.007)
    canvas.paint(lumen, 0.66 + 0.12 * fine, None)
    # Liver: large lobe left, small lobe right, wrapped around the gut, with vessels.
    size = build.liver
    liver = ellipsoid(frame, (0.345, -0.066, 0.036), (0.066 * size, 0.060, 0.042))
    liver = join(liver, ellipsoid(frame, (0.325, -0.060, -0.038), (0.044 * size, 0.052, 0.036)), 0.02)
    liver = meet(liver, cavity + 0.003, 0.008)
    vessels = np.clip(7.0 * (0.16 - np.abs(coarse + 0.6 * middle)), 0, 1)
    canvas.paint(liver, 0.80 + 0.035 * fine + 0.02 * middle - 0.22 * vessels, LIVER)
    canvas.paint(ellipsoid(frame, (0.378, -0.086, 0.030), (0.013, 0.012, 0.011)), 0.27)
    # Kidney under the column, gonads behind the liver.
    canvas.paint(
        capsule(pair, (0.275, 0.010, 0.017), (0.53, 0.004, 0.010), 0.013, 0.007),
        0.68 + 0.07 * fine + 0.04 * middle,
    )
    ripe = 1.3 if build.eggs else 1.0
    gonad = ellipsoid(pair, (0.490, -0.074, 0.030), (0.070 * ripe, 0.044 * ripe, 0.032 * ripe))
    gonad = meet(gonad, cavity + 0.002, 0.006)
    if build.eggs:
        _paint_eggs(canvas, gonad)
    else:
        canvas.paint(meet(gonad, np.abs(pair.left - 0.028) - 0.019, 0.006), 0.62 + 0.05 * fine)
    # The gut: a stomach bulb and one loop back and forth, with folds and what was eaten.
    gut = chain(
        frame,
        [
            (0.272, -0.040, 0.0),
            (0.310, -0.055, -0.012),
            (0.390, -0.080, -0.034),
            (0.470, -0.090, -0.020),
            (0.455, -0.110, 0.014),
            (0.380, -0.122, 0.008),
            (0.440, -0.126, -0.022),
            (0.520, -0.110, -0.004),
            (0.580, -0.122, 0.0),
        ],
        [0.010, 0.019, 0.023, 0.018, 0.016, 0.014, 0.014, 0.015, 0.007],
    )
    gut = np.maximum(gut, surface + 0.012)
    canvas.paint(gut, 0.70 + 0.03 * fine)
    food = np.clip(middle + 0.7 * fine + 2.4 * build.gut - 1.6, 0, 1)
    canvas.paint(gut + 0.0075, 0.38 + 0.05 * fine + (0.62 + 0.2 * fine) * food)
    # Swim bladder: gas in a thin wall under the kidney.
    size = build.bladder
    # It tapers towards the tail.
    taper = 1 + 2.2 * (s - 0.43)
    narrowed = Frame(s, (d + 0.030) * taper - 0.030, frame.left * taper)
    bladder = ellipsoid(narrowed, (0.430, -0.030, 0.0), (0.088 * size, 0.034 * size, 0.048 * size))
    bladder = join(bladder, ellipsoid(frame, (0.370, -0.026, 0.0), (0.044, 0.026 * size, 0.036 * size)), 0.02)
    bladder = meet(bladder, d - height + 0.036, 0.01)
    canvas.paint(bladder - 0.006, 0.80)
    canvas.paint(bladder, GAS, BLADDER)


def _paint_eggs(canvas: Canvas, gonad: Field) -> None:
    frame = canvas.frame
    canvas.paint(gonad, 0.46)
    pitch = 0.029
    # Eggs in a staggered lattice: the distance to the nearest lattice point is that of one sphere.
    row = np.floor(frame.d / pitch)
    offset = 0.5 * (row - 2 * np.floor(row / 2))
    cell = [
        (frame.s / pitch + offset) % 1.0 - 0.5,
        (frame.d / pitch) % 1.0 - 0.5,
        (frame.left / pitch + offset) % 1.0 - 0.5,
    ]
    egg = np.sqrt(cell[0] ** 2 + cell[1] ** 2 + cell[2] ** 2) * pitch - 0.0132
    egg = meet(egg, gonad + 0.004, 0.004)
    canvas.paint(egg, 0.88)
    canvas.paint(egg + 0.0045, 0.58 + 0.04 * canvas.grain[0])


def _paint_column(canvas: Canvas, build: Build) -> None:
    frame, pair = canvas.frame, canvas.frame.mirrored()
    s, d = frame.s, frame.d
    fine = canvas.grain[0]
    bone = BONE * build.bone
    height = spine_height(s)
    above = d - height
    count = build.vertebrae / 0.61
    turn = triangle((s - 0.26) * count)  # 0 at a disc, 1 in the middle of a vertebra
    taper = np.interp(s, [0.26, 0.5, 0.88], [1.0, 0.95, 0.55]).astype(np.float32)
    inside = np.abs(s - 0.57) - 0.31
    # Spinal cord in its canal.
    canal = np.hypot(frame.left, above - 0.0270 * taper)
    canvas.paint(np.maximum(canal - 0.0115 * taper, inside - 0.01), 0.36)
    canvas.paint(np.maximum(canal - 0.0075 * taper, inside - 0.01), 0.62 + 0.03 * fine)
    # Dorsal aorta below the column.
    canvas.paint(np.maximum(np.hypot(frame.left, above + 0.0230 * taper) - 0.0045, inside), 0.74)
    # Neural and haemal spines: one plate a vertebra, slanting back; the arches straddle cord and vessel.
    slant = (s - 0.26 - 0.55 * np.abs(above)) * count
    blade = (1 - triangle(slant)) / (2 * count) - 0.0036
    blade = np.maximum(blade, pair.left - 0.0042)
    reach = np.where(above > 0, 0.62 * back_height(s), 0.62 * belly_depth(s))
    blade = np.maximum(blade, np.abs(above) - reach)
    blade = np.maximum(blade, np.where(above > 0, 0.036 * taper - above, 0.030 + above))
    tail_only = np.where(above > 0, np.float32(0.0), np.maximum(0.575 - s, 0.0))
    canvas.paint(np.maximum(np.maximum(blade, tail_only), inside), bone)
    arch = np.maximum(np.abs(canal - 0.0135 * taper) - 0.0034, (0.45 - turn) * 0.012)
    haemal = np.abs(np.hypot(frame.left, above + 0.0230) - 0.0085) - 0.003
    haemal = np.maximum(np.maximum(haemal, (0.45 - turn) * 0.012), 0.575 - s)
    canvas.paint(np.maximum(np.minimum(arch, haemal), inside), 0.95 * bone)
    # Ribs in the wall of the body cavity.
    wall = meet(canvas.surface + 0.027, above + 0.022, 0.014)
    rib = (1 - triangle((s - 0.26 - 0.45 * np.maximum(-above, 0) - 0.2 * pair.left) * count)) / (
        2 * count
    ) - 0.0040
    rib = np.maximum(rib, np.abs(wall - 0.003) - 0.0042)
    rib = np.maximum(np.maximum(rib, np.abs(s - 0.42) - 0.135), np.maximum(d - 0.02, -0.095 - d))
    canvas.paint(np.maximum(rib, 0.012 - pair.left), bone)
    # Centra: hourglasses of bone around the notochord, parted by discs.
    axis = np.hypot(frame.left, above)
    waist = 0.0170 * taper * (1.0 - 0.20 * np.sin(np.pi * turn / 2) ** 2)
    column = np.maximum(axis - waist, inside)
    fill = np.clip(1.6 - 1.5 * turn, 0, 1)  # how far the cone of the notochord reaches
    core = np.clip(1 - axis / (0.0115 * taper * fill + 1e-4), 0, 1)
    disc = np.clip(1 - 4.5 * turn, 0, 1)
    canvas.paint(column, bone * (1 + 0.05 * fine) - 0.50 * core - 0.45 * disc, SPINE)
    # Fan of hypural plates that carries the tail fin.
    fan = np.abs(triangle((d / (0.020 + 0.35 * np.maximum(s - 0.86, 0))) + 0.5) - 1) * 0.012 - 0.0065
    fan = np.maximum(np.maximum(fan, pair.left - 0.0048), np.abs(s - 0.895) - 0.022)
    canvas.paint(np.maximum(fan, np.abs(d) - 0.034), bone)


def _paint_fins(canvas: Canvas, build: Build) -> None:
    rear = canvas.part(0.52, 1.02)
    s, d, left = rear.frame.s, rear.frame.d, rear.frame.left
    fine = rear.grain[0]
    bone = 0.95 * build.bone
    fin: Field
    # Tail fin: a fan of branching rays.
    open_ = np.maximum(s - 0.86, 0)
    half = 0.040 + 0.62 * open_ - 0.9 * open_ * open_
    rays = triangle(d / half * np.where(s > 0.95, 9.0, 4.5))
    tail = np.maximum(
        np.abs(left + 0.02 * np.sin(14 * s) * (s > 0.9) * (s - 0.9) / 0.1) - 0.0048, np.abs(d) - half
    )
    tail = np.maximum(np.maximum(tail, 0.855 - s), s - 0.992 + 1.3 * np.abs(np.abs(d) - 0.05) ** 1.5)
    _paint_fin(rear, tail, 0.46 + (bone - 0.46) * np.clip(2.2 * rays - 0.9, 0, 1) + 0.03 * fine)
    u: Field
    for sign, first, last, tall, outline in (
        (1, 0.66, 0.79, 0.062, back_height),
        (-1, 0.585, 0.80, 0.050, belly_depth),
    ):
        out = sign * d - outline(s)
        u = (s - first - 0.55 * np.maximum(out, 0)) / (last - first)
        crest = tall * np.clip(1.15 - 0.75 * u, 0, 1)
        fin = np.maximum(
            np.maximum(np.abs(left) - 0.0046, out - crest), np.maximum(-u, u - 1) * (last - first)
        )
        fin = np.maximum(fin, -out - 0.02)
        rays = triangle(u * (last - first) / 0.0155)
        _paint_fin(rear, fin, 0.46 + (bone - 0.46) * np.clip(2.2 * rays - 0.9, 0, 1) + 0.03 * fine)
    front = canvas.part(0.26, 0.54)
    pair = front.frame.mirrored()
    for root, length, lean, low, spread in (
        ((0.285, -0.020, 0.094), 0.095, 0.24, -0.10, 0.30),
        ((0.440, -0.132, 0.030), 0.060, 0.10, -0.30, 0.22),
    ):
        u = pair.s - root[0]
        away = pair.left - root[2] - lean * u
        height = pair.d - root[1] - low * u
        fin = np.maximum(
            np.abs(away) - 0.0046, np.maximum(np.abs(height) - 0.010 - spread * np.maximum(u, 0), -u - 0.01)
        )
        fin = np.maximum(fin, np.hypot(u, height) - length)
        rays = triangle(height / (0.010 + spread * np.maximum(u, 0)) * 3.5)
        _paint_fin(front, fin, 0.46 + (bone - 0.46) * np.clip(2.2 * rays - 0.9, 0, 1))


def _paint_fin(canvas: Canvas, shape: Field, value: Field) -> None:
    canvas.paint(shape, value)
    canvas.add_body(shape)
