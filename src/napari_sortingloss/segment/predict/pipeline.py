"""Keeps a network busy: slices are read ahead of it and labels written behind it, each in a thread, in bounded memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.slabs import steps
from napari_sortingloss.errors import OutOfMemory
from napari_sortingloss.segment.annotator.interpolate import slice_spacing
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sortingloss.study import Volume
    from napari_sortingloss.study.classes import LabelClass

Bytes = NDArray[np.uint8]

READ_BYTES = 32 << 20
"""At most so much of a volume is read at a time (but at least a slice); twice as much is in memory."""

SAID_BYTES = 64 << 20
"""The network is given so many slices at a time (but at least one) that its probabilities take at most so much."""

MOST_SLICES = 64
"""At most so many slices are."""

WAITING = 1
"""So many batches may wait for the writer, besides the one that it works on."""


class Sees(Protocol):
    """What predicting needs of a network; `napari_sortingloss.segment.segmenter.Segmenter` is one."""

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes of channels 1, 2, ...; channel 0 is background."""

    @property
    def step(self) -> int:
        """The training step of the weights."""

    def probabilities(self, slices: Bytes, spacing: tuple[float, float], unit: str) -> Tensor:
        """Return float32 probabilities (n, 1 + classes, h, w), on the device, for slices (n, h, w)."""


@dataclass(frozen=True)
class Batch:
    """Neighbouring slices and what the network says about them.

    Attributes
    ----------
    block : tuple of int
        The half-open interval of slices that are written together.
    start : int
        Index of the first slice along the axis.
    probabilities : Tensor of float32, shape (n, 1 + classes, h, w)
        On the network's device: what is made of them there is much smaller.
    """

    block: tuple[int, int]
    start: int
    probabilities: Tensor


def read_slices(volume: Volume, axis: Axis, indices: Sequence[int]) -> Bytes:
    """Return slices (n, h, w) by their indices along the array, whatever the volume's direction."""
    if axis == volume.axis:
        indices = [volume.index_of(int(index)) for index in indices]
    return volume.read_slices(indices, axis)


