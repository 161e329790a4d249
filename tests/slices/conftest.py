"""A volume as the slices room sees it: not a cube, three different voxel sizes."""

from __future__ import annotations

import numpy as np
import pytest


class FakeVolume:
    """Implements `SliceVolume` over an array in memory, ordered along its first axis."""

    def __init__(self, voxels, voxel_size):
        self.voxels = voxels
        self.slice_shape = voxels.shape[1:]
        self.slice_voxel_size = voxel_size[1:]
        self.unit = "mm"
        self.largest_read = 0

    def read_slices(self, positions):
        self.largest_read = max(self.largest_read, len(positions))
        return self.voxels[list(positions)]


@pytest.fixture
def volume():
    """23 slices of 40 x 30 voxels; the grey value of a slice is ten times its position."""
    voxels = np.empty((23, 40, 30), np.uint8)
    voxels[:] = 10 * np.arange(23)[:, None, None]
    return FakeVolume(voxels, (0.5, 0.2, 0.1))


@pytest.fixture
def slice_image():
    """A specimen-like slice of 112 x 112: a bright disc with a dark hole on dim, noisy air."""
    y, x = np.mgrid[:112, :112]
    radius = np.hypot(y - 50, x - 62)
    image = 30 + 120.0 * (radius < 38) - 60 * (radius < 12)
    image += np.random.default_rng(0).normal(0, 6, image.shape)
    return image.clip(0, 255).astype(np.uint8)
