"""Asks a network trained on rotations, slice by slice along the three axes of a volume, how sure it is of the angle."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.events import Progress
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

SAMPLES = 128
"""About as many slices are looked at along each axis, where nothing else is said."""


class Judge(Protocol):
    """What knows the certainty of slices; `napari_sortingloss.pretext.rotation.certainty.RotationCertainty` is one."""

    def along(
        self, volume: Volume, axis: Axis, positions: NDArray[np.intp], /
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the certainties of slices, a few at a time, positions counted as `Volume.read_slices` does."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A value for some slices along an axis.

    Attributes
    ----------
    positions : ndarray of int, shape (n,)
        Ascending voxel indices along the array, whatever the ordering direction.
    values : ndarray of float32, shape (n,)
        From 0 to 1; higher where there is more of the specimen.
    """

    positions: NDArray[np.intp]
    values: NDArray[np.float32]


def sampled(size: int, step: int | None = None) -> NDArray[np.intp]:
    """Return every `step`-th voxel index of a side, as far from one end as from the other.

    Parameters
    ----------
    size : int
        Voxels of the side.
    step : int, optional
        At least 1; by itself, so that about `SAMPLES` are taken.
    """
    every = max(1, round(size / SAMPLES) if step is None else min(step, size))
    return np.arange((size - 1) % every // 2, size, every)


def certainty_curves(
    judge: Judge, volume: Volume, step: int | None = None
) -> Generator[Progress, None, dict[Axis, Curve]]:
    """Measure how sure the network is of 0 degrees between a slice and itself, along all three axes.

    Parameters
    ----------
    judge : Judge
        From `napari_sortingloss.pretext.rotation.certainty.load_rotation`.
    volume : Volume
    step : int, optional
        Looks at every so manieth slice, see `sampled`.

    Yields
    ------
    Progress
        In slices, after every few of them; memory stays bounded whatever the size of the volume.

    Returns
    -------
    dict of str to Curve
        For z, y and x.

    Notes
    -----
    Zharov et al., Localization: slices in which an angle can be told show the specimen.
    """
    wanted = {axis: sampled(size, step) for axis, size in zip(AXES, volume.shape, strict=True)}
    done, total = 0, sum(len(indices) for indices in wanted.values())
    began = time.monotonic()
    curves: dict[Axis, Curve] = {}
    for axis, indices in wanted.items():
        reverse = axis == volume.axis and volume.direction == "-"
        positions = volume.shape[AXES.index(axis)] - 1 - indices if reverse else indices
        parts: list[NDArray[np.float32]] = []
        for part in judge.along(volume, axis, positions):
            parts.append(part)
            done += len(part)
            yield Progress(
                done=done,
                total=total,
                what=f"{volume.name} along {axis}",
                unit="slices",
                seconds_left=(time.monotonic() - began) / done * (total - done),
            )
        curves[axis] = Curve(indices, np.concatenate(parts))
    return curves
