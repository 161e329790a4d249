"""Asks a sorting network about the slices of a volume and puts the answers together as a map over the volume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_sortingloss.events import Progress
from napari_sortingloss.localize.certainty import sampled
from napari_sortingloss.localize.grid import Grid, in_array_order
from napari_sortingloss.localize.sensitivity import Sensitivity
from napari_sortingloss.localize.variance import DropoutVariance
from napari_sortingloss.slices.fit import fitted_shape
from napari_sortingloss.slices.reader import MILLIMETRES, MOST_UNLIKE, field_of_view, load_slices
from napari_sortingloss.study.schema import AXES

if TYPE_CHECKING:
    from napari_sortingloss.localize.settings import LocalizeSettings
    from napari_sortingloss.pretext.loading import Trained
    from napari_sortingloss.pretext.sorting.scoring import SortingNetwork
    from napari_sortingloss.pretext.sorting.settings import SortingSettings
    from napari_sortingloss.study import Volume

BATCH = 16
"""Slices looked at at a time."""

SMOOTH = 2.0
"""Width (standard deviation) of the Gaussians that smooth the sensitivity, in pixels of the network's input."""

POOL = 2
"""Pixels of the network's input to one point of the sensitivity."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """How the network sees a volume: which slices, and where the pixels of its square lie in them.

    Attributes
    ----------
    indices : ndarray of int
        Array indices of the slices along the ordering axis, ascending.
    step : float
        Voxels from one to the next.
    size : int
        Side of the square in pixels.
    field : float
        Side of the square in mm, 0 where each slice fills it.
    fitted : tuple of int
        Height and width of the slice in the square, in pixels.
    """

    indices: NDArray[np.intp]
    step: float
    size: int
    field: float
    fitted: tuple[int, int]

    @classmethod
    def of(cls, volume: Volume, settings: SortingSettings, every: int | None) -> View:
        """Return how a network of these settings sees a volume, at every so manieth slice (None: about 128)."""
        indices = sampled(volume.n_slices, every)
        step = float(indices[1] - indices[0]) if len(indices) > 1 else float(volume.n_slices)
        field = settings.field_of_view or 0.0
        millimetres = MILLIMETRES.get(volume.unit)
        side = field / millimetres if millimetres else 0.0
        fitted = fitted_shape(volume.slice_shape, volume.slice_voxel_size, settings.size, side)
        return cls(indices, step, settings.size, field, fitted)

    def pixel(self, volume: Volume) -> float:
        """Return the physical size of a pixel of the square."""
        height, width = (n * s for n, s in zip(volume.slice_shape, volume.slice_voxel_size, strict=True))
        return max(height / self.fitted[0], width / self.fitted[1])

    def cut(self, stack: Floats, first: float, step: float) -> tuple[Floats, tuple[float, float]]:
        """Leave away the points of the square that show nothing of the slice, and repeat the last where it ends early.

        Super-pixels lie at multiples of the stride from the first pixel on: the last one's cell may end before the slice.

        Parameters
        ----------
        stack : ndarray, shape (n, h, w)
            Points of the square.
        first, step : float
            The pixel at which the first one lies (0: the centre of the first pixel), and pixels from one to the next.

        Returns
        -------
        ndarray
            What is left.
        tuple of float
            The pixels at which the first points lie now, along the height and the width.
        """
        spans, firsts, missing = [], [], []
        for count, length in zip(stack.shape[1:], self.fitted, strict=True):
            margin = (self.size - length) // 2
            centres = first + step * np.arange(count)
            inside = np.flatnonzero(
                (centres + step / 2 > margin - 0.5) & (centres - step / 2 < margin + length - 0.5)
            )
            spans.append(slice(int(inside[0]), int(inside[-1]) + 1))
            firsts.append(float(centres[inside[0]]))
            gap = margin + length - 0.5 - (centres[inside[-1]] + step / 2)
            missing.append((0, max(0, math.ceil(gap / step - 1e-6))))
        found = np.pad(stack[:, spans[0], spans[1]], ((0, 0), *missing), mode="edge")
        return np.ascontiguousarray(found), (firsts[0], firsts[1])

    def grid(self, volume: Volume, shape: tuple[int, ...], first: tuple[float, float], step: float) -> Grid:
        """Return where points of the square lie in the volume, see `cut`; `shape` is (n, h, w)."""
        voxels = [n / m for n, m in zip(volume.slice_shape, self.fitted, strict=True)]
        offset = [
            (at - (self.size - length) // 2 + 0.5) * size - 0.5
            for at, length, size in zip(first, self.fitted, voxels, strict=True)
        ]
        return Grid(
            in_array_order(shape[0], (shape[1], shape[2]), volume.axis),
            in_array_order(self.step, (voxels[0] * step, voxels[1] * step), volume.axis),
            in_array_order(float(self.indices[0]), (offset[0], offset[1]), volume.axis),
        )


def doubts_of_scale(volume: Volume, settings: SortingSettings) -> tuple[str, ...]:
    """Return why the network may not know a volume at the scale at which it is shown; nothing where all is well."""
    field = settings.field_of_view or 0.0
    if not field:
        return ()
    if volume.unit not in MILLIMETRES:
        return (
            "The run knows its volumes at one scale in mm, and the unit of this one is not known: it is shown as large as "
            "it goes. Set its voxel size in the study.",
        )
    own = field_of_view(volume)
    if own > MOST_UNLIKE * field or field > MOST_UNLIKE * own:
        return (
            f"Its slices are {own:.3g} mm wide, those the run was trained on up to {field:.3g} mm: the network has not "
            "learned on anything of this size. Check the voxel size, or pre-train on volumes like this one.",
        )
    return ()


def uncertainty_map(
    trained: Trained[SortingNetwork, SortingSettings], volume: Volume, settings: LocalizeSettings
) -> Generator[Progress, None, tuple[Floats, Grid]]:
    """Measure the chosen statistic over a volume.

    Parameters
    ----------
    trained : Trained
        The network of a sorting run.
    volume : Volume
    settings : LocalizeSettings
        Resolved.

    Yields
    ------
    Progress
        In slices. Memory is bounded by the slices looked at, at the size of the network's input.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
        In the order of the array, whatever ordering axis and direction.
    Grid
        Where its points lie.
    """
    view = View.of(volume, trained.settings, settings.every)
    network, device = trained.network, next(trained.network.parameters()).device
    total, began = len(view.indices), time.monotonic()
    positions = np.array([volume.index_of(int(i)) for i in view.indices])

    def progress(done: int) -> Progress:
        left = (time.monotonic() - began) * (total - done) / done if done else None
        return Progress(done=done, total=total, what=volume.name, unit="slices", seconds_left=left)

    slices = np.empty((total, view.size, view.size), np.uint8)
    for start in range(0, total, BATCH):
        yield progress(0)
        part = positions[start : start + BATCH]
        slices[start : start + BATCH] = load_slices(volume, part, view.size, view.field)
    measure: Callable[[Tensor], Tensor]
    step = 1.0
    if settings.statistic == "sensitivity":
        mean = torch.from_numpy(slices.mean(axis=0, dtype=np.float32) / 255).to(device)
        measure = Sensitivity(network.score, mean, settings.passes or 1)
    else:
        relative = settings.statistic == "relative variance"
        stride = settings.grid or 32
        step = float(stride)
        measure = DropoutVariance(network.encoder, settings.passes or 1, stride, relative=relative)
    parts: list[Floats] = []
    for start in range(0, total, BATCH):
        batch = torch.from_numpy(slices[start : start + BATCH]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=trained.bfloat16):
            parts.append(measure(batch).float().cpu().numpy())
        yield progress(min(total, start + BATCH))
    found, first = np.concatenate(parts), 0.0
    if settings.statistic == "sensitivity":
        along = view.pixel(volume) / (view.step * volume.spacing)
        found, first, step = _pooled(smoothed(found, (SMOOTH * along, SMOOTH, SMOOTH)))
    found, corner = view.cut(found, first, step)
    grid = view.grid(volume, found.shape, corner, step)
    return np.ascontiguousarray(np.moveaxis(found, 0, AXES.index(volume.axis))), grid


def smoothed(signed: Floats, width: tuple[float, float, float]) -> Floats:
    """Let what differs in sign from point to point average out, and return how much of either sign is left.

    Parameters
    ----------
    signed : ndarray of float32
    width : tuple of float
        Standard deviations of the Gaussian along the axes, in points; it is applied before and after the sign is dropped.
    """
    found: Floats = ndimage.gaussian_filter(np.abs(ndimage.gaussian_filter(signed, width)), width)
    return found


def _pooled(stack: Floats) -> tuple[Floats, float, float]:
    """Average `POOL` x `POOL` pixels; return also the pixel at which the first mean lies, and the pixels to the next."""
    n, height, width = stack.shape
    h, w = max(1, height // POOL), max(1, width // POOL)
    pool = min(POOL, height, width)
    found = stack[:, : h * pool, : w * pool].reshape(n, h, pool, w, pool).mean(axis=(2, 4))
    return found, (pool - 1) / 2, float(pool)
