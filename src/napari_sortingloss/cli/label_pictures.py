"""Draws labels for the report: tinted slices, organs seen through the fish, mistakes, and strips to scroll through."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.cli.fish_pictures import stretched

Image = NDArray[np.uint8]
Colours = Mapping[int, tuple[int, int, int]]
"""Red, green and blue of each class value."""

LIGHT = np.array((-0.45, -0.55, 0.70), np.float32)
"""Where the light of the rendered organs comes from: right, down, towards the viewer."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``"#rrggbb"``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def tinted(grey: Image, labels: Image, colours: Colours, strength: float = 0.55) -> Image:
    """Lay the colours of labels over a grey picture.

    Parameters
    ----------
    grey, labels : ndarray of uint8, shape (h, w)
    colours : mapping
        Values without a colour stay grey.
    strength : float
        How opaque the colours are; the outline of each label is nearly so.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    image = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    edge = outline(labels)
    for value, colour in colours.items():
        mask = labels == value
        share = np.where(edge[mask], 0.9, strength)[:, None]
        image[mask] = image[mask] * (1 - share) + np.array(colour, np.float32) * share
    return np.asarray(image, np.uint8)


def outline(labels: Image) -> NDArray[np.bool_]:
    """Return the pixels of labels that touch another label or none, (h, w)."""
    padded = np.pad(labels, 1, mode="edge")
    centre = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray((centre > 0) & np.any([other != centre for other in around], axis=0))


def mistakes(grey: Image, predicted: Image, reference: Image) -> Image:
    """Show where two label pictures differ, uint8 (h, w, 3).

    Orange where something was missed, blue where too much was painted, yellow where it was taken for something else.
    """
    image = np.repeat((grey * 0.6)[..., None], 3, axis=2)
    wrong = predicted != reference
    for mask, colour in (
        (wrong & (predicted == 0), (230, 97, 1)),
        (wrong & (reference == 0), (86, 180, 233)),
        (wrong & (predicted > 0) & (reference > 0), (240, 228, 66)),
    ):
        image[mask] = colour
    return np.asarray(image, np.uint8)


def resized(image: Image, voxel_size: Sequence[float], height: int, *, nearest: bool = False) -> Image:
    """Bring a plane of voxels, of size (h, w) each, to square pixels and a height in px."""
    import cv2

    width = max(1, round(image.shape[1] * voxel_size[1] * height / (image.shape[0] * voxel_size[0])))
    smaller = height < image.shape[0]
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def organs(voxels: Image, labels: Image, voxel_size: Sequence[float], colours: Colours, height: int) -> Image:
    """Look through a volume along x: the organs as lit surfaces inside the pale body.

    Parameters
    ----------
    voxels, labels : ndarray of uint8, shape (z, y, x)
    voxel_size : sequence of float
        (z, y, x), in any unit.
    colours : mapping
        Values without a colour are not drawn.
    height : int
        Of the picture, in px; its pixels are square.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    import cv2
    from scipy import ndimage

    body = stretched(voxels.max(axis=2), voxels.max(axis=2))
    grey = resized(body, voxel_size[:2], height).astype(np.float32)
    palette = np.zeros((256, 3), np.float32)
    for value, colour in colours.items():
        palette[value] = colour
    shown = np.where(np.isin(labels, list(colours)), labels, 0)
    solid = shown > 0
    seen = solid.any(axis=2)
    # The surface is smoothed so that the light does not show single voxels.
    soft = ndimage.gaussian_filter(solid.astype(np.float32), 0.8)
    hit = soft > 0.35
    nearest = ndimage.distance_transform_edt(~hit.any(axis=2), return_distances=False, return_indices=True)
    depth = np.argmax(hit, axis=2)[tuple(nearest)].astype(np.float32)
    front = np.take_along_axis(shown, np.argmax(solid, axis=2)[..., None], axis=2)[..., 0]
    size = (grey.shape[1], grey.shape[0])
    depth = cv2.resize(depth * voxel_size[2], size, interpolation=cv2.INTER_LINEAR)
    depth = cv2.GaussianBlur(depth, (0, 0), 1.2)
    pixel = voxel_size[0] * labels.shape[0] / height
    slope = np.stack(np.gradient(depth, pixel))
    normal = np.stack([slope[1], slope[0], np.ones_like(depth)])
    light = np.tensordot(LIGHT, normal, 1) / np.linalg.norm(normal, axis=0)
    shade = 0.45 + 0.65 * light.clip(0, 1)
    colour = palette[cv2.resize(front, size, interpolation=cv2.INTER_NEAREST)] * shade[..., None]
    cover = cv2.resize(seen.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[..., None]
    image = grey[..., None] * 0.55 * (1 - 0.92 * cover) + colour * 0.92 * cover
    return np.asarray(image.clip(0, 255), np.uint8)


def strip(slices: Image) -> Image:
    """Put slices (n, h, w) or (n, h, w, 4) below each other, so that a page can scroll through them."""
    return np.asarray(slices.reshape(-1, *slices.shape[2:]))


def see_through(labels: Image, colours: Colours, strength: float = 0.6) -> Image:
    """Return labels (n, h, w) as pictures that are clear where nothing is labelled, (n, h, w, 4)."""
    palette = np.zeros((256, 4), np.uint8)
    for value, colour in colours.items():
        palette[value] = (*colour, round(255 * strength))
    return palette[labels]


def address(image: Image, *, photograph: bool = False) -> str:
    """Return the address that holds a picture, (h, w), (h, w, 3) or (h, w, 4).

    Parameters
    ----------
    image : ndarray of uint8
        Colours in the order red, green, blue, opacity.
    photograph : bool
        Whether small errors do not matter (JPEG); else every pixel is kept (PNG).
    """
    import cv2

    order = [2, 1, 0, 3][: image.shape[-1]] if image.ndim == 3 else None
    stored = np.ascontiguousarray(image if order is None else image[..., order])
    if photograph:
        data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
        return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    data = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    return f"data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}"
