"""A trained segmentation network that is asked about slices of any size and voxel size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_sortingloss.errors import BadInput, BadSetting, OutOfMemory
from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.networks.segmenters.build import SegmentationNetwork, build_segmenter
from napari_sortingloss.networks.weights import load_weights
from napari_sortingloss.pretext.loading import load_network, ready
from napari_sortingloss.segment.finetune.initial_weights import KIND
from napari_sortingloss.segment.settings import FinetuneSettings, Pose
from napari_sortingloss.slices.tiles import blending_weights, pixel_shape, tiles, to_pixels
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.training.failures import is_out_of_memory
from napari_sortingloss.training.loop.checkpoints import Which

if TYPE_CHECKING:
    from napari_sortingloss.study import Run

T = TypeVar("T")

PIXELS_AT_ONCE = {"cpu": 2**20, "cuda": 2**23, "mps": 2**22}
"""Pixels that the network looks at in one go, by kind of device."""

SMALLEST_TILE, OVERLAP = 256, 64
"""Sides in pixels of the smallest tile that is tried, and of what neighbours share."""

AS_IT_IS = ((0, False),)
"""The one pose in which slices are looked at unless another is asked for."""

EVERY_POSE: Mapping[Pose, tuple[tuple[int, bool], ...]] = {
    "as stored": AS_IT_IS,
    "turned": tuple((turns, False) for turns in range(4)),
    "turned and mirrored": tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}
"""Quarter turns, and whether mirrored, of the poses that a network has learnt to see alike."""

EMBEDDING_SIDE = 1024
"""Slices with a longer side are shrunk before they are embedded."""


class Segmenter:
    """Says of every pixel of slices how probable background and each class are.

    Parameters
    ----------
    network : SegmentationNetwork
        In evaluation mode whenever this is asked.
    classes : tuple of LabelClass
        The meaning of the channels 1, 2, ...
    step : int
        Steps the weights were trained for.
    pixel_size : float
        Side of a pixel in mm at which the network looks at slices; 0 for voxels as they are.
    bfloat16 : bool or None
        Whether to compute in bfloat16; None leaves the caller's autocast alone.
    poses : sequence of (int, bool)
        Quarter turns, and whether mirrored, of the copies of each slice over which the probabilities are averaged.

    Attributes
    ----------
    network, classes, step, pixel_size, poses
        As given.
    device : torch.device
    pixels_at_once : int
        How many pixels the network looks at in one go; falls where the memory does not suffice.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        classes: tuple[LabelClass, ...],
        step: int,
        pixel_size: float,
        bfloat16: bool | None = None,
        poses: Sequence[tuple[int, bool]] = AS_IT_IS,
    ) -> None:
        self.poses = tuple(poses)
        self.network, self.classes, self.step, self.pixel_size = network, classes, step, pixel_size
        self._bfloat16 = bfloat16
        self.device = next(network.parameters()).device
        self.pixels_at_once = PIXELS_AT_ONCE[self.device.type]

    def predict(
        self, slices: NDArray[np.uint8], spacing: tuple[float, float], unit: str
    ) -> NDArray[np.float32]:
        """Return the probabilities of background and classes.

        Parameters
        ----------
        slices : ndarray of uint8, shape (n, h, w)
        spacing : tuple of float
            Height and width of a voxel, in `unit`.
        unit : str
            Empty where it is not known; the voxels are taken as they are then.

        Returns
        -------
        ndarray of float32, shape (n, 1 + classes, h, w)

        Raises
        ------
        OutOfMemory
            If not even a small tile fits the memory.
        """
        return self.probabilities(slices, spacing, unit).cpu().numpy()

    def probabilities(self, slices: NDArray[np.uint8], spacing: tuple[float, float], unit: str) -> Tensor:
        """Return what `predict` does, as a float32 tensor on the device.

        Raises
        ------
        OutOfMemory
            As `predict`.
        """
        height, width = slices.shape[1:]
        h, w = pixel_shape((height, width), spacing, unit, self.pixel_size)
        shown = slices
        if (h, w) != (height, width):
            shown = np.stack([to_pixels(one, h, w) for one in slices])
        found = self._with_less_memory(lambda: self._of_pixels(shown))
        if (h, w) != (height, width):
            found = F.interpolate(found, size=(height, width), mode="bilinear", align_corners=False)
        return found

    def embed(
        self, slices: NDArray[np.uint8], spacing: tuple[float, float], unit: str
    ) -> NDArray[np.float32]:
        """Return the encoder's last feature map averaged over each slice.

        Parameters
        ----------
        slices, spacing, unit
            As in `predict`. A slice that is longer than `EMBEDDING_SIDE` pixels is shrunk to that.

        Returns
        -------
        ndarray of float32, shape (n, d)

        Raises
        ------
        OutOfMemory
            If a slice does not fit the memory.
        """
        h, w = pixel_shape(slices.shape[1:], spacing, unit, self.pixel_size)
        shrink = min(1.0, EMBEDDING_SIDE / max(h, w))
        h, w = max(1, round(h * shrink)), max(1, round(w * shrink))
        shown = np.stack([to_pixels(one, h, w) for one in slices])

        def look() -> Tensor:
            return torch.cat([self._pooled(shown[s]) for s in self._portions(len(shown), h * w)])

        return self._with_less_memory(look).cpu().numpy()

    def _of_pixels(self, slices: NDArray[np.uint8]) -> Tensor:
        """Return the probabilities of slices at the network's pixel size, whole or tile by tile."""
        n, h, w = slices.shape
        if h * w <= self.pixels_at_once:
            portions = self._portions(n, h * w)
            if len(portions) == 1:
                return self._look(slices)
            return torch.cat([self._look(slices[portion]) for portion in portions])
        side = max(SMALLEST_TILE, int(self.pixels_at_once**0.5) // 32 * 32)
        kinds = len(self.classes) + 1
        found = torch.zeros((n, kinds, h, w), dtype=torch.float32, device=self.device)
        total = torch.zeros((h, w), dtype=torch.float32, device=self.device)
        for rows, columns in tiles((h, w), side, OVERLAP):
            weights = torch.from_numpy(
                blending_weights((rows.stop - rows.start, columns.stop - columns.start), OVERLAP)
            ).to(self.device)
            total[rows, columns] += weights
            for i in range(n):
                found[i, :, rows, columns] += self._look(slices[i : i + 1, rows, columns])[0] * weights
        return found.div_(total)

    def _portions(self, n: int, pixels: int) -> list[slice]:
        each = max(1, self.pixels_at_once // pixels)
        return [slice(start, start + each) for start in range(0, n, each)]

    def _look(self, slices: NDArray[np.uint8]) -> Tensor:
        if self.poses == AS_IT_IS:
            return self._look_once(slices)
        added: Tensor | None = None
        for turns, mirrored in self.poses:
            posed = np.rot90(slices, turns, (1, 2))
            found = self._look_once(posed[:, :, ::-1] if mirrored else posed)
            with torch.inference_mode():
                back = torch.rot90(found.flip(3) if mirrored else found, -turns, (2, 3))
                added = back.contiguous() if added is None else added.add_(back)
        assert added is not None
        with torch.inference_mode():
            return added.div_(len(self.poses))

    def _look_once(self, slices: NDArray[np.uint8]) -> Tensor:
        with torch.inference_mode(), self._precision():
            logits = self.network(self._pictures(slices))
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            found: Tensor = logits.float().softmax(dim=1)
        return found

    def _pooled(self, slices: NDArray[np.uint8]) -> Tensor:
        with torch.inference_mode(), self._precision():
            features: Tensor = self.network.encoder(self._pictures(slices))
        return features.float().mean((2, 3))

    def _pictures(self, slices: NDArray[np.uint8]) -> Tensor:
        return as_pictures(torch.from_numpy(np.ascontiguousarray(slices)).to(self.device))

    def _precision(self) -> torch.autocast | nullcontext[None]:
        if self._bfloat16 is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bfloat16)

    def _with_less_memory(self, work: Callable[[], T]) -> T:
        """Do some work, and again with less at once where the memory does not suffice."""
        while True:
            problem: Exception | None = None
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                problem = error.with_traceback(None)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if self.pixels_at_once <= SMALLEST_TILE**2:
                raise OutOfMemory(
                    "Cannot segment these slices",
                    "the computer or its graphics card has too little memory free",
                    "close other programs, or compute on the processor (device cpu)",
                ) from problem
            self.pixels_at_once = max(SMALLEST_TILE**2, self.pixels_at_once // 4)


def as_pictures(slices: Tensor) -> Tensor:
    """Return uint8 slices (n, h, w) as what networks look at: float32 (n, 1, h, w) in [0, 1]."""
    return slices[:, None].float() / 255


def build_network(settings: FinetuneSettings) -> SegmentationNetwork:
    """Build the network of a run with fresh weights."""
    encoder = build_encoder(settings.encoder, dropout=settings.dropout)
    return build_segmenter(
        settings.network,
        encoder,
        len(settings.classes),
        dropout=settings.dropout,
        norm=settings.decoder_norm,
    )


@contextmanager
def load_segmenter(
    run: Run, which: Which = "best", device: str = "auto", threads: int = 0, *, every_pose: bool = False
) -> Iterator[Segmenter]:
    """Rebuild the network of a fine-tuning run, for as long as the block lasts.

    Parameters
    ----------
    run : Run
    which : {"best", "last"}
    device, threads
        As in `napari_sortingloss.training.settings.TrainSettings`.
    every_pose : bool
        Whether it looks at slices in every pose that it was trained for (`EVERY_POSE`).

    Raises
    ------
    BadInput
        If it is no fine-tuning run, or there are no weights yet, or they are damaged.
    BadSetting
        If the device is not there.
    """
    if run.kind != KIND:
        raise BadInput(
            f"Cannot segment with the run '{run.id}'",
            run.problem or f"it is no fine-tuning but '{run.kind}'",
            "choose a fine-tuning run",
        )
    with load_network(run, which, device, threads, FinetuneSettings, build_network) as trained:
        settings = trained.settings
        yield Segmenter(
            trained.network,
            settings.label_classes(),
            trained.step,
            settings.pixel_size or 0.0,
            trained.bfloat16,
            EVERY_POSE[settings.pose] if every_pose else AS_IT_IS,
        )


@contextmanager
def open_model(path: Path, device: str = "auto", threads: int = 0) -> Iterator[Segmenter]:
    """Rebuild a segmentation network from its ``model.safetensors``, which needs no study and can be sent around.

    Parameters
    ----------
    path : Path
        As a fine-tuning run writes it. Nothing in it is ever run.
    device, threads
        As in `load_segmenter`. The segmenter's step, which the file does not know, is 0.

    Raises
    ------
    BadInput
        If the file is missing, damaged, not one of ours, or of an encoder alone.
    BadSetting
        If the device is not there.
    """
    state, spec = load_weights(path)
    what = f"Cannot segment with '{path.name}'"
    if not spec.network or not spec.classes:
        raise BadInput(what, "it holds an encoder alone", "choose the model.safetensors of a fine-tuning run")
    try:
        settings = FinetuneSettings.from_json(
            {
                "encoder": spec.encoder,
                "network": spec.network,
                "decoder_norm": spec.decoder_norm,
                "dropout": spec.dropout,
            }
        ).with_classes([LabelClass(int(v), name, color, "") for v, (name, color) in spec.classes.items()])
        network = build_network(settings)
        network.load_state_dict(state)
    except (BadSetting, RuntimeError) as error:
        raise BadInput(
            what, "it was made for a network that this version does not know", "choose another file"
        ) from error
    settings = FinetuneSettings.from_json({**settings.to_json(), "device": device, "threads": threads})
    with ready(network, settings) as bfloat16:
        yield Segmenter(network, settings.label_classes(), 0, spec.pixel_size, bfloat16)
