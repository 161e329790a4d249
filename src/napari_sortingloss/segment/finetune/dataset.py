"""The slices that a run learns from and the pieces of them that make a batch."""

from __future__ import annotations

import threading
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.segment.finetune.plan import SliceKey
from napari_sortingloss.segment.settings import Pose
from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.along import SlicesAlong
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.slices.loader import step_rng
from napari_sortingloss.slices.pose import random_turn
from napari_sortingloss.slices.tiles import cut_out, cut_turned, pixel_shape, resize_labels, to_pixels
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.schema import Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

Uint8 = NDArray[np.uint8]

CACHE_BYTES = 512 * 2**20
"""At most so much memory is used to keep slices at hand."""

MULTIPLE = 32
"""Pieces have sides that the network need not pad."""

NEARER = 1.2
"""A piece in a pose is shown by at most this factor nearer or farther."""

_ORDER, _ORDER_PREDICTED = 3, 4
"""The streams of random numbers that order the slices of an epoch: the painted ones, and the predicted ones."""


@dataclass(frozen=True)
class Example:
    """An annotated slice.

    Attributes
    ----------
    image : ndarray of uint8, shape (h, w)
    target : ndarray of uint8, shape (h, w)
        0 background, k for class number k, ``IGNORE`` unknown.
    """

    image: Uint8
    target: Uint8

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return self.image.nbytes + self.target.nbytes


class KnownSlices(ABC):
    """Slices of which something is known, at the pixel size and kept at hand; many threads may ask at once.

    Parameters
    ----------
    study : Study
    pixel_size : float
        In mm; 0 for voxels as they are.

    Attributes
    ----------
    keys : tuple of SliceKey
    """

    keys: tuple[SliceKey, ...] = ()

    def __init__(self, study: Study, pixel_size: float) -> None:
        self._study, self._pixel_size = study, pixel_size
        self._along: dict[tuple[str, Axis], SlicesAlong] = {}
        self._cache: OrderedDict[SliceKey, Example] = OrderedDict()
        self._cached, self._guard = 0, threading.Lock()

    def along(self, key: SliceKey) -> SlicesAlong:
        """Return the slices of which this is one: their shape, spacing and unit."""
        place = key.volume, key.axis
        if place not in self._along:
            self._along[place] = SlicesAlong(self._study.volume(key.volume), key.axis)
        return self._along[place]

    def shape(self, key: SliceKey) -> tuple[int, int]:
        """Return height and width of a slice at the pixel size."""
        along = self.along(key)
        return pixel_shape(along.slice_shape, along.slice_voxel_size, along.unit, self._pixel_size)

    def native(self, key: SliceKey) -> Example:
        """Read a slice in its own voxels."""
        return Example(read_slice(self.along(key), key.index), self._target(key))

    @abstractmethod
    def _target(self, key: SliceKey) -> Uint8:
        """Return what is known of a slice, in its own voxels."""

    def __getitem__(self, key: SliceKey) -> Example:
        """Return a slice at the pixel size; not to be modified."""
        with self._guard:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        found, (h, w) = self.native(key), self.shape(key)
        if found.image.shape != (h, w):
            found = Example(to_pixels(found.image, h, w), resize_labels(found.target, h, w))
        with self._guard:
            if key not in self._cache and found.nbytes <= CACHE_BYTES:
                self._cache[key] = found
                self._cached += found.nbytes
                while self._cached > CACHE_BYTES:
                    _, dropped = self._cache.popitem(last=False)
                    self._cached -= dropped.nbytes
        return found


class AnnotatedSlices(KnownSlices):
    """The annotated slices of a run, as they were painted when it was made.

    Parameters
    ----------
    study : Study
    keys : sequence of SliceKey
        Slices that are no longer annotated are left out.
    values : sequence of int
        The values of the classes, in the order of the network's channels.
    pixel_size : float
        In mm; 0 for voxels as they are.

    Attributes
    ----------
    keys : tuple of SliceKey
    counts : ndarray of int, shape (len(keys), 1 + classes)
        How many voxels of each slice are known to be background and each class.
    """

    def __init__(
        self, study: Study, keys: Sequence[SliceKey], values: Sequence[int], pixel_size: float
    ) -> None:
        super().__init__(study, pixel_size)
        self._targets: dict[SliceKey, bytes] = {}
        counts = []
        annotations: dict[str, Annotations] = {}
        for key in keys:
            if key.volume not in annotations:
                annotations[key.volume] = Annotations(study, key.volume)
            target = annotations[key.volume].target(key.axis, key.index, values)
            number = np.bincount(target.ravel(), minlength=256)[: len(values) + 1]
            if number.sum():
                # Painting goes on while a run trains: it learns what there was when it began.
                self._targets[key] = zlib.compress(np.ascontiguousarray(target).tobytes(), 1)
                counts.append(number)
        self.keys = tuple(self._targets)
        self.counts = np.array(counts, np.int64).reshape(-1, len(values) + 1)

    def _target(self, key: SliceKey) -> Uint8:
        found = np.frombuffer(zlib.decompress(self._targets[key]), np.uint8).copy()
        return found.reshape(self.along(key).slice_shape)