def read_blocks(
    volume: Volume, axis: Axis, blocks: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], int, Bytes]]:
    """Yield (block, first index, slices): the slices of each block, in pieces that fit the memory."""
    plane = math.prod(volume.shape) // volume.shape[AXES.index(axis)]
    at_once = max(1, READ_BYTES // plane)
    for block in blocks:
        for low, high in steps(block[1] - block[0], at_once):
            yield block, block[0] + low, read_slices(volume, axis, range(block[0] + low, block[0] + high))


class Network:
    """A network that is given as many slices at a time as it can take.

    Parameters
    ----------
    segmenter : Sees
    volume : Volume
        Whose slices it is given.
    axis : {"z", "y", "x"}
    """

    def __init__(self, segmenter: Sees, volume: Volume, axis: Axis) -> None:
        self._segmenter, self._volume = segmenter, volume
        self._spacing = slice_spacing(volume.voxel_size, axis)
        plane = math.prod(volume.shape) // volume.shape[AXES.index(axis)]
        said = 4 * plane * (1 + len(segmenter.classes))
        self.at_once = min(MOST_SLICES, max(1, SAID_BYTES // said))

    def see(self, block: tuple[int, int], start: int, slices: Bytes) -> Iterator[Batch]:
        """Yield what the network says, batch by batch.

        Raises
        ------
        OutOfMemory
            If a single slice does not fit the memory.
        """
        from napari_sortingloss.training.failures import is_out_of_memory

        at = 0
        while at < len(slices):
            part = slices[at : at + self.at_once]
            failed: BaseException | None = None
            try:
                found = self._segmenter.probabilities(part, self._spacing, self._volume.unit)
            except Exception as error:
                if not (isinstance(error, OutOfMemory) or is_out_of_memory(error)):
                    raise
                failed = error if len(part) == 1 else None
                found = None
            if found is not None:
                yield Batch(block, start + at, found)
                at += len(part)
            elif failed is not None:
                raise OutOfMemory(
                    f"Cannot predict '{self._volume.name}'",
                    "a single slice needs more memory than the computer or its graphics card has free",
                    "close other programs, or compute on the processor (device cpu)",
                ) from failed
            else:  # outside the handler, which holds on to the tensors of the call that failed
                _let_go()
                self.at_once = max(1, len(part) // 2)


def _let_go() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def to_labels(
    probabilities: Tensor, values: Sequence[int], entropy: bool = False
) -> tuple[Bytes, Bytes | None]:
    """Return the class of the largest probability at each pixel, and how sure it is.

    Parameters
    ----------
    probabilities : Tensor of float32, shape (n, 1 + classes, h, w)
        On any device; channel 0 is background.
    values : sequence of int
        The class values of channels 1, 2, ...
    entropy : bool

    Returns
    -------
    labels : ndarray of uint8, shape (n, h, w)
        Class values; 0 is background.
    entropy : ndarray of uint8, shape (n, h, w), or None
        As `entropy_of` says.
    """
    import torch

    with torch.inference_mode():
        table = torch.tensor([0, *values], dtype=torch.uint8, device=probabilities.device)
        labels = table[probabilities.argmax(dim=1)].cpu().numpy()
        return labels, entropy_of(probabilities) if entropy else None


def entropy_of(probabilities: Tensor) -> Bytes:
    """Return how unsure the network is at each pixel.

    Parameters
    ----------
    probabilities : Tensor of float32, shape (n, 1 + classes, h, w)

    Returns
    -------
    ndarray of uint8, shape (n, h, w)
        ``-sum p log p``, 0 to 255 for 0 to the logarithm of the number of channels.
    """
    import torch

    with torch.inference_mode():
        unsure = torch.special.entr(probabilities.clamp(0, 1)).sum(dim=1)
        unsure = unsure.mul_(255 / math.log(probabilities.shape[1])).round_().clamp_(0, 255)
        found: Bytes = unsure.to(torch.uint8).cpu().numpy()
    return found


class Assembler:
    """Puts the slices of a block together and passes it on when it is whole.

    Parameters
    ----------
    axis : {"z", "y", "x"}
        Along which the slices follow each other.
    write : callable
        Called with start, stop, labels (z, y, x) and entropy (z, y, x) or None.
    """

    def __init__(self, axis: Axis, write: Callable[[int, int, Bytes, Bytes | None], None]) -> None:
        self._across, self._write = AXES.index(axis), write
        self._block: tuple[int, int] | None = None
        self._left = 0
        self._kept: list[Bytes] = []

    def add(self, block: tuple[int, int], start: int, labels: Bytes, entropy: Bytes | None) -> None:
        """Take slices of a block, in any order; no block begins before the one before it is whole."""
        given = [part for part in (labels, entropy) if part is not None]
        if self._block is None:
            self._block, self._left = block, block[1] - block[0]
            self._kept = [np.empty((self._left, *part.shape[1:]), np.uint8) for part in given]
        low = start - block[0]
        for kept, part in zip(self._kept, given, strict=True):
            kept[low : low + len(part)] = part
        self._left -= len(labels)
        if self._left == 0:
            boxes = [np.moveaxis(kept, 0, self._across) for kept in self._kept]
            self._block, self._kept = None, []
            self._write(*block, boxes[0], boxes[1] if len(boxes) > 1 else None)


class Behind:
    """Does things one after the other in a thread of its own, while the next ones are being prepared.

    At most `waiting` things are put aside. An exception is raised in the caller, at the next `do` or `finish`; what was
    put aside after it is not done. Leaving the `with` block waits for what was put aside and raises nothing.
    """

    def __init__(self, waiting: int = WAITING) -> None:
        self._waiting = waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._pending: deque[Future[None]] = deque()
        self._failed = False

    def do(self, what: Callable[..., None], *args: Any) -> None:
        """Put something aside to be done; waits while there is too much."""
        while len(self._pending) >= self._waiting:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._one, what, args))

    def _one(self, what: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self._failed:
            return
        try:
            what(*args)
        except BaseException:
            self._failed = True
            raise

    def finish(self, tick: float = 0.25) -> Iterator[None]:
        """Wait until all is done, yielding now and then."""
        while self._pending:
            if wait([self._pending[0]], tick).done:
                self._pending.popleft().result()
            else:
                yield None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
