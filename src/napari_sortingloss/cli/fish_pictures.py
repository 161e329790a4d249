"""Draws fish with their boxes, hulls and maps for the report: sections and projections in physical proportions, as SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box

if TYPE_CHECKING:
    from napari_sortingloss.localize.grid import Grid
    from napari_sortingloss.study import Volume

# Okabe and Ito's colours again, the light ones: they stand out on dark pictures with any colour vision.
FOUND, EXACT, HULL, REGION = "#e69f00", "#56b4e9", "#f0e442", (0, 158, 115)

GAMMA = 1.25
"""How pictures are darkened, so that bone does not outshine the flesh."""

Image = NDArray[np.uint8]


class Frame:
    """How a plane of a volume becomes a picture: which two axes are seen, and how large a voxel is drawn.

    Parameters
    ----------
    shape : tuple of int
        Of the volume, (z, y, x).
    voxel_size : tuple of float
        (z, y, x), in any unit.
    across : int
        The axis that is looked along, 0 to 2; the other two go down and to the right.
    height : float
        Of the picture, in px.
    """

    def __init__(self, shape: Sequence[int], voxel_size: Sequence[float], across: int, height: float) -> None:
        self.across = across
        self.down, self.right = (axis for axis in range(3) if axis != across)
        scale = height / (shape[self.down] * voxel_size[self.down])
        self.per_voxel = (scale * voxel_size[self.down], scale * voxel_size[self.right])
        self.size = (height, shape[self.right] * self.per_voxel[1])
        self.pixels = (shape[self.down], shape[self.right])

    def svg(self, image: Image, shapes: Sequence[str], title: str) -> str:
        """Return an ``<svg>`` element: an image of one pixel for each voxel, (h, w) or (h, w, 3), with shapes over it."""
        height, width = self.size
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img"><title>{escape(title)}</title>'
            f'<image width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none" href="{png(image)}"/>'
            f"{''.join(shapes)}</svg>"
        )

    def box(self, box: Box, colour: str, width: float, dash: str = "") -> str:
        """Draw the outline of a box of voxels."""
        (top, bottom), (left, right) = box[self.down], box[self.right]
        a, b = self.per_voxel
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        return (
            f'<rect x="{left * b:.1f}" y="{top * a:.1f}" width="{(right - left) * b:.1f}" '
            f'height="{(bottom - top) * a:.1f}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>'
        )

    def hull(self, vertices: NDArray[np.float64]) -> str:
        """Draw the shadow of a convex hull, its corners (n, 3) in voxel indices."""
        import cv2

        flat = (vertices[:, [self.right, self.down]] + 0.5) * (self.per_voxel[1], self.per_voxel[0])
        outline = cv2.convexHull(flat.astype(np.float32)).reshape(-1, 2)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
        return (
            f'<polygon points="{points}" fill="{HULL}" fill-opacity=".1" stroke="{HULL}" stroke-width="1" '
            f'stroke-opacity=".8"/>'
        )

    def bar(self, length: float, text: str, voxel_size: Sequence[float]) -> str:
        """Draw a scale bar of a physical length at the lower left."""
        width, y = length / voxel_size[self.right] * self.per_voxel[1], self.size[0] - 10
        return (
            f'<rect x="8" y="{y}" width="{width:.1f}" height="3" fill="#fff" stroke="#000" stroke-width=".6"/>'
            f'<text x="8" y="{y - 5}" font-size="11" font-family="system-ui, sans-serif" fill="#fff" stroke="#000" '
            f'stroke-width="2.5" paint-order="stroke">{escape(text)}</text>'
        )


def projection(volume: Volume, box: Box, across: int) -> Image:
    """Return the brightest voxel along one axis, looking only at what lies in the box along it, uint8 (h, w)."""
    spans = [(0, n) for n in volume.shape]
    spans[across] = box[across]
    brightest = volume.read_box((spans[0], spans[1], spans[2])).max(axis=across)
    crop = brightest[tuple(slice(*box[axis]) for axis in range(3) if axis != across)]
    return stretched(brightest, crop)


def section(volume: Volume, index: int, across: int) -> Image:
    """Return one plane of a volume, uint8 (h, w)."""
    spans = [(0, n) for n in volume.shape]
    spans[across] = (index, index + 1)
    image = volume.read_box((spans[0], spans[1], spans[2])).squeeze(across)
    return stretched(image, image)


def stretched(image: Image, like: Image) -> Image:
    """Spread the grey values so that those of a part of the image use the whole range."""
    low, high = np.percentile(like, (2, 99.9))
    share = (image.astype(np.float32) - low) / max(1.0, high - low)
    return np.asarray(255 * share.clip(0, 1) ** GAMMA, np.uint8)


def plane_of_map(values: NDArray[np.float32], grid: Grid, index: int, frame: Frame) -> NDArray[np.float32]:
    """Return what a coarse map says at one plane of the volume, for each of its voxels (h, w), interpolated."""
    from scipy import ndimage

    def place(axis: int, voxels: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((voxels - grid.offset[axis]) / grid.scale[axis])

    at = int(
        np.clip(round(float(place(frame.across, np.array(float(index))))), 0, grid.shape[frame.across] - 1)
    )
    rows, columns = (
        place(axis, np.arange(n, dtype=np.float64))
        for axis, n in zip((frame.down, frame.right), frame.pixels, strict=True)
    )
    points = np.meshgrid(rows, columns, indexing="ij")
    found = ndimage.map_coordinates(values.take(at, axis=frame.across), points, order=1, mode="nearest")
    return np.asarray(found, np.float32)


def heat(grey: Image, values: NDArray[np.float32], top: float) -> Image:
    """Lay a map over a picture in the colours of fire, clear where it is 0 and opaque from `top` on, uint8 (h, w, 3)."""
    import cv2

    share = (values / (top or 1.0)).clip(0, 1)
    colours = cv2.applyColorMap((share * 200 + 55).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = np.sqrt(share)[..., None] * 0.9
    return np.asarray(grey[..., None] * 0.75 * (1 - opacity) + colours * opacity, np.uint8)


def tinted(grey: Image, mask: NDArray[np.bool_]) -> Image:
    """Colour what lies in a mask, uint8 (h, w, 3)."""
    image = np.repeat(grey[..., None], 3, axis=2)
    image[mask] = (image[mask] * 0.55 + np.array(REGION) * 0.45).astype(np.uint8)
    return image


def png(image: Image) -> str:
    """Return a picture, (h, w) or (h, w, 3) in the order red, green, blue, as the address that holds it."""
    import cv2

    encoded = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1]
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"