def read_slice(along: SlicesAlong, index: int) -> Uint8:
    """Return one slice by its array index, shape (h, w)."""
    volume = along.volume
    position = volume.index_of(index) if along.axis == volume.axis else index
    found: Uint8 = along.read_slices([position])[0]
    return found


class Pieces:
    """Draws the pieces of slices that a step is trained on.

    Parameters
    ----------
    slices : KnownSlices
        Those that were painted.
    batch : int
        Pieces in a batch.
    size : int
        The longest side of a piece in pixels.
    around_class : float
        The share of the pieces that are laid around a class drawn at random.
    augment : Augmenter
    pose : {"as stored", "turned", "turned and mirrored"}
        How each piece is shown.
    seed : int
        Of the run.
    predicted : KnownSlices, optional
        Others that were predicted.
    painted : float
        The share of the pieces that come from `slices`, where there are others.

    Attributes
    ----------
    shape : tuple of int
        Height and width of a piece: no larger than the largest slice needs.
    """

    def __init__(
        self,
        slices: KnownSlices,
        batch: int,
        size: int,
        around_class: float,
        augment: Augmenter,
        pose: Pose,
        seed: int,
        predicted: KnownSlices | None = None,
        painted: float = 1.0,
    ) -> None:
        self._slices, self._predicted, self._batch, self._around = slices, predicted, batch, around_class
        self._augment, self._pose, self._seed = augment, pose, seed
        self._painted = painted if predicted is not None and predicted.keys else 1.0
        every = [slices] if predicted is None else [slices, predicted]
        self._of = {key: one for one in every for key in one.keys}
        height, width = np.max([one.shape(key) for key, one in self._of.items()], axis=0).tolist()
        self.shape: tuple[int, int] = (_fitting(height, size), _fitting(width, size))

    def draw(self, step: int, rng: np.random.Generator) -> tuple[Uint8, Uint8]:
        """Return the images and targets of a step, each uint8 (batch, h, w)."""
        images, targets = [], []
        for key in self.chosen(step):
            image, target = self._augment.paired(*self._piece(self._of[key][key], rng), rng)
            images.append(image)
            targets.append(target)
        return np.stack(images), np.stack(targets)

    def chosen(self, step: int) -> list[SliceKey]:
        """Return the slices of a step: all in random order, again and again, so that each is seen equally often.

        Painted and predicted slices take turns as their shares say, also over steps.
        """
        chosen = []
        for number in range(step * self._batch, (step + 1) * self._batch):
            before, after = int(number * self._painted), int((number + 1) * self._painted)
            if after > before or self._predicted is None:
                chosen.append(self._shuffled(self._slices.keys, before, _ORDER))
            else:
                chosen.append(self._shuffled(self._predicted.keys, number - before, _ORDER_PREDICTED))
        return chosen

    def _shuffled(self, keys: Sequence[SliceKey], number: int, stream: int) -> SliceKey:
        epoch, place = divmod(number, len(keys))
        order = step_rng(self._seed, epoch, stream, stream).permutation(len(keys))
        return keys[int(order[place])]

    def _piece(self, example: Example, rng: np.random.Generator) -> tuple[Uint8, Uint8]:
        """Cut a piece out: around a pixel of a class, or around any pixel of which something is known."""
        h, w = self.shape
        around, jitter = rng.random() < self._around, rng.uniform(-0.5, 0.5, 2)
        which, place = rng.random(2)
        height, width = example.image.shape
        centre = (height / 2, width / 2)
        if height > h or width > w:
            target = example.target.ravel()
            kinds = np.flatnonzero(np.bincount(target, minlength=256)[1:IGNORE]) + 1
            aim = target == kinds[int(which * len(kinds))] if around and len(kinds) else target != IGNORE
            found = np.flatnonzero(aim)
            if len(found):  # of a slice that was predicted nothing may be sure
                y, x = divmod(int(found[int(place * len(found))]), width)
                reach = 0.5 if around and len(kinds) else 1.0
                centre = (y + reach * jitter[0] * h, x + reach * jitter[1] * w)
        if self._pose == "as stored":
            return cut_out(example.image, example.target, centre, (h, w))
        turn = random_turn(rng, NEARER, mirrored=self._pose == "turned and mirrored")
        return cut_turned(example.image, example.target, centre, (h, w), turn)


def _fitting(side: int, size: int) -> int:
    return min(size, -(-side // MULTIPLE) * MULTIPLE)
