"""Averages what a network says about slices across several axes, on the study's disk, so that memory stays bounded."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import OutOfSpace, readable_os_errors
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sortingloss.study import Study

Bytes = NDArray[np.uint8]

CUBE = 32
"""Side of the cubes in which the sums lie: slices across any axis then touch few pages of the file."""

RESERVE = 64 << 20
"""Bytes of the disk that are left free."""


class Sums:
    """The sum over axes of each class's probability at each voxel, as 8-bit numbers in a file.

    Parameters
    ----------
    folder : Path
        An existing folder; the file is removed by whoever removes it.
    shape : tuple of int
        (z, y, x) of the volume.
    classes : int
        Without background, whose probability is what is left to 1.
    axes : int
        How many axes are averaged, the one included that `mean` brings.
    what : str
        What is being done, for an error's sentence.

    Raises
    ------
    OutOfSpace, UserError
        If the file does not fit the disk. Its space is taken at once: a mapped file that cannot grow kills the program.

    Notes
    -----
    Each axis adds ``round(p * 255 / (axes - 1))``: an error of at most 0.5 / 255 in the mean of the axes in the file.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], classes: int, axes: int, what: str) -> None:
        self.shape, self._axes = shape, axes
        self._levels = 255 // (axes - 1)
        cubes = tuple(-(-n // CUBE) for n in shape)
        path = folder / "sums"
        with readable_os_errors(what):
            with path.open("xb") as file:
                _take_space(file.fileno(), nbytes(shape, classes))
            self._map = np.memmap(path, np.uint8, "r+", shape=(classes, *cubes, CUBE, CUBE, CUBE))

    def rounded(self, probabilities: Tensor) -> Bytes:
        """Return what is added for these probabilities: uint8 (n, classes, h, w), without background."""
        import torch

        with torch.inference_mode():
            return probabilities[:, 1:].mul(self._levels).round_().to(torch.uint8).cpu().numpy()

    def add(self, axis: Axis, start: int, part: Bytes) -> None:
        """Add what was said about neighbouring slices across an axis.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        start : int
            Index of the first slice along the array.
        part : ndarray of uint8, shape (n, classes, h, w)
            From `rounded`.
        """
        h, w = part.shape[2:]
        for low, high, view in self._views(axis, start, len(part)):
            n, classes, rows, _, columns, _ = view.shape
            given = part[low:high]
            if (h, w) != (rows * CUBE, columns * CUBE):
                margin = ((0, 0), (0, 0), (0, rows * CUBE - h), (0, columns * CUBE - w))
                given = np.pad(given, margin)
            view += given.reshape(n, classes, rows, CUBE, columns, CUBE)

    def mean(self, axis: Axis, start: int, probabilities: Tensor) -> Tensor:
        """Return the mean over all axes of the probabilities, given those across the last of them.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        start : int
        probabilities : Tensor of float32, shape (n, 1 + classes, h, w)

        Returns
        -------
        Tensor of float32, shape (n, 1 + classes, h, w)
            On the same device.
        """
        import torch

        n, channels, h, w = probabilities.shape
        before = np.empty((n, channels - 1, h, w), np.uint8)
        for low, high, view in self._views(axis, start, n):
            m, classes, rows, _, columns, _ = view.shape
            before[low:high] = view.reshape(m, classes, rows * CUBE, columns * CUBE)[:, :, :h, :w]
        with torch.inference_mode():
            found = torch.empty_like(probabilities)
            added = torch.from_numpy(before).to(probabilities.device)
            found[:, 1:] = (added / self._levels + probabilities[:, 1:]) / self._axes
            found[:, 0] = (1 - found[:, 1:].sum(dim=1)).clamp_(min=0)
        return found

    def _views(self, axis: Axis, start: int, count: int) -> Iterator[tuple[int, int, Bytes]]:
        """Yield (low, high, view) for the slices in each row of cubes; views (n, classes, rows, CUBE, columns, CUBE)."""
        across = AXES.index(axis)
        at = start
        while at < start + count:
            cube = at // CUBE
            end = min(start + count, (cube + 1) * CUBE)
            cut: list[int | slice] = [slice(None)] * 7
            cut[1 + across] = cube
            cut[4 + across] = slice(at - cube * CUBE, end - cube * CUBE)
            view = np.moveaxis(self._map[tuple(cut)], 3 + across, 0).transpose(0, 1, 2, 4, 3, 5)
            yield at - start, end - start, view
            at = end

    def close(self) -> None:
        """Let go of the file."""
        del self._map


def nbytes(shape: tuple[int, int, int], classes: int) -> int:
    """Return the size of the file in bytes."""
    return classes * math.prod(-(-n // CUBE) * CUBE for n in shape)


def check_space(study: Study, shape: tuple[int, int, int], classes: int, what: str) -> None:
    """See that the sums fit the study's disk, before anything is begun.

    Raises
    ------
    OutOfSpace
        If they do not.
    """
    needed, free = nbytes(shape, classes) + RESERVE, study.free_bytes()
    if needed > free:
        raise OutOfSpace(
            what,
            f"averaging over several axes needs {needed / 1e9:.1f} GB for a while and the disk has {free / 1e9:.1f} GB free",
            "free some space, or predict along one axis",
        )


def _take_space(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    os.ftruncate(file, size)
