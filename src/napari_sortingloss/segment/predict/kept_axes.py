"""Keeps what a network says about slices across several axes on the study's disk, until labels are made of it."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.slabs import steps
from napari_sortingloss.errors import OutOfSpace, readable_os_errors
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from torch import Tensor

Bytes = NDArray[np.uint8]
Totals = NDArray[np.uint16]

RECORD = "axes.json"
"""Says which slices are kept."""

CUBE = 32
"""Side of the cubes in which the numbers lie: slices across any axis then touch few pages of the file."""

THICK = 2 * CUBE
"""So many slices are kept together: a job that is killed does at most so many again."""

RESERVE = 64 << 20
"""Bytes of the disk that are left free."""


class KeptAxes:
    """The probability of each class at each voxel as slices across some axes say, 8-bit numbers in a file.

    The file outlives the job: what is in it is not computed again. It goes with the folder that it lies in.

    Parameters
    ----------
    folder : Path
        An existing folder, of this very prediction only.
    shape : tuple of int
        (z, y, x) of the volume.
    classes : int
        Without background, whose probability is what is left to 1.
    axes : sequence of {"z", "y", "x"}
        Those in the file.
    what : str
        What is being done, for an error's sentence.

    Raises
    ------
    OutOfSpace, UserError
        If the file does not fit the disk. Its space is taken at once: writing to a mapped file that cannot grow kills the
        program.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int, int], classes: int, axes: Sequence[Axis], what: str
    ) -> None:
        self.shape, self.axes = shape, tuple(axes)
        self._what, self._record = what, folder / RECORD
        self._done: dict[str, list[int]] = {axis: [] for axis in self.axes}
        path, size = folder / "axes.bin", nbytes(shape, classes, len(self.axes))
        with readable_os_errors(what):
            if not self._continue(path, size):
                with suppress(FileNotFoundError):
                    self._record.unlink()
                _check_space(folder, size, what)
                with path.open("wb") as file:
                    _take_space(file.fileno(), size)
            cubes = tuple(-(-n // CUBE) for n in shape)
            self._map = np.memmap(
                path, np.uint8, "r+", shape=(len(self.axes), classes, *cubes, CUBE, CUBE, CUBE)
            )

    def _continue(self, path: Path, size: int) -> bool:
        """Take over what an earlier job left, where there is something."""
        try:
            if path.stat().st_size != size:
                return False
            found = json.loads(self._record.read_bytes())
            self._done = {axis: [int(start) for start in found[axis]] for axis in self.axes}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        return True

    def missing(self, axis: Axis) -> list[tuple[int, int]]:
        """Return the half-open intervals of slices across an axis that are still to be kept."""
        blocks = steps(self.shape[AXES.index(axis)], THICK)
        return [block for block in blocks if block[0] not in self._done[axis]]

    @staticmethod
    def rounded(probabilities: Tensor) -> Bytes:
        """Return what is kept of probabilities (n, 1 + classes, h, w): uint8 (n, classes, h, w), without background."""
        import torch

        with torch.inference_mode():
            return probabilities[:, 1:].mul(255).round_().to(torch.uint8).cpu().numpy()

    def put(self, axis: Axis, block: tuple[int, int], start: int, part: Bytes) -> None:
        """Keep what was said about neighbouring slices; a block counts as kept once its last slice is there.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        block : tuple of int
            One of `missing`, whose slices come in order.
        start : int
            Index of the first slice along the array.
        part : ndarray of uint8, shape (n, classes, h, w)
            From `rounded`.

        Raises
        ------
        OutOfSpace, UserError
            If the disk is full or fails.
        """
        h, w = part.shape[2:]
        for low, high, view in self._views(self._map[self.axes.index(axis)], axis, start, len(part)):
            n, classes, rows, _, columns, _ = view.shape
            given = part[low:high]
            if (h, w) != (rows * CUBE, columns * CUBE):
                margin = ((0, 0), (0, 0), (0, rows * CUBE - h), (0, columns * CUBE - w))
                given = np.pad(given, margin)
            view[...] = given.reshape(n, classes, rows, CUBE, columns, CUBE)
        if start + len(part) == block[1]:
            with readable_os_errors(self._what):
                self._map.flush()
                self._done[axis].append(block[0])
                atomic.write_json(self._record, self._done)

    def mean(self, axis: Axis, start: int, probabilities: Tensor) -> Tensor:
        """Return the mean of the probabilities across one axis and of those that are kept across the others.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        start : int
        probabilities : Tensor of float32, shape (n, 1 + classes, h, w)
            What the network says across that axis.

        Returns
        -------
        Tensor of float32, shape (n, 1 + classes, h, w)
            On the same device.
        """
        import torch

        others = [i for i, kept in enumerate(self.axes) if kept != axis]
        total = self._total(axis, start, start + len(probabilities), others)
        with torch.inference_mode():
            found = torch.empty_like(probabilities)
            added = torch.from_numpy(total.astype(np.float32)).to(probabilities.device)
            found[:, 1:] = (added / 255 + probabilities[:, 1:]) / (len(others) + 1)
            found[:, 0] = (1 - found[:, 1:].sum(dim=1)).clamp_(min=0)
        return found

    @property
    def most(self) -> int:
        """What the probability 1 is in `totals`."""
        return 255 * len(self.axes)

    def totals(self, axis: Axis, start: int, stop: int) -> Totals:
        """Return the sum over all axes of what is kept for slices, as it is kept.

        Parameters
        ----------
        axis : {"z", "y", "x"}
            Across which the slices are; any.
        start, stop : int

        Returns
        -------
        ndarray of uint16, shape (stop - start, classes, h, w)
            0 to `most`.
        """
        return self._total(axis, start, stop, range(len(self.axes)))

    def probabilities(self, totals: Totals) -> Tensor:
        """Return the mean over all axes that `totals` stand for, float32 (n, 1 + classes, h, w) with background first."""
        import torch

        with torch.inference_mode():
            known = torch.from_numpy(totals.astype(np.float32)).div_(self.most)
            return torch.cat([(1 - known.sum(dim=1, keepdim=True)).clamp_(min=0), known], dim=1)

    def _total(self, axis: Axis, start: int, stop: int, which: Iterable[int]) -> Totals:
        h, w = (n for n, name in zip(self.shape, AXES, strict=True) if name != axis)
        total = np.zeros((stop - start, self._map.shape[1], h, w), np.uint16)
        for kept in which:
            for low, high, view in self._views(self._map[kept], axis, start, stop - start):
                m, classes, rows, _, columns, _ = view.shape
                total[low:high] += view.reshape(m, classes, rows * CUBE, columns * CUBE)[:, :, :h, :w]
        return total

    @staticmethod
    def _views(kept: Bytes, axis: Axis, start: int, count: int) -> Iterator[tuple[int, int, Bytes]]:
        """Yield (low, high, view) for the slices in each row of cubes; views (n, classes, rows, CUBE, columns, CUBE)."""
        across = AXES.index(axis)
        at = start
        while at < start + count:
            cube = at // CUBE
            end = min(start + count, (cube + 1) * CUBE)
            cut: list[int | slice] = [slice(None)] * 7
            cut[1 + across] = cube
            cut[4 + across] = slice(at - cube * CUBE, end - cube * CUBE)
            view = np.moveaxis(kept[tuple(cut)], 3 + across, 0).transpose(0, 1, 2, 4, 3, 5)
            yield at - start, end - start, view
            at = end

    def close(self) -> None:
        """Let go of the file."""
        del self._map


def kept_slices(folder: Path, shape: tuple[int, int, int]) -> dict[str, int]:
    """Return how many slices across each axis are kept in a folder; axes of which none is are left out."""
    try:
        found = json.loads((folder / RECORD).read_bytes())
        return {
            axis: sum(min(int(start) + THICK, size) - int(start) for start in found[axis])
            for axis, size in zip(AXES, shape, strict=True)
            if found.get(axis)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def nbytes(shape: tuple[int, int, int], classes: int, axes: int) -> int:
    """Return the size of the file in bytes: one for each voxel (sides rounded up to `CUBE`), class and axis."""
    return axes * classes * math.prod(-(-n // CUBE) * CUBE for n in shape)


def _check_space(folder: Path, size: int, what: str) -> None:
    """See that the file fits the disk.

    Raises
    ------
    OutOfSpace
        If it does not.
    """
    import shutil

    free = shutil.disk_usage(folder).free
    if size + RESERVE > free:
        raise OutOfSpace(
            what,
            f"keeping what the network says needs {(size + RESERVE) / 1e9:.1f} GB for a while and the disk has "
            f"{free / 1e9:.1f} GB free",
            "free some space, or predict across one axis and label the likeliest class",
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
